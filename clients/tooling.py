"""Runs commands and installs pinned packages, for the checks of this folder."""

import hashlib
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

TIMEOUT = 300  # seconds for any one command

Command = list[str | Path]


class Failed(Exception):
    """A command failed; the text is its output."""


def run(*command: str | Path, environment: Mapping[str, str], directory: Path | None = None) -> str:
    """Return the output of a command. Raises `Failed` with it if the exit status is not 0."""
    try:
        done = subprocess.run(
            command,
            cwd=directory,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        raise Failed(f"{error}\n{error.stdout}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failed(str(error)) from error
    return done.stdout


def install_node(package: Path, directory: Path, environment: Mapping[str, str]) -> None:
    """Install the packages that a package.json names into a directory, unless they are there."""
    with installation(directory / "node_modules", package) as needed:
        if needed:
            shutil.copy(package, directory)
            # None of these packages needs its install scripts, and one of those phones home.
            options = ["--ignore-scripts", "--no-package-lock", "--no-audit", "--no-fund"]
            npm = shutil.which("npm") or "npm"
            run(npm, "install", *options, environment=environment, directory=directory)


@contextmanager
def installation(target: Path, pins: Path) -> Iterator[bool]:
    """Yield whether `target` has to be installed because it does not match `pins`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    stamp = target.with_name(f"{target.name}.sha256")
    digest = hashlib.sha256(pins.read_bytes()).hexdigest()
    needed = not stamp.exists() or stamp.read_text() != digest
    yield needed
    if needed:
        stamp.write_text(digest)
