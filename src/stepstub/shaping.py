"""Which readings shaped the response of an exchange, from what the journal has of it."""

from collections.abc import Iterator

from stepstub.delegates import DelegateCall
from stepstub.errors import Violation
from stepstub.journal import Entry
from stepstub.model import Status
from stepstub.readings import Readings, differing

_BY_STATUS = {
    "STEP_COMPLETED": "completed-step",
    "STEP_PENDING": "pending-step",
    "STEP_FAILED": "failed-step",
}
_EVERYWHERE = ("version", "timestamp", "timestamp-zone")
_IN_A_SUCCESS = ("success-message", "unset-fields", *_EVERYWHERE)


def shaping(entry: Entry, call: DelegateCall | None, readings: Readings) -> tuple[str, ...]:
    """The names of the readings without which the response would have been another.

    `call` is the delegate call that the exchange caused. Those that shape every response are named
    where they differ from the default. A response that a fault put in its place has none.
    """
    if not entry.status or (entry.fault and entry.step_before is None):
        return ()
    names = dict.fromkeys(_names(entry, call))
    everywhere = _IN_A_SUCCESS if entry.status == 200 else _EVERYWHERE
    changed = differing(readings)
    names |= dict.fromkeys(name for name in everywhere if name in changed)
    return tuple(names)


def _names(entry: Entry, call: DelegateCall | None) -> Iterator[str]:
    match entry.status:
        case 200:
            yield from _of_success(entry, call)
        case 401:
            yield from ("credentials", "challenge")
        case 500:
            if call is not None:
                yield "delegate-failure"
        case _:
            for field, violation in (entry.violations or {}).items():
                yield from _of_violation(field, violation, entry)
            yield "refusal-data" if entry.status == 412 else "undocumented-form"


def _of_success(entry: Entry, call: DelegateCall | None) -> Iterator[str]:
    if entry.step_before is Status.COMPLETED:
        yield "completed-step"  # the same 200 again
    yield "named-step"
    if call is None:
        yield from ("last-step-id", "last-step-params")
        return
    yield "returned-params"
    if call.outcome.startswith("failed"):
        yield "delegate-failure"


def _of_violation(field: str, violation: Violation, entry: Entry) -> Iterator[str]:
    if violation.code in _BY_STATUS:
        yield _BY_STATUS[violation.code]
        if "not completed within" in violation.detail:
            yield "time-out"
        return
    if violation.code == "UNKNOWN_STEP":
        yield "unknown-step"
        if entry.step_id == "":
            yield "empty-step-id"
        return
    yield "bad-body"
    if name := _of_body(field, violation):
        yield name


def _of_body(field: str, violation: Violation) -> str | None:
    """The reading of which another value would have let this part of a body pass."""
    member = field.rpartition(".")[2]
    for code, members, word, name in _OF_BODY:
        if violation.code == code and member in (members or (member,)) and word in violation.detail:
            return name
    return None


_NUMBERS = ("longValue", "doubleValue")
_FIELDS = ("strValue", *_NUMBERS, "type")
# Code, the last member of the field (none: any), a word of the detail, the reading. The first
# row that fits counts.
_OF_BODY: tuple[tuple[str, tuple[str, ...], str, str], ...] = (
    ("INVALID_JSON", (), "uplicate", "duplicate-names"),
    ("REQUIRED", ("params",), "", "params-missing"),
    ("INVALID", ("processStepId",), "", "empty-step-id"),
    ("INVALID", ("type",), "", "type-names"),
    ("INVALID", _NUMBERS, "", "text-for-number"),
    ("INVALID", (), "the one value that it names", "type-agreement"),
    ("NOT_ALLOWED", ("type",), "one of", "type-names"),
    ("NOT_ALLOWED", (), "not known", "unknown-members"),
    ("OUT_OF_RANGE", ("longValue",), "", "long-range"),
    ("WRONG_TYPE", ("params",), "not null", "params-null"),
    ("WRONG_TYPE", _FIELDS, "not null", "null-fields"),
    ("WRONG_TYPE", ("longValue",), "with a fraction", "long-fraction"),
    ("WRONG_TYPE", _NUMBERS, "a string", "text-for-number"),
    ("WRONG_TYPE", (), "not null", "null-param"),
)
