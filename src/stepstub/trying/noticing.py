"""What a client could have noticed, by the journal of its run under the default readings.

A reading that shaped no response cannot have been noticed, nor one under which the same bodies
would have been accepted. Where that cannot be told, the client could have noticed it.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache

from msgspec import DecodeError, json

from stepstub.client import COMPLETE_STEP
from stepstub.inprocess import InProcess
from stepstub.journal import MAX_JOURNALED_BODY
from stepstub.readings import Readings, Value, with_values
from stepstub.responses import Response
from stepstub.responses.varied import varied
from stepstub.trying.choice import VARIATION, vary
from stepstub.views import ExchangeView

_OF_BODIES = {
    *("type-names", "long-fraction", "long-range", "text-for-number", "unknown-members"),
    *("type-agreement", "params-missing", "params-null", "duplicate-names", "empty-step-id"),
    *("null-fields", "null-param"),
}
"""Readings of which bodies are accepted, and what becomes of the values in them."""

_EVERYWHERE = {"version", "timestamp", "timestamp-zone"}
_IN_A_SUCCESS = {"success-message"}
_TO_BE_COMPARED: Mapping[str, Value] = {
    "credentials": "none",
    "bad-body": 412,
    "unknown-step": 412,
    "refusal-data": "by-field",
}
"""What lets a refusal be compared, whatever the other readings are."""

_LARGE = re.compile(r"\d{16}")  # a number that a double cannot hold has at least 16 digits


def noticeable(
    values: Mapping[str, Value], exchanges: Sequence[ExchangeView], base: Readings
) -> bool:
    """Whether one of these values could have changed one of these exchanges.

    `base` is what the exchanges took place under.
    """
    return any(_is_noticed(name, value, exchanges, base) for name, value in values.items())


def _is_noticed(name: str, value: Value, exchanges: Sequence[ExchangeView], base: Readings) -> bool:
    if any(use.name == name for exchange in exchanges for use in exchange.readings):
        return True
    return any(_by_kind(name)(name, value, exchange, exchanges, base) for exchange in exchanges)


_Test = Callable[[str, Value, ExchangeView, Iterable[ExchangeView], Readings], bool]


def _by_kind(name: str) -> _Test:
    if name in _OF_BODIES:
        return _is_body_treated_differently
    return _KINDS.get(name, _never)


def _never(*_: object) -> bool:
    return False


def _is_body_treated_differently(
    name: str, value: Value, exchange: ExchangeView, _: Iterable[ExchangeView], base: Readings
) -> bool:
    if exchange.body_size > len(exchange.body.encode()):  # the journal has only its beginning
        return True
    if name == "long-range" and _LARGE.search(exchange.body):
        return True
    body = exchange.body.encode()
    return _refusal(with_values(base, {name: value}), body) != _refusal(base, body)


def _is_after_call(
    _n: str, _v: Value, exchange: ExchangeView, others: Iterable[ExchangeView], _b: Readings
) -> bool:
    """Whether the step that this exchange started was completed, perhaps during the call."""
    call = exchange.delegate_call
    return call is not None and any(
        other.process_step_id == call.process_step_id for other in others
    )


def _is_unauthorised_with_a_bad_body(
    _n: str, _v: Value, exchange: ExchangeView, _: Iterable[ExchangeView], base: Readings
) -> bool:
    if exchange.status != 401:
        return False
    return "UNKNOWN_STEP" not in _refusal(base, exchange.body.encode())


def _has_response(
    _n: str, _v: Value, exchange: ExchangeView, _: Iterable[ExchangeView], _b: Readings
) -> bool:
    return exchange.status is not None


def _has_success(
    _n: str, _v: Value, exchange: ExchangeView, _: Iterable[ExchangeView], _b: Readings
) -> bool:
    return exchange.status == 200


def _has_params(
    _n: str, _v: Value, exchange: ExchangeView, _: Iterable[ExchangeView], _b: Readings
) -> bool:
    """Whether a 200 has params, or may have some under another reading."""
    return exchange.status == 200 and '"params":{}' not in (exchange.response or "")


def _is_varied(
    _n: str, kind: Value, exchange: ExchangeView, _: Iterable[ExchangeView], _b: Readings
) -> bool:
    """Whether there is anything in the response that varies in this kind."""
    if exchange.status is None:
        return False
    body = (exchange.response or "").encode()
    if len(body) >= MAX_JOURNALED_BODY:  # the journal may have only its beginning
        return True
    response = Response(exchange.status, body)
    all_kinds = {"framing": True, "chunks": True}
    return bool(varied(response, vary(str(kind)), exchange.number, **all_kinds)[1])


_KINDS: Mapping[str, _Test] = {
    VARIATION: _is_varied,
    "next-step-started": _is_after_call,
    "checked-first": _is_unauthorised_with_a_bad_body,
    "unset-fields": _has_params,
    **dict.fromkeys(_EVERYWHERE, _has_response),
    **dict.fromkeys(_IN_A_SUCCESS, _has_success),
}


@lru_cache(maxsize=4096)
def _refusal(readings: Readings, body: bytes) -> str:
    """The codes with which a stub without processes refuses a body: UNKNOWN_STEP for a good one."""
    asked = with_values(
        readings, {"bad-body": 412, "refusal-data": "by-field", "unknown-step": 412}
    )
    status, _, response = _stub(with_values(asked, {"credentials": "none"})).exchange(
        "POST",
        COMPLETE_STEP.encode(),
        [(b"content-type", b"application/json")],
        body,
    )
    try:
        data = json.decode(response)["data"]
        return " ".join(sorted(f"{field} {each['code']}" for field, each in data.items()))
    except (DecodeError, KeyError, TypeError, AttributeError):
        return str(status)


@lru_cache(maxsize=128)
def _stub(readings: Readings) -> InProcess:
    return InProcess(readings=readings)  # only asked directly, never entered
