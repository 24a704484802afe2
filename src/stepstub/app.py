"""The composition root: `create_app` puts the stub together as one ASGI application.

The way of a request, outermost first: `Stub` (opens the journal entry, sends the one response) ->
the gate: routing -> bearer check -> contract -> `Stub.dispatch` (faults, and the handler of the
operation). Refusals are raised and become responses in `Stub.__call__`, nowhere else.
"""

import logging
import time
from collections.abc import Sequence
from functools import cache
from typing import Any

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from stepstub import contract, problems
from stepstub.clock import SystemClock
from stepstub.concurrency import Concurrency, InlineConcurrency
from stepstub.envelope import Envelopes
from stepstub.errors import NOTHING_HERE, BadRequest, ClientDisconnected, HttpRefusal
from stepstub.exchange import CONTROL, Exchange, Response, exchange_of
from stepstub.faults import Fault
from stepstub.gate import gate
from stepstub.handlers import control
from stepstub.handlers.complete_step import complete_step
from stepstub.journal import MAX_JOURNALED_BODY, Entry, redacted
from stepstub.model import Process
from stepstub.pages import pages
from stepstub.sandbox import Limits, Sandboxes

log = logging.getLogger("stepstub")
access_log = logging.getLogger("stepstub.access")

DEFAULT_TOKEN = "stub-token"  # noqa: S105 - everybody may know it
MAX_BODY_BYTES = 1024 * 1024


def create_app(
    processes: Sequence[Process] = (),
    *,
    token: str = DEFAULT_TOKEN,
    max_body_bytes: int = MAX_BODY_BYTES,
    with_control: bool = True,
    control_token: str | None = None,
    limits: Limits | None = None,
    concurrency: Concurrency | None = None,
) -> "Stub":
    """A stub whose default sandbox, the one of `token`, holds `processes`.

    `concurrency` says how it may wait: inline (the default) for a caller with a thread of its own,
    an `EventLoopConcurrency` under a server. `control_token`, where given, is asked of every
    request to the control API.
    """
    concurrency = concurrency or InlineConcurrency()
    return Stub(
        Sandboxes(token, processes, concurrency=concurrency, limits=limits or Limits()),
        concurrency,
        gate(with_control=with_control),
        max_body_bytes=max_body_bytes,
        control_token=control_token,
    )


class Stub:
    """The stub as an ASGI application. `violations` counts responses that broke the contract."""

    def __init__(
        self,
        sandboxes: Sandboxes,
        concurrency: Concurrency,
        gate: ASGIApp,
        *,
        max_body_bytes: int,
        control_token: str | None,
    ) -> None:
        self.sandboxes = sandboxes
        self.max_body_bytes = max_body_bytes
        self.control_token = control_token
        self.violations = 0
        self._concurrency = concurrency
        self._gate = gate
        self._contract = contract.load()
        self._envelopes = Envelopes(self._contract.version)
        self._control = control.Control(sandboxes, self._health)
        self._clock = SystemClock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to one request (ASGI); every response but a page's leaves through here."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        began = time.perf_counter()
        entry = Entry(
            method=scope["method"],
            path=scope["path"],
            headers=redacted(scope["headers"]),
            wall_clock=self._clock.now(),
        )
        exchange = Exchange(stub=self, entry=entry, sandbox=self.sandboxes.default)
        extensions = scope.setdefault("extensions", {})
        extensions["stepstub"] = exchange
        try:
            await self._gate(scope, receive, send)
        except ClientDisconnected as error:
            entry.reason = str(error)
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, it becomes the one response
            exchange.response = self._refusal(exchange, error)
        response = exchange.response
        if response is None:
            return  # a page has been sent
        if not entry.path.startswith(CONTROL):
            response = self._checked(exchange, response)
            self._close(exchange, response, began)
        if exchange.disconnect:
            await extensions["stepstub.disconnect"]()
        else:
            await _send(response, send)

    def refuse(self, status: int, detail: str) -> bytes:
        """The body of the response to what is no HTTP request, and so never gets in here."""
        now = self.sandboxes.default.clock.now()
        return self._envelopes.refusal(HttpRefusal(status, detail), now).body

    async def dispatch(
        self, operation_id: str | None, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Call the handler of the operation that the request has been routed to."""
        exchange = exchange_of(scope)
        if operation_id == "completeStep":
            await self._complete_step(exchange)
        elif operation_id is not None:
            value = await control.handler(operation_id)(self._control, exchange)
            exchange.response = problems.success(value, control.STATUS.get(operation_id, 200))
        elif exchange.entry.path.startswith(CONTROL):
            raise HttpRefusal(404, NOTHING_HERE)
        else:
            await _pages()(scope, receive, send)

    async def _complete_step(self, exchange: Exchange) -> None:
        sandbox, step_id = exchange.sandbox, exchange.body["processStepId"]
        exchange.entry.step_id = step_id
        if (fault := sandbox.faults.take("before", step_id)) and await self._strike(
            exchange, fault
        ):
            return
        started = await complete_step(exchange)
        exchange.response = self._envelopes.success(started, sandbox.clock.now())
        if fault := sandbox.faults.take("after", step_id):
            await self._strike(exchange, fault)

    async def _strike(self, exchange: Exchange, fault: Fault) -> bool:
        """Misbehave as `fault` says; whether that was the end of the exchange."""
        entry = exchange.entry
        entry.fault = f"{entry.fault}; {fault.describe()}" if entry.fault else fault.describe()
        now = exchange.sandbox.clock.now()
        match fault.action:
            case "delay":
                await self._concurrency.sleep(fault.seconds or 0)
                return False
            case "respond":
                exchange.response = self._envelopes.fault(fault.status or 500, now)
            case "malformed":
                whole = exchange.response.body if exchange.response else b'{"message":"Success"}'
                exchange.response = Response(200, whole[: len(whole) // 2])
            case "disconnect":
                exchange.response = Response(0, b"")
                exchange.disconnect = True
        return True

    def _health(self) -> dict[str, Any]:
        from importlib import metadata

        return {
            "version": metadata.version("stepstub"),
            "contractVersion": self._contract.version,
            "contractViolations": self.violations,
        }

    def _refusal(self, exchange: Exchange, error: Exception) -> Response:
        if isinstance(error, HTTPException):  # from Starlette's router or Connexion's parameters
            allow = (getattr(error, "headers", None) or {}).get("Allow")
            if error.status_code == 400:
                error = BadRequest(getattr(error, "detail", None) or "The parameters are wrong.")
            else:
                detail = f"This path takes {allow} only." if allow else NOTHING_HERE
                error = HttpRefusal(error.status_code, detail, allow=allow)
        if exchange.entry.path.startswith(CONTROL):
            return problems.problem(error)
        exchange.entry.reason = str(error)
        exchange.entry.violations = getattr(error, "violations", None)
        exchange.entry.moved_by = getattr(error, "moved_by", None)
        return self._envelopes.refusal(error, exchange.sandbox.clock.now())

    def _checked(self, exchange: Exchange, response: Response) -> Response:
        """`response` if it conforms; otherwise it is our bug, and the documented 500 goes out."""
        if exchange.entry.fault is not None:
            return response
        breach = self._contract.breach(response.status, response.body)
        if breach is None:
            return response
        self.violations += 1
        log.error("the stub's own response broke the contract: %s", breach)
        return self._envelopes.internal_error(
            "The stub's own response would have broken the contract; its log says how.",
            exchange.sandbox.clock.now(),
        )

    def _close(self, exchange: Exchange, response: Response, began: float) -> None:
        entry, journal = exchange.entry, exchange.sandbox.journal
        entry.status = response.status
        entry.response = response.body[:MAX_JOURNALED_BODY]
        entry.duration = time.perf_counter() - began
        if not entry.number:  # no bearer check has been passed: a wrong token, an unknown path
            entry.received_at = exchange.sandbox.clock.now()
            journal.open(entry)
        journal.notify()
        if access_log.isEnabledFor(logging.INFO):
            access_log.info("", extra={"entry": entry})


@cache
def _pages() -> ASGIApp:
    document = contract.load()
    return pages(document.text, document.document)


async def _send(response: Response, send: Send) -> None:
    headers = list(response.headers)
    if response.status != 204:
        headers.append((b"content-type", response.content_type))
        headers.append((b"content-length", b"%d" % len(response.body)))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
