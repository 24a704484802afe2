"""What became of each test, or command, in each trial."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any, Literal

import msgspec
from msgspec import Struct

from stepstub import advice
from stepstub.readings import Value, questions
from stepstub.trying.choice import VARIATION
from stepstub.variations import KINDS
from stepstub.views import ExchangeView

_MAX_SHOWN = 400  # characters of a body


class Sent(Struct, frozen=True, rename="camel", omit_defaults=True):
    """One exchange as the section shows it.

    `readings` are those that shaped the response, `variations` say how it varied.
    """

    number: int
    request: str
    body: str
    status: int | None
    response: str
    readings: tuple[str, ...] = ()
    variations: tuple[str, ...] = ()

    @property
    def shaped_by(self) -> set[str]:
        """The names of what a trial may have changed in it."""
        return {*self.readings, VARIATION} if self.variations else set(self.readings)

    @classmethod
    def of(cls, exchange: ExchangeView) -> "Sent":
        return cls(
            number=exchange.number,
            request=f"{exchange.method} {exchange.path}",
            body=_shortened(exchange.body),
            status=exchange.status,
            response=_shortened(exchange.response or ""),
            readings=tuple(use.name for use in exchange.readings),
            variations=tuple(each.describe() for each in exchange.variations),
        )


class Outcome(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One test under one trial; no `values` are the default run.

    `result` is skipped where nothing could be noticed, or where the test decides by itself;
    `failure` is the first line of what went wrong, `repeat` the command that repeats it.
    """

    test: str
    result: Literal["passed", "failed", "skipped"]
    trial: str = ""
    values: Mapping[str, Value] = {}
    failure: str = ""
    unexpected: Sent | None = None
    repeat: str = ""


class Broken(Struct, frozen=True, kw_only=True, rename="camel"):
    """A trial that broke something.

    `readings` are the names of those values that explain it, that of the variation perhaps among
    them; `advice` has the "To be safe" of these.
    """

    trial: str
    values: Mapping[str, Value]
    readings: tuple[str, ...]
    advice: tuple[str, ...]
    tests: tuple[Outcome, ...]


class Summary(Struct, frozen=True, kw_only=True, rename="camel"):
    """What a run has shown. Each trial is in exactly one of `survived`, `unnoticed` and `broken`.

    `failed_by_default` are tests that failed under the default readings already: what they did
    under others says nothing.
    """

    choice: str
    tests: int
    survived: tuple[str, ...]
    unnoticed: tuple[str, ...]
    broken: tuple[Broken, ...]
    failed_by_default: tuple[str, ...]

    def as_json(self) -> bytes:
        """The summary as JSON, indented."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"


def unexpected(exchanges: Sequence[ExchangeView], values: Iterable[str]) -> Sent | None:
    """The exchange that a client probably did not expect.

    The first whose response one of the `values` shaped; the last where there is none.
    """
    sent = [Sent.of(each) for each in exchanges]
    shaped = (each for each in sent if each.shaped_by.intersection(values))
    return next(shaped, sent[-1] if sent else None)


def to_basic(outcome: Outcome) -> dict[str, Any]:
    """The outcome in types that can go from one process to another."""
    basic: dict[str, Any] = msgspec.to_builtins(outcome)
    return basic


def from_basic(basic: Mapping[str, Any]) -> Outcome:
    """What `to_basic` was given."""
    return msgspec.convert(basic, Outcome)


def summary(choice: str, outcomes: Sequence[Outcome]) -> Summary:
    """What these outcomes come to."""
    by_default = {each.test: each.result for each in outcomes if not each.values}
    trials: dict[str, list[Outcome]] = {}
    for each in outcomes:
        if each.values:
            trials.setdefault(each.trial, []).append(each)
    survived, unnoticed, broken = [], [], []
    for trial, tried in trials.items():
        failed = [
            each
            for each in tried
            if each.result == "failed" and by_default.get(each.test) != "failed"
        ]
        if failed:
            broken.append(_broken(trial, failed, outcomes))
        elif any(each.result == "passed" for each in tried):
            survived.append(trial)
        else:
            unnoticed.append(trial)
    return Summary(
        choice=choice,
        tests=len({each.test for each in outcomes}),
        survived=tuple(survived),
        unnoticed=tuple(unnoticed),
        broken=tuple(broken),
        failed_by_default=tuple(t for t, result in by_default.items() if result == "failed"),
    )


def _broken(trial: str, failed: Sequence[Outcome], outcomes: Sequence[Outcome]) -> Broken:
    values = failed[0].values
    readings = tuple(values) if len(values) == 1 else _suspects(failed[0], outcomes)
    return Broken(
        trial=trial,
        values=values,
        readings=readings,
        advice=tuple(dict.fromkeys(_advice(name, values[name]) for name in readings)),
        tests=tuple(failed),
    )


def _advice(name: str, value: Value) -> str:
    if name == VARIATION:
        return KINDS[str(value)].to_be_safe
    return advice.by_number()[questions()[name].number]


def _suspects(failed: Outcome, outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    """The readings of a trial that may explain why a test failed under it, as few as can be.

    These are single values, or else pairs of them, that every trial has which broke the test, and
    none that it survived. Those count first that shaped the response it did not expect.
    """
    of_test = [each for each in outcomes if each.test == failed.test and each.values]
    survived = [each.values.items() for each in of_test if each.result == "passed"]
    common = set(failed.values.items())
    for each in of_test:
        if each.result == "failed":
            common &= set(each.values.items())
    shaping = failed.unexpected.shaped_by if failed.unexpected else set()
    shaped = {item for item in common if item[0] in shaping}
    for size in (1, 2):
        for candidates in (shaped, common):
            found = {
                name
                for combination in combinations(candidates, size)
                if not any(set(combination) <= values for values in survived)
                for name, _ in combination
            }
            if found:
                return tuple(name for name in failed.values if name in found)
    return tuple(name for name in failed.values if name in shaping) or tuple(failed.values)


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}... ({len(text)} characters)"
