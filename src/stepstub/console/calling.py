"""The control API, called from the console's threads on the event loop of the server."""

import asyncio
from collections.abc import Mapping
from urllib.parse import quote

from stepstub.client import Sandbox
from stepstub.exchange import Host
from stepstub.socketless import Call

TIMEOUT = 10.0
"""Seconds after which a call is given up: a delegate that does not respond holds up its start."""


class Calling:
    """Hands requests to a stub in this process.

    `loop` is the event loop that the stub runs on, known once a request has come in.
    """

    loop: asyncio.AbstractEventLoop

    def __init__(self, stub: Host) -> None:
        self._stub = stub

    def __call__(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, bytes]:
        """One request: status and body of its response. A `client.Transport`."""
        fields = [(name.encode(), value.encode()) for name, value in headers.items()]
        call = Call(method, path.encode(), fields, body)
        running = asyncio.run_coroutine_threadsafe(
            self._stub(call.scope, call.receive, call.send), self.loop
        )
        try:
            running.result(TIMEOUT)
        except TimeoutError:
            running.cancel()
            raise
        status, _, response = call.response
        return status, response

    def sandbox(self, sandbox_id: str, url: str) -> Sandbox | None:
        """The sandbox of an id, driven through the control API; None when there is none.

        Its token does not leave this process.
        """
        known = self._stub.sandboxes.by_id(sandbox_id)
        return None if known is None else self.sandbox_of(known.token, url)

    def sandbox_of(self, token: str, url: str) -> Sandbox:
        """The sandbox of a token."""
        settings = self._stub.settings
        return Sandbox(url, token, control_token=settings.control_token, transport=self)


def target_of(path: str) -> str:
    """A decoded path as it goes on the wire."""
    return quote(path, safe="/:@!$&'()*+,;=~-._")
