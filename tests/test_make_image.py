"""`make image` takes the first tool that works, or says what is missing."""

import os
import subprocess
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from support import ROOT


def make_image(folder: Path, working: list[str], *arguments: str) -> CompletedProcess[str]:
    """Run it where docker, podman and buildah are installed, but only some of them work."""
    for tool in ("docker", "podman", "buildah"):
        script = folder / tool
        works = tool in working
        script.write_text(
            f'#!/bin/sh\n{"true" if works else "false"} && echo {tool} "$@"\n', "utf-8"
        )
        script.chmod(0o755)
    return subprocess.run(
        ["make", "--no-print-directory", "image", *arguments],
        cwd=ROOT,
        env={**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("working", "command"),
    [
        (["docker", "podman", "buildah"], "docker build --file"),
        (["podman", "buildah"], "podman build --format docker --file"),
        (["buildah"], "buildah build --format docker --file"),
    ],
)
def test_the_first_tool_that_works_builds_it(
    working: list[str], command: str, tmp_path: Path
) -> None:
    built = make_image(tmp_path, working, "IMAGE=mine", "BASE=python:3.12-slim")
    assert built.stdout == (
        f"{command} Containerfile --build-arg BASE=python:3.12-slim --tag mine .\n"
    )


def test_without_one_it_says_what_to_install(tmp_path: Path) -> None:
    failed = make_image(tmp_path, [])
    assert failed.returncode != 0
    assert "docker podman buildah. Install one" in failed.stderr
