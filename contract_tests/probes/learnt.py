"""What was learnt about a server."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from stepstub.contract_tests.causes import inconsistency
from stepstub.contract_tests.findings import Cause, Finding
from stepstub.contract_tests.forms import envelope as envelope_of
from stepstub.contract_tests.probes.remedies import REMEDIES
from stepstub.contract_tests.response import Response
from stepstub.readings import Value, alternatives, questions
from stepstub.schema import shorten

_EXCERPT = 200  # characters of a body that are evidence enough


@dataclass(frozen=True)
class Exchange:
    """A request in words, and the response; `trouble` says why there is none that counts."""

    sent: str
    response: Response | None
    trouble: str = ""

    @property
    def status(self) -> int | None:
        """The status; None where the response says nothing about readings."""
        return None if self.response is None or self.trouble else self.response.status

    @property
    def is_repeated(self) -> bool:
        """Whether an earlier attempt of the request may have reached the server."""
        return self.response is not None and self.response.repeated

    @property
    def outcome(self) -> str:
        """The trouble, or else the status, in words."""
        return self.trouble or f"got {self.status}"

    @property
    def envelope(self) -> Mapping[str, object]:
        """The body, if it has the members of the document's envelope; else empty."""
        return envelope_of(self.response.value) if self.response and not self.trouble else {}

    @property
    def excerpt(self) -> str:
        """The beginning of the response's body; empty where there is no response."""
        return self.response.excerpt if self.response else ""

    @property
    def completed(self) -> bool:
        """Whether it is the 200 of a completion, and not just any page with that status."""
        return self.status == 200 and isinstance(self.envelope.get("data"), dict)


@dataclass(frozen=True)
class Evidence:
    """What a value was seen by; or, where it was not seen, `why`.

    `remedy` is what would make it seen; empty where it was, and where nothing would.
    """

    sent: str = ""
    status: int | None = None
    excerpt: str = ""
    curl: str = ""
    why: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class Learnt:
    """The value of each reading, None where it is unknown, and its evidence.

    `steps` is the number of steps that were completed, `requests` that of all requests. `findings`
    are what is wrong with the responses, whatever the readings are. `completions` are the steps
    that were completed, in their order, each with the 200. `unfinished` says why learning ended
    early, if it did; what was not seen until then is unknown.
    """

    values: Mapping[str, Value | None]
    evidence: Mapping[str, Evidence]
    steps: int
    requests: int
    findings: Sequence[Finding] = ()
    completions: Sequence[tuple[str, Response]] = ()
    unfinished: str = ""

    @property
    def seen(self) -> Mapping[str, Value]:
        """The values that are known."""
        return {name: value for name, value in self.values.items() if value is not None}


class Notes:
    """Collects values and evidence.

    `redact` removes secrets from a text. `unfinished` tells, at any time, why learning ended early;
    it says nothing as long as learning goes on.
    """

    def __init__(self, redact: Callable[[str], str], unfinished: Callable[[], str]) -> None:
        self._redact = redact
        self._unfinished = unfinished
        self._values: dict[str, Value | None] = {}
        self._evidence: dict[str, Evidence] = {}
        self._findings: list[Finding] = []

    def value(self, name: str) -> Value | None:
        """What is known so far."""
        return self._values.get(name)

    def seen(self, name: str, value: Value, exchange: Exchange) -> None:
        """Note a value and the exchange that shows it; a text with a secret in it stays unknown."""
        if not alternatives(name) and self._redact(str(value)) != value:
            self.unseen(name, "the text contains a secret", exchange)
            return
        self._values[name] = value
        self._evidence[name] = self._from(exchange, "")

    def found(self, cause: Cause, message: str, exchange: Exchange) -> None:
        """Note a cause that an exchange shows, whatever the readings are."""
        response = exchange.response
        found = response.shows(cause, message) if response else Finding(cause, message)
        self._findings.append(found)

    def in_two_ways(self, name: str, why: str, exchange: Exchange) -> None:
        """Note that the server reads a question in two ways, so that neither is its value."""
        self.unseen(name, f"in two ways: {why}", exchange)
        self.found(inconsistency(name), why, exchange)

    def seen_alone(self, name: str, found: Mapping[Value, Exchange]) -> bool:
        """Note the one value that was found; False for none, several, or "", which is no value."""
        if len(found) != 1 or "" in found:
            return False
        ((value, exchange),) = found.items()
        self.seen(name, value, exchange)
        return True

    def unseen(self, name: str, why: str, exchange: Exchange | None = None) -> None:
        """Note that a value was not seen, and why."""
        unfinished = self._unfinished()
        if unfinished not in why:
            why = f"{why}; learning ended early: {unfinished}"
        self._values[name] = None
        self._evidence[name] = self._from(exchange, why)

    def learnt(
        self, exchanges: Sequence[Exchange], completions: Sequence[tuple[str, Response]]
    ) -> Learnt:
        """All of it, in the order of the readings."""
        found = [one for each in exchanges if each.response for one in each.response.findings]
        return Learnt(
            {name: self._values.get(name) for name in questions()},
            {name: self._evidence_of(name) for name in questions()},
            len(completions),
            len(exchanges),
            [one.redacted(self._redact) for one in (*self._findings, *found)],
            completions,
            self._redact(self._unfinished()),
        )

    def _evidence_of(self, name: str) -> Evidence:
        evidence = self._evidence.get(name, Evidence(why="not asked"))
        return replace(evidence, remedy=REMEDIES[name]) if evidence.why else evidence

    def _from(self, exchange: Exchange | None, why: str) -> Evidence:
        if exchange is None or exchange.response is None:
            return Evidence(exchange.sent if exchange else "", why=self._redact(why))
        response = exchange.response
        return Evidence(
            exchange.sent,
            response.status,
            # A secret goes before the text is cut, which could leave a part of it.
            shorten(self._redact(response.body.decode(errors="replace")), _EXCERPT),
            self._redact(response.curl),
            self._redact(why),
        )
