"""A command in any language, run against a stub under one set of readings after another."""

import secrets
import shlex
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Literal

from starlette.types import Receive, Scope, Send

from stepstub.app import create_app
from stepstub.concurrency import EventLoopConcurrency
from stepstub.errors import StepstubError
from stepstub.exchange import Exchange
from stepstub.model import Process
from stepstub.readings import DEFAULT, with_values
from stepstub.running import environment, killed_with_its_children
from stepstub.serving.server import serve_in_thread
from stepstub.settings import Settings
from stepstub.stub import Stub
from stepstub.trying.choice import Trial
from stepstub.trying.noticing import noticeable
from stepstub.trying.outcomes import Evidence, Outcome, Summary, summary
from stepstub.views import ExchangeView

MAX_EXCHANGES = 1000
"""Exchanges of one run that are remembered; the first ones."""

_DEFAULT_RUN = Trial({}, "the default readings")
_MAX_OUTPUT = 4000  # characters of what a command printed, in a summary


class NothingSeen(StepstubError):
    """The command sent no request that could be responded to otherwise."""


class _Recorded:
    """A stub that remembers the exchanges of all its sandboxes, deleted ones too."""

    def __init__(self, stub: Stub) -> None:
        self._stub = stub
        self.refuse = stub.refuse
        self.seen: list[ExchangeView] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._stub(scope, receive, send)
        finally:
            exchange: Exchange | None = scope.get("extensions", {}).get("stepstub")
            if exchange and exchange.entry.number and len(self.seen) <= MAX_EXCHANGES:
                self.seen.append(await _view(exchange))


async def _view(exchange: Exchange) -> ExchangeView:
    entry, sandbox = exchange.entry, exchange.nearest_sandbox
    calls = await sandbox.store.calls_of([entry.number])
    return ExchangeView.of(entry, calls.get(entry.number), sandbox.readings)


class Commands:
    """Runs one command again and again.

    `output` takes what it prints where that matters, and `progress` a line for each run. `options`
    are those of the command line besides the choice: what it takes to repeat a run.

    Each run has a stub of its own with `processes`. It finds the stub by `STEPSTUB_URL`, its token
    by `STEPSTUB_TOKEN`, and what differs from the default in `STEPSTUB_READING`, `STEPSTUB_VARY`
    and `STEPSTUB_VARY_ONLY`, as `stepstub serve` takes them. A run that takes longer than `seconds`
    is killed, with all that it has started.
    """

    def __init__(
        self,
        command: Sequence[str],
        processes: Sequence[Process],
        *,
        seconds: float,
        output: Callable[[str], None],
        progress: Callable[[str], None],
        options: Sequence[str] = (),
    ) -> None:
        self._command = command
        self._processes = processes
        self._seconds = seconds
        self._output = output
        self._progress = progress
        self._options = options

    def under(self, choice: str, trials: Sequence[Trial]) -> Summary:
        """Run under the default readings, then under each of the trials that can be noticed.

        What has been found until Ctrl-C is returned as well. Raises `OSError` when there is no such
        command, and `NothingSeen`.
        """
        first, seen = self._run(_DEFAULT_RUN)
        if first.result != "passed":
            return summary(choice, [first])
        if not seen:
            raise NothingSeen(
                "The command passed without a request to the stub, so there is nothing to try:"
                " does it use STEPSTUB_URL?"
            )
        tried = [
            trial
            for trial in trials
            if len(seen) > MAX_EXCHANGES or noticeable(trial.values, seen, DEFAULT)
        ]
        outcomes = [
            first,
            *(self._outcome("skipped", each) for each in trials if each not in tried),
        ]
        try:
            for number, trial in enumerate(tried, 1):
                outcomes.append(self._run(trial)[0])
                self._progress(f"{number} of {len(tried)}: {trial.name} {outcomes[-1].result}")
        except KeyboardInterrupt:
            return summary(choice, outcomes, interrupted=True)
        return summary(choice, outcomes)

    def _run(self, trial: Trial) -> tuple[Outcome, list[ExchangeView]]:
        token = secrets.token_urlsafe(12)
        concurrency = EventLoopConcurrency()
        readings = with_values(DEFAULT, trial.readings)
        settings = Settings(token=token, readings=readings, vary=trial.vary)
        recorded = _Recorded(create_app(self._processes, settings, concurrency=concurrency))
        try:
            with serve_in_thread(recorded) as url, tempfile.TemporaryFile() as printed:
                failure = self._failure(environment(url, token, _of_trial(trial)), printed)
                printed.seek(0)
                text = printed.read().decode("utf-8", "replace")
                output = text.replace("\r\n", "\n").rstrip()
                if failure or not trial.values:
                    self._output(f"--- under {trial.name}: {failure or 'passed'}")
                    self._output(output)
        finally:
            concurrency.close()
        if not failure:
            return self._outcome("passed", trial), recorded.seen
        outcome = Outcome(
            test=shlex.join(self._command),
            result="failed",
            trial=trial.name if trial.values else "",
            values=trial.values,
            failure=failure,
            output=output[-_MAX_OUTPUT:],
            evidence=Evidence.of(recorded.seen),
            repeat=shlex.join(
                [
                    *("stepstub", "try", *self._options, "--readings", trial.argument()),
                    *("--", *self._command),
                ]
            ),
        )
        return outcome, recorded.seen

    def _outcome(self, result: Literal["passed", "skipped"], trial: Trial) -> Outcome:
        return Outcome(
            test=shlex.join(self._command),
            result=result,
            trial=trial.name if trial.values else "",
            values=trial.values,
        )

    def _failure(self, variables: Mapping[str, str], printed: IO[bytes]) -> str:
        """Run the command once; what went wrong, empty if nothing did."""
        status = killed_with_its_children(self._command, variables, printed, self._seconds)
        if status is None:
            return f"it did not end within {self._seconds:g} s: does it wait, or retry, for ever?"
        return f"exit status {status}" if status else ""


def _of_trial(trial: Trial) -> dict[str, str]:
    """The variables by which a command learns what is tried."""
    variables = {
        "STEPSTUB_READING": shlex.join(f"{name}={value}" for name, value in trial.readings.items())
    }
    if vary := trial.vary:
        variables |= {"STEPSTUB_VARY": str(vary.seed), "STEPSTUB_VARY_ONLY": " ".join(vary.only)}
    return variables
