"""The control API, called from the console's threads on the event loop of the server."""

import asyncio
from collections.abc import Coroutine, Mapping
from functools import partial
from typing import Any, TypeVar
from urllib.parse import quote

from stepstub.client import Sandbox
from stepstub.exchange import SANDBOX_ID, Host
from stepstub.socketless import Call

T = TypeVar("T")

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
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        sandbox_id: str | None = None,
    ) -> tuple[int, bytes]:
        """One request: status and body of its response. A `client.Transport`.

        `sandbox_id` stands in for the token of that sandbox.
        """
        fields = [(name.encode(), value.encode()) for name, value in headers.items()]
        call = Call(method, path.encode(), fields, body)
        call.scope["extensions"][SANDBOX_ID] = sandbox_id
        self.run(self._stub(call.scope, call.receive, call.send))
        status, _, response = call.response
        return status, response

    def sandbox(self, sandbox_id: str, url: str) -> Sandbox | None:
        """The sandbox of an id, driven through the control API; None when there is none.

        It takes no token: the console has none.
        """
        if self.run(self._stub.sandboxes.by_id(sandbox_id)) is None:
            return None
        transport = partial(self, sandbox_id=sandbox_id)
        control_token = self._stub.settings.control_token
        return Sandbox(url, "", control_token=control_token, transport=transport)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine, from the event loop."""
        running = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        try:
            return running.result(TIMEOUT)
        except TimeoutError:
            running.cancel()
            raise


def target_of(path: str) -> str:
    """A decoded path as it goes on the wire."""
    return quote(path, safe="/:@!$&'()*+,;=~-._")
