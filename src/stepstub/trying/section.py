"""The end of a run as text: which readings were survived, which broke something, and why."""

import textwrap
from collections.abc import Iterator, Sequence

from stepstub.readings import Value, questions
from stepstub.schema import printable
from stepstub.trying.choice import VARIATION
from stepstub.trying.outcomes import Broken, Outcome, Sent, Summary
from stepstub.variations import KINDS

TITLE = "stepstub: other readings"

_WIDTH = 100
_MAX_TESTS = 5  # that are named for one trial


def lines(summary: Summary, what: str = "test") -> Iterator[str]:
    """The section line by line. `what` is what was tried: a test, or the command."""
    tried = summary.survived or summary.unnoticed or summary.broken
    if not tried and not summary.tests:
        yield (
            f"There was no {what} to try: none has the fixture stepstub or stepstub_sandbox as an"
            " argument."
        )
        return
    if not tried and not summary.failed_by_default:
        yield f"There was nothing to try: each {what} decides that by its marker."
        return
    if summary.interrupted:
        yield "Interrupted: the rest was not tried."
    yield from _named("survived", summary.survived)
    yield from _named(f"noticed by no {what}", summary.unnoticed)
    if summary.failed_by_default:
        yield from _wrapped(
            "Failed under the default readings already, and so not tried: "
            + ", ".join(summary.failed_by_default)
        )
    yield f"{len(summary.broken)} broke a {what}{':' if summary.broken else '.'}"
    for broken in summary.broken:
        yield ""
        yield from _of(broken)


def _named(label: str, trials: Sequence[str]) -> Iterator[str]:
    """How many there are, and which, unless they have dozens of values each."""
    if trials:
        names = "" if any(trial.count(",") > 1 for trial in trials) else f": {'; '.join(trials)}"
        yield from _wrapped(f"{len(trials)} {label}{names}")


def _of(broken: Broken) -> Iterator[str]:
    yield broken.trial
    if len(broken.values) > 1:
        yield "  Most likely because of:"
    for name in broken.readings:
        yield from _wrapped(meaning(name, broken.values[name]), 2)
    for outcome in broken.tests[:_MAX_TESTS]:
        yield from _failed(outcome)
    if (more := len(broken.tests) - _MAX_TESTS) > 0:
        yield f"  and {more} more"
    for paragraph in broken.advice:
        yield from _wrapped(f"To be safe: {paragraph}", 2)
    yield f"  Repeat: {broken.tests[0].repeat}"


def meaning(name: str, value: Value) -> str:
    """What one value of a trial means, in a line."""
    if name == VARIATION:
        return f"A variation: {KINDS[str(value)].meaning}."
    question = questions()[name]
    meant = question.meanings.get(value, "")
    return f"{question.number}. {question.text} {value}{f': {meant}' if meant else ''}"


def _failed(outcome: Outcome) -> Iterator[str]:
    yield f"  {outcome.test}"
    if outcome.failure:
        yield f"    {printable(outcome.failure)}"
    if outcome.unexpected:
        yield from _exchange(outcome.unexpected)


def _exchange(sent: Sent) -> Iterator[str]:
    yield f"    it sent      {printable(f'{sent.request} {sent.body}')}"
    received = "no response" if sent.status is None else f"{sent.status} {sent.response}"
    yield f"    and received {printable(received)}"
    if sent.variations:
        yield f"    varied in    {', '.join(sent.variations)}"


def _wrapped(text: str, indent: int = 0) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + 2),
        break_long_words=False,
        break_on_hyphens=False,
    )
