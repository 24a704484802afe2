"""Where a store is, as a URL says it."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, urlsplit

from valkey import Valkey as BlockingClient
from valkey.asyncio import ConnectionPool, Valkey
from valkey.asyncio.connection import Connection
from valkey.exceptions import ValkeyError

from stepstub.errors import BadRequest
from stepstub.stores.valkey.link import BUDGET

SCHEMES = ("valkey", "valkeys", "redis", "rediss", "unix")
_EXAMPLE = "valkey://HOST:6379/0"


class Address:
    """A server and a database in it. What is shown of it has no user and no password.

    Raises `BadRequest` for what is no such URL, without a word of it that may be of a password.
    """

    def __init__(self, url: str) -> None:
        parts = _parts(url)
        self._url = url
        self._options: dict[str, Any] = {"retry_on_timeout": False}
        if parts.scheme in ("valkeys", "rediss") and "ssl_check_hostname" not in parts.query:
            self._options["ssl_check_hostname"] = True
        options = {**self._options, "socket_timeout": None, "socket_connect_timeout": BUDGET}
        try:
            self._pool = ConnectionPool.from_url(url, **options)
            self._pool.make_connection()
        except (ValueError, TypeError, ValkeyError) as error:
            told = "" if "@" in parts.query else f": {error}"
            raise BadRequest(f"an option after its ? cannot be read{told}.") from error
        self.shown = _shown(self._pool.connection_kwargs)

    def connection(self) -> Connection:
        """A connection, which is not connected yet."""
        made: Connection = self._pool.make_connection()
        return made

    def client(self) -> Valkey:
        """A client with connections of its own."""
        made: Valkey = Valkey.from_url(
            self._url, **self._options, socket_timeout=None, socket_connect_timeout=BUDGET
        )
        return made

    def blocking_client(self) -> BlockingClient:
        """One that blocks, for a process that has no event loop yet."""
        made: BlockingClient = BlockingClient.from_url(
            self._url, **self._options, socket_timeout=BUDGET, socket_connect_timeout=BUDGET
        )
        return made


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise BadRequest(f"it is no URL. Write {_EXAMPLE}.") from error
    if parts.scheme not in SCHEMES:
        raise BadRequest(f"it begins with none of {', '.join(SCHEMES)}. Write {_EXAMPLE}.")
    if parts.fragment:
        raise BadRequest("it has a #, which is %23 in a password.")
    if parts.scheme == "unix":
        if not parts.path.strip("/"):
            raise BadRequest("it names no socket. Write unix:///PATH?db=0.")
        return parts
    try:
        parts.port  # noqa: B018 - it is checked when it is asked for
    except ValueError as error:
        raise BadRequest(
            "its port is not a number up to 65535. In a password, / ? # and @ are %2F %3F %23 %40."
        ) from error
    if not parts.hostname:
        raise BadRequest(f"it names no server. Write {_EXAMPLE}.")
    database = parts.path.removeprefix("/")
    if database and not (database.isascii() and database.isdecimal()):
        raise BadRequest(
            f"what comes after its host is not the number of a database. Write {_EXAMPLE}."
        )
    return parts


def _shown(options: Mapping[str, Any]) -> str:
    database = options.get("db") or 0
    if path := options.get("path"):
        return f"unix:{path}/{database}"
    host = options["host"]
    return f"{f'[{host}]' if ':' in host else host}:{options.get('port') or 6379}/{database}"
