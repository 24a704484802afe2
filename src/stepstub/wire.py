"""How a response reaches the client when a fault has it go wrong on the wire.

What carries the exchange lends a hand as `Wire`: a connection, or a stub without a socket, where
no time passes. A stall or a drip ends after `MAX_SECONDS`, or as soon as the client is gone.
"""

from typing import Protocol

from starlette.types import Message, Send

from stepstub.faults import Fault
from stepstub.framing import FRAMED
from stepstub.responses import Response
from stepstub.responses.explanations import phrase

MAX_SECONDS = 60.0
"""Seconds after which a drip is broken off; no stall may be longer either."""
SHORTEST_PAUSE = 0.1
"""Seconds between two parts of a drip of many bytes a second."""

NOTHING = Response(0, b"")
"""What the journal has of a response of which the client did not get a whole head."""

_WITHOUT_BODY = {204, 304}


class Wire(Protocol):
    """A connection to misbehave on. A head is held back until the first part of its body."""

    def half_head(self) -> None:
        """Send the status line and a part of the headers of the head held back."""

    async def pause(self, seconds: float) -> bool:
        """Let time pass; False as soon as the client has gone."""

    async def break_off(self, *, reset: bool) -> None:
        """Send what has been written, then close the connection; or reset it (TCP's RST)."""

    async def refuse_connections(self, seconds: float) -> None:
        """Let nobody else connect for so long.

        Raises `InConflict` while connections are refused already, and `NeedsServer`.
        """


def received(fault: Fault, response: Response) -> Response:
    """What a client gets of `response`."""
    if fault.action not in ("disconnect", "reset", "stall"):
        return response
    size = _size(fault, response)
    if size is None:
        return NOTHING
    return Response(response.status, response.body[:size], response.headers, response.content_type)


async def deliver(fault: Fault, response: Response, send: Send, wire: Wire) -> None:
    """Send `response` as the fault has it."""
    match fault.action:
        case "drip":
            await _drip(fault.bytes_per_second or 1, response, send, wire)
        case "wrong-length":
            await send(head_of(response, extra=fault.extra_bytes or 0))
            await send(_part(response.body))
            await wire.break_off(reset=False)
        case _:
            await _break(fault, response, send, wire)


async def _break(fault: Fault, response: Response, send: Send, wire: Wire) -> None:
    size = _size(fault, response)
    if size is not None:
        await send(head_of(response))
        await send(_part(response.body[:size]))
    elif fault.at == "head":
        await send(head_of(response))
        wire.half_head()
    if fault.action == "stall":
        await wire.pause(min(fault.seconds or MAX_SECONDS, MAX_SECONDS))
    await wire.break_off(reset=fault.action == "reset")


def _size(fault: Fault, response: Response) -> int | None:
    """Bytes of the body that are sent; None where not even the head is whole."""
    if fault.after_bytes is not None:
        # Never the whole body, or nothing would be broken.
        return max(0, min(fault.after_bytes, len(response.body) - 1))
    match fault.at:
        case "body":
            return len(response.body) // 2
        case "after-head":
            return 0
        case _:
            return None


async def _drip(rate: int, response: Response, send: Send, wire: Wire) -> None:
    part = max(1, round(rate * SHORTEST_PAUSE))
    pause, passed = part / rate, 0.0
    await send(head_of(response))
    body = response.body
    for start in range(0, len(body), part):
        if passed > MAX_SECONDS or (start and not await wire.pause(pause)):
            await wire.break_off(reset=False)
            return
        passed += pause
        await send(_part(body[start : start + part]))
    await send({"type": "http.response.body", "body": b""})


def _part(body: bytes) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": True}


def head_of(response: Response, *, extra: int = 0) -> Message:
    """The ASGI message that begins a response; its declared length is wrong by `extra` bytes."""
    headers = list(response.headers)
    framing = response.framing
    if response.status not in _WITHOUT_BODY:
        headers.append((b"content-type", response.content_type))
        if framing is None or framing.counted:
            headers.append((b"content-length", b"%d" % (len(response.body) + extra)))
    start: Message = {
        "type": "http.response.start",
        "status": response.status,
        "headers": headers,
    }
    if framing is not None:
        start[FRAMED] = framing
    return start


def shaped(fault: Fault, response: Response) -> Response:
    """`response` with what the fault has in its place."""
    headers = response.headers + tuple(
        (name.lower().encode(), value.encode("latin-1"))
        for name, value in (fault.headers or {}).items()
    )
    body = response.body if fault.body is None else fault.body.encode()
    given = dict(headers)
    content_type = given.pop(b"content-type", response.content_type)
    if response.status in _WITHOUT_BODY:
        body = b""
    return Response(response.status, body, tuple(given.items()), content_type)


def gateway_page(status: int) -> Response:
    """The page with which a gateway in front of a server reports that it got no response."""
    named = f"{status} {phrase(status)}"
    page = (
        f"<html>\r\n<head><title>{named}</title></head>\r\n<body>\r\n"
        f"<center><h1>{named}</h1></center>\r\n<hr><center>gateway</center>\r\n"
        "</body>\r\n</html>\r\n"
    )
    return Response(status, page.encode(), content_type=b"text/html")
