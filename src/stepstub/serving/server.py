"""A live server: uvicorn on a socket that already listens, so startup cannot fail on the port."""

import asyncio
import gc
import signal
import socket
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from ipaddress import ip_address
from types import FrameType
from typing import Any, Protocol

import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import HANDLED_SIGNALS

from stepstub.errors import InConflict
from stepstub.serving import standard_input
from stepstub.serving.connection import Connection
from stepstub.serving.hosts import Hosts

_BACKLOG = 2048
GRACE_PERIOD = 8
"""Seconds that requests in flight are given at shutdown, before their connections are aborted."""


class Application(Protocol):
    """An ASGI application that can also render what is refused without it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...

    def refuse(self, status: int, detail: str) -> tuple[bytes, bytes]:
        """Media type and body of such a response."""


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 picks a free one. Raises OSError, e.g. for a port in use."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE
    )[0]
    # Family, kind and protocol are all named: without the last, asyncio leaves Nagle's algorithm
    # on, and every request takes 40 ms more.
    listener = _bound(socket.socket(family, kind, protocol), address)
    try:
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _bound(unbound: socket.socket, address: Any) -> socket.socket:
    """The socket, with the address as its own: who connects to it is refused until it listens."""
    try:
        unbound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        unbound.bind(address)
    except OSError:
        unbound.close()
        raise
    return unbound


def url_of(listener: socket.socket) -> str:
    """`http://127.0.0.1:8080`"""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_loopback(listener: socket.socket) -> bool:
    """Whether only this machine can connect."""
    return ip_address(listener.getsockname()[0].partition("%")[0]).is_loopback


def hosts_of(listener: socket.socket, allowed: Iterable[str]) -> Hosts:
    return Hosts(loopback=is_loopback(listener), allowed=allowed)


def serve(
    app: Application,
    listener: socket.socket,
    started: Callable[[], None],
    *,
    allow_hosts: Iterable[str] = (),
    until_eof: bool = False,
) -> None:
    """Serve until SIGTERM or Ctrl-C, then give requests in flight `GRACE_PERIOD` to finish.

    A second signal ends it at once. With `until_eof`, the end of standard input does what a signal
    does.

    `allow_hosts` names the hosts that requests may be for; see `Hosts`.
    """

    def on_start() -> None:
        started()
        if until_eof:
            standard_input.end_with_it()

    freeze_heap()
    Server(app, on_start, hosts_of(listener, allow_hosts)).run(sockets=[listener])


def freeze_heap() -> None:
    """Exempt what exists by now from garbage collection: it lives as long as the process.

    Before a fork this also keeps its memory shared, since a collection writes to all it visits.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)


class Running:
    """A server in a thread of its own, at `url`."""

    def __init__(self, url: str, server: "Server") -> None:
        self.url = url
        self._server = server

    @contextmanager
    def refusing_connections(self) -> Iterator[None]:
        """Nobody can connect while the context lasts, and connections that are idle are closed."""
        self._server.call(self._server.stop_listening())
        try:
            yield
        finally:
            self.accept_connections()

    def accept_connections(self) -> None:
        """End a refusal of connections, if there is one."""
        self._server.call(self._server.listen_again())


@contextmanager
def serve_in_thread(
    app: Application,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    allow_hosts: Iterable[str] = (),
) -> Iterator[str]:
    """Serve from a thread of its own while the context lasts; gives the base URL."""
    with running_in_thread(app, host, port, allow_hosts=allow_hosts) as running:
        yield running.url


@contextmanager
def running_in_thread(
    app: Application,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    allow_hosts: Iterable[str] = (),
) -> Iterator[Running]:
    """As `serve_in_thread`, for who has more to do with the server than to call it."""
    listener = listen(host, port)
    started = threading.Event()
    server = Server(app, started.set, hosts_of(listener, allow_hosts))
    thread = threading.Thread(
        target=server.run, kwargs={"sockets": [listener]}, name="stepstub-server", daemon=True
    )
    thread.start()
    while not started.wait(0.1):
        if not thread.is_alive():
            listener.close()
            raise RuntimeError("The server did not start; its log says why.")
    try:
        yield Running(url_of(listener), server)
    finally:
        server.should_exit = True
        thread.join()


class Server(uvicorn.Server):
    """uvicorn with our protocol class. `started` is called once connections are accepted."""

    def __init__(self, app: Application, started: Callable[[], None], hosts: Hosts) -> None:
        self._protocol = partial(
            Connection,
            refuse=app.refuse,
            refuse_connections=self.refuse_connections,
            hosts=hosts,
        )
        self._silent: socket.socket | None = None  # keeps the address while nobody can connect
        self._end_of_refusal: asyncio.TimerHandle | None = None
        self._listening_again: asyncio.Task[None] | None = None  # a loop keeps no task alive
        super().__init__(
            uvicorn.Config(
                app,
                http=self._protocol,  # type: ignore[arg-type]
                ws="none",
                lifespan="on",
                proxy_headers=False,
                log_config=None,
                access_log=False,
                server_header=False,
                headers=[("server", "stepstub")],
                timeout_graceful_shutdown=GRACE_PERIOD,
            )
        )
        self._on_start = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._loop = asyncio.get_running_loop()
        if self.started:  # older uvicorns return from a failed start as well
            self._on_start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._end_of_refusal is not None:
            self._end_of_refusal.cancel()
        if self._silent is not None:
            self._silent.close()
        await super().shutdown(sockets)
        self._abort_connections()  # whatever outlasted the grace period
        if self.force_exit:
            # uvicorn leaves it out, and would log a traceback when the loop cancels its task.
            await self.lifespan.shutdown()

    def call(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine on the server's event loop, from another thread."""
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    async def refuse_connections(self, seconds: float) -> None:
        """Refuse connections from now on, and for so long."""
        await self.stop_listening()
        self._end_of_refusal = self._loop.call_later(seconds, self._begin_to_listen)

    def _begin_to_listen(self) -> None:
        self._listening_again = self._loop.create_task(self.listen_again())

    async def stop_listening(self) -> None:
        """Refuse connections, but keep the address. Raises `InConflict` if they are already.

        Open connections are closed, or else a client with a pool would not notice: each as soon as
        the request in progress has its response.
        """
        if self._silent is not None:
            raise InConflict("Connections are refused already.")
        (server,) = self.servers
        (listener,) = server.sockets
        unbound = socket.socket(listener.family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        address = listener.getsockname()
        server.close()
        self.servers.clear()
        await asyncio.sleep(0)  # uvloop closes the socket in its next turn
        self._silent = _bound(unbound, address)
        for connection in list(self.server_state.connections):
            connection.shutdown()

    async def listen_again(self) -> None:
        """Accept connections again, at the same address; nothing happens if they are accepted."""
        listener, self._silent = self._silent, None
        if listener is None:
            return
        if self._end_of_refusal is not None:
            self._end_of_refusal.cancel()
        listener.listen(_BACKLOG)
        protocol = partial(self._protocol, self.config, self.server_state, self.lifespan.state)
        self.servers.append(await self._loop.create_server(protocol, sock=listener))

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn's, but the signals that ended the server are not raised again after it.

        Until here they are left to the handlers that there are, so that none gets lost.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        for number in HANDLED_SIGNALS:
            signal.signal(number, self.handle_exit)
        try:
            yield
        finally:
            for number in HANDLED_SIGNALS:  # nothing is left that another one could end
                signal.signal(number, signal.SIG_IGN)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End gracefully on the first signal, at once on the second."""
        if self.should_exit:
            self.force_exit = True
            self._loop.call_soon_threadsafe(self._abort_connections)
        super().handle_exit(sig, frame)

    def _abort_connections(self) -> None:
        for connection in list(self.server_state.connections):
            connection.abort()  # type: ignore[union-attr]
