"""One request and its response: what the application is given as `receive` and `send` (ASGI)."""

import asyncio
from collections.abc import Awaitable
from http import HTTPStatus
from typing import Protocol

from starlette.types import Message, Scope

from stepstub.framing import FRAMED, Framing
from stepstub.serving.hosts import Rejection

STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}
_WITHOUT_BODY = {204, 304}


class Channel(Protocol):
    """What a request needs of its connection."""

    @property
    def default_headers(self) -> bytes: ...

    def write(self, data: bytes) -> None: ...

    @property
    def drained(self) -> Awaitable[None] | None:
        """Lasts while the transport's buffer is above its high-water mark; None if it is not."""

    def regulate(self) -> None: ...

    def response_sent(self, request: "Request") -> None: ...


class Request:
    """One request and its response.

    A finished request is part of no reference cycle, so it is freed at once and adds no work for
    the garbage collector.
    """

    _framing: Framing | None = None

    def __init__(
        self, channel: Channel, scope: Scope, *, keep_alive: bool, expects_continue: bool
    ) -> None:
        self.scope = scope
        self.rejection: Rejection | None = None
        self.keep_alive = keep_alive
        self.responded = False
        self.unread = 0
        self._channel = channel
        self._expects_continue = expects_continue
        self._parts: list[bytes] = []
        self._body_complete = False
        self._body_read = False
        self._disconnected = False
        self._head = b""  # held back, to be written together with the first part of the body
        self._bytes_remaining = 0  # of the declared Content-Length; close if the body falls short
        self._readable: asyncio.Future[None] | None = None

    @property
    def ends_by_closing(self) -> bool:
        """Whether nothing but the end of the connection tells where the response ends."""
        framing = self._framing
        return framing is not None and not framing.counted and framing.chunk is None

    def feed_body(self, part: bytes) -> None:
        """Buffer a part of the body; discard it once the response has been sent."""
        if not self.responded:
            self._parts.append(part)
            self.unread += len(part)
            self._wake()

    def feed_eof(self) -> None:
        """The body is complete."""
        self._body_complete = True
        self._wake()

    def disconnect(self) -> None:
        """The response is complete, the body broke off, or the client has gone."""
        self._disconnected = True
        self._wake()

    async def receive(self) -> Message:
        if self._expects_continue:
            self._expects_continue = False
            self._channel.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        while not (
            self._parts or (self._body_complete and not self._body_read) or self._disconnected
        ):
            self._readable = asyncio.get_running_loop().create_future()
            await self._readable
        if self._disconnected:
            return {"type": "http.disconnect"}
        body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts.clear()
        self._body_read = self._body_complete
        self.unread = 0
        self._channel.regulate()
        return {"type": "http.request", "body": body, "more_body": not self._body_complete}

    def half_head(self) -> None:
        """Write a part of the head that is held back: up to the first of its own headers."""
        own = self._head.find(b"\r\n") + 2 + len(self._channel.default_headers)
        self._channel.write(self._head[: own + 4])
        self._head = b""

    async def send(self, message: Message) -> None:
        if (drained := self._channel.drained) is not None:
            await drained
        if message["type"] == "http.response.start":
            if (framing := message.get(FRAMED)) is None:
                self._head = self._render_head(message["status"], message["headers"])
            else:
                self._head = self._render_varied_head(
                    message["status"], message["headers"], framing
                )
            return
        body = b"" if self.scope["method"] == "HEAD" else message["body"]
        if self._framing is not None:
            body = self._framing.framed(body)
            self._bytes_remaining = len(body)
        self._channel.write(self._head + body)
        self._head = b""
        self._bytes_remaining -= len(body)
        if not message.get("more_body"):
            self.responded = True
            self.keep_alive = self.keep_alive and self._bytes_remaining == 0
            self.disconnect()
            self._channel.response_sent(self)

    def _render_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> bytes:
        line = STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status
        parts = [line, self._channel.default_headers]
        has_body = status not in _WITHOUT_BODY and self.scope["method"] != "HEAD"
        has_end = not has_body
        if self._expects_continue:
            # Without a 100 the client may or may not send its body, so what follows is ambiguous.
            self.keep_alive = False
        for name, value in headers:
            parts += (name, b": ", value, b"\r\n")
            if name == b"content-length" and has_body:
                has_end = True
                self._bytes_remaining = int(value)
        self.keep_alive = self.keep_alive and has_end  # else only closing delimits the body
        parts.append(b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n")
        return b"".join(parts)

    def _render_varied_head(
        self, status: int, headers: list[tuple[bytes, bytes]], framing: Framing
    ) -> bytes:
        """The head of a whole response, every header of it arranged as `framing` says."""
        self._framing = framing
        default = [line.split(b": ", 1) for line in self._channel.default_headers.splitlines()]
        fields = [(name.lower(), value) for name, value in (*default, *headers)]
        if framing.chunk is not None:
            fields.append((b"transfer-encoding", b"chunked"))
        self.keep_alive = self.keep_alive and not framing.close and not self._expects_continue
        if not self.keep_alive:
            fields.append((b"connection", b"close"))
        lines = [b"%b: %b\r\n" % field for field in framing.arranged(fields)]
        return b"".join((STATUS_LINES[status], *lines, b"\r\n"))

    def _wake(self) -> None:
        if self._readable is not None and not self._readable.done():
            self._readable.set_result(None)
