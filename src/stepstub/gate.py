"""Connexion at work: what a request passes before its handler is called.

Routing -> bearer check -> contract -> `Stub.dispatch`. A gate knows no state: whatever belongs to
one stub, a request brings along on its exchange. So one gate serves every stub of a process, and
another stub costs next to nothing. Connexion is known here and nowhere else.
"""

import re
import warnings
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any

import jiter
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stepstub import contract
from stepstub.concurrency import run_inline
from stepstub.errors import (
    NOTHING_HERE,
    BadRequest,
    BodyRefused,
    ClientDisconnected,
    HttpRefusal,
    Unauthorized,
    Violation,
)
from stepstub.exchange import CONTROL, exchange_of
from stepstub.handlers import control
from stepstub.handlers.bearer import authorize, check_control_token
from stepstub.handlers.complete_step import complete_step
from stepstub.journal import MAX_JOURNALED_BODY
from stepstub.schema import Schema, shorten

with warnings.catch_warnings():  # Connexion imports what Starlette deprecates
    warnings.simplefilter("ignore")
    from connexion import ConnexionMiddleware
    from connexion.lifecycle import ConnexionRequest
    from connexion.middleware.abstract import ROUTING_CONTEXT
    from connexion.middleware.request_validation import (
        RequestValidationAPI,
        RequestValidationMiddleware,
        RequestValidationOperation,
    )
    from connexion.middleware.routing import RoutingMiddleware
    from connexion.middleware.security import SecurityAPI, SecurityMiddleware, SecurityOperation
    from connexion.operations import AbstractOperation
    from connexion.resolver import Resolver
    from connexion.security import AbstractSecurityHandler
    from connexion.validators import AbstractRequestBodyValidator

BODY_DEADLINE = 30.0
"""Seconds in which a request's body has to arrive."""

_EVERY_VIOLATION_UP_TO = 64 * 1024  # bytes; of a larger body only the first is named
_MEDIA_TYPE = re.compile(
    r'application/json[ \t]*(?:;[ \t]*(?:charset[ \t]*=[ \t]*(?:utf-8|"utf-8")[ \t]*)?)*',
    re.IGNORECASE,
)


@cache
def gate(*, with_control: bool) -> ASGIApp:
    """The gate to the contract's operation and, where asked for, to the control API (ASGI).

    The exchange of a request has to be in its scope (`exchange_of`); its `sandbox`, `parameters`,
    `content` and `body` are set on the way. A refusal is raised, as one of `errors.py`.
    """
    stack = ConnexionMiddleware(
        _dispatch,
        middlewares=[Routing, Security, ContractMiddleware],
        resolver=Resolver(_handler),
        security_map={"bearer": Bearer, "apiKey": ControlToken},
        validator_map={"body": {"application/json": JsonBody}},
    )
    stack.add_api(contract.load().document)
    if with_control:
        stack.add_api(contract.control_document())
    # Connexion builds its stack in the first call; now, no two requests can meet in that.
    run_inline(stack({"type": "lifespan"}, _receive_nothing, _send_nothing))
    return stack  # type: ignore[no-any-return]


async def _dispatch(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        operation_id = scope["extensions"][ROUTING_CONTEXT]["operation_id"]
        await exchange_of(scope).stub.dispatch(operation_id, scope, receive, send)


def _handler(operation_id: str) -> Any:
    # For Connexion, which asks at start whether each operation has a handler.
    return complete_step if operation_id == "completeStep" else control.handler(operation_id)


async def _receive_nothing() -> Message:
    raise NotImplementedError


async def _send_nothing(message: Message) -> None:
    raise NotImplementedError


class Routing(RoutingMiddleware):  # type: ignore[misc]
    """Connexion's routing, in which a path without parameters is looked up and not matched."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app)
        self._operations: dict[str, dict[str, dict[str, str]]] = {}

    def add_api(self, specification: Any, *args: Any, **options: Any) -> None:
        super().add_api(specification, *args, **options)
        for router in (self.router, *(mount.app for mount in self.router.routes)):
            router.redirect_slashes = False
        for path, operations in specification["paths"].items():
            if "{" not in path:
                self._operations[path] = {
                    method.upper(): {
                        "api_base_path": specification.base_path,
                        "operation_id": operation["operationId"],
                    }
                    for method, operation in operations.items()
                }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        operations = self._operations.get(scope.get("path", ""))
        if operations is None:
            await super().__call__(scope, receive, send)
            return
        if b"%2f" in scope["raw_path"].lower():
            # An encoded slash is part of a name, not a separator (RFC 3986, section 2.2).
            raise HttpRefusal(404, NOTHING_HERE)
        operation = operations.get(scope["method"])
        if operation is None:
            allowed = ", ".join(sorted(operations))
            raise HttpRefusal(405, f"This path takes {allowed} only.", allow=allowed)
        scope["extensions"][ROUTING_CONTEXT] = operation
        exchange_of(scope).entry.operation = operation["operation_id"]
        await self.app(scope, receive, send)


class _SecurityRequest:
    """What a security handler is given: Connexion's own request is made for much more.

    `refusal` says why the request is not authorised, if it is not.
    """

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.context: dict[str, Any] = {}
        self.refusal: str | None = None


SecurityCheck = Callable[[_SecurityRequest], dict[str, Any]]


class _SecurityOperation(SecurityOperation):  # type: ignore[misc]
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.security:
            request = _SecurityRequest(scope)
            await self.verification_fn(request)
            if request.refusal is not None:
                raise Unauthorized(request.refusal)
        await self.next_app(scope, receive, send)


class _SecurityAPI(SecurityAPI):  # type: ignore[misc]
    def make_operation(self, operation: AbstractOperation) -> _SecurityOperation:
        return _SecurityOperation(
            self.next_app,
            security_handler_factory=self.security_handler_factory,
            security=operation.security,
            security_schemes=operation.security_schemes,
        )


class Security(SecurityMiddleware):  # type: ignore[misc]
    """Connexion's security, whose handlers are given the scope and nothing else."""

    api_cls = _SecurityAPI


class _Check(AbstractSecurityHandler):  # type: ignore[misc]
    """A security handler whose refusals are noted on the request.

    Connexion gathers exceptions in a list, which their own tracebacks refer to: a circle that
    waits for the garbage collector, and under load that stops everything for a tenth of a second.
    """

    def get_fn(self, security_scheme: Any, required_scopes: Any) -> SecurityCheck:
        return self._noted

    def _noted(self, request: _SecurityRequest) -> dict[str, Any]:
        try:
            self.check(request.scope)
        except Unauthorized as refusal:
            request.refusal = request.refusal or str(refusal)
        return {}

    def check(self, scope: Scope) -> None:
        """Raises `Unauthorized`."""
        raise NotImplementedError


class Bearer(_Check):
    """Connexion's view of the bearer check; goes into its `security_map`."""

    def check(self, scope: Scope) -> None:
        tokens = [value for name, value in scope["headers"] if name == b"authorization"]
        exchange = exchange_of(scope)
        exchange.sandbox = sandbox = authorize(exchange.stub.sandboxes, tokens)
        if not exchange.entry.path.startswith(CONTROL):
            exchange.entry.received_at = sandbox.clock.now()
            sandbox.journal.open(exchange.entry)


class ControlToken(_Check):
    """Connexion's view of the control token; goes into its `security_map`."""

    def check(self, scope: Scope) -> None:
        given = dict(scope["headers"]).get(b"x-stepstub-control-token", b"")
        check_control_token(exchange_of(scope).stub.control_token, given)


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
        limit = exchange.stub.max_body_bytes
        if _declared_length(scope["headers"]) > limit:
            raise _too_large(limit)
        try:
            body = await exchange.sandbox.concurrency.within(BODY_DEADLINE, _read(receive, limit))
        except TimeoutError:
            raise HttpRefusal(408, f"The body did not arrive within {BODY_DEADLINE:g} s.") from None
        exchange.entry.body = body[:MAX_JOURNALED_BODY]
        exchange.entry.body_size = len(body)
        if body or self._needed:
            exchange.content = body
            exchange.body = self._checked(body)
        return receive, scope

    def _checked(self, body: bytes) -> Any:
        try:
            value = jiter.from_json(
                body, allow_inf_nan=False, catch_duplicate_keys=True, cache_mode="keys"
            )
        except ValueError as error:
            reason = f"not strict JSON: {shorten(str(error), 200)}" if body else "empty"
            detail = f"The body is {reason}."
            raise BodyRefused({"body": Violation("INVALID_JSON", detail)}) from None
        if not self._compiled.is_valid(value):
            first_only = len(body) > _EVERY_VIOLATION_UP_TO
            raise BodyRefused(self._compiled.violations(value, first_only=first_only))
        return value


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
            values = {**request.query_params, **request.path_params}
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


class ContractMiddleware(RequestValidationMiddleware):  # type: ignore[misc]
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
