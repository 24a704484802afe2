"""The stub as an ASGI application: one exchange from request to response."""

import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from importlib import metadata

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stepstub import fault_injection, wire
from stepstub.clock import Clock, SystemClock
from stepstub.concurrency import Concurrency
from stepstub.contract import Contract
from stepstub.delegates import DelegateCall
from stepstub.errors import (
    ClientDisconnected,
    HttpRefusal,
    Refusal,
    StepRefused,
    StoreUnavailable,
    WorldReplaced,
    nothing_here,
)
from stepstub.exchange import Exchange, Tracing, exchange_of
from stepstub.framing import FRAMING
from stepstub.journal import MAX_JOURNALED_BODY, Entry, redacted
from stepstub.metrics import Metrics
from stepstub.operations import api_of
from stepstub.responses import Response
from stepstub.responses.explanations import explain
from stepstub.responses.varied import varied
from stepstub.sandboxes import Sandboxes
from stepstub.settings import Settings
from stepstub.variations import Variation, Vary
from stepstub.views import HealthView

log = logging.getLogger("stepstub")

_MAX_ATTEMPTS = 10  # at one request, whose sandbox others keep resetting
_COUNT_TIMEOUT = 0.3  # seconds
access_log = logging.getLogger("stepstub.access")


class Stub:
    """Refusals are raised on the way and become responses in `__call__`, nowhere else.

    `gate` is what a request passes first, `pages` what it gets where it matches no operation, by
    the `pages` of its API.
    `violations` counts the stub's own responses that broke the contract, `metrics` everything, if
    that is asked for, as `tracing` is.
    """

    def __init__(
        self,
        sandboxes: Sandboxes,
        *,
        settings: Settings,
        concurrency: Concurrency,
        gate: ASGIApp,
        pages: Mapping[str, ASGIApp],
        clock: Clock | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self.sandboxes = sandboxes
        self.settings = settings
        self.concurrency = concurrency
        self.violations = 0
        self.metrics = Metrics() if settings.with_metrics else None
        self._gate = gate
        self._handle: ASGIApp = self._handle_shared if sandboxes.are_shared else gate
        self._pages = pages
        self._clock = clock or SystemClock()
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to one request; every response but a page's leaves through here."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        began = time.perf_counter()
        entry = Entry(
            method=scope["method"],
            path=scope["path"],
            headers=redacted(scope["headers"], self.sandboxes.key_headers),
            wall_clock=self._clock.now(),
        )
        extensions = scope.setdefault("extensions", {})
        exchange = extensions["stepstub"] = Exchange(
            stub=self,
            entry=entry,
            api=api_of(entry.path),
            wire=extensions.get("stepstub.wire"),
            began=began,
        )
        try:
            await self._handle(scope, receive, send)
        except ClientDisconnected as error:
            entry.reason = str(error)
            entry.duration = time.perf_counter() - began
            if exchange.api.is_contract:
                await self._opened(exchange)
                await self._ended(exchange, scope)
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, it becomes the one response
            exchange.response = await self._refusal(exchange, error)
        response = exchange.response
        if response is None:
            return  # a page has been sent
        if exchange.api.is_contract:
            sandbox = exchange.nearest_sandbox
            if sandbox.vary is not None and exchange.delivery is None:
                response, entry.variations = _varied(response, sandbox.vary, entry, scope)
            breach = _breach(entry, sandbox.contract, response)
            if breach is not None:
                response, entry.variations = await self._own_mistake(exchange, breach), ()
            fault = exchange.delivery
            seen = response if fault is None else wire.received(fault, response)
            entry.status = seen.status
            entry.response = seen.body[:MAX_JOURNALED_BODY]
            entry.duration = time.perf_counter() - began
            await sandbox.store.close(entry)
            await self._ended(exchange, scope)
        if exchange.delivery is None or exchange.wire is None:
            await send(wire.head_of(response))
            await send({"type": "http.response.body", "body": response.body})
        else:
            await wire.deliver(exchange.delivery, response, send, exchange.wire)

    async def _handle_shared(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the gate, anew if another process has changed the sandbox since it was looked up.

        One that had been begun by then ends in the world that is gone.
        """
        exchange = exchange_of(scope)
        replayed = Replayed(receive)
        for _ in range(_MAX_ATTEMPTS):
            try:
                await self._handle_once(exchange, scope, replayed.receive, send)
            except WorldReplaced:
                if exchange.entry.number:
                    raise StepRefused(Refusal(exchange.entry.step_id or "", "completed")) from None
            else:
                return
            await self.sandboxes.renew(exchange.nearest_sandbox)
            exchange.known = exchange.unauthorised = exchange.records = None
            exchange.entry.reason = exchange.entry.violations = None
            replayed.rewind()
        raise StoreUnavailable("The sandbox is reset faster than it can be used.")

    async def _handle_once(
        self, exchange: Exchange, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Pass the gate once; a refusal is kept in the sandbox, which may be gone by then."""
        try:
            await self._gate(scope, receive, send)
        except (ClientDisconnected, WorldReplaced):
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it becomes the one response
            exchange.response = await self._refusal(exchange, error)

    async def dispatch(
        self, exchange: Exchange, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Call the handler of the operation that the request has been routed to."""
        operation = exchange.operation
        if operation is None:
            pages = self._pages.get(exchange.api.pages or "")
            if pages is None:
                raise nothing_here()
            await pages(scope, receive, send)
        elif operation.faultable:
            if self._tracing is not None:
                self._tracing.begin(exchange, scope)
            await fault_injection.handle(exchange)
        else:
            value = await operation.handler(exchange)
            exchange.response = exchange.responses.success(value, operation.status, 0)

    def refuse(self, status: int, detail: str) -> tuple[bytes, bytes]:
        """Media type and body of the response to what never gets in here, being no HTTP request."""
        explained = explain(HttpRefusal(status, detail))
        response = self.sandboxes.default.responses.failure(explained, self._clock.now(), "")
        return response.content_type, response.body

    async def health(self) -> HealthView:
        """Says nothing of the store of a shared state, whose failure no restart mends.

        Nor does it wait for that, since whoever asks does not wait for long.
        """
        with suppress(StoreUnavailable, TimeoutError):
            await self.concurrency.within(_COUNT_TIMEOUT, self.sandboxes.count())
        return HealthView(
            status="ok",
            name="stepstub",
            version=metadata.version("stepstub"),
            contract_version=self.sandboxes.default.contract.version,
            contract_violations=self.violations,
            sandboxes=self.sandboxes.last_count,
        )

    async def _refusal(self, exchange: Exchange, error: Exception) -> Response:
        explained, now = explain(error), 0
        if exchange.api.is_contract:
            entry = exchange.entry
            entry.reason = explained.reason
            entry.violations = explained.violations
            if isinstance(error, StepRefused):
                entry.moved_by = error.refusal.moved_by
            out_of_reach = isinstance(error, StoreUnavailable)
            now = self._clock.now() if out_of_reach else await self._opened(exchange)
        return exchange.responses.failure(explained, now, exchange.entry.path)

    async def _own_mistake(self, exchange: Exchange, breach: str) -> Response:
        """The documented 500, in place of a response of ours that breaks the contract."""
        self.violations += 1
        log.error("the stub's own response broke the contract: %s", breach)
        detail = "The stub's own response would have broken the contract; its log says how."
        now = await self._opened(exchange)
        return exchange.responses.failure(explain(HttpRefusal(500, detail)), now, "")

    async def _opened(self, exchange: Exchange) -> int:
        """Have the exchange in the journal; the time of its sandbox.

        One whose credentials were refused is kept in the default sandbox.
        """
        store = exchange.nearest_sandbox.store
        try:
            if exchange.entry.number:
                return (await store.clock()).now
            return await store.open(exchange.entry)
        except StoreUnavailable:  # it gets its response all the same
            return self._clock.now()

    async def _live(self, receive: Receive, send: Send) -> None:
        """Begin and end with the server."""
        while True:
            message = await receive()
            ends = message["type"] == "lifespan.shutdown"
            await (self.sandboxes.end() if ends else self.sandboxes.begin())
            await send({"type": f"{message['type']}.complete"})
            if ends:
                return

    async def _ended(self, exchange: Exchange, scope: Scope) -> None:
        if self._tracing is not None:
            self._tracing.end(exchange, scope)
        if self.metrics is not None:
            number = exchange.entry.number
            calls: Mapping[int, DelegateCall] = {}
            with suppress(StoreUnavailable, WorldReplaced):
                calls = await exchange.nearest_sandbox.store.calls_of([number])
            self.metrics.count(exchange.entry, calls.get(number))
        if access_log.isEnabledFor(logging.INFO):
            sandbox = exchange.known and exchange.known.id
            access_log.info("", extra={"entry": exchange.entry, "sandbox": sandbox})


def _varied(
    response: Response, vary: Vary, entry: Entry, scope: Scope
) -> tuple[Response, tuple[Variation, ...]]:
    """A response as its exchange gets it, varied as far as what it goes out by can do it."""
    framing = FRAMING in scope["extensions"] and scope["method"] != "HEAD"
    chunks = scope.get("http_version") == "1.1"
    return varied(response, vary, entry.number, framing=framing, chunks=chunks)


def _breach(entry: Entry, contract: Contract, response: Response) -> str | None:
    """How a response violates the contract, in words; a fault's may."""
    if entry.fault is not None:
        return None
    return contract.breach(response.status, response.content_type, response.body)


class Replayed:
    """What comes in of a request, so that it can come in again."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._received: list[Message] = []
        self._next = 0

    async def receive(self) -> Message:
        if self._next == len(self._received):
            self._received.append(await self._receive())
        self._next += 1
        return self._received[self._next - 1]

    def rewind(self) -> None:
        self._next = 0
