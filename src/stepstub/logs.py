"""What `stepstub serve` writes to stderr: a line per exchange, as text or as JSON."""

import logging
import sys
from datetime import UTC, datetime
from typing import Any

from msgspec import json

from stepstub.journal import Entry
from stepstub.schema import printable, shorten

DISCONNECTED = "disconnected"
"""Stands for the status of an exchange whose connection broke, by a fault or by the client."""


def configure(log_format: str, level: str) -> None:
    """Send the stub's and the server's log to stderr; `log_format` is text or json."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if log_format == "json" else _Text())
    for name in ("stepstub", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
    logging.getLogger("stepstub").setLevel(level.upper())
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)


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
