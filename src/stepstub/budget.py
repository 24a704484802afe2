"""What one HTTP exchange of requests may take, in time and in bytes.

The time-out of requests is for each operation on the socket, so a server that sends a byte now and
then, or one `100 Continue` after the other, would never reach it; and nothing bounds how much it
sends.
"""

import io
import socket
import time
from functools import partial
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, ProxyManager
from urllib3.connection import HTTPConnection, HTTPSConnection


class TooMuch(OSError):
    """More bytes were received than the budget allows."""


class Budget:
    """Seconds and bytes, granted anew by each `start`. No bound on bytes without `max_bytes`."""

    def __init__(self, seconds: float, max_bytes: int | None = None) -> None:
        self._seconds = seconds
        self._max_bytes = max_bytes
        self.start()

    def start(self) -> None:
        """Begin an exchange."""
        self._ends = time.monotonic() + self._seconds
        self._received = 0

    def left(self) -> float:
        """Seconds that are left. Raises TimeoutError when they are over."""
        left = self._ends - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        return left

    def receive(self, number: int) -> None:
        """Count bytes. Raises `TooMuch`."""
        self._received += number
        if self._max_bytes is not None and self._received > self._max_bytes:
            raise TooMuch(f"more than {self._max_bytes} bytes")


class BudgetSession(requests.Session):
    """A session whose every exchange keeps to a budget, and that follows no redirect."""

    def __init__(self, budget: Budget) -> None:
        super().__init__()
        self._budget = budget
        adapter = _Adapter(budget)
        self.mount("http://", adapter)
        self.mount("https://", adapter)

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """As requests does; the exchange begins now."""
        self._budget.start()
        return super().send(request, **options)

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Nowhere: requests reads the body of what it takes for a redirect, followed or not."""


class _Adapter(HTTPAdapter):
    """Connections, also those to a proxy, that keep to a budget; one exchange at a time.

    The look-up of a host's name cannot be interrupted, and a SOCKS proxy has the time-outs of
    requests only.
    """

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        super().__init__()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self._restrict(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **options)
        if isinstance(manager, ProxyManager):
            self._restrict(manager)
        return manager

    def _restrict(self, manager: Any) -> None:
        manager.pool_classes_by_scheme = {
            "http": partial(_pool, HTTPConnectionPool, _HTTPConnection, self._budget),
            "https": partial(_pool, HTTPSConnectionPool, _HTTPSConnection, self._budget),
        }


def _pool(
    pool_class: type[HTTPConnectionPool],
    connection_class: Any,
    budget: Budget,
    *args: Any,
    **options: Any,
) -> HTTPConnectionPool:
    pool = pool_class(*args, **options)
    pool.ConnectionCls = partial(connection_class, budget=budget)  # type: ignore[assignment]
    return pool


class _HTTPConnection(HTTPConnection):
    def __init__(self, *args: Any, budget: Budget, **options: Any) -> None:
        self._budget = budget
        super().__init__(*args, **options)

    def connect(self) -> None:
        self.timeout = self._budget.left() / _addresses(self.host, self.port)
        super().connect()
        self.sock = _Socket(self.sock, self._budget)


class _HTTPSConnection(HTTPSConnection):
    def __init__(self, *args: Any, budget: Budget, **options: Any) -> None:
        self._budget = budget
        super().__init__(*args, **options)

    def connect(self) -> None:
        # The TLS handshake has the time-out that connecting had, counted anew.
        self.timeout = self._budget.left() / (_addresses(self.host, self.port) + 1)
        super().connect()
        self.sock = _Socket(self.sock, self._budget)


def _addresses(host: str, port: int) -> int:
    """How many addresses a host has: each is tried in turn, with the time-out counted anew."""
    try:
        return len(socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)) or 1
    except socket.gaierror:
        return 1  # connecting will fail for the same reason, and say so in urllib3's words


class _Socket:
    """A connected socket as `http.client` uses it, which keeps to the budget."""

    def __init__(self, connected: socket.socket, budget: Budget) -> None:
        self._connected = connected
        self._budget = budget
        self.fileno = connected.fileno
        self.shutdown = connected.shutdown
        self.close = connected.close

    def settimeout(self, _: float | None) -> None:
        """The budget is the only time-out."""

    def sendall(self, data: bytes) -> None:
        unsent = memoryview(data)
        while unsent:
            self._connected.settimeout(self._budget.left())
            unsent = unsent[self._connected.send(unsent) :]

    def makefile(self, _: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self._connected, self._budget))


class _Reader(io.RawIOBase):
    def __init__(self, connected: socket.socket, budget: Budget) -> None:
        self._connected = connected
        self._budget = budget
        # Keeps the socket open when http.client closes its own end of it before the body is read.
        self._raw = connected.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._connected.settimeout(self._budget.left())
        received = self._raw.readinto(buffer) or 0
        self._budget.receive(received)
        return received

    def close(self) -> None:
        self._raw.close()
        super().close()
