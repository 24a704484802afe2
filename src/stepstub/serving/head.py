"""The head of a request, as the parser reports it."""

import re
from functools import lru_cache
from urllib.parse import unquote

import httptools
from starlette.types import Scope

from stepstub.serving.hosts import (
    INVALID,
    INVALID_TARGET,
    MISSING,
    Hosts,
    Rejection,
    host_in,
)

_ASGI = {"version": "3.0", "spec_version": "2.3"}
_BAD_TARGET = "The request target is neither a path nor an http URL."
_OF_INTEREST = {b"host", b"expect", b"content-length", b"transfer-encoding"}


class BadHead(Exception):
    """A head after which nothing on the connection can be relied upon."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class RequestHead:
    """Request line and header fields; one object per connection, cleared for each request."""

    def __init__(self) -> None:
        self.on_message_begin()

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.complete = False
        self._fields: dict[bytes, bytes] = {}

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.complete:
            return  # trailers are not merged into the headers (RFC 9110, section 6.5.1)
        name = name.lower()
        value = value.rstrip(b" \t")  # RFC 9112, section 5.1; llhttp leaves tabs
        if name in _OF_INTEREST:
            fields = self._fields
            fields[name] = fields[name] + b", " + value if name in fields else value
        self.headers.append((name, value))

    @property
    def expects_continue(self) -> bool:
        expectation = self._fields.get(b"expect")
        return expectation is not None and expectation.lower() == b"100-continue"

    @property
    def content_length(self) -> int | None:
        """None for a chunked body. llhttp has validated it."""
        length = self._fields.get(b"content-length")
        return None if length is None else int(length)

    def scope(self, method: bytes, version: str) -> Scope:
        """The ASGI scope. Raises `BadHead`."""
        if version != "1.1":
            check_version(version)
        if codings := self._fields.get(b"transfer-encoding"):
            _check_codings(codings)
        raw_path, path, query = _parsed(self.url)
        if raw_path == b"*" and method != b"OPTIONS":
            raise BadHead(400, _BAD_TARGET)
        return {
            "type": "http",
            "asgi": _ASGI,
            "http_version": version,
            "scheme": "http",
            "method": method.decode("ascii"),
            "root_path": "",
            "path": path,
            "raw_path": raw_path,
            "query_string": query,
            "headers": self.headers,
        }

    def rejection(self, hosts: Hosts, version: str) -> Rejection | None:
        """Why this request is rejected for the host it is meant for; None if it is not."""
        host = self._fields.get(b"host")
        if host is None and version != "1.0":
            return MISSING
        if self.url[:1] not in (b"/", b"*"):
            if host is not None and host_in(host) is None:
                return INVALID
            # The authority of an absolute target replaces Host (RFC 9112, section 3.2.2).
            scheme, _, rest = self.url.partition(b"://")
            host = re.split(rb"[/?]", rest, maxsplit=1)[0]
            if scheme.lower() not in {b"http", b"https"} or not host_in(host):
                return INVALID_TARGET
        return None if host is None else hosts.check(host)


@lru_cache(maxsize=64)  # clients send the same one every time
def _parsed(target: bytes) -> tuple[bytes, str, bytes]:
    """Raw path, path and query of a request target. Raises `BadHead`."""
    url = httptools.parse_url(target)
    raw_path = url.path or (b"/" if url.schema else b"")  # RFC 9112, section 3.2.2
    if not raw_path or url.fragment is not None:
        raise BadHead(400, _BAD_TARGET)
    path = raw_path.decode("ascii")
    return raw_path, unquote(path) if "%" in path else path, url.query or b""


def check_version(version: str) -> None:
    """Raises `BadHead` for what is not HTTP/1."""
    if not version.startswith("1."):
        raise BadHead(505, f"HTTP/{version} is not supported; this server speaks HTTP/1.1.")


def _check_codings(field: bytes) -> None:
    codings = [coding.strip(b" \t").lower() for coding in field.split(b",")]
    codings = [coding for coding in codings if coding]
    if codings[-1:] != [b"chunked"]:
        raise BadHead(400, "The last transfer coding of a request has to be chunked.")
    if len(codings) > 1:
        raise BadHead(501, "No transfer coding but chunked is implemented.")
