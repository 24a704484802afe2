"""How `stepstub serve` ends on a signal, whatever is still waiting."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stepstub.serving.server import listen, url_of
from support import TIMEOUT, Connection, head, post

MAIN = """
from stepstub.cli import main
from stepstub.serving import server
server.GRACE_PERIOD = {}
main()
"""
DELAY = {"phase": "before", "action": "delay", "seconds": 60, "processStepId": "p-1"}


@contextmanager
def served(folder: Path, grace_period: int) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server with a process whose second step has a delegate that never responds."""
    with listen("127.0.0.1", 0) as silent:
        scenario = folder / "mine.yaml"
        steps = [{}, {"delegate": {"http": url_of(silent)}}]
        scenario.write_text(json.dumps({"processes": [{"id": "p", "steps": steps}]}))
        with subprocess.Popen(
            [
                sys.executable,
                "-c",
                MAIN.format(grace_period),
                "serve",
                "--port",
                "0",
                "--scenario",
                str(scenario),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as server:
            try:
                assert server.stdout
                yield server, server.stdout.readline().split()[3]
            finally:
                server.kill()


WAITING = {
    "a delegate": post({"processStepId": "p-1"}),
    "a verification": post(
        {"processStepId": "p-1", "times": 1, "withinSeconds": 60}, target="/_stub/verifications"
    ),
    "a delay": post({"processStepId": "p-1"}),
    "a body": head("Content-Length: 10"),
    "a head": head()[:-4],
}


def begin(connection: Connection, url: str, what: str) -> None:
    """Have the server wait for something on `connection`."""
    if what == "a delay":
        with Connection(url) as control:
            assert control.ask(post(DELAY, target="/_stub/faults")).status == 201
    connection.send(WAITING[what])
    connection.socket.settimeout(0.3)
    with pytest.raises(TimeoutError):
        connection.socket.recv(1)
    connection.socket.settimeout(TIMEOUT)


@pytest.mark.parametrize(
    ("what", "number"),
    [
        ("a delegate", signal.SIGTERM),
        ("a delegate", signal.SIGINT),
        ("a verification", signal.SIGTERM),
        ("a delay", signal.SIGINT),
        ("a body", signal.SIGTERM),
        ("a head", signal.SIGINT),
    ],
)
def test_it_ends_with_0_after_the_grace_period(
    what: str, number: signal.Signals, tmp_path: Path
) -> None:
    with served(tmp_path, 1) as (server, url), Connection(url) as connection:
        begin(connection, url, what)
        began = time.monotonic()
        server.send_signal(number)
        assert connection.is_closed()
        assert server.wait(TIMEOUT) == 0
        assert time.monotonic() - began < 3
        assert server.stderr
        assert "Traceback" not in server.stderr.read()


@pytest.mark.parametrize(
    ("what", "number"),
    [
        ("a delegate", signal.SIGTERM),
        ("a delegate", signal.SIGINT),
        ("a verification", signal.SIGTERM),
        ("a delay", signal.SIGINT),
    ],
)
def test_a_second_signal_ends_it_at_once(what: str, number: signal.Signals, tmp_path: Path) -> None:
    with served(tmp_path, 60) as (server, url), Connection(url) as connection:
        begin(connection, url, what)
        began = time.monotonic()
        server.send_signal(number)
        time.sleep(0.3)
        server.send_signal(number)
        assert server.wait(TIMEOUT) == 0
        assert time.monotonic() - began < 3
        assert server.stderr
        assert "Traceback" not in server.stderr.read()
