"""Whatever a client sent, made visible: nothing hidden or turned round, and not too much of it."""

import json
import re
from datetime import UTC, datetime

from markupsafe import Markup, escape
from msgspec import to_builtins

from stepstub.model import Param
from stepstub.schema import printable, shorten

MAX_LINE = 300
MAX_BLOCK = 40_000

_PART = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')


def escaped(text: str, kept: str = "") -> str:
    """Text in which control and format characters are escaped, but for those in `kept`."""
    if text.isprintable():
        return text
    return "".join(each if each in kept else printable(each) for each in text)


def plain(text: object, limit: int = 80) -> str:
    """Text in one line where there can be no markup, as in a title."""
    return escaped(shorten(str(text), limit))


def line(text: object, limit: int = MAX_LINE) -> Markup:
    """Text in one line, set apart from the direction of what surrounds it."""
    return _isolated(str(text), limit)


def block(text: object, limit: int = MAX_BLOCK) -> Markup:
    """Text with its line breaks and tabs."""
    return _isolated(str(text), limit, kept="\n\t")


def _isolated(text: str, limit: int, kept: str = "") -> Markup:
    left_out = len(text) - limit
    shown = Markup("<bdi>{}</bdi>").format(escaped(text[:limit], kept))
    if left_out <= 0:
        return shown
    note = Markup('<span class="cut">… {} more characters</span>')
    return shown + note.format(f"{left_out:,}")


def indented(text: str) -> str:
    """JSON with a line for each member, and each value as it was sent; else the text itself."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return text
    lines, depth = [""], 0
    parts = _PART.findall(text)
    for part, following in zip(parts, [*parts[1:], ""], strict=True):
        if part in ("}", "]"):
            depth -= 1
            if not lines[-1].endswith(("{", "[")):
                lines.append("  " * depth)
        lines[-1] += ": " if part == ":" else part
        if part in ("{", "["):
            depth += 1
        if part == "," or (part in ("{", "[") and following not in ("}", "]")):
            lines.append("  " * depth)
    return "\n".join(lines)


def value(param: Param) -> str:
    """The fields of a param that are set: `longValue 1250, type LONG`."""
    return ", ".join(f"{name} {each}" for name, each in to_builtins(param).items())


def size(number: int) -> str:
    """`16.0 KiB`"""
    if number < 1024:
        return f"{number} B"
    return f"{number / 1024:.1f} KiB" if number < 1024**2 else f"{number / 1024**2:.1f} MiB"


def seconds(number: float) -> str:
    """How long something lasts, in at most two units: `42 s`, `3 min 5 s`, `2 h`, `4 d`."""
    left = max(round(number), 0)
    parts: list[str] = []
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        amount, left = divmod(left, length)
        if amount or (unit == "s" and not parts):
            parts.append(f"{amount} {unit}")
    return " ".join(parts[:2])


def age(since: datetime) -> str:
    """How long ago that was, on the machine's clock."""
    return seconds((datetime.now(UTC) - since).total_seconds())


def time_of_day(moment: datetime) -> str:
    """`15:58:15.553`"""
    return moment.strftime("%H:%M:%S.") + f"{moment.microsecond // 1000:03}"


def milliseconds(moment: datetime) -> int:
    """Since the epoch, for the script."""
    return round(moment.timestamp() * 1000)


def stamp(moment: datetime) -> str:
    """`2026-03-29 15:58:15.553 UTC`"""
    return f"{moment:%Y-%m-%d} {time_of_day(moment)} UTC"


def css_class(text: object) -> Markup:
    """A word of ours as the name of a class."""
    return escape(re.sub(r"[^a-z0-9]+", "-", str(text).lower()))
