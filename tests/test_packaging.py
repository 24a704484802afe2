"""The checkout is what is installed, and each lower bound is a version that the tests ran with."""

import importlib
import json
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from stepstub.errors import Unauthorized
from stepstub.handlers import credentials

ROOT = Path(__file__).parent.parent
# An unpacked source archive has copies in the place of the links.
in_a_checkout = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a git checkout")


@in_a_checkout
@pytest.mark.parametrize("folder", ["handlers", "fixtures", "contract_tests"])
def test_a_folder_of_the_package_is_the_one_at_the_top(folder: str) -> None:
    # An editor that saves by renaming replaces a link to a file, but no link to its folder.
    file = importlib.import_module(f"stepstub.{folder}").__file__
    assert file == str(ROOT / "src" / "stepstub" / folder / "__init__.py")
    assert Path(file).resolve() == (ROOT / folder / "__init__.py").resolve()
    assert not Path(file).is_symlink()


@in_a_checkout
def test_a_traceback_leads_to_the_file_to_edit() -> None:
    with pytest.raises(Unauthorized) as caught:
        credentials.check_control_token("expected", b"another")
    assert (
        Path(caught.traceback[-1].path).resolve()
        == (ROOT / "handlers" / "credentials.py").resolve()
    )


def test_the_helper_for_typescript_has_the_same_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    helper = json.loads((ROOT / "clients" / "typescript" / "package.json").read_text("utf-8"))
    assert helper["version"] == project["version"]


def requirements() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    groups = (project["dependencies"], *project["optional-dependencies"].values())
    found = [Requirement(one) for group in groups for one in group]
    return [one for one in found if one.name != project["name"]]


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_the_lowest_version_allowed_is_one_that_is_tested(requirement: Requirement) -> None:
    text = (ROOT / "requirements" / "lowest.txt").read_text("utf-8")
    pin = re.search(rf"^{requirement.name}(?:\[\w+\])?==([^\s;]+)", text, re.MULTILINE)
    (lowest,) = (one.version for one in requirement.specifier if one.operator == ">=")
    assert pin
    assert Version(pin[1]) == Version(lowest)
