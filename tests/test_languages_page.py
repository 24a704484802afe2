"""The script of docs/languages.md, which shows the calls to make from any language."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "languages.md").read_text("utf-8")
(SCRIPT,) = re.findall(
    r"<!-- file: life-of-a-test.sh -->\n```sh\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE
)
SHELLS = [shell for shell in ("sh", "bash") if shutil.which(shell)]


def run(shell: str, script: str, place: Path) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("STEPSTUB_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [shell, "-c", script],
        cwd=place,
        env={**kept, "PATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("shell", SHELLS)
def test_it_passes_and_leaves_no_stub_behind(shell: str, tmp_path: Path) -> None:
    done = run(shell, SCRIPT, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "lost: 52" in done.stdout  # curl: the server sent nothing
    assert "Exchange 1 completed it (fault after: connection broken)." in done.stdout
    assert not (tmp_path / "stub.json").exists()


@pytest.mark.parametrize("shell", SHELLS)
def test_it_fails_if_the_client_does_not_complete_the_step(shell: str, tmp_path: Path) -> None:
    idle = SCRIPT.replace("for attempt in 1 2", "for attempt in")
    assert idle != SCRIPT
    done = run(shell, idle, tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "was never completed" in done.stdout
    assert not (tmp_path / "stub.json").exists()


@pytest.mark.parametrize("shell", SHELLS)
def test_it_does_not_wait_for_a_stub_that_does_not_start(shell: str, tmp_path: Path) -> None:
    wrong = SCRIPT.replace("--port 0", "--port 0 --scenario unknown")
    assert wrong != SCRIPT
    done = run(shell, wrong, tmp_path)
    assert done.returncode != 0
    assert "unknown" in done.stderr
