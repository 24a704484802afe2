"""A stub that listens: for clients in any language, in threads and in other processes."""

from collections.abc import Iterable
from contextlib import ExitStack
from typing import Self

from stepstub import scenario as scenarios
from stepstub.app import create_app
from stepstub.client import Sandbox
from stepstub.concurrency import EventLoopConcurrency
from stepstub.serving.server import serve_in_thread
from stepstub.settings import DEFAULT_TOKEN, Settings


class LiveServer:
    """A stub on a free port of this machine, served from a thread of its own::

        with stepstub.LiveServer("two-steps") as server, server.sandbox() as sandbox:
            ...

    `scenarios` fill the default sandbox, the one of `token`. Requests may name a loopback address,
    `localhost` or one of `allow_hosts` as their host; others get 421.
    """

    def __init__(
        self,
        *scenarios: str,
        port: int = 0,
        token: str = DEFAULT_TOKEN,
        allow_hosts: Iterable[str] = (),
    ) -> None:
        self.url = ""
        self.token = token
        self._scenarios = scenarios
        self._port = port
        self._allow_hosts = tuple(allow_hosts)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        processes = scenarios.merge([scenarios.load(name) for name in self._scenarios])
        concurrency = EventLoopConcurrency()
        self._stack.callback(concurrency.close)
        self._app = create_app(processes, Settings(token=self.token), concurrency=concurrency)
        self.url = self._stack.enter_context(
            serve_in_thread(self._app, port=self._port, allow_hosts=self._allow_hosts)
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def sandbox(self, scenario: str | None = None) -> Sandbox:
        """A fresh sandbox on this server, as a context manager."""
        return Sandbox(
            self.url, self.token, scenario=scenario, register=self._app.sandboxes.on_delegate
        )

    def default_sandbox(self) -> Sandbox:
        """The sandbox of the server's own token, which holds its scenarios."""
        return Sandbox(self.url, self.token, register=self._app.sandboxes.on_delegate)
