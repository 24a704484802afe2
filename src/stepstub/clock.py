"""Time as an object: what asks for the time is handed a clock, so a test can move it."""

import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from threading import Lock
from typing import Literal, Protocol

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = int(datetime(9000, 1, 1, tzinfo=UTC).timestamp() * 1000)
"""The end of time on a sandbox's clock, in milliseconds."""

BACKWARDS = "time only moves forward"
BEYOND = "time ends in the year 9000"


class Clock(Protocol):
    """Tells the time in whole milliseconds since the epoch (UTC). It never runs backwards."""

    def now(self) -> int: ...


class SystemClock:
    """The machine's time when the clock was made, carried on by the monotonic clock.

    A correction of the machine's clock therefore never makes a response older than the one before.
    """

    def __init__(self) -> None:
        self._offset = time.time_ns() - time.monotonic_ns()

    def now(self) -> int:
        return (time.monotonic_ns() + self._offset) // 1_000_000


class SandboxClock:
    """A sandbox's own time: runs with the machine's, and can be stopped and moved on."""

    def __init__(self, base: Clock) -> None:
        self._base = base
        self._lock = Lock()
        self._ahead = 0
        self._frozen_at: int | None = None

    def now(self) -> int:
        frozen_at = self._frozen_at
        return self._base.now() + self._ahead if frozen_at is None else frozen_at

    @property
    def frozen(self) -> bool:
        """Whether the time stands still."""
        return self._frozen_at is not None

    def freeze(self) -> None:
        """Let the time stand still, but for `advance`."""
        with self._lock:
            self._frozen_at = self.now()

    def resume(self) -> None:
        """Let the time run again, from where it stands."""
        with self._lock:
            if self._frozen_at is not None:
                self._ahead = self._frozen_at - self._base.now()
                self._frozen_at = None

    def advance(self, seconds: float) -> None:
        """Move the time on at once. Raises ValueError for backwards and beyond the year 9000."""
        milliseconds = round(seconds * 1000)
        if milliseconds < 0:
            raise ValueError(BACKWARDS)
        with self._lock:
            if self.now() + milliseconds > LATEST:
                raise ValueError(BEYOND)
            if self._frozen_at is None:
                self._ahead += milliseconds
            else:
                self._frozen_at += milliseconds


@lru_cache(maxsize=64)
def timestamp(milliseconds: int) -> str:
    """RFC 3339 in UTC with exactly three fractional digits: `2026-03-29T12:50:59.211Z`."""
    seconds, fraction = divmod(milliseconds, 1000)
    return f"{_second(seconds)}.{fraction:03}Z"


@lru_cache(maxsize=64)
def _second(seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).isoformat()[:-6]


class TimestampForm:
    """How a time is written: RFC 3339 in UTC, with a number of fractional digits and a zone.

    `write` takes milliseconds since the epoch. `pattern` matches what it returns, and nothing else;
    the contract has no such pattern, which beside `format: date-time` breaks generated clients.
    """

    def __init__(
        self,
        digits: Literal["milliseconds", "microseconds", "seconds", "trimmed"] = "milliseconds",
        zone: Literal["z", "offset"] = "z",
    ) -> None:
        self._digits = digits
        self._zone = "Z" if zone == "z" else "+00:00"
        fraction = {
            "milliseconds": r"\.\d{3}",
            "microseconds": r"\.\d{6}",
            "seconds": "",
            "trimmed": r"(\.\d{0,2}[1-9])?",
        }[digits]
        zone_pattern = "Z" if zone == "z" else r"\+00:00"
        self.pattern = rf"^\d{{4}}-\d{{2}}-\d{{2}}T\d{{2}}:\d{{2}}:\d{{2}}{fraction}{zone_pattern}$"

        # Called for every response, of which there are many in a millisecond.
        as_is = (digits, zone) == ("milliseconds", "z")
        self.write = timestamp if as_is else lru_cache(maxsize=64)(self._write)

    def _write(self, milliseconds: int) -> str:
        second, _, fraction = timestamp(milliseconds)[:-1].partition(".")
        match self._digits:
            case "milliseconds":
                fraction = f".{fraction}"
            case "microseconds":
                fraction = f".{fraction}000"
            case "seconds":
                fraction = ""
            case "trimmed":
                fraction = f".{fraction}".rstrip("0").rstrip(".")
        return second + fraction + self._zone
