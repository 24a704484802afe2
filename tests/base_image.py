"""A base for container images, made from Debian's packages without a registry of images."""

import os
import re
import subprocess
import tarfile
from pathlib import Path

# pip in a container goes to the index by the settings and certificates of this machine.
OF_THIS_MACHINE = (Path("/etc/ssl/certs"), Path("/etc/pip.conf"))


def make_base(archive: Path, *packages: str) -> None:
    """Write the files of a small Debian with Python into a tar archive."""
    release = re.search(r"VERSION_CODENAME=(\w+)", Path("/etc/os-release").read_text("utf-8"))
    assert release
    included = ",".join(["base-files", "coreutils", "dash", "python3", "python3-venv", *packages])
    # The packages are only unpacked, which is all that Python needs.
    made = subprocess.run(
        [
            "mmdebstrap",
            "--quiet",
            "--variant=extract",
            "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr",
            f"--include={included}",
            release[1],
            archive,
        ],
        env={**os.environ, "TMPDIR": str(archive.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=400,
        check=False,
    )
    assert made.returncode == 0, made.stdout


def add_settings(archive: Path) -> None:
    """Add the settings and certificates of this machine, for builders that cannot mount them."""
    with tarfile.open(archive, "a", dereference=True) as tar:
        for path in OF_THIS_MACHINE:
            for file in [path, *path.rglob("*")]:
                if file.is_file():
                    tar.add(file)
