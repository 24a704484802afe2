"""The recipes of docs/containers.md for Testcontainers are at least of the right syntax.

What they run is a container, which these tests have no engine for.
"""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from support import ROOT

PAGE = (ROOT / "docs" / "containers.md").read_text("utf-8")
NOT_THERE = re.compile(r"error: (package \S+ does not exist|cannot find symbol)")


def recipe(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return str(found)


def checked(*command: str) -> str:
    """What a checker says; it is skipped where there is none."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"there is no {command[0]}")
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.stderr


def test_python() -> None:
    compile(recipe("python"), "recipe", "exec")


@pytest.mark.node
def test_node(tmp_path: Path) -> None:
    file = tmp_path / "recipe.mjs"
    file.write_text(recipe("js"))
    assert checked("node", "--check", str(file)) == ""


@pytest.mark.node
def test_java(tmp_path: Path) -> None:
    file = tmp_path / "OrderClientTest.java"
    file.write_text(recipe("java"))
    said = checked("javac", "-d", str(tmp_path), str(file))
    # What it does not know is what the recipe imports, and the helper beside it.
    errors = [line for line in said.splitlines() if "error:" in line]
    assert errors
    assert all(NOT_THERE.search(line) for line in errors), said
