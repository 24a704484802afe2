"""JSON Schema, compiled once, that says in words what is wrong and where.

The dialect is OpenAPI 3.0's: `nullable` is understood, `$ref` points into `components`.
"""

from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from functools import lru_cache
from itertools import chain, islice
from math import isfinite
from typing import Any

import jsonschema_rs
from msgspec import json

from stepstub.errors import Violation

_AT_MOST = 20
_LONGEST_NAME = 100
_ABOUT_A_MEMBER = {"required", "additionalProperties"}
_URL = r"^https?://[^/\s]+"
_PATTERNS = {
    _URL: "a URL that begins with http:// or https://",
    "^[^/]+$": "text without a slash, and not empty",
}
_EMPTY = {"steps": ": a process needs at least one step"}
_CODES = {
    "type": "WRONG_TYPE",
    "required": "REQUIRED",
    "enum": "NOT_ALLOWED",
    "maximum": "OUT_OF_RANGE",
    "minimum": "OUT_OF_RANGE",
    "additionalProperties": "NOT_ALLOWED",
}


Place = Sequence[str | int]
"""Where something is in a value: names of members and indexes, from the outside in."""


class Schema:
    """One compiled schema. Values are what a JSON parser returns."""

    def __init__(self, schema: dict[str, Any], components: dict[str, Any] | None = None) -> None:
        self._root = _plain({**schema, "components": components} if components else schema)
        self._validator = jsonschema_rs.Draft202012Validator(self._root)
        self.is_valid = self._validator.is_valid

    def violations(self, value: object, *, first_only: bool = False) -> dict[str, Violation]:
        """What is wrong with `value`, by the field at fault; empty when nothing is.

        Names at most twenty fields, in their order. `first_only` keeps the time short for a very
        large value.
        """
        found = self.located(value, 1 if first_only else _AT_MOST)
        return {field_name(path): violation for path, violation in found}

    def located(self, value: object, limit: int) -> list[tuple[Place, Violation]]:
        """At most `limit` violations with their places, one for each, in the order of `value`."""
        errors: Iterable[jsonschema_rs.ValidationError] = ()
        if limit > 1:
            errors = self._validator.iter_errors(value)
        else:
            try:
                self._validator.validate(value)
            except jsonschema_rs.ValidationError as error:
                errors = (error,)
        found: dict[Place, Violation] = {}
        for path, violation in islice(self._explained(errors, value), limit):
            found.setdefault(path, violation)
        return sorted(found.items(), key=lambda item: position(value, item[0]))

    def _explained(
        self, errors: Iterable[jsonschema_rs.ValidationError], value: object
    ) -> Iterator[tuple[Place, Violation]]:
        for error in chain.from_iterable(map(_innermost, errors)):
            keyword = str(error.schema_path[-1])
            details = error.kind.as_dict()
            path, instance = _at(value, error)
            schema = self._subschema(error.schema_path[:-1])
            if keyword == "additionalProperties":
                for name in details["unexpected"]:
                    nearest = _nearest(name, schema.get("properties", {}))
                    yield _violation((*path, name), keyword, None, instance, nearest)
            else:
                if keyword == "required":
                    path.append(details["property"])
                expected, nearest = _expected(keyword, details, schema), ""
                if keyword in {"enum", "oneOf"} and isinstance(instance, str):
                    nearest = _nearest(instance, _names(keyword, schema))
                elif expected == _PATTERNS[_URL] and isinstance(instance, str):
                    nearest = "" if "://" in instance else f"http://{shorten(instance)}"
                yield _violation(tuple(path), keyword, expected, instance, nearest)

    def _subschema(self, path: Iterable[str | int]) -> dict[str, Any]:
        schema = self._root
        for part in path:
            schema = schema[part]
        return schema if isinstance(schema, dict) else {}


def position(value: Any, path: Place) -> list[int]:
    """Sorts places in the order in which they are written; what is missing comes first."""
    numbers = []
    for part in path:
        if isinstance(value, dict) and part in value:
            numbers.append(list(value).index(part))
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            numbers.append(part)
        else:
            return [*numbers, -1]
        value = value[part]
    return numbers


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


def printable_lines(text: str) -> str:
    """As `printable`, with the line breaks kept."""
    return "\n".join(map(printable, text.split("\n")))


def _innermost(error: jsonschema_rs.ValidationError) -> list[jsonschema_rs.ValidationError]:
    """What is wrong inside an object where only one of several alternatives is an object."""
    if error.schema_path[-1] == "oneOf" and isinstance(error.instance, dict):
        for alternative in error.kind.as_dict()["context"]:
            kinds = {
                each.schema_path[-1]
                for each in alternative
                if each.instance_path == error.instance_path
            }
            if alternative and not kinds & {"type", "enum"}:
                return list(alternative)
    return [error]


def _violation(
    path: Place, keyword: str, expected: str | None, instance: object, nearest: str
) -> tuple[Place, Violation]:
    field = field_name(path)
    sentence = _sentence(keyword, expected, instance, str(path[-1]) if path else "")
    end = f"; did you mean {nearest}?" if nearest else "."
    return path, Violation(
        code=_CODES.get(keyword, "INVALID"),
        detail=f"{field} {sentence}{end}",
        expected=expected,
        actual=None if keyword in _ABOUT_A_MEMBER else _show(instance),
    )


def _names(keyword: str, schema: dict[str, Any]) -> list[str]:
    """The words that an enum, or an alternative that is one, allows."""
    schemas = [schema] if keyword == "enum" else schema["oneOf"]
    return [str(word) for each in schemas for word in each.get("enum", ()) if word is not None]


def _nearest(word: str, known: Iterable[str]) -> str:
    """The known word that is probably meant; empty when none is near."""
    by_lower = {each.lower(): each for each in known}
    near = get_close_matches(word[:_LONGEST_NAME].lower(), by_lower, n=1)
    return by_lower[near[0]] if near else ""


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


def _expected(keyword: str, details: dict[str, Any], schema: dict[str, Any]) -> str | None:
    match keyword:
        case "type":
            return _alternatives(tuple(details["types"]))
        case "enum":
            return ", ".join(
                "null" if option is None else str(option) for option in details["options"]
            )
        case "oneOf":
            objects = [
                f"{{{', '.join(f'{name}: ...' for name in each['required'])}}}"
                for each in schema["oneOf"]
                if each.get("required")
            ]
            return ", ".join([*_names(keyword, schema), *objects])
        case "pattern":
            pattern = str(details["pattern"])
            return _PATTERNS.get(pattern) or _described(schema) or pattern
        case "anyOf":
            return _described(schema)
        case "maximum" | "minimum":
            return f"at {'most' if keyword == 'maximum' else 'least'} {details['limit']}"
        case "maxLength":
            return f"at most {details['limit']} characters"
        case "minItems" | "minProperties":
            return f"at least {details['limit']}"
        case _:
            return None


def _described(schema: dict[str, Any]) -> str | None:
    """What a schema that no keyword explains says of itself, if that is one short sentence."""
    description = str(schema.get("description", ""))
    if not description or "\n" in description or not description.endswith("."):
        return None
    article, _, rest = description.rstrip(".").partition(" ")
    return f"{article.lower() if article in ('A', 'An') else article} {rest}"


@lru_cache(maxsize=64)
def _alternatives(types: tuple[str, ...]) -> str:
    return " or ".join(sorted(types, key=lambda name: (name == "null", name)))


def _sentence(keyword: str, expected: str | None, instance: object, name: str) -> str:
    match keyword:
        case "required":
            return "is required"
        case "type":
            return f"must be of type {expected}, not {_kind(instance)}"
        case "enum" | "oneOf":
            return f"must be one of {expected}"
        case "pattern" if str(expected).startswith("^"):
            return f"must match {expected}"
        case "maximum" | "minimum" | "pattern":
            return f"must be {expected}"
        case "anyOf" if expected:
            return f"must be {expected}"
        case "maxLength":
            return f"must have {expected}"
        case "additionalProperties":
            return "is not known here"
        case "minItems" | "minProperties" | "minLength":
            return f"must not be empty{_EMPTY.get(name, '')}"
        case _:
            return f"does not meet the contract's {keyword}"


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
