"""How the command starts: no SIGTERM is lost, however early it comes."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from support import TIMEOUT, in_time

TERMINATED = 128 + signal.SIGTERM
"""The status until the stub serves, from when on it is 0."""


@contextmanager
def started(*options: str) -> Iterator[subprocess.Popen[str]]:
    """`python OPTIONS -m stepstub serve`"""
    with subprocess.Popen(
        [sys.executable, *options, "-m", "stepstub", "serve", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def blocked() -> Iterator[None]:
    """SIGTERM is blocked for this thread, and from birth for each process that it starts."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    yield
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


@pytest.mark.usefixtures("blocked")
def test_a_signal_before_python_has_started_is_obeyed_once_it_has() -> None:
    with started() as process:
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=TIMEOUT) == ("", "")
        assert process.returncode == TERMINATED


def imports(process: subprocess.Popen[str]) -> Iterator[str]:
    assert process.stderr
    for line in process.stderr:
        yield line.split("|")[-1].strip()


@pytest.mark.parametrize(
    "module",
    ["click", "stepstub.scenario", "connexion", "stepstub.serving.server", "uvicorn.loops.uvloop"],
)
def test_a_signal_while_it_imports_is_obeyed(module: str) -> None:
    # Python tells what it has imported, to the moment.
    with started("-X", "importtime") as process:
        seen = in_time(lambda: next(line for line in imports(process) if line == module))
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=TIMEOUT)
    assert process.returncode in {TERMINATED, 0}, f"{seen}: {log}"
    assert "Traceback" not in log
