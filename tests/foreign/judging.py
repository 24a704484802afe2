"""One run of the conformance suite, and its report."""

import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from stepstub.contract_tests.cases import ALL_CASES
from stepstub.contract_tests.cases.case import Case
from stepstub.contract_tests.findings import CouldNotRun
from stepstub.contract_tests.results import Report, Seen
from stepstub.contract_tests.run import Run

EXAMPLES = 3
"""How many bodies a generated case tries: few, for there are many servers to judge."""


class JumpingClock:
    """A clock on which nobody waits: it jumps instead."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds


def judged(url: str, token: str, cases: Sequence[Case] = ALL_CASES, **options: Any) -> Report:
    """What the suite reports about the server at `url`; without `cases`, what learning shows.

    `options` are those of `Run`.
    """
    clock = JumpingClock()
    options = {"examples": EXAMPLES, "clock": clock, "wait": clock.wait, **options}
    with Run(url, token, **options) as run:
        with suppress(CouldNotRun):  # the report says so
            run.open()
            run.learn()
            for case in cases:
                run.execute(case)
        run.finish()
        return run.report


def says(seen: Seen, pattern: str) -> bool:
    """Whether a cause is reported in words that match a pattern, in any case."""
    texts = [seen.cause.title, *(finding.message for finding in seen.findings)]
    return any(re.search(pattern, text, re.IGNORECASE) for text in texts)


def shown(causes: Sequence[Seen]) -> str:
    """Causes in words, for a failed assertion."""
    lines = [""]
    for seen in causes:
        lines.append(f"{seen.cause.severity} {seen.cause.key}: {seen.cause.title} {seen.cases}")
        lines += [f"    {finding.message[:300]}" for finding in seen.findings[:3]]
    return "\n".join(lines)
