"""Strict JSON, checked against the contract; and the parameters of path and query."""

import re
import warnings
from functools import lru_cache
from typing import Any

import jiter
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stepstub.errors import (
    BadRequest,
    BodyRefused,
    ClientDisconnected,
    HttpRefusal,
    Unauthorized,
    Violation,
)
from stepstub.exchange import Exchange, exchange_of
from stepstub.gate.routing import Routed, refusal_of
from stepstub.journal import MAX_JOURNALED_BODY
from stepstub.schema import Schema, shorten

with warnings.catch_warnings():  # Connexion imports what Starlette deprecates
    warnings.simplefilter("ignore")
    from connexion.lifecycle import ConnexionRequest
    from connexion.middleware.request_validation import (
        RequestValidationAPI,
        RequestValidationMiddleware,
        RequestValidationOperation,
    )
    from connexion.operations import AbstractOperation
    from connexion.validators import AbstractRequestBodyValidator

BODY_TIMEOUT = 30.0
"""Seconds in which a request's body has to arrive."""

_EVERY_VIOLATION_UP_TO = 64 * 1024  # bytes; of a larger body only the first is named
_MEDIA_TYPE = re.compile(
    r'application/json[ \t]*(?:;[ \t]*(?:charset[ \t]*=[ \t]*(?:utf-8|"utf-8")[ \t]*)?)*',
    re.IGNORECASE,
)


class JsonBody(AbstractRequestBodyValidator):  # type: ignore[misc]
    """Reads a body, parses it strictly, checks it, and leaves it on the exchange.

    Goes into Connexion's `validator_map`.
    """

    def __init__(self, *, schema: dict[str, Any], required: bool, **options: Any) -> None:
        super().__init__(schema=schema, required=required, **options)
        self._compiled = Schema(schema)
        self._needed = required

    async def wrap_receive(self, receive: Receive, *, scope: Scope) -> tuple[Receive, Scope]:
        """Raises `HttpRefusal` (408, 413, 415) and `BodyRefused`; returns what it was given."""
        exchange = exchange_of(scope)
        limit = exchange.stub.settings.max_body_bytes
        if _declared_length(scope["headers"]) > limit:
            raise _too_large(limit)
        body = await read_body(exchange, receive, limit)
        exchange.entry.body = body[:MAX_JOURNALED_BODY]
        exchange.entry.body_size = len(body)
        if body or self._needed:
            exchange.content = body
            exchange.body = self._checked(body, exchange)
        if exchange.unauthorised is not None:  # the readings have the body checked first
            raise Unauthorized(exchange.unauthorised)
        return receive, scope

    def _checked(self, body: bytes, exchange: Exchange) -> Any:
        schema, strict_names = self._compiled, True
        if exchange.api.is_contract:
            sandbox = exchange.nearest_sandbox
            schema = sandbox.contract.request
            strict_names = sandbox.readings.duplicate_names == "refuse"
        try:
            value = jiter.from_json(
                body, allow_inf_nan=False, catch_duplicate_keys=strict_names, cache_mode="keys"
            )
        except ValueError as error:
            reason = f"not strict JSON: {shorten(str(error), 200)}" if body else "empty"
            detail = f"The body is {reason}."
            raise BodyRefused({"body": Violation("INVALID_JSON", detail)}) from None
        if not schema.is_valid(value):
            first_only = len(body) > _EVERY_VIOLATION_UP_TO
            raise BodyRefused(schema.violations(value, first_only=first_only))
        return value


async def read_body(exchange: Exchange, receive: Receive, limit: int) -> bytes:
    """The body of a request, of at most `limit` bytes.

    Raises `HttpRefusal` (408, 413), and `ClientDisconnected`.
    """
    try:
        return await exchange.stub.concurrency.within(BODY_TIMEOUT, _read(receive, limit))
    except TimeoutError:
        raise HttpRefusal(408, f"The body did not arrive within {BODY_TIMEOUT:g} s.") from None


async def _read(receive: Receive, limit: int) -> bytes:
    message = await _message(receive)
    body: bytes = message.get("body", b"")
    if message.get("more_body"):
        parts, size = [body], len(body)
        while message.get("more_body"):
            message = await _message(receive)
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > limit:
                raise _too_large(limit)
        body = b"".join(parts)
    if len(body) > limit:
        raise _too_large(limit)
    return body


async def _message(receive: Receive) -> Message:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientDisconnected
    return message


def _too_large(limit: int) -> HttpRefusal:
    return HttpRefusal(413, f"The body is larger than {limit} bytes.")


def _declared_length(headers: list[tuple[bytes, bytes]]) -> int:
    """The Content-Length, 0 without one. Raises `HttpRefusal` 415 for what cannot be read."""
    length = 0
    media_types = 0
    for name, value in headers:
        if name == b"content-length":
            length = int(value)
        elif name == b"content-type":
            media_types += 1
            if media_types > 1 or not _is_json(value):
                raise HttpRefusal(
                    415,
                    "The body must be sent as application/json, in UTF-8 if a charset is named.",
                )
        elif name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            raise HttpRefusal(415, "The body must be sent without a Content-Encoding.")
    return length


@lru_cache(maxsize=256)
def _is_json(content_type: bytes) -> bool:
    return _MEDIA_TYPE.fullmatch(content_type.decode("latin-1").strip()) is not None


class _PreparedOperation(RequestValidationOperation):  # type: ignore[misc]
    """Connexion's request validation, with what depends on the operation alone done once."""

    def __init__(
        self,
        next_app: ASGIApp,
        *,
        operation: AbstractOperation,
        validator_map: dict[str, Any],
        **options: Any,
    ) -> None:
        super().__init__(next_app, operation=operation, validator_map=validator_map, **options)
        self._uri_parser = operation.uri_parser_class(
            operation.parameters, operation.body_definition()
        )
        self._parameters = _parameters(operation) if operation.parameters else None
        self._body = (
            validator_map["body"]["application/json"](
                schema=operation.body_schema("application/json"),
                required=operation.request_body.get("required", False),
                encoding="utf-8",
                strict_validation=False,
            )
            if operation.is_request_body_defined
            else None
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._parameters is not None:
            request = ConnexionRequest(scope, uri_parser=self._uri_parser)
            try:
                values = {**request.query_params, **request.path_params}
            except HTTPException as error:
                raise refusal_of(error) from error
            if violations := self._parameters.violations(values):
                raise BadRequest(" ".join(each.detail for each in violations.values()))
            exchange_of(scope).parameters = values
        if self._body is not None:
            receive, scope = await self._body.wrap_receive(receive, scope=scope)
        await self.next_app(scope, receive, send)


class _PreparedAPI(RequestValidationAPI):  # type: ignore[misc]
    def make_operation(self, operation: AbstractOperation) -> _PreparedOperation:
        return _PreparedOperation(
            self.next_app,
            operation=operation,
            validator_map=self.validator_map,
            strict_validation=self.strict_validation,
        )


class BodyAndParameters(Routed, RequestValidationMiddleware):  # type: ignore[misc]
    """Takes the place of Connexion's own request validation in the list of middlewares."""

    api_cls = _PreparedAPI


def _parameters(operation: AbstractOperation) -> Schema:
    """One schema for the parameters of path and query together; others are not allowed."""
    return Schema(
        {
            "type": "object",
            "properties": {each["name"]: each["schema"] for each in operation.parameters},
            "required": [each["name"] for each in operation.parameters if each.get("required")],
            "additionalProperties": False,
        }
    )
