"""The composition root: `create_app` puts the stub together as one ASGI application.

The way of a request, outermost first: `Stub` (opens the journal entry, sends the one answer) ->
Connexion's middlewares: routing -> bearer check -> contract -> `Stub.dispatch` (faults, and the
handler of the operation). Refusals are raised and become answers in `Stub.__call__`, nowhere else.
"""

import logging
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stepstub import contract, problems
from stepstub.clock import SystemClock
from stepstub.contract import Contract, ContractMiddleware, JsonBody, exchange_of
from stepstub.envelope import Envelopes
from stepstub.errors import BadRequest, ClientDisconnected, HttpRefusal
from stepstub.exchange import Answer, Exchange
from stepstub.faults import Fault
from stepstub.handlers import control
from stepstub.handlers.bearer import authorize, check_control_token
from stepstub.handlers.complete_step import complete_step
from stepstub.journal import KEPT_OF_A_BODY, Entry, redacted
from stepstub.model import Process
from stepstub.pages import pages
from stepstub.runtime import InlineRuntime, Runtime, run_inline
from stepstub.sandbox import Limits, Sandboxes

with warnings.catch_warnings():  # Connexion imports what Starlette deprecates
    warnings.simplefilter("ignore")
    from connexion import ConnexionMiddleware
    from connexion.middleware.abstract import ROUTING_CONTEXT
    from connexion.middleware.routing import RoutingMiddleware
    from connexion.middleware.security import SecurityAPI, SecurityMiddleware, SecurityOperation
    from connexion.operations import AbstractOperation
    from connexion.resolver import Resolver
    from connexion.security import AbstractSecurityHandler

log = logging.getLogger("stepstub")
access_log = logging.getLogger("stepstub.access")

DEFAULT_TOKEN = "stub-token"  # noqa: S105 - everybody may know it
MAX_BODY_BYTES = 1024 * 1024

_CONTROL = "/_stub/"
_NOTHING_HERE = "There is nothing at this path."


def create_app(
    processes: Sequence[Process] = (),
    *,
    token: str = DEFAULT_TOKEN,
    max_body_bytes: int = MAX_BODY_BYTES,
    with_control: bool = True,
    control_token: str | None = None,
    limits: Limits | None = None,
    runtime: Runtime | None = None,
) -> "Stub":
    """A stub whose default sandbox, the one of `token`, holds `processes`.

    `runtime` says how it may wait: inline (the default) for a caller with a thread of its own, an
    `EventLoopRuntime` under a server. `control_token`, where given, is asked of every request to
    the control API.
    """
    runtime = runtime or InlineRuntime()
    sandboxes = Sandboxes(token, processes, runtime=runtime, limits=limits or Limits())
    return Stub(
        sandboxes,
        contract.load(),
        max_body_bytes=max_body_bytes,
        with_control=with_control,
        control_token=control_token,
        runtime=runtime,
    )


class Stub:
    """The stub as an ASGI application. `violations` counts answers that broke the contract."""

    def __init__(
        self,
        sandboxes: Sandboxes,
        contract_: Contract,
        *,
        max_body_bytes: int,
        with_control: bool,
        control_token: str | None,
        runtime: Runtime,
    ) -> None:
        self.sandboxes = sandboxes
        self.violations = 0
        self._contract = contract_
        self._runtime = runtime
        self._clock = SystemClock()
        self._envelopes = Envelopes(contract_.version)
        self._pages = pages(contract_.text, contract_.document)
        self._control: dict[str, control.Handler] = {}
        self._connexion = ConnexionMiddleware(
            self.dispatch,
            middlewares=[Routing, Security, ContractMiddleware],
            resolver=Resolver(self._handler),
            security_map={
                "bearer": partial(Bearer, sandboxes),
                "apiKey": partial(ControlToken, control_token),
            },
            validator_map={
                "body": {
                    "application/json": partial(JsonBody, limit=max_body_bytes, runtime=runtime)
                }
            },
        )
        self._connexion.add_api(contract_.document)
        if with_control:
            document = contract.control_document()
            handlers = control.Control(sandboxes, self._health)
            self._control = control.handlers(handlers, contract.operation_ids(document))
            self._connexion.add_api(document)
        # Connexion builds its stack in the first call; now, no two requests can meet in that.
        run_inline(self._connexion({"type": "lifespan"}, _shutdown_at_once, _ignore))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI); every answer but a page's leaves through here."""
        if scope["type"] != "http":
            await self._connexion(scope, receive, send)
            return
        began = time.perf_counter()
        entry = Entry(
            method=scope["method"],
            path=scope["path"],
            headers=redacted(scope["headers"]),
            wall_clock=self._clock.now(),
        )
        exchange = Exchange(entry=entry, sandbox=self.sandboxes.default)
        extensions = scope.setdefault("extensions", {})
        extensions["stepstub"] = exchange
        try:
            await self._connexion(scope, receive, send)
        except ClientDisconnected as error:
            entry.reason = str(error)
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, it becomes the one answer
            exchange.answer = self._refusal(exchange, error)
        answer = exchange.answer
        if answer is None:
            return  # a page has been sent
        if not entry.path.startswith(_CONTROL):
            answer = self._checked(exchange, answer)
            self._close(exchange, answer, began)
        if exchange.disconnect:
            await extensions["stepstub.disconnect"]()
        else:
            await _send(answer, send)

    async def dispatch(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the handler of the operation that the request has been routed to (ASGI)."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        operation_id = scope["extensions"][ROUTING_CONTEXT]["operation_id"]
        exchange = exchange_of(scope)
        if operation_id == "completeStep":
            await self._complete_step(exchange)
        elif operation_id is not None:
            value = await self._control[operation_id](exchange)
            exchange.answer = problems.success(value, control.STATUS.get(operation_id, 200))
        elif exchange.entry.path.startswith(_CONTROL):
            raise HttpRefusal(404, _NOTHING_HERE)
        else:
            await self._pages(scope, receive, send)

    async def _complete_step(self, exchange: Exchange) -> None:
        sandbox, step_id = exchange.sandbox, exchange.body["processStepId"]
        exchange.entry.step_id = step_id
        if (fault := sandbox.faults.take("before", step_id)) and await self._strike(
            exchange, fault
        ):
            return
        started = await complete_step(exchange)
        exchange.answer = self._envelopes.success(started, sandbox.clock.now())
        if fault := sandbox.faults.take("after", step_id):
            await self._strike(exchange, fault)

    async def _strike(self, exchange: Exchange, fault: Fault) -> bool:
        """Misbehave as `fault` says; whether that was the end of the exchange."""
        entry = exchange.entry
        entry.fault = f"{entry.fault}; {fault.describe()}" if entry.fault else fault.describe()
        now = exchange.sandbox.clock.now()
        match fault.action:
            case "delay":
                await self._runtime.sleep(fault.seconds or 0)
                return False
            case "answer":
                exchange.answer = self._envelopes.fault(fault.status or 500, now)
            case "malformed":
                whole = exchange.answer.body if exchange.answer else b'{"message":"Success"}'
                exchange.answer = Answer(200, whole[: len(whole) // 2])
            case "disconnect":
                exchange.answer = Answer(0, b"")
                exchange.disconnect = True
        return True

    def _handler(self, operation_id: str) -> Any:
        # For Connexion, which asks at start whether each operation has a handler.
        return complete_step if operation_id == "completeStep" else self._control[operation_id]

    def _health(self) -> dict[str, Any]:
        from importlib import metadata

        return {
            "version": metadata.version("stepstub"),
            "contractVersion": self._contract.version,
            "contractViolations": self.violations,
        }

    def _refusal(self, exchange: Exchange, error: Exception) -> Answer:
        if isinstance(error, HTTPException):  # from Starlette's router or Connexion's parameters
            allow = (getattr(error, "headers", None) or {}).get("Allow")
            if error.status_code == 400:
                error = BadRequest(getattr(error, "detail", None) or "The parameters are wrong.")
            else:
                detail = f"This path takes {allow} only." if allow else _NOTHING_HERE
                error = HttpRefusal(error.status_code, detail, allow=allow)
        if exchange.entry.path.startswith(_CONTROL):
            return problems.problem(error)
        exchange.entry.reason = str(error)
        exchange.entry.violations = getattr(error, "violations", None)
        exchange.entry.moved_by = getattr(error, "moved_by", None)
        return self._envelopes.refusal(error, exchange.sandbox.clock.now())

    def _checked(self, exchange: Exchange, answer: Answer) -> Answer:
        """`answer` if it conforms; otherwise it is our own bug, and the documented 500 goes out."""
        if exchange.entry.fault is not None:
            return answer
        breach = self._contract.breach(answer.status, answer.body)
        if breach is None:
            return answer
        self.violations += 1
        log.error("the stub's own answer broke the contract: %s", breach)
        return self._envelopes.internal_error(
            "The stub's own answer would have broken the contract; its log says how.",
            exchange.sandbox.clock.now(),
        )

    def _close(self, exchange: Exchange, answer: Answer, began: float) -> None:
        entry, journal = exchange.entry, exchange.sandbox.journal
        entry.status = answer.status
        entry.answer = answer.body[:KEPT_OF_A_BODY]
        entry.duration = time.perf_counter() - began
        if not entry.number:  # no bearer check has been passed: a wrong token, an unknown path
            entry.received_at = exchange.sandbox.clock.now()
            journal.open(entry)
        journal.notify()
        if access_log.isEnabledFor(logging.INFO):
            access_log.info("", extra={"entry": entry})


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
            raise HttpRefusal(404, _NOTHING_HERE)
        operation = operations.get(scope["method"])
        if operation is None:
            allowed = ", ".join(sorted(operations))
            raise HttpRefusal(405, f"This path takes {allowed} only.", allow=allowed)
        scope["extensions"][ROUTING_CONTEXT] = operation
        exchange_of(scope).entry.operation = operation["operation_id"]
        await self.app(scope, receive, send)


class _SecurityRequest:
    """What a security handler is given: Connexion's own request is made for much more."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.context: dict[str, Any] = {}


SecurityCheck = Callable[[_SecurityRequest], dict[str, Any]]


class _SecurityOperation(SecurityOperation):  # type: ignore[misc]
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.security:
            await self.verification_fn(_SecurityRequest(scope))
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


class Bearer(AbstractSecurityHandler):  # type: ignore[misc]
    """Connexion's view of the bearer check; goes into its `security_map`."""

    def __init__(self, sandboxes: Sandboxes) -> None:
        self._sandboxes = sandboxes

    def get_fn(self, security_scheme: Any, required_scopes: Any) -> SecurityCheck:
        return self._check

    def _check(self, request: _SecurityRequest) -> dict[str, Any]:
        scope = request.scope
        tokens = [value for name, value in scope["headers"] if name == b"authorization"]
        exchange = exchange_of(scope)
        exchange.sandbox = sandbox = authorize(self._sandboxes, tokens)
        if not exchange.entry.path.startswith(_CONTROL):
            exchange.entry.received_at = sandbox.clock.now()
            sandbox.journal.open(exchange.entry)
        return {}


class ControlToken(AbstractSecurityHandler):  # type: ignore[misc]
    """Connexion's view of the control token; goes into its `security_map`."""

    def __init__(self, expected: str | None) -> None:
        self._expected = expected

    def get_fn(self, security_scheme: Any, required_scopes: Any) -> SecurityCheck:
        return self._check

    def _check(self, request: _SecurityRequest) -> dict[str, Any]:
        given = dict(request.scope["headers"]).get(b"x-stepstub-control-token", b"")
        check_control_token(self._expected, given)
        return {}


async def _send(answer: Answer, send: Send) -> None:
    headers = list(answer.headers)
    if answer.status != 204:
        headers.append((b"content-type", answer.content_type))
        headers.append((b"content-length", b"%d" % len(answer.body)))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


async def _shutdown_at_once() -> Message:
    return {"type": "lifespan.shutdown"}


async def _ignore(message: Message) -> None:
    pass


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
