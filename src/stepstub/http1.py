"""HTTP/1.1 on a connection: httptools parses, the ASGI application responds.

uvicorn runs the server and lets its protocol be chosen; this is the one of the stub. uvicorn's own
loses the body of a request that offers an upgrade, does not bound a head, and takes half as long
again for a completion under load: it writes head and body of a response apart, and sets a timer for
every request.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

import httptools
import uvicorn
from starlette.types import Message, Scope
from uvicorn.server import ServerState

log = logging.getLogger("stepstub")

KEEP_ALIVE = 5.0
"""Seconds after which a connection is closed on which nothing is under way."""
PATIENCE = 30.0
"""Seconds a client is waited for: for the rest of a head, or of a body that was refused, and for it
to read its responses."""

_MOST_BESIDE_A_BODY = 64 * 1024  # bytes of a head, of trailers, or between two parts of a body
_MOST_UNREAD = 64 * 1024  # bytes of a body that wait for the application
_ASGI = {"version": "3.0", "spec_version": "2.3"}
_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}
_WITHOUT_BODY = {204, 304}


class Request:
    """One request and its response; `receive` and `send` are what the application is given (ASGI).

    Nothing that it refers to refers back to it, so it is gone with its response, and leaves no work
    to the garbage collector.
    """

    def __init__(
        self, connection: "Connection", scope: Scope, *, keep_alive: bool, expects_continue: bool
    ) -> None:
        self.scope = scope
        self.keep_alive = keep_alive
        self.responded = False
        self.unread = 0
        self._connection = connection
        self._expects_continue = expects_continue
        self._parts: list[bytes] = []
        self._is_whole = False
        self._is_read = False
        self._is_over = False
        self._head = b""  # until it goes out together with the body
        self._left = 0  # bytes of the body that were announced and not sent; without them: hang up
        self._news: asyncio.Future[None] | None = None

    def add(self, part: bytes) -> None:
        """Take in a part of the body; what comes after the response is of no interest."""
        if not self.responded:
            self._parts.append(part)
            self.unread += len(part)
            self._tell()

    def end(self) -> None:
        """The body is whole."""
        self._is_whole = True
        self._tell()

    def close(self) -> None:
        """Nothing more will come: all is said, the body broke off, or the client went away."""
        self._is_over = True
        self._tell()

    async def receive(self) -> Message:
        if self._expects_continue:
            self._expects_continue = False
            self._connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        while not (self._parts or (self._is_whole and not self._is_read) or self._is_over):
            self._news = asyncio.get_running_loop().create_future()
            await self._news
        if self._is_over:
            return {"type": "http.disconnect"}
        body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts.clear()
        self._is_read = self._is_whole
        self.unread = 0
        self._connection.regulate()
        return {"type": "http.request", "body": body, "more_body": not self._is_whole}

    async def send(self, message: Message) -> None:
        await self._connection.drain()  # a client that reads nothing gets no more to read
        if message["type"] == "http.response.start":
            self._head = self._head_of(message["status"], message["headers"])
            return
        body = b"" if self.scope["method"] == "HEAD" else message["body"]
        self._connection.write(self._head + body)
        self._head = b""
        self._left -= len(body)
        if not message.get("more_body"):
            self.responded = True
            self.keep_alive = self.keep_alive and self._left == 0
            self.close()
            self._connection.response_sent(self)

    def _head_of(self, status: int, headers: list[tuple[bytes, bytes]]) -> bytes:
        parts = [_STATUS_LINES[status], self._connection.default_headers]
        has_body = status not in _WITHOUT_BODY and self.scope["method"] != "HEAD"
        has_end = not has_body
        if self._expects_continue:
            # It was not told to go on, so what it sends next may be the body or another request.
            self.keep_alive = False
        for name, value in headers:
            parts += (name, b": ", value, b"\r\n")
            if name == b"content-length" and has_body:
                has_end = True
                self._left = int(value)
        self.keep_alive = self.keep_alive and has_end  # or only the connection's end tells it
        parts.append(b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n")
        return b"".join(parts)

    def _tell(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)


class Connection(asyncio.Protocol):
    """One connection. Requests sent without waiting get their responses one after the other.

    The ASGI scope bears a function `stepstub.disconnect`, which breaks the connection. `refuse`
    gives the body, as JSON, of the response to what never reaches the application.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        refuse: Callable[[int, str], bytes],
    ) -> None:
        self._app = config.loaded_app
        self._refuse_with = refuse
        self._server = server_state
        self._loop = _loop or asyncio.get_running_loop()
        self._parser = UpgradeDecliningParser(self)
        self._transport: asyncio.Transport
        self._out: list[bytes] = []
        self._drained: asyncio.Future[None] | None = None
        # The request the application works on, those that wait for it, and the one that is coming.
        self._current: Request | None = None
        self._waiting: deque[Request] = deque()
        self._coming: Request | None = None
        self._task: asyncio.Task[None] | None = None
        self._refusal = 0
        self._reads = True
        self._in_head = False
        self._beside_a_body = 0
        self._idle_since = self._stalled_since = 0.0
        self._default_headers: tuple[object, bytes] = (None, b"")

    # --- what the transport tells

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._server.connections.add(self)  # type: ignore[arg-type]
        self._idle_since = self._loop.time()
        self._timer = self._loop.call_later(KEEP_ALIVE, self._watch)

    def data_received(self, data: bytes) -> None:
        if self._refusal:
            return
        self._beside_a_body += len(data)  # whatever gets on sets it back
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._refuse(400)
            return
        if self._beside_a_body > _MOST_BESIDE_A_BODY:
            self._refuse(431)

    def eof_received(self) -> bool:
        """Keep the connection for a client that has said all, and waits for its responses."""
        broken_off = self._coming
        self._give_up_coming()
        last = self._waiting[-1] if self._waiting else self._current
        if last is not None and last is not broken_off:
            last.keep_alive = self._refusal != 0  # which comes after it, and hangs up
            return True
        self._close()
        return False

    def pause_writing(self) -> None:
        self._stalled_since = self._loop.time()
        self._drained = self._loop.create_future()

    def resume_writing(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self)
        self._timer.cancel()
        self.resume_writing()
        self._waiting.clear()
        if self._current is not None and self._task is not None and not self._task.done():
            self._current.close()
            self._server.tasks.add(self._task)
            self._task.add_done_callback(self._server.tasks.discard)
        # What refers to one another would wait for the garbage collector, bodies and all.
        self._current = self._coming = None
        self._parser.close()

    # --- what the parser tells

    def on_message_begin(self) -> None:
        self._in_head = True
        self._beside_a_body = 0
        self._expects_continue = False
        self.url = b""
        self.headers: list[tuple[bytes, bytes]] = []

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            return  # a trailer is no header (RFC 9110, section 6.5.1)
        name = name.lower()
        if name == b"expect":
            self._expects_continue = value.lower() == b"100-continue"
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._beside_a_body = 0
        parser, target = self._parser, httptools.parse_url(self.url)
        raw_path = target.path or (b"/" if target.schema else b"")  # RFC 9112, section 3.2.2
        if not raw_path:
            raise httptools.HttpParserInvalidURLError("a target without a path")
        path = raw_path.decode("ascii")
        version = parser.get_http_version()
        scope = {
            "type": "http",
            "asgi": _ASGI,
            "http_version": version,
            "scheme": "http",
            "method": parser.get_method().decode("ascii"),
            "root_path": "",
            "path": unquote(path) if "%" in path else path,
            "raw_path": raw_path,
            "query_string": target.query or b"",
            "headers": self.headers,
            "extensions": {"stepstub.disconnect": self._disconnect},
        }
        self._coming = request = Request(
            self,
            scope,
            keep_alive=version != "1.0" and parser.should_keep_alive(),
            expects_continue=self._expects_continue and version != "1.0",
        )
        if self._current is None:
            self._start(request)
        else:
            self._waiting.append(request)
            self.regulate()

    def on_body(self, part: bytes) -> None:
        self._beside_a_body = 0
        if self._coming is not None:
            self._coming.add(part)
            self.regulate()

    def on_message_complete(self) -> None:
        self._beside_a_body = 0
        self._idle_since = self._loop.time()
        if (request := self._coming) is not None:
            request.end()
            self._coming = None
            if not self._parser.should_keep_alive():  # a trailer may have said so
                request.keep_alive = False
                if request.responded:
                    self._close()

    # --- what the server and the requests ask for

    def shutdown(self) -> None:
        """Close as soon as the request in progress has its response."""
        if self._current is None:
            self._close()
        else:
            self._current.keep_alive = False

    def abort(self) -> None:
        """Break the connection, with whatever has not gone out."""
        self._transport.abort()

    @property
    def default_headers(self) -> bytes:
        """Date and Server, as lines; uvicorn renews them once a second."""
        headers, lines = self._default_headers
        if headers is not self._server.default_headers:
            headers = self._server.default_headers
            lines = b"".join(b"%b: %b\r\n" % header for header in self._server.default_headers)
            self._default_headers = headers, lines
        return lines

    def write(self, data: bytes) -> None:
        """Write at the end of the event loop's turn, together with what else comes until then.

        So requests that came in together are worked on in one go, with no system call between
        them, and what they all need stays in the processor's caches.
        """
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(data)

    async def drain(self) -> None:
        """Wait until the client has taken most of what was written."""
        if self._drained is not None:
            await self._drained

    def regulate(self) -> None:
        """Read on only while the application keeps up."""
        current = self._current
        reads = not self._waiting and (current is None or current.unread <= _MOST_UNREAD)
        if reads is not self._reads and not self._transport.is_closing():
            self._reads = reads
            if reads:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    def response_sent(self, request: Request) -> None:
        """Go on with the next request, if the connection is to be kept."""
        if self._transport.is_closing():
            return
        if not request.keep_alive:
            self._close()
            return
        self._idle_since = self._loop.time()
        self._next()

    # --- the rest

    def _start(self, request: Request) -> None:
        self._current = request
        self._task = self._loop.create_task(self._run(request))

    async def _run(self, request: Request) -> None:
        try:
            await self._app(request.scope, request.receive, request.send)
        except Exception:
            log.exception("the application failed")
        if request is self._current and not request.responded:
            if self._refusal:
                self._next()
            else:
                await self._disconnect()

    async def _disconnect(self) -> None:
        """For the fault that breaks the connection; earlier responses have gone out."""
        self.abort()

    def _next(self) -> None:
        self._current = None
        if self._waiting:
            self._start(self._waiting.popleft())
        elif self._refusal:
            self._send_refusal()
        self.regulate()

    def _refuse(self, status: int) -> None:
        """Reject what is no HTTP, or too much of it, in its turn, and hang up."""
        self._refusal = status
        self._give_up_coming()
        if self._current is None:
            self._send_refusal()

    def _give_up_coming(self) -> None:
        """What has not come in whole gets no response."""
        if self._coming is not None:
            self._coming.close()
            self._coming = None
            if self._waiting:  # it is the last of them
                self._waiting.pop()

    def _send_refusal(self) -> None:
        detail = {
            400: "This is no HTTP request.",
            431: f"The request has more than {_MOST_BESIDE_A_BODY} bytes beside its body.",
        }[self._refusal]
        log.warning("a connection was refused with %d: %s", self._refusal, detail)
        body = self._refuse_with(self._refusal, detail)
        self.write(
            _STATUS_LINES[self._refusal]
            + self.default_headers
            + b"content-type: application/json\r\n"
            + b"content-length: %d\r\nconnection: close\r\n\r\n" % len(body)
            + body
        )
        self._close()

    def _watch(self) -> None:
        """Hang up on who is idle or stalls. One timer for the connection, not one a request."""
        now = self._loop.time()
        if self._drained is not None:
            left, hang_up = self._stalled_since + PATIENCE - now, self.abort
        elif self._current is not None:
            left, hang_up = KEEP_ALIVE, self._close
        else:
            patience = PATIENCE if self._in_head or self._coming is not None else KEEP_ALIVE
            left, hang_up = self._idle_since + patience - now, self._close
        if left > 0:
            self._timer = self._loop.call_later(left, self._watch)
        else:
            hang_up()

    def _flush(self) -> None:
        if self._out and not self._transport.is_closing():
            self._transport.write(b"".join(self._out))
        self._out.clear()

    def _close(self) -> None:
        if not self._transport.is_closing():
            self._flush()
            self._transport.close()
            self._timer.cancel()
            self._timer = self._loop.call_later(PATIENCE, self.abort)


class UpgradeDecliningParser:
    """An httptools parser that declines every upgrade.

    httptools stops where a request offers one, and the body that follows is lost. The JDK's
    HttpClient offers `Upgrade: h2c` by default, and a server may ignore it (RFC 9110, section
    7.8): the head is parsed once more without the offer, then the body as usual.
    """

    def __init__(self, protocol: Connection) -> None:
        self._protocol = protocol
        # httptools looks these up once, so they cost nothing per request.
        self.on_message_begin = protocol.on_message_begin
        self.on_url = protocol.on_url
        self.on_header = protocol.on_header
        self.on_body = protocol.on_body
        self._renew()

    def _renew(self) -> None:
        self._parser = parser = httptools.HttpRequestParser(self)
        parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        self.get_method = parser.get_method
        self.get_http_version = parser.get_http_version
        self.should_keep_alive = parser.should_keep_alive

    def feed_data(self, data: bytes) -> None:
        # A view, so that what follows an offer is not copied once per offer.
        rest = memoryview(data)
        while True:
            try:
                self._parser.feed_data(rest)
            except httptools.HttpParserUpgrade as upgrade:
                method = self.get_method()
                if method == b"CONNECT":
                    raise httptools.HttpParserError("a stub is no proxy") from None
                rest = rest[upgrade.args[0] :]
                head = self._head(method)
                self._renew()
                self._parser.feed_data(head)
            else:
                return

    def close(self) -> None:
        """Let go of everything, for the parser within refers back."""
        self.__dict__.clear()

    def should_upgrade(self) -> bool:
        return False

    def on_headers_complete(self) -> None:
        if not self._parser.should_upgrade():
            self._protocol.on_headers_complete()

    def on_message_complete(self) -> None:
        if not self._parser.should_upgrade():
            self._protocol.on_message_complete()

    def _head(self, method: bytes) -> bytes:
        """The head that has been parsed, without the offer."""
        version = self.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (method, self._protocol.url, version)]
        for name, value in self._protocol.headers:
            if name == b"connection":
                options = [option.strip() for option in value.split(b",")]
                kept = b", ".join(option for option in options if option.lower() != b"upgrade")
                lines.append(b"connection: " + kept)
            elif name != b"upgrade":
                lines.append(b"%b: %b" % (name, value))
        return b"\r\n".join(lines) + b"\r\n\r\n"
