"""The wire of a stub without a socket: what a fault does to it, the client gets as an exception.

No time passes. As for a real client, a time-out is for each wait on its own, not for the whole
response.
"""

from collections.abc import Sequence
from typing import Any, NoReturn

from stepstub.errors import Disconnected, NeedsServer, Received, TimedOut

Message = dict[str, Any]


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
