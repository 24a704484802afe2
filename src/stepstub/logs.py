"""What `stepstub serve` writes to stderr: a line per exchange, as text or as JSON."""

import logging
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from msgspec import json

from stepstub.journal import Entry
from stepstub.schema import printable, shorten

DISCONNECTED = "disconnected"
"""Stands for the status of an exchange whose connection broke, by a fault or by the client."""


SELDOM = 60.0
"""Seconds between two lines of one logger of OpenTelemetry."""


def configure(log_format: str, level: str) -> None:
    """Send the stub's and the server's log to stderr; `log_format` is text or json.

    And what OpenTelemetry has to say, but seldom.
    """
    handler, seldom = logging.StreamHandler(sys.stderr), logging.StreamHandler(sys.stderr)
    seldom.addFilter(Seldom())
    formatter = _Json() if log_format == "json" else _Text()
    for name, its in (("stepstub", handler), ("uvicorn.error", handler), ("opentelemetry", seldom)):
        its.setFormatter(formatter)
        logger = logging.getLogger(name)
        logger.handlers = [its]
        logger.propagate = False
    logging.getLogger("stepstub").setLevel(level.upper())
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    logging.getLogger("opentelemetry").setLevel("ERROR" if level == "error" else "WARNING")


class Seldom(logging.Filter):
    """Lets one line of each logger pass in `SELDOM` seconds, without its traceback.

    A collector that does not respond is worth a line, and not one for each attempt.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._monotonic = monotonic
        self._next: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record passes; it is put into words here."""
        now = self._monotonic()
        if now < self._next.get(record.name, now):
            return False
        self._next[record.name] = now + SELDOM
        words = record.getMessage()
        if record.exc_info and record.exc_info[1]:
            words = f"{words} ({record.exc_info[1]!r})"
        record.msg, record.args, record.exc_info = f"OpenTelemetry: {printable(words)}", (), None
        return True


class _Text(logging.Formatter):
    """`22:50:01.512 POST /api/... 412 0.3 ms (sandbox default, step order-1-ship): Step ...`"""

    def format(self, record: logging.LogRecord) -> str:
        time = (
            datetime.fromtimestamp(record.created, UTC)
            .astimezone()
            .isoformat(timespec="milliseconds")[11:23]
        )
        entry: Entry | None = getattr(record, "entry", None)
        if entry is None:
            return f"{time} {super().format(record)}"
        outcome = entry.status or DISCONNECTED
        line = f"{time} {entry.method} {printable(entry.path)} {outcome}"
        line += f" {entry.duration * 1000:.1f} ms"
        about = {
            "sandbox": getattr(record, "sandbox", None),
            "step": entry.step_id and shorten(entry.step_id),
            "fault": entry.fault,
        }
        if known := [f"{name} {printable(value)}" for name, value in about.items() if value]:
            line += f" ({', '.join(known)})"
        return f"{line}: {printable(entry.reason)}" if entry.reason else line


class _Json(logging.Formatter):
    """One JSON object a line, with the same facts."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        facts: dict[str, Any] = {"time": time, "level": record.levelname.lower()}
        entry: Entry | None = getattr(record, "entry", None)
        if entry is None:
            facts["message"] = super().format(record)
        else:
            facts |= {
                "method": entry.method,
                "path": entry.path,
                "status": entry.status or DISCONNECTED,
                "durationMs": round(entry.duration * 1000, 3),
                "exchange": entry.number,
                "sandbox": getattr(record, "sandbox", None),
                "processStepId": entry.step_id,
                "fault": entry.fault,
                "reason": entry.reason,
            }
        return json.encode(facts).decode()
