"""docs/verify.md agrees with the command that it describes."""

import json
import re
from pathlib import Path

import pytest

from stepstub import profiles
from stepstub.cli import main
from stepstub.contract_tests.findings import Severity
from stepstub.contract_tests.results import Exit

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "verify.md").read_text("utf-8")
OPTIONS = {
    option
    for parameter in main.commands["verify"].params
    for option in parameter.opts
    if option.startswith("--")
}


def first_cells() -> list[str]:
    """The first cell of each row of the tables."""
    return re.findall(r"^\| (.*?) (?<!\\)\|", PAGE, re.MULTILINE)


def test_every_option_is_on_the_page() -> None:
    cells = " ".join(first_cells())
    elsewhere = {
        "--report-dir",
        "--control-token",
        "--format",
    }  # which a section of its own is about
    assert [each for each in OPTIONS - elsewhere if f"`{each}" not in cells] == []
    assert all(f"`{each}`" in PAGE for each in elsewhere)


def test_every_option_of_the_page_exists() -> None:
    assert set(re.findall(r"(?<![\w-])--[a-z]+(?:-[a-z]+)*", PAGE)) <= {*OPTIONS, "--help"}


def test_every_class_and_exit_status_has_a_row() -> None:
    cells = first_cells()
    assert [each for each in cells if each in set(Severity)] == list(Severity)
    assert [each for each in cells if each.isdigit()] == [str(int(each)) for each in Exit]


def test_the_baseline_is_a_profile() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    profile = profiles.parse(text, "docs/verify.md")
    assert [each.cause for each in profile.accepted] == ["shape-401-data"]


def test_what_a_seed_command_prints_is_json() -> None:
    (text,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert all(f"`--{state}-step ID`" in first_cells() for state in json.loads(text))


@pytest.mark.parametrize("name", ["verify.md", "learning.md", "ci.md", "readings.md"])
def test_anchors_lead_to_headings(name: str) -> None:
    for link in re.findall(r"\]\(([^):]*#[^)]+)\)", (ROOT / "docs" / name).read_text("utf-8")):
        file, _, anchor = link.partition("#")
        text = (ROOT / "docs" / (file or name)).read_text("utf-8")
        headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
        slugs = {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}
        assert anchor in slugs, link
