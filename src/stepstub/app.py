"""The composition root: `create_app` puts the stub together as one ASGI application.

The way of a request, outermost first: `Stub` (opens the journal entry, sends the one answer) ->
Connexion's middlewares: routing -> bearer check -> contract -> `Stub.dispatch` (calls the handler
of the operation). Refusals are raised and become answers in `Stub.__call__`, nowhere else.
"""

import logging
import time
import warnings
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from stepstub import contract
from stepstub.clock import SystemClock
from stepstub.contract import Contract, ContractMiddleware, JsonBody, exchange_of
from stepstub.engine import StartedStep
from stepstub.envelope import Envelopes
from stepstub.errors import ClientDisconnected, HttpRefusal
from stepstub.exchange import Answer, Exchange
from stepstub.handlers.bearer import authorize
from stepstub.handlers.complete_step import complete_step
from stepstub.journal import KEPT_OF_A_BODY, Entry, redacted
from stepstub.model import Process
from stepstub.pages import pages
from stepstub.runtime import InlineRuntime, Runtime
from stepstub.sandbox import Sandbox, Sandboxes

with warnings.catch_warnings():  # Connexion imports what Starlette deprecates
    warnings.simplefilter("ignore")
    from connexion import ConnexionMiddleware
    from connexion.middleware.abstract import ROUTING_CONTEXT
    from connexion.middleware.routing import RoutingMiddleware
    from connexion.middleware.security import SecurityMiddleware
    from connexion.resolver import Resolver
    from connexion.security import AbstractSecurityHandler

log = logging.getLogger("stepstub")
access_log = logging.getLogger("stepstub.access")

DEFAULT_TOKEN = "stub-token"  # noqa: S105 - everybody may know it
MAX_BODY_BYTES = 1024 * 1024

_NOTHING_HERE = "There is nothing at this path."

Handler = Callable[[Exchange], Awaitable[StartedStep]]


def create_app(
    processes: Sequence[Process] = (),
    *,
    token: str = DEFAULT_TOKEN,
    max_body_bytes: int = MAX_BODY_BYTES,
    runtime: Runtime | None = None,
) -> "Stub":
    """A stub whose default sandbox, the one of `token`, holds `processes`.

    `runtime` says how it may wait: inline (the default) for a caller with a thread of its own, an
    `EventLoopRuntime` under a server.
    """
    runtime = runtime or InlineRuntime()
    sandboxes = Sandboxes(Sandbox(token, processes, runtime=runtime))
    return Stub(sandboxes, contract.load(), max_body_bytes=max_body_bytes, runtime=runtime)


class Stub:
    """The stub as an ASGI application. `violations` counts answers that broke the contract."""

    def __init__(
        self, sandboxes: Sandboxes, contract: Contract, *, max_body_bytes: int, runtime: Runtime
    ) -> None:
        self.sandboxes = sandboxes
        self.violations = 0
        self._contract = contract
        self._clock = SystemClock()
        self._envelopes = Envelopes(contract.version)
        self._pages = pages(contract.text)
        self._handlers: dict[str, Handler] = {"completeStep": complete_step}
        self._connexion = ConnexionMiddleware(
            self.dispatch,
            middlewares=[Routing, SecurityMiddleware, ContractMiddleware],
            resolver=Resolver(self._handlers.__getitem__),
            security_map={"bearer": partial(Bearer, sandboxes)},
            validator_map={
                "body": {
                    "application/json": partial(JsonBody, limit=max_body_bytes, runtime=runtime)
                }
            },
        )
        self._connexion.add_api(contract.document)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI); every answer but a page's leaves through here."""
        if scope["type"] != "http":
            await self._connexion(scope, receive, send)
            return
        began = time.perf_counter()
        exchange = Exchange(
            sandbox=self.sandboxes.default,
            entry=Entry(
                method=scope["method"],
                path=scope["path"],
                headers=redacted(scope["headers"]),
                wall_clock=self._clock.now(),
            ),
        )
        scope.setdefault("extensions", {})["stepstub"] = exchange
        try:
            await self._connexion(scope, receive, send)
        except ClientDisconnected:
            exchange.entry.reason = "the client went away before its request was whole"
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, it becomes the one answer
            exchange.answer = self._refusal(exchange, error)
        if exchange.answer is not None:
            answer = self._checked(exchange, exchange.answer)
            self._close(exchange, answer, began)
            await _send(answer, send)

    async def dispatch(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the handler of the operation that the request has been routed to (ASGI)."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        operation_id = scope["extensions"][ROUTING_CONTEXT]["operation_id"]
        if operation_id is None:
            await self._pages(scope, receive, send)
            return
        exchange = exchange_of(scope)
        exchange.entry.operation = operation_id
        started = await self._handlers[operation_id](exchange)
        exchange.answer = self._envelopes.success(started, exchange.sandbox.clock.now())

    def _refusal(self, exchange: Exchange, error: Exception) -> Answer:
        if isinstance(error, HTTPException):  # from Starlette's router
            allow = (error.headers or {}).get("Allow")
            detail = f"This path takes {allow} only." if allow else _NOTHING_HERE
            error = HttpRefusal(error.status_code, detail, allow=allow)
        exchange.entry.reason = str(error)
        exchange.entry.violations = getattr(error, "violations", None)
        exchange.entry.moved_by = getattr(error, "moved_by", None)
        return self._envelopes.refusal(error, self._now(exchange))

    def _checked(self, exchange: Exchange, answer: Answer) -> Answer:
        """`answer` if it conforms; otherwise it is our own bug, and the documented 500 goes out."""
        breach = self._contract.breach(answer.status, answer.body)
        if breach is None:
            return answer
        self.violations += 1
        log.error("the stub's own answer broke the contract: %s", breach)
        return self._envelopes.internal_error(
            "The stub's own answer would have broken the contract; its log says how.",
            self._now(exchange),
        )

    def _close(self, exchange: Exchange, answer: Answer, began: float) -> None:
        entry = exchange.entry
        entry.status = answer.status
        entry.answer = answer.body[:KEPT_OF_A_BODY]
        entry.answer_size = len(answer.body)
        entry.duration = time.perf_counter() - began
        if not entry.number:  # no bearer check has been passed: a wrong token, an unknown path
            exchange.sandbox.journal.open(entry)
        if access_log.isEnabledFor(logging.INFO):
            access_log.info("", extra={"entry": entry})

    def _now(self, exchange: Exchange) -> int:
        return exchange.sandbox.clock.now()


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
                    if "operationId" in operation
                }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        operations = self._operations.get(scope.get("path", ""))
        if operations is None:
            await super().__call__(scope, receive, send)
            return
        if b"%2f" in scope["raw_path"].lower():
            # An encoded slash is part of a name, not a separator (RFC 3986, section 2.2).
            raise HttpRefusal(404, _NOTHING_HERE)
        operation = operations.get(scope["method"])
        if operation is None:
            allowed = ", ".join(sorted(operations))
            raise HttpRefusal(405, f"This path takes {allowed} only.", allow=allowed)
        scope["extensions"][ROUTING_CONTEXT] = operation
        await self.app(scope, receive, send)


class Bearer(AbstractSecurityHandler):  # type: ignore[misc]
    """Connexion's view of the bearer check; goes into its `security_map`."""

    def __init__(self, sandboxes: Sandboxes) -> None:
        self._sandboxes = sandboxes

    def get_fn(self, security_scheme: Any, required_scopes: Any) -> Callable[[Any], dict[str, Any]]:
        return self._check

    def _check(self, request: Any) -> dict[str, Any]:
        scope = request.scope
        tokens = [value for name, value in scope["headers"] if name == b"authorization"]
        exchange = exchange_of(scope)
        exchange.sandbox = sandbox = authorize(self._sandboxes, tokens)
        exchange.entry.received_at = sandbox.clock.now()
        sandbox.journal.open(exchange.entry)
        return {}


async def _send(answer: Answer, send: Send) -> None:
    headers = [
        (b"content-type", answer.content_type),
        (b"content-length", b"%d" % len(answer.body)),
        *answer.headers,
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
