"""The control API's responses: plain JSON, and refusals as problem details (RFC 9457)."""

import logging
from http import HTTPStatus
from typing import Any

from msgspec import json

from stepstub.errors import (
    BadRequest,
    BodyRefused,
    Conflict,
    DelegateFailed,
    HttpRefusal,
    NotFound,
    PreconditionFailed,
    ScenarioError,
    Unauthorized,
    UnknownScenario,
)
from stepstub.exchange import Headers, Response

log = logging.getLogger("stepstub")


def success(value: object, status: int) -> Response:
    """`value` as JSON; an empty body for 204."""
    return Response(status, b"" if status == HTTPStatus.NO_CONTENT else json.encode(value))


def problem(error: Exception) -> Response:
    """The response to a request that ended in `error`, an unforeseen one included."""
    headers: Headers = ()
    more: dict[str, Any] = {}
    detail = str(error)
    match error:
        case BodyRefused():
            status, more = 400, {"violations": error.violations}
        case BadRequest() | ScenarioError() | UnknownScenario():
            status = 400
        case PreconditionFailed():
            # About a step: it is unknown, or it is not where it would have to be.
            (violation,) = error.violations.values()
            status = 404 if violation.status is None else 409
        case NotFound():
            status = 404
        case Conflict():
            status = 409
        case Unauthorized():
            status, headers = 401, ((b"www-authenticate", b"Bearer"),)
        case DelegateFailed():
            status = 502
            detail = (
                f"The delegate of the first step could not be called: {error}; nothing started."
            )
        case HttpRefusal():
            status = error.status
            headers = ((b"allow", error.allow.encode()),) if error.allow else ()
        case _:
            log.error("unexpected error", exc_info=error)
            status, detail = 500, "Something unexpected went wrong in the stub; its log says what."
    title = HTTPStatus(status).phrase
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail, **more}
    return Response(status, json.encode(body), headers, b"application/problem+json")
