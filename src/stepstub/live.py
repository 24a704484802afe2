"""A stub that listens: for clients in any language, in threads and in other processes."""

from collections.abc import Iterable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Self

from stepstub import profiles, variations
from stepstub import scenario as scenarios
from stepstub.app import create_app
from stepstub.client import NotEntered, ReadingsChoice, Sandbox, Server
from stepstub.concurrency import EventLoopConcurrency
from stepstub.serving.server import running_in_thread
from stepstub.settings import DEFAULT_TOKEN, Settings
from stepstub.stub import Stub
from stepstub.variations import VaryChoice


class LiveServer(Server):
    """A stub on a free port of this machine, served from a thread of its own::

        with stepstub.LiveServer("two-steps") as server, server.sandbox() as sandbox:
            ...

    `scenarios`, names or paths of files, fill the default sandbox, the one of `token`. Requests may
    name a loopback address, `localhost` or one of `allow_hosts` as their host; others get 421.
    `readings` are a profile, by name or path, or single values in place of the defaults. `vary` is
    a seed, or a seed and kinds, by which responses vary in what every correct client tolerates.
    """

    def __init__(
        self,
        *scenarios: str | Path,
        port: int = 0,
        token: str = DEFAULT_TOKEN,
        readings: ReadingsChoice = None,
        vary: VaryChoice = None,
        allow_hosts: Iterable[str] = (),
    ) -> None:
        self.url = ""
        self.token = token
        self._scenarios = scenarios
        self._settings = Settings(
            token=token, readings=profiles.chosen(readings), vary=variations.chosen(vary)
        )
        self._port = port
        self._allow_hosts = tuple(allow_hosts)
        self._stack = ExitStack()
        self._app: Stub | None = None

    def __repr__(self) -> str:
        return f"<LiveServer at {self.url}>" if self._app else "<LiveServer, not started>"

    def __enter__(self) -> Self:
        processes = scenarios.merge([scenarios.load(name) for name in self._scenarios])
        concurrency = EventLoopConcurrency()
        self._stack.callback(concurrency.close)
        app = create_app(processes, self._settings, concurrency=concurrency)
        self._running = self._stack.enter_context(
            running_in_thread(app, port=self._port, allow_hosts=self._allow_hosts)
        )
        self.url = self._running.url
        self._app = app
        return self

    def __exit__(self, *_: object) -> None:
        self._app = None
        self._stack.close()

    def refusing_connections(self) -> AbstractContextManager[None]:
        """While the with statement lasts, nobody can connect to this server: to no sandbox at all.

        The control API is out of reach as well. Connections that are idle are closed.
        """
        self.default_sandbox()  # raises `NotEntered`
        return self._running.refusing_connections()

    def accept_connections(self) -> None:
        """End at once what `refuse_connections` of a sandbox has begun, if it has."""
        self.default_sandbox()
        self._running.accept_connections()

    def default_sandbox(self) -> Sandbox:
        """The sandbox of the server's own token, which holds its scenarios.

        Its journal also has the requests that named no sandbox: an unknown token, an unknown path.
        """
        if self._app is None:
            raise NotEntered(
                "This server is not running. Use it in a with statement:"
                " `with stepstub.LiveServer() as server:`."
            )
        return Sandbox(self.url, self.token, register=self._app.sandboxes.on_delegate)
