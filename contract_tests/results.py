"""The results of a run, and the verdict that they add up to."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum, StrEnum

from stepstub.contract_tests.cases.case import Case
from stepstub.contract_tests.findings import Finding, Severity


class Exit(IntEnum):
    """The exit statuses of `stepstub verify`."""

    CONFORMS = 0
    VIOLATES = 1
    COULD_NOT_RUN = 2


class Outcome(StrEnum):
    """What became of a case."""

    COVERED = "covered"
    DEVIATES = "deviates"
    FAILED = "failed"
    NOT_COVERED = "not covered"


@dataclass(frozen=True)
class Result:
    """One case and what was found. `why` says what was missing, if anything was."""

    case: Case
    findings: tuple[Finding, ...] = ()
    why: str = ""
    seconds: float = 0.0

    @property
    def outcome(self) -> Outcome:
        """The worst of what was found; not covered only where nothing was found."""
        severities = {found.severity for found in self.findings}
        if Severity.VIOLATION in severities:
            return Outcome.FAILED
        if severities:
            return Outcome.DEVIATES
        return Outcome.NOT_COVERED if self.why else Outcome.COVERED


@dataclass
class Report:
    """The results of one run against the server at `url`.

    The run fails on violations, with `strict` on deviations as well, and when one of the statuses
    in `require` has not been covered. `statuses` are the documented ones.
    """

    url: str
    seed: int
    statuses: tuple[int, ...]
    strict: bool = False
    require: tuple[int, ...] = ()
    began: datetime = field(default_factory=lambda: datetime.now(UTC))
    results: list[Result] = field(default_factory=list)

    def fails(self, result: Result) -> bool:
        """Whether a result makes the run fail."""
        return result.outcome is Outcome.FAILED or (
            self.strict and result.outcome is Outcome.DEVIATES
        )

    @property
    def by_status(self) -> list[Result]:
        """The results in ascending order of the cases' statuses."""
        return sorted(self.results, key=lambda result: result.case.status)

    @property
    def missing(self) -> list[int]:
        """The required statuses that no case has covered."""
        seen = {
            result.case.status
            for result in self.results
            if result.outcome in (Outcome.COVERED, Outcome.DEVIATES)
        }
        return [status for status in self.require if status not in seen]

    @property
    def exit(self) -> Exit:
        """The exit status of the run."""
        failed = self.missing or any(self.fails(result) for result in self.results)
        return Exit.VIOLATES if failed else Exit.CONFORMS

    @property
    def counts(self) -> dict[Outcome, int]:
        """The number of cases with each outcome."""
        counts = dict.fromkeys(Outcome, 0)
        for result in self.results:
            counts[result.outcome] += 1
        return counts

    @property
    def verdict(self) -> str:
        """One line: whether the server conforms, and the number of cases with each outcome."""
        parts = [f"{count} {outcome}" for outcome, count in self.counts.items() if count]
        if self.missing:
            parts.append(f"required but not covered: {', '.join(map(str, self.missing))}")
        verb = "conforms" if self.exit is Exit.CONFORMS else "violates the contract"
        return f"{self.url} {verb}: {'; '.join(parts)} (--seed {self.seed})"
