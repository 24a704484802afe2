"""How long, and for how many requests of the contract, each token of a sandbox is good.

The control API takes all of them all the time, so that a test can go on.
"""

from msgspec import Struct

EXPIRED = "The token has expired."
REVOKED = "The token has been revoked."


class Limit(Struct, frozen=True):
    """Until when a token is good, in ms on the sandbox's clock, and how often; None: no limit."""

    until: int | None = None
    requests: int | None = None


class TokenLimits:
    """Limits of tokens, and what is left of them. Not safe for several threads at once."""

    def __init__(self) -> None:
        self._limits: dict[bytes, Limit] = {}
        self._used: dict[bytes, int] = {}

    def limit(self, token: bytes, limit: Limit) -> None:
        """Put a new limit on a token, counted from now."""
        self._limits[token] = limit
        self._used[token] = 0

    def use(self, token: bytes, now: int) -> str | None:
        """Count a request with this token; why it is not good any more, or None."""
        limit = self._limits.get(token)
        if limit is None:
            return None
        if limit.until is not None and now >= limit.until:
            return EXPIRED
        if limit.requests is None:
            return None
        if self._used[token] >= limit.requests:
            return REVOKED
        self._used[token] += 1
        return None
