"""A live server: uvicorn with httptools, on a socket that listens before anything else starts."""

import asyncio
import gc
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from stepstub.app import Stub

_GRACE = 10  # seconds that requests in flight are given at the end


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 picks a free one. Raises OSError, e.g. for a port in use."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE
    )[0]
    # Family, kind and protocol are all named: without the last, asyncio leaves Nagle's algorithm
    # on, and every request takes 40 ms more.
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
    except OSError:
        listener.close()
        raise
    return listener


def url_of(listener: socket.socket) -> str:
    """`http://127.0.0.1:8080`"""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_loopback(listener: socket.socket) -> bool:
    """Whether only this machine can connect."""
    return ip_address(listener.getsockname()[0].partition("%")[0]).is_loopback


def serve(app: Stub, listener: socket.socket, started: Callable[[], None]) -> None:
    """Serve until SIGTERM or Ctrl-C; requests in flight are answered first."""
    # What is there by now stays: the garbage collector need not walk it again and again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)
    # uvicorn raises the signal again when it is done; nobody needs to hear it twice.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    _Server(app, started).run(sockets=[listener])


@contextmanager
def live(app: Stub, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Serve from a thread of its own while the context lasts; gives the base URL."""
    listener = listen(host, port)
    started = threading.Event()
    server = _Server(app, started.set)
    thread = threading.Thread(
        target=server.run, kwargs={"sockets": [listener]}, name="stepstub-server", daemon=True
    )
    thread.start()
    started.wait()
    try:
        yield url_of(listener)
    finally:
        server.should_exit = True
        thread.join()


class _Server(uvicorn.Server):
    def __init__(self, app: Stub, started: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=StubProtocol,
                ws="none",
                lifespan="on",
                proxy_headers=False,
                log_config=None,
                access_log=False,
                server_header=False,
                headers=[("server", "stepstub")],
                timeout_graceful_shutdown=_GRACE,
            )
        )
        self._on_start = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_start()


class StubProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 protocol, for which an offer to upgrade is a header like any other.

    The ASGI scope bears a function `stepstub.disconnect`, for the fault that breaks a connection.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.parser = UpgradeDecliningParser(self)  # type: ignore[assignment]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(WholeAnswers(transport, self.loop))  # type: ignore[arg-type]

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {"stepstub.disconnect": self._disconnect}  # type: ignore[dict-item]

    async def _disconnect(self) -> None:
        self.transport.abort()
        while await self.cycle.receive() != {"type": "http.disconnect"}:
            pass  # until uvicorn has noticed, or it would try to answer 500


class WholeAnswers:
    """A transport that writes in one piece what was given to it in one turn of the event loop.

    uvicorn writes the head and the body of an answer apart, each a system call and a packet. And
    requests that came in together are worked on in one go, with nothing written between them, so
    that what they all need stays in the processor's caches.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._parts: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._parts:
            self._loop.call_soon(self._flush)
        self._parts.append(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def abort(self) -> None:
        self._flush()
        self._transport.abort()

    def _flush(self) -> None:
        if self._parts and not self._transport.is_closing():
            self._transport.write(b"".join(self._parts))
        self._parts.clear()


class UpgradeDecliningParser:
    """An httptools parser that declines every upgrade.

    httptools stops where a request offers one, and the body that follows is lost. The JDK's
    HttpClient offers `Upgrade: h2c` by default, and a server may ignore it (RFC 9110, section
    7.8): the head is parsed once more without the offer, then the body as usual.
    """

    def __init__(self, protocol: HttpToolsProtocol) -> None:
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
