"""What a server may do: by the document's words, and by its readings as far as they are known."""

import json
import re
from collections.abc import Mapping
from copy import deepcopy
from types import MappingProxyType
from typing import Any

import msgspec

from stepstub import contract
from stepstub.clock import TimestampForm
from stepstub.contract import Contract
from stepstub.errors import BodyRefused, Violation
from stepstub.params import ParamsReader
from stepstub.readings import DEFAULT, Value, alternatives, with_values
from stepstub.schema import Schema

REFUSALS = (400, 412, 422)
"""The statuses with which servers refuse a body."""

UNAUTHORISED = 401
"""The status of a request whose credentials are refused."""

_EXTREMES: Mapping[str, tuple[Value, Value]] = {
    "type-names": ("exact", "any"),
    "long-fraction": ("refuse", "keep"),
    "long-range": ("int64", "unbounded"),
    "text-for-number": ("refuse", "read"),
    "unknown-members": ("refuse", "ignore"),
    "type-agreement": ("required", "free"),
    "params-missing": ("refuse", "empty"),
    "params-null": ("refuse", "empty"),
    "null-fields": ("refuse", "accept"),
    "null-param": ("refuse", "accept"),
    "empty-step-id": ("bad-body", "unknown"),
}
"""The values under which the fewest and the most bodies are accepted."""

_STRICTEST = {name: strictest for name, (strictest, _) in _EXTREMES.items()}
_LAXEST = {name: laxest for name, (_, laxest) in _EXTREMES.items()}

_PLAIN_NUMBERS = {
    "longValue": re.compile(r"-?\d+"),
    "doubleValue": re.compile(r"-?\d+(\.\d+)?"),
}
_RFC_3339 = r"^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$"


class Expectations:
    """What is known of a server's readings, and what follows for its responses.

    `known` has a value or None for a reading; one that is missing is not known either. `strict`
    says that the server is held to our contract as a whole: a difference that no reading names is a
    deviation then.
    """

    def __init__(
        self, known: Mapping[str, Value | None] = MappingProxyType({}), *, strict: bool = False
    ) -> None:
        base = contract.load()
        self.strict = strict
        self.path = base.path
        self._known = {name: value for name, value in known.items() if value is not None}
        (operation,) = base.document["paths"][base.path].values()
        self._says = {
            int(status): str(response["description"]).strip()
            for status, response in operation["responses"].items()
        }
        wide = _wide(base.components)
        self._documented = {
            status: Schema(
                operation["responses"][str(status)]["content"]["application/json"]["schema"], wide
            )
            for status in self._says
        }
        self._strict = self._contract({**_STRICTEST, **self._known})
        self._lax = self._contract({**_LAXEST, **self._known})

    @property
    def statuses(self) -> tuple[int, ...]:
        """The documented statuses in ascending order."""
        return tuple(sorted(self._says))

    def value(self, name: str) -> Value | None:
        """How the server reads a question; None where that is not known."""
        return self._known.get(name)

    @property
    def timestamp(self) -> TimestampForm | None:
        """The form of the timestamps; None where a reading that decides it is not known."""
        is_known = {"timestamp", "timestamp-zone"} <= self._known.keys()
        return self._lax.timestamp if is_known else None

    def says(self, status: int) -> str:
        """What the document says of a status, as a sentence."""
        return f"A {status} means: {self._says[status]}"

    def breaches(self, status: int, value: Any) -> dict[str, Violation]:
        """What in the parsed body of a documented response contradicts the document, by field."""
        return self._documented[status].violations(value)

    def differences(self, status: int, value: Any) -> dict[str, Violation]:
        """What in a documented response differs from the contract as the known readings have it.

        Fields that an unknown reading may shape are not looked at.
        """
        return self._lax.responses[status].violations(value)

    @property
    def accepted_document(self) -> dict[str, Any]:
        """The contract whose bodies the server accepts, whatever its unknown readings are."""
        return self._strict.document

    @property
    def possible_document(self) -> dict[str, Any]:
        """The contract outside of which no body is accepted, whatever the unknown readings are."""
        return self._lax.document

    def must_accept(self, body: Any) -> bool:
        """Whether a parsed body is accepted under the known readings, whatever the others are.

        A text that reads as a number out of range is not, which no schema can tell; and of how
        numbers are written in texts, only the plain way is certain.
        """
        certain = _allows(self._strict, body) and _has_plain_numbers(body)
        return certain and self.promised(body) is not None

    def may_accept(self, body: Any) -> bool:
        """Whether a parsed body is accepted under the known readings and some of the others.

        A number that rounds into its range counts as well: servers parse numbers as doubles.
        """
        return _allows(self._lax, body) or _allows(self._lax, _rounded(body))

    def reading_that_accepts(self, body: Any) -> str | None:
        """The reading whose value, other than the known one, accepts a body; None for none."""
        return self._explaining(body, _LAXEST, accepted=True)

    def reading_that_refuses(self, body: Any) -> str | None:
        """The reading whose value, other than the known one, refuses a body; None for none."""
        return self._explaining(body, _STRICTEST, accepted=False)

    def promised(self, body: Any) -> dict[str, dict[str, Any]] | None:
        """The params that a server hands on, of a parsed body that it accepts; None for another."""
        try:
            params = ParamsReader(self._lax.readings)(json.dumps(body).encode(), body)
        except (BodyRefused, ValueError, TypeError, AttributeError):
            return None
        promised: dict[str, dict[str, Any]] = msgspec.to_builtins(params)
        return promised

    def _explaining(self, body: Any, extreme: Mapping[str, Value], *, accepted: bool) -> str | None:
        for name, value in extreme.items():
            if self.value(name) not in (None, value):
                changed = self._contract({**extreme, **self._known, name: value})
                if _allows(changed, body) is accepted:
                    return name
        return None

    @staticmethod
    def _contract(values: Mapping[str, Value]) -> Contract:
        return contract.effective(with_values(DEFAULT, _applicable(values)))


def _applicable(values: Mapping[str, Value]) -> dict[str, object]:
    """The values that a contract can have; a text that is none of a reading's is left out."""
    return {
        name: value
        for name, value in values.items()
        if not alternatives(name) or value in alternatives(name)
    }


def _allows(effective: Contract, body: Any) -> bool:
    return isinstance(body, dict) and effective.request.is_valid(body)


def _has_plain_numbers(body: Any) -> bool:
    """Whether no param has a number as a text, unless it is one such as `12` or `0.5`."""
    params = body.get("params") or {}
    return all(
        pattern.fullmatch(text)
        for param in params.values()
        if isinstance(param, dict)
        for field, pattern in _PLAIN_NUMBERS.items()
        if isinstance(text := param.get(field), str)
    )


def _rounded(body: Any) -> Any:
    """A body with its large integers as a parser rounds them that has doubles only."""
    if isinstance(body, dict):
        return {name: _rounded(value) for name, value in body.items()}
    if isinstance(body, int) and abs(body) > 2**53:
        try:
            return float(body)
        except OverflowError:
            return body
    return body


def _wide(components: Mapping[str, Any]) -> dict[str, Any]:
    """All that the document's words say of responses; what they leave open is a reading."""
    wide = deepcopy(dict(components))
    schemas = wide["schemas"]
    schemas["Timestamp"] = {"type": "string", "pattern": _RFC_3339, "description": _A_TIMESTAMP}
    schemas["Violation"] = {"type": "object"}
    schemas["ParamType"] = {}
    for value in ("longValue", "doubleValue"):
        schemas["Param"]["properties"][value] = {"type": "number", "nullable": True}
    schemas["Params"]["nullable"] = True
    schemas["StartedStep"]["required"].remove("processStepId")
    return wide


_A_TIMESTAMP = "A time with its zone, as in 2024-03-29T12:50:59.211Z."
