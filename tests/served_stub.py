"""A stub with several workers at work, in processes of its own: what with_workers.py prints."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

from support import ROOT, TIMEOUT, Connection, head, in_time

SCRIPT = ROOT / "tests" / "serving" / "with_workers.py"
HEALTH = head(method="GET", target="/_stub/health")


class Served:
    """The script with_workers.py at work; `url` is known before it is ready."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.pids: dict[int, int] = {}
        self.orphan = 0
        self.url, threads = self.line().split()
        assert threads == "1", "a thread was started before the fork"

    def line(self) -> str:
        assert self.process.stdout
        return in_time(self.process.stdout.readline).strip()

    def worker(self) -> int:
        """The pid of the next worker that is started."""
        what, number, pid = self.line().split()
        assert what == "worker"
        self.pids[int(number)] = int(pid)
        return int(pid)

    def ready(self) -> None:
        """Wait until it is ready, which comes after all workers have been started."""
        while not (line := self.line()).startswith("ready"):
            what, *numbers = line.split()
            if what == "worker":
                self.pids[int(numbers[0])] = int(numbers[1])
            else:
                self.orphan = int(numbers[0])
        assert line == f"ready {self.process.pid}"

    def write(self, text: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def ended(self) -> tuple[int, list[str], str]:
        """Its exit status, what it has printed since, and its log, once all processes are gone."""
        printed, log = self.process.communicate(timeout=TIMEOUT)
        return self.process.returncode, printed.splitlines(), log

    def stop(self) -> str:
        """End it cleanly; its log."""
        self.process.terminate()
        status, printed, log = self.ended()
        assert (status, printed[-1:]) == (0, ["ended"]), log
        assert "Traceback" not in log, log
        return log

    def ask(self) -> int:
        """The pid of the worker that responds on a new connection."""
        with Connection(self.url) as connection:
            return pid_of(connection)

    def connected_to(self, pid: int) -> Connection:
        """An open connection that this worker has accepted."""
        give_up = time.monotonic() + TIMEOUT
        while time.monotonic() < give_up:
            connection = Connection(self.url)
            if pid_of(connection) == pid:
                return connection
            connection.close()
        raise TimeoutError(f"worker {pid} accepts nothing")


def pid_of(connection: Connection) -> int:
    response = connection.ask(HEALTH, method="GET")
    assert response.status == 200
    return int(response.headers["worker"])


@contextmanager
def started(*options: str, log: IO[str] | None = None) -> Iterator[Served]:
    """The script with these options; a `log` takes more than a pipe that nobody reads."""
    with subprocess.Popen(
        [sys.executable, str(SCRIPT), *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log or subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield Served(process)
        finally:
            with suppress(ProcessLookupError):  # the workers as well, should they not notice
                os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def served(*options: str, log: IO[str] | None = None) -> Iterator[Served]:
    with started(*options, log=log) as stub:
        stub.ready()
        yield stub
