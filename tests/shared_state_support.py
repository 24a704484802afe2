"""Stubs that share a state, for tests: in threads of this process, or as `stepstub serve`.

Two stubs of one process share nothing but the server: to a client they are two workers, of which it
chooses the one that responds.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import requests

from state_servers import StateServer
from stepstub.app import create_app
from stepstub.client import Sandbox
from stepstub.concurrency import EventLoopConcurrency
from stepstub.serving.server import serve_in_thread
from stepstub.settings import DEFAULT_TOKEN, Settings
from stepstub.stores.valkey.address import Address
from support import PATH, TIMEOUT, in_time, processes


@dataclass(frozen=True)
class Shared:
    """A stub with shared state, as its clients see it."""

    url: str
    control_token: str | None = None

    def ask(
        self, method: str, path: str, token: str = DEFAULT_TOKEN, **options: Any
    ) -> requests.Response:
        """One request of the control API or of the contract, on a connection of its own."""
        headers = {"Authorization": f"Bearer {token}", **options.pop("headers", {})}
        return requests.request(
            method, self.url + path, headers=headers, timeout=TIMEOUT, **options
        )

    def complete(
        self, step_id: str = "order-1-approve", token: str = DEFAULT_TOKEN, **options: Any
    ) -> requests.Response:
        return self.ask("POST", PATH, token, json={"processStepId": step_id}, **options)

    def sandbox(self, token: str = DEFAULT_TOKEN) -> Sandbox:
        return Sandbox(self.url, token, control_token=self.control_token)


@contextmanager
def stub_at(url: str, scenario: str = "two-steps", **settings: Any) -> Iterator[Shared]:
    """A stub with one worker that keeps its state there."""
    concurrency = EventLoopConcurrency()
    app = create_app(
        processes(scenario), Settings(**settings), concurrency=concurrency, state=Address(url)
    )
    try:
        with serve_in_thread(app) as address:
            yield Shared(address, settings.get("control_token"))
    finally:
        concurrency.close()


@dataclass
class Command:
    """`stepstub serve` at work."""

    process: subprocess.Popen[str]
    url: str = ""
    printed: list[str] = field(default_factory=list)

    def stop(self) -> str:
        """End it cleanly; its log."""
        self.process.terminate()
        assert self.process.stdout
        assert self.process.stderr
        self.printed += in_time(self.process.stdout.read).splitlines()
        log = in_time(self.process.stderr.read)
        assert self.process.wait(TIMEOUT) == 0, log
        return log

    @property
    def stub(self) -> Shared:
        return Shared(self.url)


def environment(**variables: str) -> dict[str, str]:
    """The present one without what would set a stub, and with these."""
    ours = {name: text for name, text in os.environ.items() if not name.startswith("STEPSTUB_")}
    return {**ours, **variables}


@contextmanager
def command(*options: str, **variables: str) -> Iterator[Command]:
    """`stepstub serve --port 0 OPTIONS`, once it is ready; killed in the end, if it still runs."""
    with subprocess.Popen(
        [sys.executable, "-m", "stepstub", "serve", "--port", "0", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(**variables),
    ) as process:
        try:
            running = Command(process)
            assert process.stdout
            line = in_time(process.stdout.readline)
            found = re.match(r"Stepstub listens on (http://\S+)", line)
            assert found, line + (process.stderr.read() if process.stderr else "")
            running.url = found[1]
            running.printed.append(line.rstrip())
            yield running
        finally:
            if process.poll() is None:
                process.kill()


def refused(*options: str, **variables: str) -> str:
    """What `stepstub serve` says as it refuses to start."""
    ended = subprocess.run(
        [sys.executable, "-m", "stepstub", "serve", "--port", "0", *options],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=environment(**variables),
        timeout=TIMEOUT,
        check=False,
    )
    assert ended.returncode in (1, 2), ended
    assert ended.stdout == ""
    assert ended.stderr.count("\n") == 1, ended.stderr
    return ended.stderr


def keys(server: StateServer) -> set[str]:
    """The keys of a server, but for those that go by themselves."""
    found = [key.decode() for key in server.run("KEYS", "*")]
    return {key for key in found if server.run("PTTL", key) == -1}
