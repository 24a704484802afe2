"""The forms of a response whose status the document does not have (reading 19)."""

from html import escape
from typing import Any

from msgspec import json

from stepstub.responses import Headers, Response, explanations


def undocumented(
    form: str, status: int, detail: str, *, path: str, timestamp: str, headers: Headers = ()
) -> Response:
    """A response in one of the forms that are not the envelope."""
    phrase = explanations.phrase(status)
    match form:
        case "problem":
            problem = {"type": "about:blank", "title": phrase, "status": status, "detail": detail}
            return _json(status, problem, headers, b"application/problem+json")
        case "spring":
            error = {"timestamp": timestamp, "status": status, "error": phrase, "path": path}
            return _json(status, error, headers, b"application/json")
        case "html":
            page = (
                f"<!doctype html>\n<html><head><title>{status} {phrase}</title></head>\n"
                f"<body><h1>{status} {phrase}</h1><p>{escape(detail)}</p></body></html>\n"
            )
            return Response(status, page.encode(), headers, b"text/html; charset=utf-8")
        case _:
            return Response(status, f"{detail}\n".encode(), headers, b"text/plain; charset=utf-8")


def _json(status: int, body: dict[str, Any], headers: Headers, media_type: bytes) -> Response:
    return Response(status, json.encode(body), headers, media_type)
