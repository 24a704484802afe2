"""The contract at work: `openapi.yaml` as a set of readings has it, and messages checked by it.

The effective contract of readings is `openapi.yaml` with the overlays of those that differ from the
default. It is made once for each set of readings, and a schema that two of them share is compiled
once.
"""

from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from importlib import resources
from typing import Any

import yaml
from msgspec import DecodeError, json

from stepstub import overlay
from stepstub.clock import TimestampForm
from stepstub.readings import DEFAULT, Readings, Value, differing, questions
from stepstub.schema import Schema

_MAX_PROFILES = 1000  # effective contracts that are kept
_EXAMPLE_TIME = 1_774_788_659_210  # ends in a zero, so that trimming shows
_STANDARD = {404, 405, 408, 413, 415}  # statuses of HTTP itself, which no contract lists


class Contract:
    """One effective contract and its compiled schemas.

    `document` is the OpenAPI document, `text` its YAML. `components` are the document's, with what
    a response is held to beyond its schemas: the exact form of a timestamp.
    """

    def __init__(self, text: str, readings: Readings = DEFAULT) -> None:
        self.readings = readings
        self.timestamp = TimestampForm(readings.timestamp, readings.timestamp_zone)
        self.text = text
        self.document = _parsed(text)
        for each in self.overlays():
            overlay.apply(self.document, each)
        if readings != DEFAULT:
            _describe(self.document, differing(readings))
            self.text = as_yaml(self.document)
        self.version: str = self.document["info"]["version"]
        self.components = components = _with_exact_timestamps(
            self.document["components"], self.timestamp.pattern
        )
        (self.path,) = self.document["paths"]
        (operation,) = self.document["paths"][self.path].values()
        self.request = compiled(_json_schema(operation["requestBody"]), components)
        self.responses = {
            int(status): compiled(_json_schema(response), components)
            for status, response in operation["responses"].items()
            if "$ref" not in response
        }
        self._allowed = _STANDARD | {int(status) for status in operation["responses"]}
        self.undocumented = _undocumented(components, readings.undocumented_form)

    def overlays(self) -> Iterator[Mapping[str, Any]]:
        """The overlays that lead from `openapi.yaml` to this contract."""
        return overlay.overlays(self.readings, self.timestamp.write(_EXAMPLE_TIME))

    def breach(self, status: int, content_type: bytes, body: bytes) -> str | None:
        """How a response violates the contract, in words; None when it conforms."""
        schema = self.responses.get(status)
        if schema is None:
            if status not in self._allowed:
                return f"the status {status} is not documented"
            form, schema = self.undocumented
            if _essence(content_type) != _essence(form):
                return f"the {status} is {content_type.decode()}, not {form.decode()}"
            if b"json" not in form:
                return None
        try:
            value = json.decode(body)
        except (DecodeError, UnicodeDecodeError) as error:
            return f"the body of the {status} is not JSON: {error}"
        if schema.is_valid(value):
            return None
        details = (violation.detail for violation in schema.violations(value).values())
        return f"the body of the {status} violates its schema: {' '.join(details)}"

    def combined_overlay(self) -> dict[str, Any]:
        """One Overlay 1.1 document that leads from `openapi.yaml` to this contract."""
        actions = [action for each in self.overlays() for action in each["actions"]]
        title = ", ".join(f"{name}: {value}" for name, value in differing(self.readings).items())
        return {
            "overlay": "1.1.0",
            "info": {"title": title or "the default readings", "version": self.version},
            "actions": actions,
        }


@cache
def load() -> Contract:
    """The contract under the default readings: `openapi.yaml` itself."""
    return Contract(_source())


@lru_cache(maxsize=_MAX_PROFILES)
def effective(readings: Readings) -> Contract:
    """The effective contract of a set of readings."""
    return load() if readings == DEFAULT else Contract(_source(), readings)


@cache
def control_document() -> dict[str, Any]:
    """The control API's own OpenAPI document."""
    return _parsed(control_text())


def control_text() -> str:
    """The control API's own OpenAPI document, as it was written."""
    return resources.files("stepstub").joinpath("control.yaml").read_text("utf-8")


def public_document() -> dict[str, Any]:
    """What there is of the control API where it is switched off: the probes."""
    document = control_document()
    paths = {
        path: operations
        for path, operations in document["paths"].items()
        if all(operation["tags"] == ["probes"] for operation in operations.values())
    }
    return {**document, "paths": paths}


def compiled(schema: dict[str, Any], components: dict[str, Any]) -> Schema:
    """A schema with the components it refers to, compiled once however many contracts have it."""
    return _compiled(json.encode(_inlined(schema, components["schemas"])))


def as_yaml(document: Any) -> str:
    """A document as YAML, its members in their order."""
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


@lru_cache(maxsize=2 * _MAX_PROFILES)
def _compiled(root: bytes) -> Schema:
    return Schema(json.decode(root))


def _inlined(schema: Any, schemas: Mapping[str, Any]) -> Any:
    """A schema with what it refers to in place of each reference, which is quicker to check."""
    if isinstance(schema, list):
        return [_inlined(item, schemas) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if isinstance(reference := schema.get("$ref"), str):
        return _inlined(schemas[reference.rpartition("/")[2]], schemas)
    return {name: _inlined(value, schemas) for name, value in schema.items()}


def _undocumented(components: dict[str, Any], form: str) -> tuple[bytes, Schema]:
    """The media type of a response whose status is not the document's, and the schema if JSON."""
    match form:
        case "html":
            return b"text/html; charset=utf-8", Schema({})
        case "plain":
            return b"text/plain; charset=utf-8", Schema({})
        case "problem":
            return b"application/problem+json", _object_with("type", "title", "status", "detail")
        case "spring":
            return b"application/json", _object_with("timestamp", "status", "error", "path")
        case _:
            # The envelope, with a sentence as data; the message is not the document's.
            envelope = components["schemas"]["InternalServerError"]
            properties = {**envelope["properties"], "message": {"type": "string"}}
            return b"application/json", compiled({**envelope, "properties": properties}, components)


def _object_with(*members: str) -> Schema:
    return Schema({"type": "object", "required": list(members)})


def _essence(media_type: bytes) -> bytes:
    """A media type without its parameters, which the contract leaves open."""
    return media_type.partition(b";")[0]


def _json_schema(message: dict[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = message["content"]["application/json"]["schema"]
    return schema


def _with_exact_timestamps(components: dict[str, Any], pattern: str) -> dict[str, Any]:
    schemas = components["schemas"]
    exact = {**schemas["Timestamp"], "pattern": pattern}
    return {**components, "schemas": {**schemas, "Timestamp": exact}}


def _describe(document: dict[str, Any], changed: Mapping[str, Value]) -> None:
    """Say in the document which readings differ; that holds where an inferred sentence does not."""
    lines = ["Readings that differ from Stepstub's default; they hold wherever a sentence marked"]
    lines += ['"Inferred:" says something else:', ""]
    for name, value in changed.items():
        question = questions()[name]
        meaning = question.meanings.get(value)
        told = f"{value}: {meaning}" if meaning else str(value)
        lines.append(f"- [{name}](/docs/readings#{name}) ({question.number}) is {told}")
    info = document["info"]
    info["description"] = info["description"].rstrip() + "\n\n" + "\n".join(lines) + "\n"


def _source() -> str:
    return resources.files("stepstub").joinpath("openapi.yaml").read_text("utf-8")


def _parsed(text: str) -> dict[str, Any]:
    # libyaml's loader is as safe and ten times as fast; a tenth of the stub's start hangs on it.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    document: dict[str, Any] = yaml.load(text, loader)  # noqa: S506 - both are safe loaders
    return document


class _Dumper(yaml.SafeDumper):
    """Text of several lines as a block, and no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, "|" if "\n" in text else None)


_Dumper.add_representer(str, _text)
