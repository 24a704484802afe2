"""What starting a step calls.

A delegate is the server's way out: a step is started by calling it. The kinds of the stub are
`recorded` (only noted, the default), `http` (a POST to a third-party application), `python` (a
function a test registers) and `failing` (an error on purpose).
"""

from collections.abc import Callable
from typing import Protocol

from msgspec import Struct, json

from stepstub.concurrency import CallLimit, Concurrency
from stepstub.errors import DelegateFailed
from stepstub.model import Params, Step

HTTP_TIMEOUT = 10.0
"""Seconds in which a third-party application has to respond, from the call to the status."""

Headers = tuple[tuple[bytes, bytes], ...]

_TRACE_CONTEXT = {b"traceparent", b"tracestate"}
_HANDED_ON = {*_TRACE_CONTEXT, b"baggage"}
"""What makes one trace of all that a request causes (W3C Trace Context and Baggage)."""

IN_PROGRESS = "in progress"
ACCEPTED = "accepted"


class StepStart(Struct, frozen=True, rename="camel"):
    """What a delegate is told: the body of the http delegate's POST, the python one's argument."""

    process_id: str
    process_step_id: str
    params: Params


class DelegateCall(Struct, kw_only=True):
    """One call of a delegate. `called_at` is in milliseconds; `outcome` is filled as it ends.

    `times` says how often it has been made: more than once by a fault alone. `headers` are those
    of the completion that an http delegate's POST hands on. A store outside the process gives it a
    `number`; `attempt` counts who makes it, for if one process ends in the middle, another one
    takes over.
    """

    called_at: int
    kind: str
    start: StepStart
    exchange_number: int | None = None
    outcome: str = IN_PROGRESS
    times: int = 1
    headers: Headers = ()
    number: int = 0
    attempt: int = 1


class CallTracing(Protocol):
    """Has each call of an http delegate be a span."""

    def call(self, call: DelegateCall, url: str, send: Callable[[Headers], int]) -> int:
        """Make the call by `send`, which takes the headers to send and returns the status.

        Raises what `send` does.
        """


class Delegates:
    """Starts steps by their delegates.

    `function`, once set, starts the steps whose delegate is recorded or python. `limit` bounds the
    calls at a time. Without `tracing`, calls are no spans.
    """

    def __init__(
        self,
        concurrency: Concurrency,
        limit: CallLimit | None = None,
        *,
        http_timeout: float = HTTP_TIMEOUT,
        tracing: CallTracing | None = None,
    ) -> None:
        self._concurrency = concurrency
        self._limit = limit
        self._http_timeout = http_timeout
        self._tracing = tracing
        self.function: Callable[[StepStart], None] | None = None

    def prepare(
        self,
        step: Step,
        now: int,
        exchange_number: int | None = None,
        headers: Headers = (),
        span: Headers = (),
    ) -> DelegateCall:
        """The call that starts a step. It is accepted at once where nothing is to be called.

        `headers` are those of the request that starts it, their names in lower case. Where that is
        a span of our own, `span` is its trace context, which takes the place of the client's.
        """
        kind = step.delegate.kind
        return DelegateCall(
            called_at=now,
            kind=kind,
            start=StepStart(step.process_id, step.id, step.params),
            exchange_number=exchange_number,
            outcome=ACCEPTED if kind == "recorded" and self.function is None else IN_PROGRESS,
            headers=_handed_on(headers, span) if kind == "http" else (),
        )

    async def make(self, call: DelegateCall, step: Step) -> None:
        """Make a call that is in progress, and set its outcome.

        Raises `DelegateFailed` when the call was not accepted: no connection, no 2xx response
        within the time-out, an exception of the function, or a delegate that fails on purpose.
        """
        try:
            await self._make(call, step)
        except DelegateFailed as failure:
            call.outcome = f"failed: {failure}"
            raise
        except BaseException:
            call.outcome = "failed: the request was cancelled"
            raise
        call.outcome = ACCEPTED

    async def _make(self, call: DelegateCall, step: Step) -> None:
        start = call.start
        if call.kind == "failing":
            raise DelegateFailed("it is a delegate that fails on purpose")
        if call.kind == "http":
            url = step.delegate.url or ""
            await self._concurrency.call(lambda: self._post(url, call), self._limit)
        elif (function := self.function) is not None:
            await self._concurrency.call(lambda: _call(function, start), self._limit)
        elif call.kind == "python":
            raise DelegateFailed("no Python function is registered for it")

    def _post(self, url: str, call: DelegateCall) -> None:
        from stepstub.outbound import post  # takes long to load, and most stubs never call out

        def send(headers: Headers) -> int:
            return post(url, json.encode(call.start), headers, within=self._http_timeout)

        tracing = self._tracing
        status = send(call.headers) if tracing is None else tracing.call(call, url, send)
        if not 200 <= status < 300:
            raise DelegateFailed(f"the third-party application responded {status}")


def _handed_on(headers: Headers, span: Headers) -> Headers:
    names = _HANDED_ON - _TRACE_CONTEXT if span else _HANDED_ON
    return (*span, *[each for each in headers if each[0] in names])


def _call(function: Callable[[StepStart], None], start: StepStart) -> None:
    try:
        function(start)
    except Exception as error:
        raise DelegateFailed(f"the Python function raised {type(error).__name__}") from error
