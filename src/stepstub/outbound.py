"""The one request that a stub sends itself: a POST to a third-party application.

Imported when the first is sent, because requests takes long to load and most stubs never call out.
"""

import io
import socket
import time
from functools import partial
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from stepstub.errors import DelegateFailed


def post(url: str, body: bytes, *, within: float) -> int:
    """POST JSON; the status of the response, which has to begin within that many seconds.

    The time is for everything but the look-up of the host's name, which cannot be interrupted.
    Raises `DelegateFailed` where there is no response in time.
    """
    # A session of its own, so that no proxy, .netrc or cookie of the machine joins in.
    with _Session() as session:
        session.trust_env = False
        adapter = _Adapter(_Deadline(within))
        session.mount("http://", adapter)
        session.mount("https://", adapter)
        try:
            # `stream`, and closed without reading: the size of the response does not matter.
            with session.post(
                url,
                data=body,
                headers={"Content-Type": "application/json"},
                timeout=within,
                allow_redirects=False,
                stream=True,
            ) as response:
                return response.status_code
        # requests lets through what urllib3 and the idna codec say of some hosts' names.
        except (requests.RequestException, HTTPError, UnicodeError) as error:
            raise DelegateFailed(
                f"the third-party application did not respond ({type(error).__name__})"
            ) from error


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """Nowhere: requests reads the body of what it takes for a redirect, followed or not."""


class _Deadline:
    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds until then. Raises TimeoutError when it has passed."""
        left = self._at - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        return left


class _Adapter(HTTPAdapter):
    """Connections that end at one deadline.

    The time-out of requests is for each operation on the socket, so an application that sends a
    byte now and then, or one `100 Continue` after the other, would never reach it.
    """

    def __init__(self, deadline: _Deadline) -> None:
        self._deadline = deadline
        super().__init__()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = {
            "http": partial(_pool, HTTPConnectionPool, _HTTPConnection, self._deadline),
            "https": partial(_pool, HTTPSConnectionPool, _HTTPSConnection, self._deadline),
        }


def _pool(
    pool_class: type[HTTPConnectionPool],
    connection_class: Any,
    deadline: _Deadline,
    *args: Any,
    **options: Any,
) -> HTTPConnectionPool:
    pool = pool_class(*args, **options)
    pool.ConnectionCls = partial(connection_class, deadline=deadline)  # type: ignore[assignment]
    return pool


class _HTTPConnection(HTTPConnection):
    def __init__(self, *args: Any, deadline: _Deadline, **options: Any) -> None:
        self._deadline = deadline
        super().__init__(*args, **options)

    def connect(self) -> None:
        self.timeout = self._deadline.left() / _addresses(self.host, self.port)
        super().connect()
        self.sock = _Socket(self.sock, self._deadline)


class _HTTPSConnection(HTTPSConnection):
    def __init__(self, *args: Any, deadline: _Deadline, **options: Any) -> None:
        self._deadline = deadline
        super().__init__(*args, **options)

    def connect(self) -> None:
        # The TLS handshake has the time-out that connecting had, counted anew.
        self.timeout = self._deadline.left() / (_addresses(self.host, self.port) + 1)
        super().connect()
        self.sock = _Socket(self.sock, self._deadline)


def _addresses(host: str, port: int) -> int:
    """How many addresses a host has: each is tried in turn, with the time-out counted anew."""
    return len(socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)) or 1


class _Socket:
    """A connected socket as `http.client` uses it, which waits for what is left of the time."""

    def __init__(self, connected: socket.socket, deadline: _Deadline) -> None:
        self._connected = connected
        self._deadline = deadline
        self.fileno = connected.fileno
        self.shutdown = connected.shutdown
        self.close = connected.close

    def settimeout(self, _: float | None) -> None:
        """The deadline is the only time-out."""

    def sendall(self, data: bytes) -> None:
        unsent = memoryview(data)
        while unsent:
            self._connected.settimeout(self._deadline.left())
            unsent = unsent[self._connected.send(unsent) :]

    def makefile(self, _: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self._connected, self._deadline))


class _Reader(io.RawIOBase):
    def __init__(self, connected: socket.socket, deadline: _Deadline) -> None:
        self._connected = connected
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._connected.settimeout(self._deadline.left())
        return self._connected.recv_into(buffer)
