"""The control API's responses: plain JSON, and refusals as problem details (RFC 9457)."""

from http import HTTPStatus
from typing import Any

from msgspec import Struct, json

from stepstub.errors import (
    BadRequest,
    BodyRefused,
    DelegateFailed,
    InConflict,
    InvalidReadings,
    InvalidVariations,
    NeedsServer,
    NotFound,
    ScenarioError,
    StepRefused,
    StoreUnavailable,
    UnknownScenario,
)
from stepstub.responses import Explained, Headers, Response, explanations
from stepstub.responses.explanations import Failure

# What a test asks is true for a moment, and a new sandbox's token is for nobody's cache.
_HEADERS: Headers = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))


class Document(Struct, frozen=True):
    """A response that is a text in a media type of its own."""

    text: str
    media_type: str


class Problem:
    """The form of the control API's responses."""

    def success(self, value: object, status: int, now: int) -> Response:
        """`value` as JSON, unless it is a `Document`; an empty body for 204."""
        if isinstance(value, Document):
            return Response(status, value.text.encode(), _HEADERS, value.media_type.encode())
        body = b"" if status == HTTPStatus.NO_CONTENT else json.encode(value)
        return Response(status, body, _HEADERS)

    def failure(self, explained: Explained, now: int, path: str) -> Response:
        known = _failure(explained)
        body: dict[str, Any] = {
            "type": "about:blank",
            "title": known.phrase,
            "status": known.status,
            "detail": known.detail,
        }
        if isinstance(explained.error, BodyRefused):
            body["violations"] = explained.violations
        return Response(
            known.status,
            json.encode(body),
            (*_HEADERS, *known.headers),
            b"application/problem+json",
        )


def _failure(explained: Explained) -> Failure:
    error = explained.error
    match error:
        case BodyRefused():
            return Failure(400, "\n".join(each.detail for each in error.violations.values()))
        case (
            BadRequest()
            | InvalidReadings()
            | InvalidVariations()
            | ScenarioError()
            | UnknownScenario()
        ):
            return Failure(400, str(error))
        case StepRefused():
            status = 404 if error.refusal.status is None else 409
            return Failure(status, explained.reason)
        case NotFound():
            return Failure(404, str(error))
        case StoreUnavailable():
            return Failure(503, str(error), ((b"retry-after", b"1"),))
        case InConflict() | NeedsServer():
            return Failure(409, str(error))
        case DelegateFailed():
            return Failure(
                502,
                f"The delegate of the first step could not be called: {error}; nothing started.",
            )
        case _:
            return explanations.failure(error)
