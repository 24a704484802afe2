"""The wire of a stub without a socket: what a fault does to it, the client gets as an exception.

No time passes. As for a real client, a time-out is for each wait on its own, not for the whole
response.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NoReturn
from urllib.parse import unquote

from stepstub.errors import Disconnected, NeedsServer, Received, TimedOut
from stepstub.framing import FRAMED

Message = dict[str, Any]


class Call:
    """One request for an ASGI application, without a socket, and what is sent back.

    `target` is path and query as on the wire. `app(call.scope, call.receive, call.send)` runs it.
    """

    def __init__(
        self, method: str, target: bytes, headers: Iterable[tuple[bytes, bytes]], body: bytes
    ) -> None:
        path, _, query = target.partition(b"?")
        self.sent: list[Any] = []
        self._pending: list[Message] = [{"type": "http.request", "body": body}]
        self.scope: dict[str, Any] = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote(path.decode("latin-1")),
            "raw_path": path,
            "query_string": query,
            "root_path": "",
            "headers": [(name.lower(), value) for name, value in headers],
            "extensions": {},
        }

    async def receive(self) -> Message:
        return self._pending.pop() if self._pending else {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.sent.append(message)

    @property
    def response(self) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        """Status, headers and body of the response."""
        start = self.sent[0]
        fields = start["headers"]
        if (framing := start.get(FRAMED)) is not None:
            fields = framing.arranged(fields)
        body = b"" if self.scope["method"] == "HEAD" else body_of(self.sent)
        return start["status"], fields, body


def body_of(sent: Sequence[Message]) -> bytes:
    """The body that ASGI messages make up."""
    return b"".join(message.get("body", b"") for message in sent)


class WireWithoutSocket:
    """The wire of one exchange. `sent` are the ASGI messages so far, `delays` what passed, in s."""

    def __init__(
        self, sent: Sequence[Message], delays: Sequence[float], timeout: float | None
    ) -> None:
        self._sent = sent
        self._delays = delays
        self._timeout = timeout
        self._in_head = False

    def half_head(self) -> None:
        self._in_head = True

    async def pause(self, seconds: float) -> bool:
        """True: the client is still there. Raises `TimedOut` when it waits no longer."""
        received = self._received()
        waited = seconds if received else seconds + sum(self._delays)
        if self._timeout is not None and waited >= self._timeout > 0:
            whole_head = received if received and not received.in_head else None
            raise TimedOut(
                f"Nothing more within {self._timeout:g} s: a fault held the response back.",
                received=whole_head,
            )
        return True

    async def break_off(self, *, reset: bool) -> NoReturn:
        done = "reset" if reset else "broken"
        raise Disconnected(
            f"The connection was {done} by a fault.", received=self._received(), reset=reset
        )

    async def refuse_connections(self, seconds: float) -> NoReturn:
        raise NeedsServer(
            "A stub in the test's process has no connections to refuse. Use a live one: the fixture"
            " stepstub_sandbox, or stepstub_server."
        )

    def check_delays(self) -> None:
        """Raises `TimedOut` when the head was delayed beyond the time-out."""
        if self._timeout is not None and sum(self._delays) >= self._timeout > 0:
            raise TimedOut(f"No response within {self._timeout:g} s: a fault delayed it.")

    def _received(self) -> Received | None:
        if not self._sent:
            return None
        start = self._sent[0]
        if self._in_head:
            return Received(start["status"], in_head=True)
        return Received(start["status"], tuple(start["headers"]), body_of(self._sent))
