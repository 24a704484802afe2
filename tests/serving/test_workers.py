"""Several workers that serve one port: how they start, end, and are restarted."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from served_stub import SCRIPT, pid_of, served, started
from stepstub.errors import CannotServe
from stepstub.serving.server import listen
from stepstub.serving.workers import LONGEST_PAUSE, pause_before, serve_with_workers
from support import TIMEOUT, Connection, head, in_time, live_app, post, until

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")

BODY = json.dumps({"processStepId": "order-1-approve"}).encode()


def is_refused(url: str) -> bool:
    try:
        Connection(url).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:  # it waited to be accepted
        return False
    return False


def begin(connection: Connection) -> None:
    """Have a request in flight, whose body is still to come."""
    response = connection.ask(
        head(
            "Content-Type: application/json",
            f"Content-Length: {len(BODY)}",
            "Expect: 100-continue",
        )
    )
    assert response.status == 100


def test_all_workers_respond_and_end_with_0() -> None:
    with served("--workers", "3") as stub:
        workers = set(stub.pids.values())
        assert len(workers) == 3
        assert stub.process.pid not in workers
        seen: set[int] = set()
        until(lambda: seen.add(stub.ask()) or seen == workers)  # type: ignore[func-returns-value]
        assert stub.stop() == ""


def test_it_is_ready_once_and_only_when_all_workers_accept() -> None:
    with started("--hold") as stub:
        stub.worker()
        stub.worker()
        first, held = stub.pids[1], stub.pids[2]
        assert stub.ask() == first
        # Had the first one been enough, a line would have come by now.
        os.kill(first, signal.SIGKILL)
        again = stub.worker()
        assert again not in (first, held)
        assert stub.ask() == again
        stub.write("x")
        stub.ready()

        os.kill(again, signal.SIGKILL)
        stub.worker()
        stub.process.terminate()
        _, printed, _ = stub.ended()
        assert printed == ["ended"]


def test_a_worker_that_is_killed_is_restarted_while_the_other_serves() -> None:
    with served() as stub:
        first, second = stub.pids[1], stub.pids[2]
        doomed, kept = stub.connected_to(first), stub.connected_to(second)
        stop = threading.Event()
        broken: list[OSError] = []
        seen: list[int] = []

        def connect_again_and_again() -> None:
            while not stop.is_set():
                try:
                    seen.append(stub.ask())
                except ConnectionRefusedError:
                    raise
                except OSError as error:  # the killed worker had accepted this one
                    broken.append(error)

        clients = [threading.Thread(target=connect_again_and_again) for _ in range(4)]
        refused: list[object] = []
        threading.excepthook, before = refused.append, threading.excepthook
        try:
            for client in clients:
                client.start()
            until(lambda: {first, second} <= set(seen))
            with doomed:
                os.kill(first, signal.SIGKILL)
                assert doomed.is_closed()
            third = stub.worker()
            until(lambda: third in seen)
        finally:
            stop.set()
            for client in clients:
                client.join()
            threading.excepthook = before
        assert refused == []
        assert len(broken) <= len(clients)
        with kept:
            assert pid_of(kept) == second
        log = stub.stop()
        assert re.fullmatch(
            rf"\S+ worker 1 \(pid {first}\) was killed by SIGKILL; restarting it\n", log
        )


def test_a_restart_is_logged_as_json_where_that_is_asked_for() -> None:
    with served("--log-format", "json") as stub:
        pid = stub.pids[2]
        os.kill(pid, signal.SIGTERM)
        stub.worker()
        line = json.loads(stub.stop())
        assert line["level"] == "warning"
        assert line["message"] == f"worker 2 (pid {pid}) ended with status 0; restarting it"


def test_the_pause_between_restarts_grows_to_a_bound() -> None:
    pauses = [pause_before(restart) for restart in range(1, 9)]
    assert pauses == [0, 0.5, 1, 2, 4, 8, 10, 10]
    assert pause_before(5000) == LONGEST_PAUSE


@pytest.mark.parametrize("workers", ["1", "3"])
def test_workers_that_cannot_start_are_given_up(workers: str) -> None:
    with started("--workers", workers, "--exit", "7") as stub:
        status, printed, log = stub.ended()
        assert (status, printed) == (1, [])
        assert log.count("ended with status 7") >= 5
        assert log.splitlines()[-1].startswith("Error: One worker after the other ended before it")
        assert "Traceback" not in log


def test_a_worker_that_raises_ends_with_what_it_says(tmp_path: Path) -> None:
    file = tmp_path / "there"
    file.touch()
    with started("--refuse", str(file)) as stub:
        status, _, log = stub.ended()
        assert status == 1
        assert f"worker 2: {file} is there." in log
        assert "Traceback" not in log


def test_while_some_serve_those_that_cannot_start_are_not_given_up(tmp_path: Path) -> None:
    file = tmp_path / "there"
    with served("--refuse", str(file)) as stub:
        file.touch()
        os.kill(stub.pids[1], signal.SIGKILL)
        assert stub.process.stderr
        failed = 0
        while failed < 6:
            line = in_time(stub.process.stderr.readline)
            assert line, "it has given up"
            failed += "ended with status 1" in line
        assert stub.ask() == stub.pids[2]
        file.unlink()
        stub.worker()
        stub.stop()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("send", [os.kill, os.killpg], ids=["supervisor", "group"])
def test_a_signal_lets_requests_in_flight_finish(
    send: Callable[[int, int], None], number: signal.Signals
) -> None:
    with served() as stub:
        busy = [stub.connected_to(pid) for pid in stub.pids.values()]
        for connection in busy:
            begin(connection)
        send(stub.process.pid, number)
        until(lambda: is_refused(stub.url))
        for connection in busy:
            assert connection.ask(BODY).status == 200
            connection.close()
        assert stub.ended() == (0, ["ended"], "")


def test_a_worker_may_be_told_twice_to_end() -> None:
    with served() as stub:
        first, second = stub.pids.values()
        with (
            stub.connected_to(first) as idle,
            stub.connected_to(first) as busy,
            stub.connected_to(second) as other,
        ):
            begin(busy)
            os.kill(first, signal.SIGTERM)
            assert idle.is_closed()
            stub.process.terminate()
            assert other.is_closed()
            assert busy.ask(BODY).status == 200
        assert stub.ended() == (0, ["ended"], "")


def test_requests_that_do_not_finish_are_broken_off_after_the_grace_period() -> None:
    with served("--grace-period", "0.2") as stub, stub.connected_to(stub.pids[1]) as connection:
        begin(connection)
        stub.process.terminate()
        assert connection.is_closed()
        status, _, log = stub.ended()
        assert status == 0
        assert "Traceback" not in log


@pytest.mark.parametrize("send", [os.kill, os.killpg], ids=["supervisor", "group"])
def test_a_second_signal_ends_it_at_once(send: Callable[[int, int], None]) -> None:
    with served("--grace-period", "60") as stub, stub.connected_to(stub.pids[1]) as connection:
        begin(connection)
        send(stub.process.pid, signal.SIGINT)
        until(lambda: is_refused(stub.url))
        send(stub.process.pid, signal.SIGINT)
        assert connection.is_closed()
        assert stub.ended() == (0, ["ended"], "")


def test_a_worker_that_is_stuck_is_killed_in_the_end() -> None:
    with served("--grace-period", "0.2") as stub:
        os.kill(stub.pids[1], signal.SIGSTOP)
        stub.process.terminate()
        assert stub.ended()[:2] == (0, ["ended"])


def test_a_signal_before_it_is_ready_ends_it() -> None:
    with started("--hold", "--grace-period", "60") as stub:
        stub.worker()
        stub.worker()
        assert stub.stop() == ""


def test_a_worker_hears_a_signal_that_comes_while_it_is_forked() -> None:
    with served("--signal-at-fork") as stub:
        assert "worker 1" in (log := stub.stop())
        assert log.count("ended with status 0; restarting it") == 1


def test_workers_end_when_their_supervisor_is_killed() -> None:
    with served() as stub, stub.connected_to(stub.pids[2]) as busy:
        begin(busy)
        stub.process.kill()
        until(lambda: is_refused(stub.url))
        assert busy.ask(BODY).status == 200
        # What is printed ends when the last process has.
        status, printed, log = stub.ended()
        assert (status, printed) == (-signal.SIGKILL, [])
        assert log.count("is gone: this worker ends") == 2


def test_a_worker_that_has_been_restarted_also_ends_when_the_supervisor_is_killed() -> None:
    with served() as stub:
        os.kill(stub.pids[1], signal.SIGKILL)
        stub.connected_to(stub.worker()).close()
        stub.process.kill()
        assert stub.ended()[0] == -signal.SIGKILL


def test_the_end_of_standard_input_ends_it() -> None:
    with served("--until-eof") as stub:
        stub.write("this is ignored")
        assert stub.ask() in stub.pids.values()
        assert stub.process.stdin
        stub.process.stdin.close()
        stub.process.stdin = None
        assert stub.ended() == (0, ["ended"], "")


def test_standard_input_may_be_none_from_the_start() -> None:
    ended = subprocess.run(
        [sys.executable, str(SCRIPT), "--until-eof"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.skipif(sys.platform != "linux", reason="processes adopt others on Linux alone")
def test_orphans_that_it_adopts_are_waited_for_and_not_restarted() -> None:
    with started("--orphan") as stub:
        stub.ready()
        stub.write("x")
        until(lambda: not Path(f"/proc/{stub.orphan}").exists())
        assert stub.stop() == ""


def test_connections_cannot_be_refused() -> None:
    with served() as stub:
        with Connection(stub.url) as connection:
            request = post({"seconds": 1}, target="/_stub/refuse-connections")
            response = connection.ask(request)
        assert response.status == 409
        assert "start the stub with one worker" in response.json["detail"]
        assert not is_refused(stub.url)
        stub.stop()


def test_without_fork_it_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "fork")
    with (
        listen("127.0.0.1", 0) as listener,
        pytest.raises(CannotServe, match=r"cannot fork processes.* without --workers"),
    ):
        serve_with_workers(live_app(), listener, lambda: None, workers=2)
