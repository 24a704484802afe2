"""Which hosts a server accepts requests for (RFC 9112, section 3.2).

A page in a browser can reach a stub on the loopback interface under a name of its own, by having
that name resolve to 127.0.0.1 (DNS rebinding). Such a request carries the name in Host.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

# RFC 3986, section 3.2.2 and 3.2.3. IPvFuture is left out: none has been defined.
_HOST = re.compile(
    rb"(\[[0-9A-Fa-f:.]+\]|(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)(?::[0-9]*)?"
)


class Rejection(NamedTuple):
    """A response that is sent instead of running the application."""

    status: int
    detail: str


INVALID = Rejection(400, "Host is not one valid host name or address, with or without a port.")
INVALID_TARGET = Rejection(400, "The request target is not an http URL with a valid host.")
MISSING = Rejection(400, "The request has no Host header.")


class Hosts:
    """The hosts of one server.

    With `loopback`, only loopback addresses, `localhost` and the names in `allowed` are accepted;
    otherwise every host is, unless names are given.
    """

    def __init__(self, *, loopback: bool, allowed: Iterable[str] = ()) -> None:
        self._allowed = {b"localhost", *(name.lower().encode() for name in allowed)}
        self._restricted = loopback or len(self._allowed) > 1
        self.check = lru_cache(maxsize=64)(self._check)

    def _check(self, value: bytes) -> Rejection | None:
        """Why a request for `value`, a host with an optional port, is rejected; None if it is not.

        `check` is this method behind a cache, since clients send the same value every time.
        """
        name = host_in(value)
        if name is None:
            return INVALID
        if not self._restricted or name in self._allowed or _is_loopback(name):
            return None
        return Rejection(
            421,
            f"This stub does not serve the host {name.decode()[:255]!r}."
            f" Start it with --allow-host {name.decode()[:255]} if it should.",
        )


def host_in(value: bytes) -> bytes | None:
    """The host in `uri-host [ ":" port ]`, in lower case; None if `value` is not of that form."""
    match = _HOST.fullmatch(value)
    if match is None:
        return None
    name = match[1].lower()
    if name.startswith(b"["):
        try:
            IPv6Address(name[1:-1].decode())
        except ValueError:
            return None
    return name


def is_host_name(text: str) -> bool:
    """Whether `text` is a host without a port."""
    return bool(text) and text.isascii() and host_in(text.encode()) == text.lower().encode()


def _is_loopback(name: bytes) -> bool:
    text = name.decode()
    try:
        if text.startswith("["):
            return IPv6Address(text[1:-1]).is_loopback
        return IPv4Address(text).is_loopback
    except ValueError:
        return False
