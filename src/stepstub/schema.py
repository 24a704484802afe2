"""JSON Schema, compiled once, that says in words what is wrong and where.

The dialect is OpenAPI 3.0's: `nullable` is understood, `$ref` points into `components`.
"""

from collections.abc import Iterable
from functools import lru_cache
from itertools import islice
from math import isfinite
from typing import Any

import jsonschema_rs
from msgspec import json

from stepstub.errors import Violation

_AT_MOST = 20
_LONGEST_NAME = 100
_ABOUT_A_MEMBER = {"required", "additionalProperties"}
_CODES = {
    "type": "WRONG_TYPE",
    "required": "REQUIRED",
    "enum": "NOT_ALLOWED",
    "maximum": "OUT_OF_RANGE",
    "minimum": "OUT_OF_RANGE",
    "additionalProperties": "NOT_ALLOWED",
}


class Schema:
    """One compiled schema. Values are what a JSON parser returns."""

    def __init__(self, schema: dict[str, Any], components: dict[str, Any] | None = None) -> None:
        root = _plain({**schema, "components": components} if components else schema)
        self._validator = jsonschema_rs.Draft202012Validator(root)
        self.is_valid = self._validator.is_valid

    def violations(self, value: object, *, first_only: bool = False) -> dict[str, Violation]:
        """What is wrong with `value`, by the field at fault; empty when nothing is.

        Names at most twenty fields. `first_only` keeps the time short for a very large value.
        """
        if first_only:
            try:
                self._validator.validate(value)
            except jsonschema_rs.ValidationError as error:
                return _explain((error,), value)
            return {}
        return _explain(islice(self._validator.iter_errors(value), _AT_MOST), value)


def field_name(path: Iterable[str | int]) -> str:
    """`params.total.longValue`; a name that is not a plain word is quoted: `params["a.b"]`."""
    name = ""
    for part in path:
        if isinstance(part, int):
            name += f"[{part}]"
        elif len(part) <= _LONGEST_NAME and part.replace("-", "_").isidentifier():
            name += f".{part}" if name else part
        else:
            name += f"[{json.encode(shorten(part)).decode()}]"
    return name or "body"


def shorten(text: str, limit: int = 100) -> str:
    """`text`, cut with an ellipsis where it is longer than `limit` characters."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def printable(text: str) -> str:
    """`text` with control characters escaped, so that it stays on its line."""
    return text if text.isprintable() else text.encode("unicode_escape").decode()


def _explain(
    errors: Iterable[jsonschema_rs.ValidationError], value: object
) -> dict[str, Violation]:
    violations: dict[str, Violation] = {}
    for error in errors:
        keyword = str(error.schema_path[-1])
        details = error.kind.as_dict()
        path, instance = _at(value, error)
        if keyword == "required":
            path.append(details["property"])
        elif keyword == "additionalProperties":
            path.append(details["unexpected"][0])
        field = field_name(path)
        expected = _expected(keyword, details)
        actual = None if keyword in _ABOUT_A_MEMBER else _show(instance)
        violations.setdefault(
            field,
            Violation(
                code=_CODES.get(keyword, "INVALID"),
                detail=f"{field} {_sentence(keyword, expected, instance)}",
                expected=expected,
                actual=actual,
            ),
        )
    return violations


def _at(value: Any, error: jsonschema_rs.ValidationError) -> tuple[list[str | int], Any]:
    """The path of an error in `value`, and what is there.

    The validator takes a name made of digits for an index, and shows infinity as null. It does
    not tell names like `01` and the empty one exactly; its own path has to do for those.
    """
    parts: list[str | int] = []
    try:
        for part in error.instance_path:
            parts.append(part if isinstance(value, list) else str(part))
            value = value[parts[-1]]
    except (KeyError, IndexError, TypeError):
        return [str(part) for part in error.instance_path], error.instance
    return parts, value if isinstance(value, float) else error.instance


def _expected(keyword: str, details: dict[str, Any]) -> str | None:
    match keyword:
        case "type":
            return _alternatives(tuple(details["types"]))
        case "enum":
            return ", ".join(
                "null" if option is None else str(option) for option in details["options"]
            )
        case "pattern":
            return str(details["pattern"])
        case "maximum" | "minimum":
            return f"at {'most' if keyword == 'maximum' else 'least'} {details['limit']}"
        case _:
            return None


@lru_cache(maxsize=64)
def _alternatives(types: tuple[str, ...]) -> str:
    return " or ".join(sorted(types, key=lambda name: (name == "null", name)))


def _sentence(keyword: str, expected: str | None, instance: object) -> str:
    match keyword:
        case "required":
            return "is required."
        case "type":
            return f"must be of type {expected}, not {_kind(instance)}."
        case "enum":
            return f"must be one of {expected}."
        case "maximum" | "minimum":
            return f"must be {expected}."
        case "additionalProperties":
            return "is not known here."
        case "pattern":
            return f"must match {expected}."
        case _:
            return f"does not meet the contract's {keyword}."


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case str():
            return "a string"
        case int():
            return "an integer"
        case float():
            return "a number with a fraction" if isfinite(value) else "a number beyond all bounds"
        case list():
            return "an array"
        case _:
            return "an object"


def _show(value: object) -> str:
    """A scalar as JSON, cut; of a container only the kind, for it may be a megabyte."""
    if isinstance(value, list | dict):
        return _kind(value)
    if isinstance(value, str):
        return shorten(value)
    return shorten(
        str(value)
        if isinstance(value, int | float) and not isinstance(value, bool)
        else json.encode(value).decode()
    )


def _plain(schema: Any) -> Any:
    """OpenAPI 3.0 to JSON Schema: `nullable` becomes a member of `type`."""
    if isinstance(schema, list):
        return [_plain(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {key: _plain(value) for key, value in schema.items() if key != "nullable"}
    if schema.get("nullable") is True and isinstance(schema.get("type"), str):
        plain["type"] = [schema["type"], "null"]
    return plain
