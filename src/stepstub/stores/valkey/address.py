"""Where a store is, as a URL says it."""

from typing import Any
from urllib.parse import urlsplit

from valkey.asyncio import ConnectionPool, Valkey
from valkey.asyncio.connection import Connection
from valkey.exceptions import ValkeyError

from stepstub.errors import BadRequest
from stepstub.stores.valkey.link import BUDGET

SCHEMES = ("valkey", "valkeys", "redis", "rediss", "unix")
_EXAMPLE = "valkey://HOST:6379/0"


class Address:
    """A server and a database in it. What is shown of it has no user and no password.

    Raises `BadRequest` for what is no such URL.
    """

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise BadRequest(f"it is no URL: {error}. Write {_EXAMPLE}.") from error
        scheme = parts.scheme.lower()
        if scheme not in SCHEMES:
            raise BadRequest(f"it begins with none of {', '.join(SCHEMES)}. Write {_EXAMPLE}.")
        database = parts.path.strip("/") if scheme != "unix" else ""
        if database and not database.isdecimal():
            raise BadRequest(f"{database!r} is not the number of a database. Write {_EXAMPLE}.")
        if not (parts.hostname if scheme != "unix" else parts.path):
            raise BadRequest(f"it names no server. Write {_EXAMPLE}.")
        self.url = url
        self.shown = (
            f"unix:{parts.path}"
            if scheme == "unix"
            else f"{parts.hostname}:{port or 6379}/{database or 0}"
        )
        self._options: dict[str, Any] = {
            "socket_timeout": None,
            "socket_connect_timeout": BUDGET,
            "retry_on_timeout": False,
        }
        if scheme in ("valkeys", "rediss") and "ssl_check_hostname" not in parts.query:
            self._options["ssl_check_hostname"] = True
        try:
            self._pool = ConnectionPool.from_url(url, **self._options)
            self._pool.make_connection()
        except (ValueError, TypeError, ValkeyError) as error:
            raise BadRequest(f"an option of it cannot be read: {error}.") from error

    def connection(self) -> Connection:
        """A connection, which is not connected yet."""
        made: Connection = self._pool.make_connection()
        return made

    def client(self) -> Valkey:
        """A client with connections of its own."""
        made: Valkey = Valkey.from_url(self.url, **self._options)
        return made
