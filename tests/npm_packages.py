"""Packages from npm for a test: exact versions, without a lock file and without scripts."""

import hashlib
import shutil
import subprocess
from pathlib import Path

_INSTALL_TIMEOUT = 300  # seconds


def install(files: list[Path], build: Path) -> None:
    """Copy `files`, of which one is a package.json, to `build`, and install what that names."""
    build.mkdir(parents=True, exist_ok=True)
    for file in files:
        shutil.copy(file, build)
    stamp = build / "installed.sha256"
    digest = hashlib.sha256((build / "package.json").read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text("utf-8") == digest:
        return
    npm = shutil.which("npm") or "npm"
    options = ["--ignore-scripts", "--no-package-lock", "--no-audit", "--no-fund"]
    subprocess.run([npm, "install", *options], cwd=build, timeout=_INSTALL_TIMEOUT, check=True)
    stamp.write_text(digest, "utf-8")
