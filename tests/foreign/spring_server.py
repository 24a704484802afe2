"""A server that does what Spring Boot 3, Jackson and Spring Security do by default.

The body is a class with a String and a Map of params, each a class with four boxed fields. A
`@ControllerAdvice` writes the document's 412; every other error page is Spring's own.
"""

from datetime import UTC, datetime
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from foreign import jackson
from foreign.workflow import TOKEN, NotStarted, UnknownStep, Workflow

_ERRORS = {
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    415: "Unsupported Media Type",
    500: "Internal Server Error",
}


class Security:
    """Spring Security's filter for bearer tokens, which runs before anything else."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] != "/seeds":
            authorization = Request(scope).headers.get("Authorization", "")
            scheme, _, token = authorization.partition(" ")
            if scheme.lower() != "bearer" or token != TOKEN:
                error = ' error="invalid_token"' if token else ""
                challenge = {"WWW-Authenticate": f"Bearer{error}"}
                await Response(status_code=401, headers=challenge)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def create_app(workflow: Workflow) -> Starlette:
    async def complete_step(request: Request) -> Response:
        media_type = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if media_type != "application/json":
            raise HTTPException(415)
        try:
            step_id, params = _completion(await request.body())
        except jackson.Unreadable as error:
            raise HTTPException(400) from error
        try:
            step, following = workflow.complete(step_id)
        except UnknownStep as error:
            raise HTTPException(404) from error
        except NotStarted as error:
            return _json(_envelope("Precondition failed", {"error": {"message": str(error)}}), 412)
        data: dict[str, Any] = {"processId": step.process_id, "processStepId": None, "params": None}
        if following:
            following.params = {**following.params, **params}
            data |= {"processStepId": following.id, "params": following.params}
        return _json(_envelope("Success", data), 200)

    async def seeds(_: Request) -> Response:
        return JSONResponse(workflow.seeds())

    return Starlette(
        routes=[
            Route("/api/v1/processes/complete-step", complete_step, methods=["POST"]),
            Route("/seeds", seeds, methods=["POST"]),
        ],
        middleware=[Middleware(Security)],
        exception_handlers={HTTPException: _error_page, Exception: _error_page},
    )


def _completion(body: bytes) -> tuple[str, dict[str, Any]]:
    value = jackson.read(body)
    if not isinstance(value, dict):
        raise jackson.Unreadable
    params = value.get("params")
    if params is not None and not isinstance(params, dict):
        raise jackson.Unreadable
    step_id = jackson.text(value.get("processStepId"))
    read = params and {name: _param(each) for name, each in params.items()}
    if step_id is None or not step_id.strip():  # @NotBlank, which is checked last
        raise jackson.Unreadable
    return step_id, read or {}


def _param(value: Any) -> dict[str, Any] | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise jackson.Unreadable
    return {
        "strValue": jackson.text(value.get("strValue")),
        "longValue": jackson.long(value.get("longValue")),
        "doubleValue": jackson.double(value.get("doubleValue")),
        "type": jackson.constant(value.get("type"), ("STRING", "LONG", "DOUBLE")),
    }


def _envelope(message: str, data: Any) -> dict[str, Any]:
    # An OffsetDateTime, truncated to milliseconds.
    now = datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds")
    timestamp = now.rstrip("0").removesuffix(".") + "Z"
    return {"message": message, "timestamp": timestamp, "data": data, "version": "1.0.0"}


def _json(value: Any, status: int) -> Response:
    return Response(jackson.write(value), status, media_type="application/json")


async def _error_page(request: Request, error: Exception) -> Response:
    """What BasicErrorController sends."""
    status, headers = 500, None
    if isinstance(error, HTTPException):
        status, headers = error.status_code, error.headers
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    page = {
        "timestamp": now,
        "status": status,
        "error": _ERRORS[status],
        "path": request.url.path,
    }
    return JSONResponse(page, status, headers)
