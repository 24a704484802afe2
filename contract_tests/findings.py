"""What a run can find, and how the contract tells the document's words from our reading.

The contract is our reading of the document. Two schemas derived from it stand on both sides: the
wide one allows whatever the document's words could allow, the narrow one only what they surely do.
What offends the wide schema violates the document; what lies between is a matter of reading.
"""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from stepstub.contract import Contract
from stepstub.schema import Schema

DOCUMENT = "document"
BEYOND_THE_DOCUMENT = "reading 19"


class Severity(StrEnum):
    """A violation contradicts the document, a deviation only our reading of it."""

    VIOLATION = "violation"
    DEVIATION = "deviation"


@dataclass(frozen=True)
class Finding:
    """One difference. `rule` is `document` or `reading N`; `curl` repeats the request."""

    severity: Severity
    rule: str
    words: str
    curl: str = ""


class NotCovered(Exception):
    """A case that needs what was not given. Says what, in words."""


class CouldNotRun(Exception):
    """The run has no meaning: unreachable, a wrong token, no started step."""


def finding(rule: str, words: str, curl: str = "") -> Finding:
    """A violation where the rule is the document's, a deviation where it is a reading."""
    severity = Severity.VIOLATION if rule == DOCUMENT else Severity.DEVIATION
    return Finding(severity, rule, words, curl)


class Expectations:
    """The contract's request and responses, each as we read it and as wide as the words allow."""

    def __init__(self, contract: Contract) -> None:
        document = contract.document
        self.version = contract.version
        self.path = contract.path
        self.document = document
        (operation,) = document["paths"][contract.path].values()
        components = document["components"]
        wide, narrow = _wide(components), _narrow(components)
        request = operation["requestBody"]["content"]["application/json"]["schema"]
        self._request = Schema(request, components)
        self._wide_request = Schema(request, wide)
        self._narrow_request = Schema(request, narrow)
        self._responses = {
            int(status): (
                Schema(response["content"]["application/json"]["schema"], components),
                Schema(response["content"]["application/json"]["schema"], wide),
            )
            for status, response in operation["responses"].items()
        }
        self._beyond = contract.beyond

    @property
    def statuses(self) -> tuple[int, ...]:
        """The documented ones, in ascending order."""
        return tuple(sorted(self._responses))

    def allows(self, body: Any) -> bool:
        """Whether the contract allows a request's body; what is no JSON at all never."""
        return isinstance(body, dict) and self._request.is_valid(body)

    def must_be_accepted(self, body: Any) -> bool:
        """Whether the document's words surely allow a request's body."""
        return isinstance(body, dict) and self._narrow_request.is_valid(body)

    def must_be_refused(self, body: Any) -> bool:
        """Whether no reading of the document's words allows a request's body."""
        return not (isinstance(body, dict) and self._wide_request.is_valid(body))

    def breaches(self, status: int, value: Any) -> Iterator[tuple[str, str]]:
        """Rule and words of what is wrong with the body of a response with a status.

        One that is not documented comes in the same envelope, as reading 19 has it.
        """
        if status not in self._responses:
            for violation in self._beyond.violations(value).values():
                yield BEYOND_THE_DOCUMENT, violation.detail
            return
        read, wide = self._responses[status]
        offends_the_document = wide.violations(value)
        for field, violation in read.violations(value).items():
            rule = DOCUMENT if field in offends_the_document else "reading 1, 2 or 6"
            yield rule, violation.detail


def _wide(components: dict[str, Any]) -> dict[str, Any]:
    """The document says no more of the three than "number", "number" and "enum"."""
    wide = deepcopy(components)
    schemas = wide["schemas"]
    schemas["Param"]["properties"]["longValue"] = {"type": "number", "nullable": True}
    schemas["Param"]["properties"]["doubleValue"] = {"type": "number", "nullable": True}
    schemas["ParamType"] = {}
    schemas["Violation"] = {"type": "object"}
    return wide


def _narrow(components: dict[str, Any]) -> dict[str, Any]:
    """No null, no member the document does not show, and no type, whose members it keeps quiet."""
    narrow = deepcopy(components)
    schemas = narrow["schemas"]
    schemas["Completion"]["additionalProperties"] = False
    schemas["SubmittedParams"]["nullable"] = False
    schemas["Param"]["additionalProperties"] = False
    del schemas["Param"]["properties"]["type"]
    for field in schemas["Param"]["properties"].values():
        field["nullable"] = False
    return narrow
