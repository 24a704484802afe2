"""CONTRIBUTING.md and AGENTS.md agree with the repository: paths, targets, markers, commits."""

import re
import subprocess
import sys
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest

import stepstub
from support import ROOT

PAGE = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
AGENTS = (ROOT / "AGENTS.md").read_text("utf-8")
PATH = re.compile(r"`((?:[\w.]+/)+[\w.-]*|[\w.-]+\.(?:yaml|toml))`")
COMMIT = re.compile(r"`([0-9a-f]{7})` \*([^*]+)\*")


def git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    return done.stdout.strip()


@pytest.mark.parametrize("path", sorted(set(PATH.findall(PAGE + AGENTS))))
def test_a_path_that_is_named_exists(path: str) -> None:
    assert (ROOT / path).exists()


@pytest.mark.parametrize(
    "line", re.findall(r"^(make [^#\n]*?|\.venv/bin/.*?) *(?:#.*)?$", PAGE, re.MULTILINE)
)
def test_a_command_that_is_shown_works(line: str) -> None:
    tool, *arguments = line.split()
    command = (
        ["make", "--dry-run", *arguments]
        if tool == "make"
        else [str(Path(sys.executable).parent / Path(tool).name), *arguments]
    )
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_layout_has_every_module_in_the_order_of_imports() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    (layers,) = (each["layers"] for each in contracts if each.get("containers") == ["stepstub"])
    depth = {module: number for number, row in enumerate(layers) for module in row.split(" | ")}
    rows = re.findall(r"^    (\S+(?:  ?\S+)*?)(?:   |$)", stepstub.__doc__ or "", re.MULTILINE)
    drawn = [row.split() for row in rows]

    assert sorted(module for row in drawn for module in row) == sorted(depth)
    for above, below in pairwise(drawn):
        assert max(depth[each] for each in above) <= min(depth[each] for each in below), below


def test_each_target_has_a_row() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = re.findall(r"^([a-z-]+):.*  ## ", makefile, re.MULTILINE)
    rows = re.findall(r"^\| `make ([a-z-]+)` \|", PAGE, re.MULTILINE)

    assert sorted(rows) == sorted(targets)


def test_each_marker_is_in_the_row_of_a_target() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    markers = [
        line.partition(":")[0] for line in project["tool"]["pytest"]["ini_options"]["markers"]
    ]

    assert "proof" in markers
    for marker in markers:
        assert re.search(rf"^\| `make [a-z-]+` \|.*marked `{marker}`", PAGE, re.MULTILINE), marker


@pytest.mark.parametrize(
    "addition", ["An operation", "A reading, or a value of one", "A fault", "A store"]
)
def test_an_addition_has_a_commit_as_its_example(addition: str) -> None:
    section = PAGE.partition(f"### {addition}\n")[2].partition("\n##")[0]
    assert COMMIT.search(section)


def has_history() -> bool:
    """Whether this is a whole clone, and not a shallow one or an unpacked source archive."""
    return (ROOT / ".git").exists() and git("rev-parse", "--is-shallow-repository") == "false"


@pytest.mark.skipif(not has_history(), reason="the history is not here")
@pytest.mark.parametrize(("commit", "subject"), COMMIT.findall(PAGE))
def test_a_commit_that_is_named_is_in_the_history(commit: str, subject: str) -> None:
    assert git("log", "-1", "--format=%s", commit, "--") == " ".join(subject.split())
    assert git("merge-base", commit, "HEAD").startswith(commit)
