"""What httpx sends, handed to the stub in this process."""

from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Protocol

import anyio.to_thread
import httpx

from stepstub.errors import Disconnected, TimedOut

Headers = list[tuple[bytes, bytes]]


class Exchange(Protocol):
    """Carries one request: method, target, headers, body, time-out -> status, headers, body."""

    def __call__(
        self,
        method: str,
        target: bytes,
        headers: Iterable[tuple[bytes, bytes]],
        body: bytes,
        timeout: float | None = None,
    ) -> tuple[int, Headers, bytes]: ...


class HttpxTransport(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """For `httpx.Client(transport=...)` and `httpx.AsyncClient(transport=...)`."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Raises what a transport with a connection does: ReadTimeout, RemoteProtocolError."""
        return self._carry(request, request.read())

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """As `handle_request`."""
        body = await request.aread()
        # In a thread, because a delegate may need the event loop before it responds.
        return await anyio.to_thread.run_sync(self._carry, request, body)

    def _carry(self, request: httpx.Request, body: bytes) -> httpx.Response:
        url, timeout = request.url, request.extensions.get("timeout", {}).get("read")
        try:
            status, headers, content = self._exchange(
                request.method, url.raw_path, request.headers.raw, body, timeout
            )
        except (Disconnected, TimedOut) as error:
            received = error.received
            if received is None or received.in_head:
                raise _failure(error, request) from None
            stream = _BrokenStream(received.body, _failure(error, request))
            return httpx.Response(received.status, headers=received.headers, stream=stream)
        return httpx.Response(status, headers=headers, content=content)


def _failure(error: Disconnected | TimedOut, request: httpx.Request) -> httpx.TransportError:
    if isinstance(error, TimedOut):
        return httpx.ReadTimeout(str(error), request=request)
    if error.reset:
        return httpx.ReadError(str(error), request=request)
    return httpx.RemoteProtocolError(str(error), request=request)


class _BrokenStream(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A part of a body, and then the failure."""

    def __init__(self, part: bytes, failure: httpx.TransportError) -> None:
        self._part = part
        self._failure = failure

    def __iter__(self) -> Iterator[bytes]:
        yield self._part
        raise self._failure

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._part
        raise self._failure
