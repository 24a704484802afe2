"""The jobs of docs/ci.md do what they say: their steps are run here, against a stub."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from stepstub.app import create_app
from stepstub.concurrency import EventLoopConcurrency
from stepstub.serving.server import serve_in_thread
from stepstub.settings import DEFAULT_TOKEN

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "ci.md").read_text("utf-8")
BLOCK = r"<!-- {label} -->\n```\w+\n(.*?)^```$"


def block(label: str) -> str:
    """The fenced block that a comment of the page labels."""
    found = re.search(BLOCK.format(label=re.escape(label)), PAGE, re.DOTALL | re.MULTILINE)
    assert found, label
    return found[1]


def steps(job: str) -> list[dict[str, Any]]:
    (only,) = yaml.safe_load(block(f"job: {job}"))["jobs"].values()
    found: list[dict[str, Any]] = only["steps"]
    return found


def run_lines(job: str) -> list[str]:
    """What a job runs, in order."""
    return [step["run"] for step in steps(job) if "run" in step]


@pytest.fixture
def environment() -> Iterator[dict[str, str]]:
    """What the steps find set, with a stub in the place of the team's server."""
    with serve_in_thread(create_app(concurrency=EventLoopConcurrency())) as url:
        yield {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "SERVER_URL": url,
            "STEPSTUB_TOKEN": DEFAULT_TOKEN,
        }


def run(line: str, place: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[Any]:
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", line],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_gate_of_a_server(environment: dict[str, str], tmp_path: Path) -> None:
    script = tmp_path / "start-process.sh"
    script.write_text(block("file: start-process.sh"), "utf-8")
    script.chmod(0o755)
    _, line = run_lines("server")
    done = run(line, tmp_path, environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {path.name for path in (tmp_path / "reports").iterdir()} == {
        "junit.xml",
        "report.html",
        "report.json",
    }


def test_the_gate_of_a_server_can_fail(environment: dict[str, str], tmp_path: Path) -> None:
    _, line = run_lines("server")
    done = run(line, tmp_path, {**environment, "STEPSTUB_TOKEN": "wrong"})
    assert done.returncode == 2
    assert "refuses the token" in done.stderr


def test_the_gate_of_a_client(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "test_client.py").write_text(block("file: test_client.py"), "utf-8")
    _, line = run_lines("client")
    done = run(line, tmp_path, environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
