"""Path and method to an operation."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

from starlette.convertors import CONVERTOR_TYPES
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from stepstub.errors import BadRequest, HttpRefusal, method_not_allowed, nothing_here

with warnings.catch_warnings():  # Connexion imports what Starlette deprecates
    warnings.simplefilter("ignore")
    from connexion.middleware.abstract import ROUTING_CONTEXT, RoutedMiddleware
    from connexion.middleware.routing import RoutingMiddleware

_convertors_lock = Lock()


@contextmanager
def convertors_restored() -> Iterator[None]:
    """Put Starlette's path convertors back as they were before.

    Connexion's `RoutingMiddleware` replaces `int` and `float` for the whole process, by ones that
    match negative numbers as well. Applications under test have routes of their own, which must
    not change because a stub was started. A route keeps the convertors it was compiled with, so
    Connexion's are needed no longer than it takes to build the stack.
    """
    with _convertors_lock:  # of two at once the second would take Connexion's for the originals
        before = dict(CONVERTOR_TYPES)
        try:
            yield
        finally:
            CONVERTOR_TYPES.update(before)


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
            try:
                await super().__call__(scope, receive, send)
            except HTTPException as error:
                raise refusal_of(error) from error
            return
        if b"%2f" in scope["raw_path"].lower():
            # An encoded slash is part of a name, not a separator (RFC 3986, section 2.2).
            raise nothing_here()
        operation = operations.get(scope["method"])
        if operation is None:
            raise method_not_allowed(", ".join(sorted(operations)))
        scope["extensions"][ROUTING_CONTEXT] = operation
        await self.app(scope, receive, send)


class Routed(RoutedMiddleware[Any]):  # type: ignore[misc]
    """What comes after the routing, in which an operation is looked up by its id alone.

    Connexion asks one API after the other, since two may have the same id. None of ours do.
    """

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app)
        self._operations: dict[str | None, ASGIApp] = {}

    def add_api(self, specification: Any, **options: Any) -> Any:
        api = super().add_api(specification, **options)
        self._operations |= api.operations
        return api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        next_app = self.app
        if scope["type"] == "http":
            operation_id = scope["extensions"][ROUTING_CONTEXT].get("operation_id")
            next_app = self._operations.get(operation_id, next_app)
        await next_app(scope, receive, send)


def refusal_of(error: HTTPException) -> HttpRefusal | BadRequest:
    """What Starlette's routers and Connexion's parameters refuse, as one of our errors."""
    if allow := (error.headers or {}).get("Allow"):
        return method_not_allowed(allow)
    if error.status_code == 400:
        return BadRequest(error.detail or "The parameters are wrong.")
    return (
        nothing_here() if error.status_code == 404 else HttpRefusal(error.status_code, error.detail)
    )
