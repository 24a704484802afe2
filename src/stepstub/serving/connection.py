"""One HTTP/1.1 connection: httptools parses, the ASGI application responds.

uvicorn accepts a custom protocol class, and this is ours. uvicorn's own loses the body of a request
that offers an upgrade, does not bound a head, and takes half as long again for a completion under
load: it writes head and body of a response separately, and sets a timer for every request.
"""

import asyncio
import logging
import socket
import struct
from collections import deque
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Any

import httptools
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.server import ServerState

from stepstub.framing import FRAMING
from stepstub.serving.framing import MAX_HEAD_BYTES, FramedParser, TooLarge
from stepstub.serving.head import BadHead, RequestHead, check_version
from stepstub.serving.hosts import Hosts, Rejection
from stepstub.serving.request import STATUS_LINES, Request

log = logging.getLogger("stepstub")

KEEP_ALIVE_TIMEOUT = 5.0
"""Seconds after which an idle connection is closed."""
STALL_TIMEOUT = 30.0
"""Seconds that a client may take to send the rest of a head, or of a body that was refused, or to
read its responses."""

MAX_UNREAD_BYTES = 64 * 1024
"""Of a body that the application has not read yet, before reading from the client pauses."""


_NO_LINGERING = struct.pack("ii", 1, 0)  # on, for no time: closing sends RST


class State(Enum):
    """What becomes of the requests a client sends."""

    OPEN = "requests are read"
    DRAINING = "no further request is read; pending responses are sent, then the connection closes"
    CLOSING = "nothing is read, and what has been written is flushed"


class Connection(asyncio.Protocol):
    """One connection. Pipelined requests are run one at a time and responded to in order.

    The ASGI scope has an extension `stepstub.wire`: the connection itself, for faults that
    misbehave on it by `half_head`, `pause` and `break_off`; and `stepstub.framing`: a response may
    have a `Framing`. `refuse` renders media type and body of a response to a request that never
    reaches the application. `refuse_connections` is what the wire's method of that name calls.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        refuse: Callable[[int, str], tuple[bytes, bytes]],
        refuse_connections: Callable[[float], Awaitable[None]],
        hosts: Hosts,
    ) -> None:
        self._app = config.loaded_app
        self._refuse = refuse
        self.refuse_connections = refuse_connections
        self._hosts = hosts
        self.head = RequestHead()
        self._server = server_state
        self._loop = _loop or asyncio.get_running_loop()
        self._framing = FramedParser(self)
        self._parser = self._framing.parser
        self._transport: asyncio.Transport
        self._state = State.OPEN
        self._rejection: Rejection | None = None  # sent after the last response
        self._write_buffer: list[bytes] = []
        self.drained: asyncio.Future[None] | None = None  # set while much waits to be sent
        self._current: Request | None = None  # the application works on it
        self._pending: deque[Request] = deque()  # pipelined behind it
        self._incoming: Request | None = None  # its body is not complete; may be either
        self._task: asyncio.Task[None] | None = None
        self._paused: asyncio.Future[None] | None = None  # a fault's pause, done when it is cut
        self._reading = True
        self._idle_since = self._stalled_since = 0.0
        self._default_headers: tuple[object, bytes] = (None, b"")

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._server.connections.add(self)  # type: ignore[arg-type]
        self._idle_since = self._loop.time()
        self._timer = self._loop.call_later(KEEP_ALIVE_TIMEOUT, self._check_timeouts)

    def data_received(self, data: bytes) -> None:
        if self._state is not State.OPEN:
            return
        try:
            self._framing.feed_data(data)
        except httptools.HttpParserError:
            self._reject(400, "This is no HTTP request.")
        except TooLarge as error:
            what = "request line" if error.status == 414 else "head, or its framing or trailers,"
            self._reject(error.status, f"The {what} is longer than {MAX_HEAD_BYTES} bytes.")

    def eof_received(self) -> bool:
        """Keep a half-closed connection until its complete requests have got their responses."""
        broken_off = self._incoming
        self._abandon_incoming()
        if self._current is None or self._current is broken_off:
            self._close()
            return False
        self._state = State.DRAINING
        self._end_pause()
        if self._rejection is None:
            last = self._pending[-1] if self._pending else self._current
            last.keep_alive = False
        return True

    def pause_writing(self) -> None:
        self._stalled_since = self._loop.time()
        self.drained = self._loop.create_future()

    def resume_writing(self) -> None:
        if self.drained is not None and not self.drained.done():
            self.drained.set_result(None)
        self.drained = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._state = State.CLOSING
        self._end_pause()
        self._server.connections.discard(self)
        self._timer.cancel()
        self.resume_writing()
        self._pending.clear()
        if self._current is not None and self._task is not None and not self._task.done():
            self._current.disconnect()
            self._server.tasks.add(self._task)
            self._task.add_done_callback(self._server.tasks.discard)
        # Break the reference cycles, or bodies would be kept until the next garbage collection.
        self._current = self._incoming = None
        self._framing.close()

    # --- the parser's target

    @property
    def accepting(self) -> bool:
        return self._state is State.OPEN

    def on_request_line(self) -> None:
        try:
            check_version(self._parser.get_http_version())
        except BadHead as error:
            self._reject(error.status, error.detail)

    def on_headers_complete(self) -> None:
        head, parser = self.head, self._parser
        head.complete = True
        version = parser.get_http_version()
        try:
            scope = head.scope(parser.get_method(), version)
        except BadHead as error:
            self._reject(error.status, error.detail)
            return
        scope["extensions"] = {"stepstub.wire": self, FRAMING: None}
        is_1_0 = version == "1.0"
        self._incoming = request = Request(
            self,
            scope,
            keep_alive=not is_1_0 and parser.should_keep_alive(),
            expects_continue=not is_1_0 and head.expects_continue,
        )
        request.rejection = head.rejection(self._hosts, version)
        if self._current is None:
            self._start(request)
        else:
            self._pending.append(request)
            self.regulate()

    def on_body(self, part: bytes) -> None:
        if self._incoming is not None:
            self._incoming.feed_body(part)
            self.regulate()

    def on_message_complete(self) -> None:
        self._idle_since = self._loop.time()
        if (request := self._incoming) is not None:
            request.feed_eof()
            self._incoming = None
            # A trailer may have asked for it, too.
            request.keep_alive = request.keep_alive and self._parser.should_keep_alive()
            if not request.keep_alive:
                if request.responded:
                    self._close()
                else:
                    self._state = State.DRAINING

    # --- what the server and the requests call

    def shutdown(self) -> None:
        """Close as soon as the request in progress has its response."""
        if self._current is None:
            self._close()
        else:
            self._current.keep_alive = False
            self._end_pause()

    def abort(self) -> None:
        """Close at once; what has not been sent is lost."""
        self._transport.abort()

    @property
    def default_headers(self) -> bytes:
        """Date and Server, rendered; uvicorn renews them once a second."""
        headers, lines = self._default_headers
        if headers is not self._server.default_headers:
            headers = self._server.default_headers
            lines = b"".join(b"%b: %b\r\n" % header for header in self._server.default_headers)
            self._default_headers = headers, lines
        return lines

    def write(self, data: bytes) -> None:
        """Buffer `data` until the end of this turn of the event loop.

        So the requests that arrived together are handled without a system call between them, while
        the code and data they share stay in the processor's caches.
        """
        if not self._write_buffer:
            self._loop.call_soon(self._flush)
        self._write_buffer.append(data)

    def regulate(self) -> None:
        """Pause reading while the application does not keep up."""
        current = self._current
        reading = not self._pending and (current is None or current.unread <= MAX_UNREAD_BYTES)
        if reading is not self._reading and not self._transport.is_closing():
            self._reading = reading
            if reading:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    def response_sent(self, request: Request) -> None:
        """Continue with the next request, or close."""
        if self._transport.is_closing():
            return
        if not request.keep_alive:
            if request is self._incoming and request.ends_by_closing:
                self._end_writing()
            else:
                self._close()
            return
        self._idle_since = self._loop.time()
        self._next()

    # --- what faults call, for the request in progress

    def half_head(self) -> None:
        """Send a part of the head that is held back."""
        if self._current is not None:
            self._current.half_head()

    async def pause(self, seconds: float) -> bool:
        """Wait; False at once when the client is gone, or sends no more, or the server ends."""
        if self._state is not State.OPEN:
            return False
        self._paused = paused = self._loop.create_future()
        await asyncio.wait((paused,), timeout=seconds)
        self._paused = None
        return not paused.done()

    async def break_off(self, *, reset: bool) -> None:
        """Close the connection after what has been written, or reset it (RST)."""
        if not reset:
            self._close()
            return
        # A reset would take away what is still to be sent.
        self._transport.set_write_buffer_limits(high=0)
        self._flush()
        if self.drained is not None:
            await self.drained
        if not self._transport.is_closing():
            own_socket = self._transport.get_extra_info("socket")
            own_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGERING)
            self.abort()

    def _end_pause(self) -> None:
        if self._paused is not None and not self._paused.done():
            self._paused.set_result(None)

    # --- requests

    def _start(self, request: Request) -> None:
        self._current = request
        self._task = self._loop.create_task(self._run(request))

    async def _run(self, request: Request) -> None:
        app = self._app if request.rejection is None else self._respond_rejected(request.rejection)
        try:
            await app(request.scope, request.receive, request.send)
        except Exception:
            log.exception("the application failed")
        if request is self._current and not (request.responded or self._transport.is_closing()):
            if self._rejection is not None:
                self._next()
            else:
                self.abort()

    def _respond_rejected(self, rejection: Rejection) -> ASGIApp:
        """An application that responds so; the request's body is discarded."""

        async def respond(scope: Scope, receive: Receive, send: Send) -> None:
            log.warning("a request was refused with %d: %s", *rejection)
            media_type, body = self._refuse(*rejection)
            headers = [
                (b"content-type", media_type),
                (b"content-length", b"%d" % len(body)),
            ]
            start = {"type": "http.response.start", "status": rejection.status, "headers": headers}
            await send(start)
            await send({"type": "http.response.body", "body": body})

        return respond

    def _next(self) -> None:
        self._current = None
        if self._pending:
            self._start(self._pending.popleft())
        elif self._rejection is not None:
            self._send_rejection(*self._rejection)
        self.regulate()

    def _abandon_incoming(self) -> None:
        """Drop a request that will never be complete; it gets no response."""
        if self._incoming is not None:
            self._incoming.disconnect()
            self._incoming = None
            if self._pending:  # it is the last of them
                self._pending.pop()

    def _reject(self, status: int, detail: str) -> None:
        """Reject a malformed or oversized request in order, then close."""
        self._state = State.DRAINING
        self._rejection = Rejection(status, detail)
        self._abandon_incoming()
        if self._current is None:
            self._send_rejection(status, detail)

    def _send_rejection(self, status: int, detail: str) -> None:
        log.warning("a connection was refused with %d: %s", status, detail)
        media_type, body = self._refuse(status, detail)
        self.write(
            STATUS_LINES[status]
            + self.default_headers
            + b"content-type: %b\r\n" % media_type
            + b"content-length: %d\r\nconnection: close\r\n\r\n" % len(body)
            + body
        )
        self._close()

    # --- the transport

    def _check_timeouts(self) -> None:
        """Close an idle or stalled connection. One timer per connection, not one per request."""
        now = self._loop.time()
        if self.drained is not None:
            remaining, expire = self._stalled_since + STALL_TIMEOUT - now, self.abort
        elif self._current is not None:
            remaining, expire = KEEP_ALIVE_TIMEOUT, self._close
        else:
            mid_request = self._framing.in_message
            timeout = STALL_TIMEOUT if mid_request else KEEP_ALIVE_TIMEOUT
            remaining, expire = self._idle_since + timeout - now, self._close
        if remaining > 0:
            self._timer = self._loop.call_later(remaining, self._check_timeouts)
        else:
            expire()

    def _flush(self) -> None:
        if self._write_buffer and not self._transport.is_closing():
            self._transport.write(b"".join(self._write_buffer))
        self._write_buffer.clear()

    def _end_writing(self) -> None:
        """Close once the request's body has been discarded, which is not complete yet.

        What came after a close would reset the connection; and a client to which the end of the
        connection is the end of the response would not get one.
        """
        self._flush()
        self._transport.write_eof()
        self._timer.cancel()
        self._timer = self._loop.call_later(STALL_TIMEOUT, self._close)

    def _close(self) -> None:
        self._state = State.CLOSING
        if not self._transport.is_closing():
            self._flush()
            self._transport.close()
            self._timer.cancel()
            self._timer = self._loop.call_later(STALL_TIMEOUT, self.abort)
