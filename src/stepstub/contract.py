"""`openapi.yaml` as it ships, and responses checked against it."""

from functools import cache
from importlib import resources
from typing import Any

import yaml
from msgspec import DecodeError, json

from stepstub.clock import TIMESTAMP
from stepstub.schema import Schema

_BEYOND_THE_DOCUMENT = {404, 405, 408, 413, 415}


class Contract:
    """The contract and its compiled schemas.

    `beyond` is that of the responses which the document does not know (404, 405, 415 ...).
    `components` are the document's, with what a response is held to beyond the document's schemas:
    the exact form of a timestamp.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.document = _parsed(text)
        self.version: str = self.document["info"]["version"]
        self.components = components = _with_exact_timestamps(self.document["components"])
        (self.path,) = self.document["paths"]
        (operation,) = self.document["paths"][self.path].values()
        self._responses = {
            int(status): Schema(response["content"]["application/json"]["schema"], components)
            for status, response in operation["responses"].items()
        }
        # They come in the same envelope, with a sentence as data; the message is not the
        # document's, so it has no pattern.
        envelope = components["schemas"]["InternalServerError"]
        message = {"message": {"type": "string"}}
        self.beyond = Schema(
            {**envelope, "properties": {**envelope["properties"], **message}}, components
        )

    def breach(self, status: int, body: bytes) -> str | None:
        """How a response violates the contract, in words; None when it conforms."""
        schema = self._responses.get(status, self.beyond)
        if schema is self.beyond and status not in _BEYOND_THE_DOCUMENT:
            return f"the status {status} is not documented"
        try:
            value = json.decode(body)
        except (DecodeError, UnicodeDecodeError) as error:
            return f"the body of the {status} is not JSON: {error}"
        if schema.is_valid(value):
            return None
        details = (violation.detail for violation in schema.violations(value).values())
        return f"the body of the {status} violates its schema: {' '.join(details)}"


def _with_exact_timestamps(components: dict[str, Any]) -> dict[str, Any]:
    schemas = components["schemas"]
    exact = {**schemas["Timestamp"], "pattern": TIMESTAMP}
    return {**components, "schemas": {**schemas, "Timestamp": exact}}


@cache
def control_document() -> dict[str, Any]:
    """The control API's own OpenAPI document."""
    text = resources.files("stepstub").joinpath("control.yaml").read_text("utf-8")
    return _parsed(text)


@cache
def load() -> Contract:
    """The contract that ships with the package."""
    return Contract(resources.files("stepstub").joinpath("openapi.yaml").read_text("utf-8"))


def _parsed(text: str) -> dict[str, Any]:
    # libyaml's loader is as safe and ten times as fast; a tenth of the stub's start hangs on it.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    document: dict[str, Any] = yaml.load(text, loader)  # noqa: S506 - both are safe loaders
    return document
