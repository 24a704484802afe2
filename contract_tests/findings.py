"""What a run can find, each with its cause, so that one cause is reported once."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Self


class Severity(StrEnum):
    """How bad a cause is, the worst first; the meaning of each is in `docs/verify.md`."""

    VIOLATION = "violation"
    INCONSISTENCY = "inconsistency"
    DEVIATION = "deviation"
    NOTE = "note"


@dataclass(frozen=True)
class Cause:
    """Why responses are not as expected, however many they are.

    `key` is stable: an anchor in the report, and what an accepted violation refers to. `rule` says
    what the document or the reading has to say about it. `reading` is the name of the reading that
    the cause is about, empty where it is about none. `loses_work` says that a step is not what its
    responses have told: nothing is worse.
    """

    severity: Severity
    key: str
    title: str
    rule: str
    reading: str = ""
    loses_work: bool = False


@dataclass(frozen=True)
class Finding:
    """A cause as it was seen in one response. `curl` repeats the request."""

    cause: Cause
    message: str
    curl: str = ""
    excerpt: str = ""

    def redacted(self, redact: Callable[[str], str]) -> Self:
        """The finding with the secrets removed from whatever a server may have sent."""
        return replace(
            self,
            message=redact(self.message),
            curl=redact(self.curl),
            excerpt=redact(self.excerpt),
        )


class NotCovered(Exception):
    """A case needs something that was not given. The message says what, and what would help."""


class CouldNotRun(Exception):
    """The run is meaningless: server unreachable, token refused, the seed command fails."""


class ServerGone(CouldNotRun):
    """One request after the other met trouble that did not pass, so the run ends here."""
