"""Which sandbox a request belongs to, and whether it may drive the stub."""

import warnings
from collections.abc import Callable
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from stepstub.errors import Unauthorized
from stepstub.exchange import Exchange, exchange_of
from stepstub.handlers.credentials import authorize, by_bearer, check_control_token
from stepstub.operations import OPERATIONS

with warnings.catch_warnings():  # Connexion imports what Starlette deprecates
    warnings.simplefilter("ignore")
    from connexion.middleware.security import SecurityAPI, SecurityMiddleware, SecurityOperation
    from connexion.operations import AbstractOperation
    from connexion.security import AbstractSecurityHandler


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
    def __init__(self, next_app: ASGIApp, *, operation_id: str, **options: Any) -> None:
        super().__init__(next_app, **options)
        self._operation_id = operation_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = exchange_of(scope)
        exchange.operation = OPERATIONS[self._operation_id]
        exchange.entry.operation = self._operation_id
        if self.security:
            request = _SecurityRequest(scope)
            await self.verification_fn(request)
            if request.refusal is not None:
                exchange.unauthorised = request.refusal
                if not (exchange.api.is_contract and _body_first(exchange)):
                    raise Unauthorized(request.refusal)
        await self.next_app(scope, receive, send)


def _body_first(exchange: Exchange) -> bool:
    return exchange.nearest_sandbox.readings.checked_first == "body"


class _SecurityAPI(SecurityAPI):  # type: ignore[misc]
    def make_operation(self, operation: AbstractOperation) -> _SecurityOperation:
        return _SecurityOperation(
            self.next_app,
            operation_id=operation.operation_id,
            security_handler_factory=self.security_handler_factory,
            security=_as_one(operation.security),
            security_schemes=operation.security_schemes,
        )


def _as_one(alternatives: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All schemes of an operation as a single requirement, so that none goes unchecked.

    The document lists alternatives because it does not know how the stub was started. Each check
    does know, and accepts every request that does not have to pass it.
    """
    merged = {scheme: scopes for each in alternatives for scheme, scopes in each.items()}
    return [merged] if merged else []


class Credentials(SecurityMiddleware):  # type: ignore[misc]
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
        exchange = exchange_of(scope)
        sandboxes, headers = exchange.stub.sandboxes, scope["headers"]
        if not exchange.api.is_contract:
            exchange.known = by_bearer(sandboxes, headers)
            return
        exchange.known, why_not = authorize(sandboxes, headers)
        if why_not is not None:
            raise Unauthorized(why_not)


class ControlToken(_Check):
    """Connexion's view of the control token; goes into its `security_map`."""

    def check(self, scope: Scope) -> None:
        given = dict(scope["headers"]).get(b"x-stepstub-control-token", b"")
        check_control_token(exchange_of(scope).stub.settings.control_token, given)
