"""The params of a request as a set of readings takes them."""

from collections.abc import Mapping
from math import isinf
from typing import Any

from msgspec import UNSET, Struct, json

from stepstub.errors import BodyRefused, Violation
from stepstub.model import Param, Params
from stepstub.readings import Readings
from stepstub.schema import field_name, shorten

_INT64 = range(-(2**63), 2**63)


class _Body(Struct):
    params: dict[str, Param] | None = None


_body = json.Decoder(_Body)


class ParamsReader:
    """Reads submitted params under one set of readings."""

    def __init__(self, readings: Readings) -> None:
        self._readings = readings
        self._in_capitals = readings.type_names == "any-case"
        # An integer is within its range, for the contract says so.
        self._to_be_read = (float, str, int) if readings.long_range == "rounded" else (float, str)
        self._as_sent = (
            readings.text_for_number == "refuse"
            and readings.long_range != "rounded"
            and readings.long_fraction == "refuse"
            and readings.type_names != "any-case"
            and readings.null_param == "refuse"
            and readings.duplicate_names == "refuse"  # the first of two need not be valid
        )

    def __call__(self, content: bytes, body: Mapping[str, Any]) -> Params:
        """The params of a request; `content` is its body as bytes, `body` the same parsed.

        The body meets the effective contract. Raises `BodyRefused` for a text that reads as a
        number out of range, which no schema can tell.
        """
        if self._as_sent:
            params = _body.decode(content).params or {}
            for param in params.values():
                if type(param.long_value) is float:  # 3.0, which the contract takes for an integer
                    break
            else:
                return params
        raw = body.get("params") or {}
        return {name: self._param(name, param) for name, param in raw.items() if param is not None}

    def _param(self, name: str, raw: Mapping[str, Any]) -> Param:
        long_value = raw.get("longValue", UNSET)
        double_value = raw.get("doubleValue", UNSET)
        type_name = raw.get("type", UNSET)
        if isinstance(long_value, self._to_be_read):
            long_value = self._long(name, long_value)
        if isinstance(double_value, int | str):
            double_value = _double(name, double_value)
        if self._in_capitals and isinstance(type_name, str):
            type_name = type_name.upper()
        return Param(raw.get("strValue", UNSET), long_value, double_value, type_name)

    def _long(self, name: str, value: Any) -> int | float:
        number = _number(value) if isinstance(value, str) else value
        if isinstance(number, float):
            if isinf(number):
                raise _out_of_range(name, "longValue", value)
            if number.is_integer() or self._readings.long_fraction == "truncate":
                number = int(number)
        match self._readings.long_range:
            case "int64":
                if isinstance(number, int) and number not in _INT64:
                    raise _out_of_range(name, "longValue", value)
            case "rounded":
                number = _rounded(name, number)
        return number


def _rounded(name: str, number: float) -> int | float:
    try:
        rounded = float(number)
    except OverflowError:
        raise _out_of_range(name, "longValue", number) from None
    return int(rounded) if isinstance(number, int) else rounded


def _double(name: str, value: float | str) -> float:
    number = float(value)
    if isinf(number):
        raise _out_of_range(name, "doubleValue", value)
    return number


def _number(text: str) -> int | float:
    """The number that a text reads as; integers stay exact."""
    try:
        return int(text)
    except ValueError:
        return float(text)


def _out_of_range(name: str, field: str, value: object) -> BodyRefused:
    place = field_name(("params", name, field))
    violation = Violation("OUT_OF_RANGE", f"{place} is out of range.", actual=shorten(str(value)))
    return BodyRefused({place: violation})
