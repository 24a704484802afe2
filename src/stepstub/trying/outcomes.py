"""What became of each test, or command, in each trial."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from stepstub import advice
from stepstub.readings import Value, questions
from stepstub.trying.choice import VARIATION
from stepstub.trying.explaining import Failure, explanations
from stepstub.variations import KINDS
from stepstub.views import ExchangeView

_MAX_SHOWN = 400  # characters of a body
_MAX_KEPT = 50  # exchanges of a failed test


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


class Evidence(Struct, frozen=True, rename="camel"):
    """What a failed test has seen: the names of what shaped a response, and the last exchanges."""

    shaping: frozenset[str]
    exchanges: tuple[Sent, ...]

    @classmethod
    def of(cls, exchanges: Sequence[ExchangeView]) -> "Evidence":
        sent = [Sent.of(each) for each in exchanges]
        shaping = frozenset(name for each in sent for name in each.shaped_by)
        return cls(shaping, tuple(sent[-_MAX_KEPT:]))

    def unexpected(self, names: Iterable[str]) -> Sent | None:
        """The exchange that the client probably did not expect: after it, it did nothing more.

        The last whose response one of `names` shaped; the last of all where there is none.
        """
        shaped = [each for each in self.exchanges if each.shaped_by.intersection(names)]
        return next(reversed(shaped or self.exchanges), None)


class Outcome(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One test in one trial; no `values` are the default run.

    `result` is skipped where nothing could be noticed, or where the test decides by itself;
    `failure` is the first line of what went wrong, `output` the end of what a command printed,
    `repeat` the command that repeats it. A summary has the `unexpected` exchange in place of the
    `evidence`.
    """

    test: str
    result: Literal["passed", "failed", "skipped"]
    trial: str = ""
    values: Mapping[str, Value] = {}
    failure: str = ""
    output: str = ""
    evidence: Evidence | None = None
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
    under others says nothing. `interrupted` says that more was to be tried.
    """

    choice: str
    tests: int
    survived: tuple[str, ...]
    unnoticed: tuple[str, ...]
    broken: tuple[Broken, ...]
    failed_by_default: tuple[str, ...]
    interrupted: bool = False

    def as_json(self) -> bytes:
        """The summary as JSON, indented."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"


def to_basic(outcome: Outcome) -> dict[str, Any]:
    """The outcome in types that can go from one process to another."""
    basic: dict[str, Any] = msgspec.to_builtins(outcome)
    return basic


def from_basic(basic: Mapping[str, Any]) -> Outcome:
    """What `to_basic` was given."""
    return msgspec.convert(basic, Outcome)


def unwritable(path: Path) -> str | None:
    """Why a summary could not be written there: better known before a run than after it."""
    if path.is_dir():
        return f"{path} is a folder."
    if not path.parent.is_dir():
        return f"There is no folder {path.parent}."
    return None if os.access(path.parent, os.W_OK) else f"No file can be made in {path.parent}."


def summary(choice: str, outcomes: Sequence[Outcome], *, interrupted: bool = False) -> Summary:
    """What these outcomes come to."""
    failed_by_default = {
        each.test for each in outcomes if each.result == "failed" and not each.values
    }
    by_test: dict[str, list[Outcome]] = {}
    by_trial: dict[str, list[Outcome]] = {}
    for each in outcomes:
        if each.values and each.test not in failed_by_default:
            by_test.setdefault(each.test, []).append(each)
            by_trial.setdefault(each.trial, []).append(each)
    explained = {test: _explained(tried) for test, tried in by_test.items()}
    survived, unnoticed, broken = [], [], []
    for trial, tried in by_trial.items():
        failed = [each for each in tried if each.result == "failed"]
        if failed:
            names = {each.test: explained[each.test][trial] for each in failed}
            broken.append(_broken(failed, names))
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
        failed_by_default=tuple(sorted(failed_by_default)),
        interrupted=interrupted,
    )


def _explained(tried: Sequence[Outcome]) -> dict[str, tuple[str, ...]]:
    """What explains each failure of a test, by its trial."""
    failures = [
        Failure(each.trial, each.values, each.evidence.shaping if each.evidence else frozenset())
        for each in tried
        if each.result == "failed"
    ]
    return explanations(failures, [each.values for each in tried if each.result == "passed"])


def _broken(failed: Sequence[Outcome], explained: Mapping[str, tuple[str, ...]]) -> Broken:
    values = failed[0].values
    names = {name for each in failed for name in explained[each.test]}
    readings = tuple(name for name in values if name in names)
    return Broken(
        trial=failed[0].trial,
        values=values,
        readings=readings,
        advice=tuple(dict.fromkeys(_advice(name, values[name]) for name in readings)),
        tests=tuple(_with_unexpected(each, explained[each.test]) for each in failed),
    )


def _with_unexpected(outcome: Outcome, names: Iterable[str]) -> Outcome:
    found = outcome.evidence.unexpected(names) if outcome.evidence else None
    return replace(outcome, evidence=None, unexpected=found)


def _advice(name: str, value: Value) -> str:
    if name == VARIATION:
        return KINDS[str(value)].to_be_safe
    return advice.by_number()[questions()[name].number]


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}... ({len(text)} characters)"
