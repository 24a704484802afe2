"""What httpx sends, handed to the stub in this process."""

from collections.abc import Iterable
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
        except Disconnected as error:
            raise httpx.RemoteProtocolError(str(error), request=request) from None
        except TimedOut as error:
            raise httpx.ReadTimeout(str(error), request=request) from None
        return httpx.Response(status, headers=headers, content=content)
