"""What the contract lets a server do, with the document's words told apart from our reading.

The contract is our reading of the document. Two more schemas are derived from it: the wide one
allows whatever the document's words could allow, the narrow one only what they certainly allow.
Breaking the wide schema violates the document; anything between the two is a matter of reading.
"""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from stepstub.contract import Contract
from stepstub.contract_tests.findings import DOCUMENT, UNDOCUMENTED, Problem
from stepstub.schema import Schema


class Expectations:
    """The contract's request and responses: as we read them, at their widest and narrowest."""

    def __init__(self, contract: Contract) -> None:
        document = contract.document
        self.path = contract.path
        self.document = document
        (operation,) = document["paths"][contract.path].values()
        components = contract.components
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
        _, self._undocumented = contract.undocumented

    @property
    def statuses(self) -> tuple[int, ...]:
        """The documented statuses in ascending order."""
        return tuple(sorted(self._responses))

    def allows(self, body: Any) -> bool:
        """Whether the contract allows a parsed request body; only an object can be allowed."""
        return isinstance(body, dict) and self._request.is_valid(body)

    def must_be_accepted(self, body: Any) -> bool:
        """Whether the document's words certainly allow a request body."""
        return isinstance(body, dict) and self._narrow_request.is_valid(body)

    def must_be_refused(self, body: Any) -> bool:
        """Whether no reading of the document's words allows a request body."""
        return not (isinstance(body, dict) and self._wide_request.is_valid(body))

    def breaches(self, status: int, value: Any) -> Iterator[Problem]:
        """Everything wrong with the parsed body of a response.

        A response with an undocumented status has the same envelope, according to reading 19.
        """
        if status not in self._responses:
            for breach in self._undocumented.violations(value).values():
                yield UNDOCUMENTED, breach.detail
            return
        ours, wide = self._responses[status]
        violates_document = wide.violations(value)
        for field, breach in ours.violations(value).items():
            rule = DOCUMENT if field in violates_document else "reading 1, 2 or 6"
            yield rule, breach.detail


def _wide(components: dict[str, Any]) -> dict[str, Any]:
    """All that the document says of these three is "number", "number" and "enum"."""
    wide = deepcopy(components)
    schemas = wide["schemas"]
    for name in ("SubmittedParam", "Param"):
        for value in ("longValue", "doubleValue"):
            schemas[name]["properties"][value] = {"type": "number", "nullable": True}
        schemas[f"{name}Type"] = {}
    schemas["Violation"] = {"type": "object"}
    return wide


def _narrow(components: dict[str, Any]) -> dict[str, Any]:
    """No null, no member that the document does not show, no type (its values are not listed)."""
    narrow = deepcopy(components)
    schemas = narrow["schemas"]
    schemas["Completion"]["additionalProperties"] = False
    schemas["SubmittedParams"]["nullable"] = False
    schemas["SubmittedParam"]["additionalProperties"] = False
    del schemas["SubmittedParam"]["properties"]["type"]
    for field in schemas["SubmittedParam"]["properties"].values():
        field["nullable"] = False
    return narrow
