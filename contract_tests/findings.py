"""What a run can find: violations of the document and deviations from our reading of it."""

from dataclasses import dataclass
from enum import StrEnum

DOCUMENT = "document"
UNDOCUMENTED = "reading 19"
"""The rule of every response whose status the document does not have."""

Problem = tuple[str, str]
"""The rule that a response breaks, and a message that says how."""


class Severity(StrEnum):
    """A violation contradicts the document, a deviation only our reading of it."""

    VIOLATION = "violation"
    DEVIATION = "deviation"


@dataclass(frozen=True)
class Finding:
    """One problem. `rule` is `document` or `reading N`; `curl` repeats the request."""

    severity: Severity
    rule: str
    message: str
    curl: str = ""


class NotCovered(Exception):
    """A case needs something that was not given. The message says what."""


class CouldNotRun(Exception):
    """The run is meaningless: server unreachable, token refused, no STARTED step."""


def finding(rule: str, message: str, curl: str = "") -> Finding:
    """A violation where the rule is the document's, a deviation where it is a reading."""
    severity = Severity.VIOLATION if rule == DOCUMENT else Severity.DEVIATION
    return Finding(severity, rule, message, curl)
