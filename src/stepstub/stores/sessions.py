"""Where it is kept who has logged in to the console."""

from typing import Protocol

MAX_SESSIONS = 1000


class KeptSessions(Protocol):
    """The sessions there are, by digests; of more than `MAX_SESSIONS` the oldest are forgotten."""

    async def add(self, digest: str) -> None:
        """A session has begun."""

    async def remove(self, digest: str) -> None:
        """It has ended."""

    async def has(self, digest: str) -> bool:
        """Whether it goes on."""


class MemorySessions:
    """Those of one process."""

    def __init__(self) -> None:
        self._open: dict[str, None] = {}

    async def add(self, digest: str) -> None:
        if len(self._open) >= MAX_SESSIONS:
            del self._open[next(iter(self._open))]
        self._open[digest] = None

    async def remove(self, digest: str) -> None:
        self._open.pop(digest, None)

    async def has(self, digest: str) -> bool:
        return digest in self._open
