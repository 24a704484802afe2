"""What a report says, in the order and the groups in which every form of it says so."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from stepstub import advice
from stepstub.contract_tests.findings import Cause, Severity
from stepstub.contract_tests.probes.learnt import Evidence
from stepstub.contract_tests.rendering import unseen
from stepstub.contract_tests.rendering.unseen import Gap
from stepstub.contract_tests.results import Outcome, Report, Result, Seen
from stepstub.contract_tests.transport import Trouble, TroubleKind
from stepstub.profiles import Accepted
from stepstub.readings import DEFAULT, Question, Value, as_mapping, questions

SEVERITIES = {
    Severity.VIOLATION: "the server contradicts the document's own words",
    Severity.INCONSISTENCY: "the server decides one open question in two ways",
    Severity.DEVIATION: "the server decides an open question otherwise than was asked for",
    Severity.NOTE: "nothing that has to be fixed, but a client's developer may want to know it",
}
"""What each severity means."""

OUTCOMES = {
    Outcome.COVERED: "the server was in the situation, and every response was right",
    Outcome.FAILED: "a cause to fix was seen in it",
    Outcome.NOT_COVERED: "something was missing to bring the server into the situation",
}
"""What each outcome of a situation means."""


@dataclass(frozen=True)
class Situation:
    """One case, what became of it, and the causes that were seen in it."""

    result: Result
    outcome: Outcome
    causes: Sequence[Cause]


@dataclass(frozen=True)
class Row:
    """One reading: the value that was learnt, None where it is unknown, and what to compare it to.

    `asked` is None where nothing was asked for. `advice` is for those who write clients, in
    Markdown; readings of one number share it.
    """

    name: str
    question: Question
    value: Value | None
    evidence: Evidence
    ours: Value
    asked: Value | None
    advice: str

    @property
    def differs(self) -> bool:
        """Whether the server is known to read this otherwise than we do."""
        return self.value is not None and self.value != self.ours

    @property
    def deviates(self) -> bool:
        """Whether the server is known to read this otherwise than was asked for."""
        return None not in (self.value, self.asked) and self.value != self.asked

    @property
    def would_show(self) -> tuple[str, ...]:
        """The options that would show it where it is unknown."""
        return () if self.value is not None else unseen.options_for(self.name, self.evidence.why)

    @property
    def meaning(self) -> str:
        """What the value means; empty where that is any text, or unknown."""
        return "" if self.value is None else self.question.meanings.get(self.value, "")


@dataclass(frozen=True)
class Acceptance:
    """An entry of a profile that accepts a cause, and whether that cause was seen at all."""

    entry: Accepted
    expired: bool
    seen: bool


class Facts:
    """Everything that can be said of a report, worked out once."""

    def __init__(self, report: Report) -> None:
        self.report = report

    @cached_property
    def causes(self) -> Sequence[Seen]:
        """All causes, the worst first."""
        return self.report.causes

    @property
    def to_fix(self) -> list[Seen]:
        """Those that make the run fail."""
        return self.report.to_fix

    @property
    def accepted(self) -> list[Seen]:
        """Those that a profile accepts."""
        return [each for each in self.causes if each.accepted is not None]

    @property
    def notes(self) -> list[Seen]:
        """Those that never make a run fail."""
        return [
            each for each in self.causes if not self.report.fails(each) and each.accepted is None
        ]

    @cached_property
    def acceptances(self) -> Sequence[Acceptance]:
        """The entries that accept causes, as the profile lists them."""
        seen = {each.cause.key for each in self.causes}
        return [
            Acceptance(each, each.has_expired(self.report.began), each.cause in seen)
            for each in self.report.accepted
        ]

    @property
    def stale(self) -> list[Acceptance]:
        """The entries that accept nothing: their day is over, or their cause was not seen."""
        return [each for each in self.acceptances if each.expired or not each.seen]

    @cached_property
    def situations(self) -> Sequence[Situation]:
        """Every case that was run, in ascending order of the statuses."""
        by_status = sorted(self.report.results, key=lambda result: result.case.status)
        return [
            Situation(
                result,
                self.report.outcome(result),
                tuple({one.cause.key: one.cause for one in result.findings}.values()),
            )
            for result in by_status
        ]

    @cached_property
    def by_status(self) -> dict[int, list[Situation]]:
        """The situations by the status that they lead to; every documented one is there."""
        found: dict[int, list[Situation]] = {status: [] for status in self.report.statuses}
        for each in self.situations:
            found.setdefault(each.result.case.status, []).append(each)
        return dict(sorted(found.items()))

    @cached_property
    def readings(self) -> Sequence[Row]:
        """A row for each reading; none where nothing was learnt."""
        learnt, ours = self.report.learnt, as_mapping(DEFAULT)
        if learnt is None:
            return []
        return [
            Row(
                name,
                question,
                learnt.values.get(name),
                learnt.evidence.get(name, Evidence()),
                ours[name],
                self.report.asked.get(name),
                advice.by_number()[question.number],
            )
            for name, question in questions().items()
        ]

    @property
    def by_number(self) -> dict[int, list[Row]]:
        """The rows by the number of their question."""
        found: dict[int, list[Row]] = {}
        for row in self.readings:
            found.setdefault(row.question.number, []).append(row)
        return found

    @cached_property
    def gaps(self) -> Sequence[Gap]:
        """What was not seen, by what would show it."""
        readings = [(each.name, each.evidence.why) for each in self.readings if each.value is None]
        lacking = [each.result for each in self.situations if each.result.why]
        return unseen.gaps(readings, lacking)

    @property
    def trouble(self) -> dict[TroubleKind, list[Trouble]]:
        """Transport trouble by its kind, the most frequent first."""
        found: dict[TroubleKind, list[Trouble]] = {}
        for each in self.report.trouble:
            found.setdefault(each.kind, []).append(each)
        return dict(sorted(found.items(), key=lambda item: -len(item[1])))
