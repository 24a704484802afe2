"""The forms of what the document leaves open, recognised by their looks."""

from collections.abc import Mapping
from typing import Any

from stepstub.contract_tests.response import Response

ENVELOPE = ("message", "timestamp", "data", "version")
"""The members that every documented response has."""


def envelope(value: Any) -> Mapping[str, Any]:
    """A parsed body, if it has the members of the document's envelope; else empty."""
    return value if isinstance(value, dict) and value.keys() >= set(ENVELOPE) else {}


def form_of_refusal_data(data: Any) -> str:
    """The value of the reading `refusal-data` that the data of a 412 shows; empty for none."""
    if data == {}:
        return "empty"
    if not isinstance(data, dict):
        return ""
    error = data.get("error")
    if data.keys() == {"error"} and isinstance(error, dict) and error.keys() == {"message"}:
        return "message"
    violations = all(isinstance(each, dict) and "code" in each for each in data.values())
    return "by-field" if violations else ""


def form_of_undocumented(response: Response) -> str:
    """The value of the reading `undocumented-form` that a response shows; empty for none."""
    media_type, value = response.media_type, response.value
    if envelope(value) and media_type == "application/json":
        return "envelope"
    if isinstance(value, dict):
        spring = {"timestamp", "status", "error", "path"} <= value.keys()
        if media_type == "application/json" and spring:
            return "spring"
        return "problem" if media_type == "application/problem+json" else ""
    return {"text/html": "html", "text/plain": "plain"}.get(media_type, "")
