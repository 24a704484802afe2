"""`pytest --stepstub-readings`: each test of a stub again, under other readings.

A test is parametrised with the trials. The first is its run under the readings it has anyway, and
keeps the test's own id; by its journal the others know whether they could change anything.
"""

import os
import shlex
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from stepstub.client import Sandbox
from stepstub.readings import Readings, questions
from stepstub.trying import section
from stepstub.trying.choice import VARIATION, Trial
from stepstub.trying.html_report import write
from stepstub.trying.limit import TimeLimit
from stepstub.trying.noticing import noticeable
from stepstub.trying.outcomes import (
    Evidence,
    Outcome,
    Summary,
    from_basic,
    summary,
    to_basic,
)
from stepstub.views import ExchangeView

TRIAL_FIXTURE = "stepstub_trial"
"""The fixture that both stubs of a test depend on; its parameter is the trial, None by default."""

_OUTCOME = "stepstub_outcome"  # of a report; xdist brings it to the process that prints


class Exchanges:
    """What a test's stubs have seen, and whether their journals are whole."""

    def __init__(self, seen: Sequence[ExchangeView], *, whole: bool) -> None:
        self.seen = seen
        self.whole = whole


class OtherReadings:
    """Runs tests under other readings, and says in the end what came of it.

    `trials` are tried on top of `base`; `exchanges` has those of a test that has just run, `marked`
    what a test decides by its markers.
    """

    def __init__(
        self,
        choice: str,
        trials: Sequence[Trial],
        base: Readings,
        *,
        exchanges: Callable[[pytest.Item], Exchanges],
        marked: Callable[[pytest.Item], Mapping[str, Any]],
        seconds: float,
        json_file: Path | None,
        html_file: Path | None,
    ) -> None:
        self._choice = choice
        self._trials = trials
        self._base = base
        self._exchanges = exchanges
        self._marked = marked
        why = (
            f"The test did not end within {seconds:g} s (--stepstub-time-limit) under these"
            " readings: does the client wait, or try again, for ever?"
        )
        self._limit = TimeLimit(seconds, lambda: pytest.fail.Exception(why))
        self._files = {"json_file": json_file, "html_file": html_file}
        self._by_default: dict[str, Exchanges | None] = {}
        self._seen = pytest.StashKey[Exchanges]()
        self._outcomes: list[Outcome] = []

    @pytest.hookimpl(trylast=True)  # so that the trial comes last in the id, and the fastest
    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if TRIAL_FIXTURE not in metafunc.fixturenames:
            return
        pinned = _pinned(self._marked(metafunc.definition))
        trials = [each.without(pinned) for each in self._trials]
        tried = {each.name: each for each in trials if each}
        if not tried:
            return
        ids = [pytest.HIDDEN_PARAM, *(f"stepstub: {name}" for name in tried)]
        metafunc.parametrize(TRIAL_FIXTURE, [None, *tried.values()], ids=ids, indirect=True)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, object, object]:
        trial = _trial(item)
        if trial is None:
            return (yield)
        if reason := self._why_not(item, trial):
            pytest.skip(reason)
        return (yield from self._limit.around())

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        if TRIAL_FIXTURE not in getattr(item, "fixturenames", ()):
            return (yield)
        test = _test(item)
        passed = False
        try:
            if _trial(item) is None:
                outcome = yield
            else:
                outcome = yield from self._limit.around()
            passed = True
        finally:
            # The stub is gone when the report is made of what came after it.
            item.stash[self._seen] = exchanges = self._exchanges(item)
            if _trial(item) is None:
                self._by_default[test] = exchanges if passed else None
        return outcome

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, object, object]:
        if _trial(item) is None:
            return (yield)
        return (yield from self._limit.around())

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if TRIAL_FIXTURE not in getattr(item, "fixturenames", ()):
            return report
        if report.when == "call" or not report.passed:
            outcome = self._outcome(item, report, call)
            setattr(report, _OUTCOME, to_basic(outcome))
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if basic := getattr(report, _OUTCOME, None):
            self._outcomes.append(from_basic(basic))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        found = self._summary()
        terminalreporter.section(section.TITLE)
        for line in section.lines(found):
            terminalreporter.write_line(line)
        write(found, "test", **self._files)

    def _summary(self) -> Summary:
        return summary(self._choice, self._outcomes)

    def _why_not(self, item: pytest.Item, trial: Trial) -> str | None:
        if trial.vary and not trial.vary.without_a_connection and not _has_connection(item):
            return f"stepstub: {trial.name} needs a connection: use the fixture stepstub_sandbox"
        test = _test(item)
        if test not in self._by_default:  # it was not asked for, or another process ran it
            return None
        exchanges = self._by_default[test]
        if exchanges is None:
            return "stepstub: the test does not pass under its usual readings"
        if exchanges.whole and not noticeable(trial.values, exchanges.seen, self._base):
            return f"stepstub: nothing in this test depends on {', '.join(trial.values)}"
        return None

    def _outcome(
        self, item: pytest.Item, report: pytest.TestReport, call: pytest.CallInfo[None]
    ) -> Outcome:
        trial = _trial(item)
        if trial is None or not report.failed:
            values = trial.values if trial else {}
            name = trial.name if trial else ""
            return Outcome(test=_test(item), result=report.outcome, trial=name, values=values)
        seen = item.stash.get(self._seen, None)
        return Outcome(
            test=_test(item),
            result="failed",
            trial=trial.name,
            values=trial.values,
            failure=_first_line(call),
            evidence=Evidence.of(seen.seen) if seen else None,
            repeat=_repeat(item, trial),
        )


def exchanges_of(sandboxes: Sequence[tuple[Sandbox, Sequence[ExchangeView]]]) -> Exchanges:
    """The exchanges of a test: those of each sandbox, and those of the default one beside it."""
    seen: list[ExchangeView] = []
    whole = True
    for sandbox, by_default in sandboxes:
        own = sandbox.journal()
        seen += [*by_default, *own]  # of many the last are kept, and these tell more
        whole &= not sandbox.was_reset and (not own or own[0].number == 1)
    return Exchanges(seen, whole=whole)


def _trial(item: pytest.Item) -> Trial | None:
    callspec = getattr(item, "callspec", None)
    trial: Trial | None = callspec.params.get(TRIAL_FIXTURE) if callspec else None
    return trial


def _has_connection(item: pytest.Item) -> bool:
    return "stepstub_sandbox" in getattr(item, "fixturenames", ())


def _test(item: pytest.Item) -> str:
    """The node id of the test's default run."""
    trial = _trial(item)
    if trial is None:
        return item.nodeid
    before = item.nodeid.removesuffix(f"stepstub: {trial.name}]")
    return f"{before[:-1]}]" if before.endswith("-") else before.removesuffix("[")


def _pinned(marked: Mapping[str, Any]) -> set[str]:
    """What a test decides by its markers: all readings if these have a profile."""
    readings = marked.get("readings", {})
    pinned = set(readings) if isinstance(readings, Mapping) else set(questions())
    return pinned | {VARIATION} if "vary" in marked else pinned


def _first_line(call: pytest.CallInfo[None]) -> str:
    if call.excinfo is None:
        return ""
    return call.excinfo.exconly(tryshort=True).partition("\n")[0]


def _repeat(item: pytest.Item, trial: Trial) -> str:
    file, colons, name = item.nodeid.partition("::")
    path = os.path.relpath(item.config.rootpath / file, item.config.invocation_params.dir)
    test = f"{path}{colons}{name}"
    return shlex.join(["pytest", "--stepstub-readings", trial.argument(), test])
