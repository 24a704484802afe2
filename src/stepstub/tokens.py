"""The tokens of a sandbox: how long, and for how many requests of the contract, each is good.

The control API takes all of them all the time, so that a test can go on.
"""

from collections.abc import Callable
from threading import Lock

from msgspec import Struct

from stepstub.errors import InConflict

MAX_TOKENS = 100
"""Tokens of a sandbox besides its own."""


class Limit(Struct, frozen=True):
    """Until when a token is good, in ms on the sandbox's clock, and how often; None: no limit."""

    until: int | None = None
    requests: int | None = None


class Tokens:
    """Limits of tokens, and what is left of them. May be used from any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._limits: dict[bytes, Limit] = {}
        self._used: dict[bytes, int] = {}
        self._issued: set[bytes] = set()

    def issue(self, token: bytes, limit: Limit) -> None:
        """Add a token besides the sandbox's own. Raises `InConflict` when there are too many."""
        with self._lock:
            if len(self._issued) >= MAX_TOKENS:
                raise InConflict(
                    f"There are {MAX_TOKENS} further tokens already; a reset takes them away."
                )
            self._issued.add(token)
        self.limit(token, limit)

    def limit(self, token: bytes, limit: Limit) -> None:
        """Put a new limit on a token, counted from now."""
        with self._lock:
            self._limits[token] = limit
            self._used[token] = 0

    @property
    def issued(self) -> frozenset[bytes]:
        """The tokens besides the sandbox's own."""
        return frozenset(self._issued)

    def use(self, token: bytes, now: Callable[[], int]) -> str | None:
        """Count a request with this token; why it is not good any more, or None."""
        with self._lock:
            limit = self._limits.get(token)
            if limit is None:
                return None
            if limit.until is not None and now() >= limit.until:
                return "The token has expired."
            if limit.requests is None:
                return None
            if self._used[token] >= limit.requests:
                return "The token has been revoked."
            self._used[token] += 1
            return None
