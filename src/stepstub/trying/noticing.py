"""What a client could have noticed, by the journal of its run under the default readings.

A reading that shaped no response cannot have been noticed, nor one under which the same bodies
would have been accepted. Where that cannot be told, the client could have noticed it.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from msgspec import DecodeError, Struct, json

from stepstub.client import COMPLETE_STEP
from stepstub.inprocess import InProcess
from stepstub.journal import MAX_JOURNALED_BODY
from stepstub.readings import Readings, Value, with_values
from stepstub.responses import Response
from stepstub.responses.varied import varied
from stepstub.trying.choice import CONFIGURED, VARIATION, vary
from stepstub.views import ExchangeView

_OF_BODIES = (
    *("type-names", "long-fraction", "long-range", "text-for-number", "unknown-members"),
    *("type-agreement", "params-missing", "params-null", "duplicate-names", "empty-step-id"),
    *("null-fields", "null-param"),
)
"""Readings of which bodies are accepted, and what becomes of the values in them."""

_TO_BE_COMPARED: Mapping[str, Value] = {
    "credentials": "none",
    "bad-body": 412,
    "unknown-step": 412,
    "refusal-data": "by-field",
}
"""What lets a refusal be compared, whatever the other readings are."""

_LARGE = re.compile(r"\d{16}")  # a number that a double cannot hold has at least 16 digits


class _Change(Struct, frozen=True):
    """One value in place of another, and the exchanges that took place without it."""

    name: str
    value: Value
    exchanges: Sequence[ExchangeView]
    base: Readings


def noticeable(
    values: Mapping[str, Value], exchanges: Sequence[ExchangeView], base: Readings
) -> bool:
    """Whether one of these values could have changed one of these exchanges.

    `base` is what the exchanges took place under.
    """
    return any(_is_noticed(_Change(name, value, exchanges, base)) for name, value in values.items())


def _is_noticed(change: _Change) -> bool:
    if any(use.name == change.name for each in change.exchanges for use in each.readings):
        return True
    could_change = _TESTS.get(change.name)
    return could_change is not None and any(
        could_change(change, exchange) for exchange in change.exchanges
    )


# --- whether a value could have changed an exchange


def _is_body_treated_differently(change: _Change, exchange: ExchangeView) -> bool:
    body = exchange.body.encode()
    if exchange.body_size > len(body):  # the journal has only its beginning
        return True
    if change.name == "long-range" and _LARGE.search(exchange.body):
        return True
    changed = with_values(change.base, {change.name: change.value})
    return _refusal(changed, body) != _refusal(change.base, body)


def _is_after_call(change: _Change, exchange: ExchangeView) -> bool:
    """Whether the step that this exchange started was completed, perhaps during the call."""
    call = exchange.delegate_call
    return call is not None and any(
        other.process_step_id == call.process_step_id for other in change.exchanges
    )


def _is_unauthorised_with_a_bad_body(change: _Change, exchange: ExchangeView) -> bool:
    if exchange.status != 401:
        return False
    return "UNKNOWN_STEP" not in _refusal(change.base, exchange.body.encode())


def _has_response(_: _Change, exchange: ExchangeView) -> bool:
    return exchange.status is not None


def _has_success(_: _Change, exchange: ExchangeView) -> bool:
    return exchange.status == 200


def _has_params(_: _Change, exchange: ExchangeView) -> bool:
    """Whether a 200 has params, or may have some under another reading."""
    return exchange.status == 200 and '"params":{}' not in (exchange.response or "")


def _is_varied(change: _Change, exchange: ExchangeView) -> bool:
    """Whether there is anything in the response that varies in this kind."""
    if exchange.status is None:
        return False
    body = (exchange.response or "").encode()
    if len(body) >= MAX_JOURNALED_BODY:  # the journal may have only its beginning
        return True
    response, only = Response(exchange.status, body), vary(str(change.value))
    _, chosen = varied(response, only, exchange.number, framing=True, chunks=True)
    return bool(chosen)


_TESTS: Mapping[str, Callable[[_Change, ExchangeView], bool]] = {
    **dict.fromkeys(_OF_BODIES, _is_body_treated_differently),
    "next-step-started": _is_after_call,
    "checked-first": _is_unauthorised_with_a_bad_body,
    "success-message": _has_success,
    "unset-fields": _has_params,
    **dict.fromkeys(("version", "timestamp", "timestamp-zone", *CONFIGURED), _has_response),
    VARIATION: _is_varied,
}
"""Those by the name of what is changed. Others leave all but what they have shaped as it was."""


@lru_cache(maxsize=4096)
def _refusal(readings: Readings, body: bytes) -> str:
    """The codes with which a stub without processes refuses a body: UNKNOWN_STEP for a good one."""
    status, _, response = _stub(with_values(readings, _TO_BE_COMPARED)).exchange(
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
