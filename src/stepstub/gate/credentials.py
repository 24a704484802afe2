"""Which sandbox a request belongs to, and whether it may drive the stub."""

import warnings
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from stepstub.errors import Unauthorized
from stepstub.exchange import SANDBOX_ID, Exchange, exchange_of
from stepstub.gate.routing import Routed
from stepstub.handlers.credentials import (
    authorize,
    bearer_token,
    check_control_token,
    chosen_by_baggage,
)
from stepstub.journal import redacted
from stepstub.operations import OPERATIONS
from stepstub.sandbox import DEFAULT_ID

with warnings.catch_warnings():  # Connexion imports what Starlette deprecates
    warnings.simplefilter("ignore")
    from connexion.middleware.security import SecurityAPI, SecurityMiddleware
    from connexion.operations import AbstractOperation
    from connexion.security import AbstractSecurityHandler


SecurityCheck = Callable[[Scope], Awaitable[None]]
"""Raises `Unauthorized`."""


class _SecuredOperation:
    """An operation behind its checks.

    Connexion's own makes a request object for them; and it gathers their exceptions in a list,
    which their tracebacks refer to: a circle that waits for the garbage collector, and under load
    that stops everything for a tenth of a second.
    """

    def __init__(
        self, next_app: ASGIApp, operation_id: str, checks: Sequence[SecurityCheck]
    ) -> None:
        self._next_app = next_app
        self._operation_id = operation_id
        self._checks = checks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = exchange_of(scope)
        exchange.operation = OPERATIONS[self._operation_id]
        exchange.entry.operation = self._operation_id
        for check in self._checks:
            try:
                await check(scope)
            except Unauthorized as refusal:
                exchange.unauthorised = exchange.unauthorised or str(refusal)
        if exchange.unauthorised is not None and not _body_first(exchange):
            raise Unauthorized(exchange.unauthorised)
        await self._next_app(scope, receive, send)


def _body_first(exchange: Exchange) -> bool:
    readings = exchange.nearest_sandbox.readings
    return exchange.api.is_contract and readings.checked_first == "body"


class _SecurityAPI(SecurityAPI):  # type: ignore[misc]
    def make_operation(self, operation: AbstractOperation) -> _SecuredOperation:
        check_of = self.security_handler_factory.parse_security_scheme
        checks = [
            check_of(operation.security_schemes[name], scopes)
            for name, scopes in _as_one(operation.security).items()
        ]
        return _SecuredOperation(self.next_app, operation.operation_id, checks)


def _as_one(alternatives: list[dict[str, Any]]) -> dict[str, Any]:
    """All schemes of an operation as a single requirement, so that none goes unchecked.

    The document lists alternatives because it does not know how the stub was started. Each check
    does know, and accepts every request that does not have to pass it.
    """
    return {scheme: scopes for each in alternatives for scheme, scopes in each.items()}


class Credentials(Routed, SecurityMiddleware):  # type: ignore[misc]
    """Connexion's security, whose handlers are given the scope and nothing else."""

    api_cls = _SecurityAPI


class _Check(AbstractSecurityHandler):  # type: ignore[misc]
    """A security handler that knows its requests by their scopes."""

    def get_fn(self, security_scheme: Any, required_scopes: Any) -> SecurityCheck:
        return self.check

    async def check(self, scope: Scope) -> None:
        """Raises `Unauthorized`."""
        raise NotImplementedError


class Bearer(_Check):
    """Connexion's view of the bearer check; goes into its `security_map`."""

    async def check(self, scope: Scope) -> None:
        exchange = exchange_of(scope)
        sandboxes, headers = exchange.stub.sandboxes, scope["headers"]
        if sandbox_id := scope["extensions"].get(SANDBOX_ID):
            exchange.known = await sandboxes.by_id(sandbox_id)
            if exchange.known is None:
                raise Unauthorized("There is no such sandbox any more.")
            return
        if not exchange.api.is_contract:
            exchange.token = bearer_token(headers)
            exchange.known = await sandboxes.now_by_token(exchange.token)
            return
        key_headers = sandboxes.key_headers
        sandbox, why_not = await authorize(sandboxes, headers)
        if sandboxes.key_headers is not key_headers:  # another process has made these known
            exchange.entry.headers = redacted(headers, sandboxes.key_headers)
        exchange.known = sandbox
        if why_not is not None:
            raise Unauthorized(why_not)
        if sandbox is not None and sandbox.id == DEFAULT_ID and sandboxes.may_have_names:
            exchange.known = await chosen_by_baggage(sandboxes, sandbox, headers)


class ControlToken(_Check):
    """Connexion's view of the control token; goes into its `security_map`."""

    async def check(self, scope: Scope) -> None:
        given = dict(scope["headers"]).get(b"x-stepstub-control-token", b"")
        check_control_token(exchange_of(scope).stub.settings.control_token, given)
