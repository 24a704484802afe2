"""Readings that show in what responses have in common."""

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from stepstub.contract_tests.forms import form_of_refusal_data, form_of_undocumented
from stepstub.contract_tests.probes.learnt import Exchange, Notes
from stepstub.contract_tests.probes.prober import BASE, NOT_JSON, Prober
from stepstub.contract_tests.unknown import unknown_step
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
        form_of_refusal_data(each.envelope["data"]): each
        for each in exchanges
        if each.status == 412 and each.envelope
    }
    if notes.seen_alone(name, found):
        return
    if len(found) > 1 and "" not in found:
        why = f"412s have it {' and '.join(map(str, found))}"
        notes.in_two_ways(name, why, next(iter(found.values())))
    elif found:
        why = "in a form that no value has, or in several"
        notes.unseen(name, why, found.get("") or next(iter(found.values())))
    else:
        notes.unseen(name, "no request got 412 with the document's envelope")


def _learn_undocumented_form(prober: Prober, notes: Notes) -> None:
    name = "undocumented-form"
    documented = prober.server.expectations.statuses
    found: dict[Value, Exchange] = {
        form_of_undocumented(each.response): each
        for each in prober.exchanges
        if each.response and each.status is not None and each.status not in documented
    }
    if notes.seen_alone(name, found):
        return
    if found:
        forms = ", ".join(sorted(str(form or "another") for form in found))
        notes.unseen(name, f"seen: {forms}", found.get("") or next(iter(found.values())))
    else:
        notes.unseen(name, "every response had a documented status")


def _learn_timestamp(prober: Prober, notes: Notes) -> None:
    stamps = _stamped(prober.exchanges)
    for again in _repeatable(prober):
        while len(stamps) < _MAX_TIMESTAMPS and _digits(stamps) is None and _stamped([again()]):
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
