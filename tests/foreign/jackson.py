"""How Jackson reads and writes JSON with Spring Boot's settings."""

import json
import math
from collections.abc import Sequence
from typing import Any, NoReturn

_INT64 = range(-(2**63), 2**63)
_NOT_FINITE = {
    "NaN": math.nan,
    "INF": math.inf,
    "-INF": -math.inf,
    "Infinity": math.inf,
    "-Infinity": -math.inf,
}


class Unreadable(Exception):
    """An HttpMessageNotReadableException."""


def read(body: bytes) -> Any:
    """The first JSON value of a body; what follows it is left alone (FAIL_ON_TRAILING_TOKENS)."""
    try:
        value, _ = _DECODER.raw_decode(body.decode("utf-8-sig").lstrip(" \t\r\n"))
    except (ValueError, RecursionError) as error:
        raise Unreadable from error
    return value


def write(value: Any) -> bytes:
    """JSON, in which a double that is not finite is a text (QUOTE_NON_NUMERIC_NUMBERS)."""
    return json.dumps(_quoted(value), separators=(",", ":"), allow_nan=False).encode()


def text(value: Any) -> str | None:
    """A String, which a number or boolean becomes (ALLOW_COERCION_OF_SCALARS)."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    raise Unreadable


def long(value: Any) -> int | None:
    """A Long; a fraction is cut off (ACCEPT_FLOAT_AS_INT), a text is read."""
    match value:
        case None | "":
            return None
        case bool():
            raise Unreadable
        case str():
            read = _number(int, value)
        case float() if math.isfinite(value):
            read = int(value)
        case int():
            read = value
        case _:
            raise Unreadable
    if read not in _INT64:
        raise Unreadable
    return read


def double(value: Any) -> float | None:
    """A Double; a text is read."""
    match value:
        case None | "":
            return None
        case bool():
            raise Unreadable
        case str():
            named = _NOT_FINITE.get(value.strip())
            return _number(float, value) if named is None else named
        case int() | float():
            try:
                return float(value)
            except OverflowError:
                return math.inf if value > 0 else -math.inf
        case _:
            raise Unreadable


def constant(value: Any, names: Sequence[str]) -> str | None:
    """The constant of an enum, by its name or its ordinal number."""
    if value is None or value in names:
        return value
    if isinstance(value, bool | float | list | dict):
        raise Unreadable
    ordinal = _number(int, str(value))
    if not 0 <= ordinal < len(names):
        raise Unreadable
    return names[ordinal]


def _number(kind: type[Any], text: str) -> Any:
    try:
        if "_" in text:  # Python's own
            raise ValueError
        return kind(text)
    except ValueError as error:
        raise Unreadable from error


def _quoted(value: Any) -> Any:
    match value:
        case dict():
            return {name: _quoted(each) for name, each in value.items()}
        case float() if not math.isfinite(value):
            return str(value).replace("inf", "Infinity").replace("nan", "NaN")
        case _:
            return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


_DECODER = json.JSONDecoder(parse_constant=_refuse)
