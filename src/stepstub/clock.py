"""Time as an object: what asks for the time is handed a clock, so a test can move it."""

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """Tells the time in whole milliseconds since the epoch (UTC). It never runs backwards."""

    def now(self) -> int: ...


class SystemClock:
    """The machine's time when the clock was made, carried on by the monotonic clock.

    A correction of the machine's clock therefore never makes an answer older than the one before.
    """

    def __init__(self) -> None:
        self._offset = time.time_ns() - time.monotonic_ns()

    def now(self) -> int:
        return (time.monotonic_ns() + self._offset) // 1_000_000


def timestamp(milliseconds: int) -> str:
    """RFC 3339 in UTC with exactly three fractional digits: `2026-03-29T12:50:59.211Z`."""
    moment = _EPOCH + timedelta(milliseconds=milliseconds)
    return moment.isoformat(timespec="milliseconds")[:-6] + "Z"
