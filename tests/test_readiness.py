"""How other processes learn that a stub is ready, and a command that is run beside one."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from stepstub.readiness import Ready, ReadyFile
from stepstub.serving.server import listen
from test_cli import COMMAND, ENVIRONMENT, TIMEOUT, run, serve

HERE = Ready("http://127.0.0.1:1234", 1234, os.getpid(), "0.1.0", control=True)


def test_the_file_says_where_the_stub_is_for_as_long_as_it_is_there(tmp_path: Path) -> None:
    path = tmp_path / "ready.json"
    path.write_text("stale")
    with serve("--ready-file", str(path), "--no-control") as served:
        ready = json.loads(path.read_text())
        version = ready.pop("version")
        assert ready == {
            "url": served.url,
            "port": int(served.url.rpartition(":")[2]),
            "pid": served.process.pid,
            "control": False,
        }
        assert version in run("--version").stdout
        served.log()
    assert list(tmp_path.iterdir()) == []


def test_a_stale_file_is_removed_before_the_stub_is_ready(tmp_path: Path) -> None:
    path = tmp_path / "ready.json"
    path.write_text("stale")
    file = ReadyFile(path)
    assert not path.exists()
    file.write(HERE)
    assert json.loads(path.read_text())["port"] == 1234
    file.remove()
    file.remove()
    assert list(tmp_path.iterdir()) == []


def test_the_file_of_another_stub_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "ready.json"
    file = ReadyFile(path)
    file.write(HERE)
    other = HERE.as_json().replace(f'"pid":{os.getpid()}'.encode(), b'"pid":1')
    path.write_bytes(other)
    file.remove()
    assert path.read_bytes() == other


def test_a_file_that_cannot_be_written_is_an_error_at_the_start(tmp_path: Path) -> None:
    ended = run("serve", "--port", "0", "--ready-file", str(tmp_path / "nowhere" / "ready.json"))
    assert ended.returncode == 2
    assert "--ready-file" in ended.stderr
    assert "No such file or directory" in ended.stderr


def test_a_line_on_stdout_has_the_same_facts() -> None:
    with serve("--log-format", "json") as served:
        ready = json.loads(served.banner[0])
        assert (ready["pid"], ready["control"]) == (served.process.pid, True)


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs Unix sockets")
def test_a_service_manager_is_told(tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(TIMEOUT)
        manager.bind(path)
        with serve(NOTIFY_SOCKET=path) as served:
            assert manager.recv(100) == b"READY=1"
            served.log()
            assert manager.recv(100) == b"STOPPING=1"


CLIENT = """
import json, os, urllib.request
url = os.environ["STEPSTUB_URL"] + "/api/v1/processes/complete-step"
body = json.dumps({"processStepId": "invoice-1-archive"}).encode()
headers = {"Authorization": "Bearer " + os.environ["STEPSTUB_TOKEN"]}
headers["Content-Type"] = "application/json"
response = json.load(urllib.request.urlopen(urllib.request.Request(url, body, headers)))
print(sorted(response["data"]))
"""


def test_a_command_is_run_beside_a_stub() -> None:
    options = ("--scenario", "last-step", "--reading", "last-step-id=absent")
    ended = run("run", *options, "--", sys.executable, "-c", CLIENT)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "['params', 'processId']\n", "")


@pytest.mark.parametrize(
    ("code", "status"),
    [("raise SystemExit(7)", 7), ("import os; os.kill(os.getpid(), 9)", 128 + 9)],
)
def test_its_exit_status_is_handed_on(code: str, status: int) -> None:
    assert run("run", "--", sys.executable, "-c", code).returncode == status


def test_it_is_told_to_end_and_the_stub_ends_with_it() -> None:
    code = """
import os, signal, urllib.request
def end(*_):
    urllib.request.urlopen(os.environ["STEPSTUB_URL"] + "/_stub/health").read()
    raise SystemExit(5)
signal.signal(signal.SIGTERM, end)
print("up", flush=True)
signal.pause()
"""
    with subprocess.Popen(
        [*COMMAND, "run", "--", sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    ) as process:
        watchdog = threading.Timer(TIMEOUT, process.kill)
        watchdog.start()
        try:
            assert process.stdout
            assert process.stdout.readline() == "up\n"
            process.send_signal(signal.SIGTERM)
            assert process.wait(TIMEOUT) == 5
        finally:
            watchdog.cancel()
            process.kill()


def test_a_port_in_use_is_not_taken_for_a_command_that_cannot_be_run() -> None:
    with listen("127.0.0.1", 0) as listener:
        port = str(listener.getsockname()[1])
        ended = run("run", "--port", port, "--", sys.executable, "-c", "pass")
    assert ended.returncode == 2
    assert f"Cannot listen on 127.0.0.1 port {port}: Address already in use." in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--", "no-such-command"), "Cannot run no-such-command: No such file or directory."),
        (("--scenario", "two-step", "--", "true"), "did you mean two-steps"),
        (("--reading", "version", "--", "true"), "is not of the form NAME=VALUE"),
        ((), "Missing argument"),
    ],
)
def test_what_cannot_be_run_is_explained(arguments: tuple[str, ...], said: str) -> None:
    ended = run("run", *arguments)
    assert (ended.returncode, said in ended.stderr) == (2, True), ended.stderr
