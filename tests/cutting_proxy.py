"""A TCP proxy that cuts connections at random points, holds replies back or up, or refuses."""

import asyncio
import random
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Self
from urllib.parse import urlsplit, urlunsplit

from support import TIMEOUT

_CHUNK = 65536


class _Pipe:
    """A connection of a client, and the one to the server that belongs to it."""

    def __init__(
        self, client: asyncio.StreamWriter, server: asyncio.StreamWriter, limits: list[int | None]
    ) -> None:
        self.client, self.server = client, server
        self.to_server, self.to_client = limits

    def close(self) -> None:
        self.client.close()
        self.server.close()


class CuttingProxy:
    """Forwards from a free port to another one of this machine, in a thread of its own.

    The points at which connections are cut follow from `seed`. Every method takes effect before it
    returns.
    """

    def __init__(self, port: int, *, seed: int = 0) -> None:
        self.connections = 0
        """How many it has made to the server."""
        self.cuts = 0
        """How many of them it has cut."""
        self.bytes_to_server = self.bytes_to_client = 0
        self.port = 0
        self._server_port = port
        self._random = random.Random(seed)
        self._limits: tuple[range | None, range | None] = (None, None)
        self._delay = 0.0
        self._pipes: set[_Pipe] = set()
        self._started: Future[None] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()
        self._started.result(TIMEOUT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def url(self, url: str) -> str:
        """The same URL, by way of the proxy."""
        parts = urlsplit(url)
        credentials, at, _ = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"{credentials}{at}127.0.0.1:{self.port}"))

    def cut_after(self, *, to_server: range | None = None, to_client: range | None = None) -> None:
        """Cut each connection that is made from now on after a number of bytes, drawn from a range.

        Those bytes are still delivered. Without a range, no connection is cut.
        """

        def set_limits() -> None:
            self._limits = (to_server, to_client)

        self._do(set_limits)

    def cut(self) -> None:
        """Cut the connections that there are."""

        def cut_all() -> None:
            for pipe in list(self._pipes):
                self._cut(pipe)

        self._do(cut_all)

    def hold(self) -> None:
        """Hold back what the server sends, until `release`. What the client sends gets through."""
        self._do(self._flowing.clear)

    def release(self) -> None:
        self._do(self._flowing.set)

    def delay(self, seconds: float) -> None:
        """Hold up each reply for so long, from now on."""
        self._delay = seconds

    def lead_to(self, port: int) -> None:
        """Make new connections to another port, as when a name is given another address."""
        self._server_port = port

    def refuse(self) -> None:
        """Refuse new connections, until `accept`; those that there are stay."""
        self._do(self._listener.close)

    def accept(self) -> None:
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(TIMEOUT)

    def close(self) -> None:
        """Close everything."""
        if self._thread.is_alive():
            self._do(self._closing.set)
            self._thread.join(TIMEOUT)

    def _do(self, function: Callable[[], None]) -> None:
        """Call `function` in the thread of the proxy, where everything happens."""

        async def call() -> None:
            function()

        asyncio.run_coroutine_threadsafe(call(), self._loop).result(TIMEOUT)

    async def _run(self) -> None:
        try:
            self._loop = asyncio.get_running_loop()
            self._closing = asyncio.Event()
            self._flowing = asyncio.Event()
            self._flowing.set()
            self._tasks: set[asyncio.Task[None]] = set()
            await self._listen()
        except BaseException as error:
            self._started.set_exception(error)
            raise
        self._started.set_result(None)
        await self._closing.wait()
        self._listener.close()
        self._flowing.set()
        for pipe in list(self._pipes):
            pipe.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _listen(self) -> None:
        self._listener = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self.port = self._listener.sockets[0].getsockname()[1]

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            replies, server = await asyncio.open_connection("127.0.0.1", self._server_port)
        except OSError:
            writer.close()
            return
        limits = [None if each is None else self._random.choice(each) for each in self._limits]
        pipe = _Pipe(writer, server, limits)
        self._pipes.add(pipe)
        self.connections += 1
        await asyncio.gather(self._send(pipe, reader), self._reply(pipe, replies))
        self._pipes.discard(pipe)
        for each in (writer, server):
            each.close()
            await asyncio.gather(each.wait_closed(), return_exceptions=True)

    async def _send(self, pipe: _Pipe, reader: asyncio.StreamReader) -> None:
        """Forward what the client sends."""
        while data := await _read(reader):
            data = data[: pipe.to_server]
            self.bytes_to_server += len(data)  # first: who has the bytes may ask
            pipe.server.write(data)
            if pipe.to_server is not None:
                pipe.to_server -= len(data)
                if not pipe.to_server:
                    self._cut(pipe)
                    return
            await _drain(pipe.server)
        pipe.server.close()

    async def _reply(self, pipe: _Pipe, reader: asyncio.StreamReader) -> None:
        """Forward what the server sends."""
        while data := await _read(reader):
            await self._flowing.wait()
            if self._delay:
                await asyncio.sleep(self._delay)
            if pipe.client.is_closing():
                break
            data = data[: pipe.to_client]
            self.bytes_to_client += len(data)  # first: who has the bytes may ask
            pipe.client.write(data)
            if pipe.to_client is not None:
                pipe.to_client -= len(data)
                if not pipe.to_client:
                    self._cut(pipe)
                    return
            await _drain(pipe.client)
        pipe.client.close()

    def _cut(self, pipe: _Pipe) -> None:
        if pipe in self._pipes:
            self._pipes.discard(pipe)
            self.cuts += 1
            pipe.close()


async def _read(reader: asyncio.StreamReader) -> bytes:
    """The next bytes; none once the connection has ended, in whatever way."""
    try:
        return await reader.read(_CHUNK)
    except OSError:
        return b""


async def _drain(writer: asyncio.StreamWriter) -> None:
    try:
        await writer.drain()
    except OSError:
        writer.close()
