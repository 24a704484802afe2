"""What was learnt about a server."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from stepstub.contract_tests.server import Response
from stepstub.readings import Value, questions


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
    def outcome(self) -> str:
        """The trouble, or else the status, in words."""
        return self.trouble or f"got {self.status}"

    @property
    def envelope(self) -> Mapping[str, object]:
        """The body, if it has the members of the document's envelope; else empty."""
        value = self.response.value if self.response and not self.trouble else None
        members = {"message", "timestamp", "data", "version"}
        return value if isinstance(value, dict) and members <= value.keys() else {}

    @property
    def completed(self) -> bool:
        """Whether it is the 200 of a completion, and not just any page with that status."""
        return self.status == 200 and isinstance(self.envelope.get("data"), dict)


@dataclass(frozen=True)
class Evidence:
    """What a value was seen by; or, where it was not seen, `why`."""

    sent: str = ""
    status: int | None = None
    excerpt: str = ""
    curl: str = ""
    why: str = ""


@dataclass(frozen=True)
class Learnt:
    """The value of each reading, None where it is unknown, and its evidence.

    `steps` is the number of steps that were completed, `requests` that of all requests.
    """

    values: Mapping[str, Value | None]
    evidence: Mapping[str, Evidence]
    steps: int
    requests: int


class Notes:
    """Collects values and evidence."""

    def __init__(self, redact: Callable[[str], str]) -> None:
        self._redact = redact
        self._values: dict[str, Value | None] = {}
        self._evidence: dict[str, Evidence] = {}

    def value(self, name: str) -> Value | None:
        """What is known so far."""
        return self._values.get(name)

    def seen(self, name: str, value: Value, exchange: Exchange) -> None:
        """Note a value and the exchange that shows it."""
        self._values[name] = value
        self._evidence[name] = self._from(exchange, "")

    def seen_alone(self, name: str, found: Mapping[Value, Exchange]) -> bool:
        """Note the one value that was found; False for none, several, or "", which is no value."""
        if len(found) != 1 or "" in found:
            return False
        ((value, exchange),) = found.items()
        self.seen(name, value, exchange)
        return True

    def unseen(self, name: str, why: str, exchange: Exchange | None = None) -> None:
        """Note that a value was not seen, and why."""
        self._values[name] = None
        self._evidence[name] = self._from(exchange, why) if exchange else Evidence(why=why)

    def learnt(self, steps: int, requests: int) -> Learnt:
        """All of it, in the order of the readings."""
        return Learnt(
            {name: self._values.get(name) for name in questions()},
            {name: self._evidence.get(name, Evidence(why="not asked")) for name in questions()},
            steps,
            requests,
        )

    def _from(self, exchange: Exchange, why: str) -> Evidence:
        response = exchange.response
        if response is None:
            return Evidence(exchange.sent, why=self._redact(why or exchange.trouble))
        return Evidence(
            exchange.sent,
            response.status,
            self._redact(response.excerpt),
            self._redact(response.curl),
            self._redact(why),
        )
