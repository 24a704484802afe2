"""Readings that show in what responses have in common."""

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from stepstub.contract_tests.cases.case import unknown_step
from stepstub.contract_tests.probes.learnt import Exchange, Notes
from stepstub.contract_tests.probes.prober import BASE, NOT_JSON, Prober
from stepstub.readings import Value

_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.(\d+))?(Z|[+-]\d\d:\d\d)")
_ENOUGH_TIMESTAMPS = 10
_MAX_TIMESTAMPS = 100
_PAUSE = 0.002  # seconds; a fast server would send them all within a few milliseconds

Stamped = tuple[str, Exchange]


def learn(prober: Prober, notes: Notes) -> None:
    """Note what all responses together show; may ask for more of them, to see more timestamps."""
    completed = [each.exchange for each in prober.completions]
    latest_first = prober.exchanges[::-1]  # so that the first one becomes the evidence
    _learn_text(notes, "success-message", "message", completed[::-1])
    _learn_text(notes, "version", "version", latest_first)
    _learn_refusal_data(latest_first, notes)
    _learn_undocumented_form(prober, notes)
    _learn_timestamp(prober, notes)


def _learn_text(notes: Notes, name: str, member: str, exchanges: Iterable[Exchange]) -> None:
    """A member that has the same text in every envelope."""
    found = {
        each.envelope[member]: each
        for each in exchanges
        if each.envelope and isinstance(each.envelope[member], str)
    }
    if len(found) == 1:
        ((value, each),) = found.items()
        notes.seen(name, str(value), each)
    elif found:
        some = ", ".join(repr(each) for each in list(found)[:3])
        notes.unseen(name, f"not always the same: {some}", next(iter(found.values())))
    else:
        notes.unseen(name, "no response has it")


def _learn_refusal_data(exchanges: Iterable[Exchange], notes: Notes) -> None:
    name = "refusal-data"
    found: dict[Value, Exchange] = {
        _form_of_data(each.envelope["data"]): each
        for each in exchanges
        if each.status == 412 and each.envelope
    }
    if notes.seen_alone(name, found):
        return
    if found:
        why = "in a form that no value has, or in several"
        notes.unseen(name, why, found.get("") or next(iter(found.values())))
    else:
        notes.unseen(name, "no request got 412 with the document's envelope")


def _form_of_data(data: Any) -> str:
    if data == {}:
        return "empty"
    if not isinstance(data, dict):
        return ""
    error = data.get("error")
    if data.keys() == {"error"} and isinstance(error, dict) and error.keys() == {"message"}:
        return "message"
    violations = all(isinstance(each, dict) and "code" in each for each in data.values())
    return "by-field" if violations else ""


def _learn_undocumented_form(prober: Prober, notes: Notes) -> None:
    name = "undocumented-form"
    documented = prober.server.expectations.statuses
    found: dict[Value, Exchange] = {
        _form(each): each
        for each in prober.exchanges
        if each.status is not None and each.status not in documented
    }
    if notes.seen_alone(name, found):
        return
    if found:
        forms = ", ".join(sorted(str(form or "another") for form in found))
        notes.unseen(name, f"seen: {forms}", found.get("") or next(iter(found.values())))
    else:
        notes.unseen(name, "every response had a documented status")


def _form(exchange: Exchange) -> str:
    if exchange.response is None:
        return ""
    media_type, value = exchange.response.media_type, exchange.response.value
    if exchange.envelope and media_type == "application/json":
        return "envelope"
    if isinstance(value, dict):
        spring = {"timestamp", "status", "error", "path"} <= value.keys()
        if media_type == "application/json" and spring:
            return "spring"
        return "problem" if media_type == "application/problem+json" else ""
    return {"text/html": "html", "text/plain": "plain"}.get(media_type, "")


def _learn_timestamp(prober: Prober, notes: Notes) -> None:
    stamps = _stamped(prober.exchanges)
    for again in _repeatable(prober):
        while len(stamps) < _MAX_TIMESTAMPS and _digits(stamps) is None and again().envelope:
            stamps = _stamped(prober.exchanges)
            time.sleep(_PAUSE)
    if not stamps:
        for name in ("timestamp", "timestamp-zone"):
            notes.unseen(name, "no response has one")
        return
    shows = stamps[-1][1]
    value = _digits(stamps)
    if value:
        notes.seen("timestamp", value, shows)
    else:
        some = ", ".join(stamp for stamp, _ in stamps[:3])
        notes.unseen("timestamp", f"cannot be told from {len(stamps)}, such as {some}", shows)
    matches = [_TIMESTAMP.fullmatch(stamp) for stamp, _ in stamps]
    zones = {match[2] if match else "" for match in matches}
    known = {"Z": "z", "+00:00": "offset"}
    if len(zones) == 1 and (zone := known.get(zones.pop())):
        notes.seen("timestamp-zone", zone, shows)
    else:
        notes.unseen("timestamp-zone", f"as in {stamps[0][0]}", shows)


def _repeatable(prober: Prober) -> Iterator[Callable[[], Exchange]]:
    """Requests that cost no step and may get the document's envelope."""
    sent = "another request, for its timestamp"
    yield lambda: prober.ask(sent, BASE, unknown_step(), {})
    yield lambda: prober.ask(sent, NOT_JSON)
    yield lambda: prober.ask(sent, BASE, unknown_step())
    if prober.completions:
        step_id = prober.completions[0].step_id
        yield lambda: prober.ask(sent, BASE, step_id)


def _stamped(exchanges: Iterable[Exchange]) -> Sequence[Stamped]:
    return [
        (stamp, each)
        for each in exchanges
        if isinstance(stamp := each.envelope.get("timestamp"), str)
    ]


def _digits(stamps: Sequence[Stamped]) -> str | None:
    """How timestamps write fractions of a second; None while that cannot be told.

    Only a trailing zero tells milliseconds from fractions that are trimmed.
    """
    matches = [_TIMESTAMP.fullmatch(stamp) for stamp, _ in stamps]
    fractions = [match[1] or "" for match in matches if match]
    lengths = {len(fraction) for fraction in fractions}
    if len(fractions) < max(len(matches), _ENOUGH_TIMESTAMPS):
        return None
    has_zero = any(fraction.endswith("0") for fraction in fractions)
    if lengths == {3}:
        return "milliseconds" if has_zero else None
    if lengths <= {0, 1, 2, 3} and lengths != {0}:
        return None if has_zero else "trimmed"
    if lengths == {0}:
        return "seconds"
    return "microseconds" if lengths == {6} else None
