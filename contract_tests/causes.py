"""The causes that several parts of the suite find, each made in one way."""

import re

from stepstub.contract_tests.findings import Cause, Severity
from stepstub.contract_tests.needs import Need
from stepstub.readings import Value, questions


def violation(key: str, title: str, rule: str) -> Cause:
    """A cause that contradicts the document; `rule` is what the document says."""
    return Cause(Severity.VIOLATION, key, title, rule)


def inconsistency(name: str, expected: Value | None = None) -> Cause:
    """A reading that differs within one run; `expected` is its value in the other responses."""
    question = questions()[name]
    meaning = question.meanings.get(expected) if expected is not None else None
    first = f" Seen on this server before: {expected}{f' ({meaning})' if meaning else ''}."
    return Cause(
        Severity.INCONSISTENCY,
        f"two-ways-{name}",
        f"{name} changes from one request to the next",
        f"{question.text} The document does not say, so any one behaviour is fine; but a client"
        f" cannot cope with several.{'' if expected is None else first}",
        name,
    )


STARTED = Need.STARTED.value
NAMED = Need.NAMED.value
BAD_BODY = "a bad body"
"""Topics: what situations that share their causes have in common."""


def not_as_documented(topic: str, status: int, says: str) -> Cause:
    """A situation that the document describes, with another status than `status`."""
    title = f"{capitalised(topic)} does not get {status}"
    return violation(f"status-{slug(topic)}", title, says)


REFUSED_BUT_CHANGED = Cause(
    Severity.VIOLATION,
    "refused-but-changed",
    "A refused request changes the step",
    "The document has a status for a completion, 200, and others for refusals: a step that was"
    " refused is as it was.",
    loses_work=True,
)

COMPLETED_TWICE = Cause(
    Severity.VIOLATION,
    "completed-twice",
    "A step is completed twice",
    "A 200 means that the step is changed to COMPLETED and the next step is started, and neither"
    " can happen twice.",
    loses_work=True,
)


def capitalised(text: str) -> str:
    """`a STARTED step` as `A STARTED step`: only the first letter changes."""
    return text[:1].upper() + text[1:]


def slug(text: str) -> str:
    """`data.processId` as `data-processid`."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
