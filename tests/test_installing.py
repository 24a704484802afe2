"""Each `pip install` line of the README and the pages does what it says, run as it is written."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import pytest

from support import ROOT

PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]
LINE = re.compile(r"pip install (?:\"[^\"]*\"|'[^']*'|[^\s`|#]+)+")


def lines() -> list[tuple[str, str]]:
    """The page, and the line."""
    return [(page.name, line) for page in PAGES for line in LINE.findall(page.read_text("utf-8"))]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this one, in a folder that a job checks it out into."""
    folder = tmp_path_factory.mktemp("job") / "stepstub"
    unneeded = shutil.ignore_patterns(
        ".*", "build", "dist", "reports", "node_modules", "tests", "benchmarks", "*-info"
    )
    shutil.copytree(ROOT, folder, ignore=unneeded)
    return folder


@pytest.mark.parametrize(("page", "line"), lines(), ids=map(" ".join, lines()))
def test_a_line_that_is_shown_installs_it(
    page: str, line: str, checkout: Path, tmp_path: Path
) -> None:
    path, _, extras = shlex.split(line)[-1].partition("[")
    # In the README and most pages one is in a checkout; the jobs of CI have it in a folder.
    place = checkout if path == "." else checkout.parent
    assert (place / path / "pyproject.toml").exists(), f"{page}: there is no such package"
    # All dependencies are installed in this environment, so nothing has to be fetched.
    offline = {"PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_NO_INDEX": "1"}
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=place,
        env={
            **os.environ,
            **offline,
            "PIP_TARGET": str(tmp_path),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr

    (installed,) = distributions(name="stepstub", path=[str(tmp_path)])
    assert (tmp_path / "stepstub" / "fixtures" / "two-steps.yaml").exists()
    offered = installed.metadata.get_all("Provides-Extra") or ()
    assert set(filter(None, extras.rstrip("]").split(","))) <= set(offered)
    assert {point.name for point in installed.entry_points} == {"stepstub"}


def test_the_lines_are_found() -> None:
    assert ("README.md", 'pip install ".[pytest]"') in lines()
    assert ("ci.md", 'pip install "./stepstub[verify]"') in lines()
