"""The results of a run, and the verdict that they add up to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum, StrEnum

from stepstub.contract_tests.cases.case import Case
from stepstub.contract_tests.findings import Cause, Finding, Severity
from stepstub.contract_tests.probes.learnt import Learnt
from stepstub.contract_tests.transport import Trouble
from stepstub.profiles import Accepted
from stepstub.readings import Value

LEARNING = "learning"
"""The name that a cause has for what the probes saw, in place of a case's."""


class Exit(IntEnum):
    """The exit statuses of `stepstub verify`."""

    CONFORMS = 0
    VIOLATES = 1
    COULD_NOT_RUN = 2
    DRIFTED = 3


class Outcome(StrEnum):
    """What became of a case."""

    COVERED = "covered"
    FAILED = "failed"
    NOT_COVERED = "not covered"


@dataclass(frozen=True)
class Result:
    """One case and what was found. `why` says what was missing, if anything was.

    `statuses` are those of the responses to the case's requests, with their number.
    """

    case: Case
    findings: tuple[Finding, ...] = ()
    why: str = ""
    seconds: float = 0.0
    statuses: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Seen:
    """A cause with everything that it was seen in.

    `exchanges` is the number of responses that show it, `cases` the names of the cases they belong
    to (`LEARNING` for the probes). `findings` differ in their messages, the shortest curl line of
    each kept. `accepted` is the entry of a profile that accepts the cause until a day.
    """

    cause: Cause
    findings: tuple[Finding, ...]
    exchanges: int
    cases: tuple[str, ...]
    accepted: Accepted | None = None

    @property
    def repeatable(self) -> Finding:
        """The finding whose request is the shortest to repeat."""
        return min(self.findings, key=lambda one: (not one.curl, len(one.curl)))


@dataclass(frozen=True)
class Drift:
    """A reading that is not what an earlier profile says. None stands for unknown."""

    reading: str
    before: Value | None
    now: Value | None

    @property
    def changed(self) -> bool:
        """Whether both are known; only then has the server changed."""
        return self.before is not None and self.now is not None


@dataclass
class Report:
    """The results of one run against the server at `url`.

    `asked` are the readings that were asked for by the profile named `asked_name`, none where the
    server may read as it likes. `require` lists statuses that must be covered; `statuses` are the
    documented ones. `unfinished` says why the run ended before its end.
    """

    url: str
    seed: int
    examples: int
    statuses: tuple[int, ...]
    asked_name: str = ""
    asked: Mapping[str, Value] = field(default_factory=dict)
    require: tuple[int, ...] = ()
    began: datetime = field(default_factory=lambda: datetime.now(UTC))
    learnt: Learnt | None = None
    results: list[Result] = field(default_factory=list)
    trouble: list[Trouble] = field(default_factory=list)
    accepted: Sequence[Accepted] = ()
    drift: Sequence[Drift] = ()
    unfinished: str = ""
    requests: int = 0
    steps: int = 0

    @property
    def causes(self) -> list[Seen]:
        """Everything that was found, one entry for each cause: the worst first, then the most seen.

        What the probes found while they learnt belongs to the case `LEARNING`.
        """
        found: dict[str, list[tuple[str, Finding]]] = {}
        for result in self.results:
            for one in result.findings:
                found.setdefault(one.cause.key, []).append((result.case.name, one))
        if self.learnt is not None:
            for one in self.learnt.findings:
                found.setdefault(one.cause.key, []).append((LEARNING, one))
        accepted = self._accepted
        seen = [_seen(each, accepted.get(key)) for key, each in found.items()]
        return sorted(seen, key=_badness)

    @property
    def _accepted(self) -> dict[str, Accepted]:
        """The entries that have not expired, by the keys of the causes they accept."""
        return {each.cause: each for each in self.accepted if not each.has_expired(self.began)}

    def fails(self, found: Seen | Finding) -> bool:
        """Whether a cause makes the run fail: all but notes do, unless they are accepted."""
        return found.cause.severity is not Severity.NOTE and found.cause.key not in self._accepted

    def outcome(self, result: Result) -> Outcome:
        """What became of a case: failed where a cause that makes the run fail was seen in it."""
        if any(map(self.fails, result.findings)):
            return Outcome.FAILED
        return Outcome.NOT_COVERED if result.why else Outcome.COVERED

    @property
    def missing(self) -> list[int]:
        """The required statuses that no case has covered."""
        seen = {
            result.case.status for result in self.results if self.outcome(result) is Outcome.COVERED
        }
        return [status for status in self.require if status not in seen]

    @property
    def exit(self) -> Exit:
        """The exit status of the run."""
        if self.unfinished:
            return Exit.COULD_NOT_RUN
        if self.missing or self.to_fix:
            return Exit.VIOLATES
        return Exit.DRIFTED if any(each.changed for each in self.drift) else Exit.CONFORMS

    @property
    def to_fix(self) -> list[Seen]:
        """The causes that make the run fail."""
        return [each for each in self.causes if self.fails(each)]

    @property
    def counts(self) -> dict[Outcome, int]:
        """How many cases have each outcome."""
        outcomes = [self.outcome(result) for result in self.results]
        return {outcome: outcomes.count(outcome) for outcome in Outcome}

    @property
    def readings_seen(self) -> int:
        """How many of the readings were seen."""
        values = self.learnt.values.values() if self.learnt is not None else ()
        return sum(value is not None for value in values)

    @property
    def verdict(self) -> str:
        """What the run says about the server, in one sentence."""
        match self.exit:
            case Exit.COULD_NOT_RUN:
                text = f"The server could not be checked: {self.unfinished.rstrip('.')}"
                found = plural(len(self.to_fix), "cause")
                return f"{text}; {found} to fix found by then." if self.to_fix else f"{text}."
            case Exit.VIOLATES:
                return f"{self._why_it_fails()}."
            case Exit.DRIFTED:
                changed = plural(sum(each.changed for each in self.drift), "reading")
                apart = self._apart_from_accepted()
                return (
                    f"The server conforms{apart}, but {changed} changed since the earlier profile."
                )
            case _:
                return f"{self._what_conforms()}."

    def _why_it_fails(self) -> str:
        severities = [each.cause.severity for each in self.to_fix]
        parts = [
            plural(severities.count(severity), _IN_WORDS[severity])
            for severity in Severity
            if severity in severities
        ]
        if set(severities) == {Severity.DEVIATION}:
            asked = f"as asked ({self.asked_name})" if self.asked_name else "as asked"
            text = f"The server does not read the document {asked}: {parts[0]}"
        elif parts:
            text = f"The server does not conform: {_listed(parts)}"
        else:
            text = "The server is not shown to conform"
        if self.missing:
            statuses = ", ".join(map(str, self.missing))
            text += f"{'; ' if parts else ': '}required but not covered: {statuses}"
        return text

    def _what_conforms(self) -> str:
        covered, left = self.counts[Outcome.COVERED], self.counts[Outcome.NOT_COVERED]
        if not covered:
            return "Nothing was judged: the server was not tested in any situation"
        where = (
            plural(covered, "situation") if left or covered == 1 else f"all {covered} situations"
        )
        text = f"The server conforms in {where}{self._apart_from_accepted()}"
        return f"{text}; {left} could not be tested" if left else text

    def _apart_from_accepted(self) -> str:
        accepted = sum(each.accepted is not None for each in self.causes)
        return f", apart from {plural(accepted, 'accepted cause')}" if accepted else ""


_IN_WORDS = {
    Severity.VIOLATION: "violation of the document",
    Severity.INCONSISTENCY: "inconsistency",
    Severity.DEVIATION: "deviation",
    Severity.NOTE: "note",
}


def _listed(parts: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`"""
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last


def plural(number: int, thing: str) -> str:
    """`1 cause`, `2 causes`, `2 violations of the document`, `2 inconsistencies`."""
    if number == 1:
        return f"1 {thing}"
    noun, of, rest = thing.partition(" of ")
    plural_noun = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number} {plural_noun}{of}{rest}"


def _badness(seen: Seen) -> tuple[int, bool, int]:
    """Sorts causes, the worst first."""
    order = list(Severity)
    return order.index(seen.cause.severity), not seen.cause.loses_work, -seen.exchanges


def _seen(found: Sequence[tuple[str, Finding]], accepted: Accepted | None) -> Seen:
    shortest: dict[str, Finding] = {}
    for _, one in found:
        kept = shortest.get(one.message)
        if kept is None or len(one.curl) < len(kept.curl):
            shortest[one.message] = one
    return Seen(
        cause=found[0][1].cause,
        findings=tuple(shortest.values()),
        exchanges=len(found),
        cases=tuple(dict.fromkeys(name for name, _ in found)),
        accepted=accepted,
    )
