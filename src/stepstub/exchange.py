"""One request on its way through the stub."""

from collections.abc import Awaitable, Callable
from typing import Any, Literal, Protocol

from msgspec import Struct
from starlette.types import Receive, Scope, Send

from stepstub.concurrency import Concurrency
from stepstub.delegates import CallTracing
from stepstub.faults import Fault
from stepstub.journal import Entry
from stepstub.metrics import Metrics
from stepstub.responses import Response, Responses
from stepstub.sandbox import Sandbox
from stepstub.sandboxes import Sandboxes
from stepstub.settings import Settings
from stepstub.stores.protocol import Loaded
from stepstub.views import HealthView
from stepstub.wire import Wire

SANDBOX_ID = "stepstub.sandbox_id"
"""Extension of an ASGI scope: the sandbox that a request within this process is for."""


class Host(Protocol):
    """The stub that an exchange belongs to: what the way of a request needs to know of it."""

    settings: Settings
    sandboxes: Sandboxes
    concurrency: Concurrency
    metrics: Metrics | None
    violations: int

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to one request (ASGI)."""

    async def health(self) -> HealthView:
        """The stub's versions, and what went wrong in it."""

    async def dispatch(
        self, exchange: "Exchange", scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Have the request handled, once it has passed everything else."""


class Tracing(CallTracing, Protocol):
    """Has each exchange of the contract be a span, the parent of the delegate calls it causes."""

    def begin(self, exchange: "Exchange", scope: Scope) -> None:
        """Begin the span of an exchange that may cause calls. Its time is from the head on."""

    def end(self, exchange: "Exchange", scope: Scope) -> None:
        """The exchange has ended, and so does its span, which need not have been begun."""


class Api(Struct, frozen=True):
    """What the requests below one path prefix have in common, whether they match an operation.

    Those of the contract are journalled and held to it, and have the responses of the sandbox's
    readings. Others have `responses` of their own. What matches no operation is a page, if the API
    has pages.
    """

    prefix: str
    pages: Literal["contract", "console"] | None = None
    is_contract: bool = False
    responses: Responses | None = None


class Operation(Struct, frozen=True):
    """One operation: its handler, and the status of what that returns.

    Faults strike a `faultable` operation, which is about the step named by the body's
    `processStepId`.
    """

    id: str
    handler: "Callable[[Exchange], Awaitable[Any]]"
    status: int = 200
    faultable: bool = False


class Exchange(Struct, kw_only=True):
    """What is known of a request so far; each part of the way adds to it.

    The gate sets `operation` (None: the path leads to none). The credentials set `known`, the
    sandbox whose token came with the request, and `unauthorised`, why that is not enough; of the
    control API also `token`, the token itself. The
    contract sets `content` (the bytes), `body` (parsed and checked) and `parameters` (of path and
    query). `records` are what the store had for the step it is about. The handler or a refusal
    sets `response`. `delivery` is a fault that has it go wrong on `wire`, which carries the
    exchange. `began` is when its head had come, in seconds of `time.perf_counter`; `span` is what
    `Tracing` keeps of it.
    """

    stub: Host
    entry: Entry
    api: Api
    operation: Operation | None = None
    known: Sandbox | None = None
    token: bytes = b""
    unauthorised: str | None = None
    parameters: dict[str, Any] = {}
    content: bytes = b""
    body: Any = None
    records: Loaded | None = None
    response: Response | None = None
    delivery: Fault | None = None
    wire: Wire | None = None
    began: float = 0.0
    span: Any = None

    @property
    def responses(self) -> Responses:
        """The form of its response."""
        return self.api.responses or self.nearest_sandbox.responses

    @property
    def nearest_sandbox(self) -> Sandbox:
        """The sandbox whose token came with the request, rightly or not; else the default one."""
        return self.known or self.stub.sandboxes.default

    @property
    def sandbox(self) -> Sandbox:
        """The sandbox that the credentials give access to. An error before they have passed."""
        if self.known is None or self.unauthorised is not None:
            raise RuntimeError("the credentials of this request have not been accepted")
        return self.known

    @property
    def loaded(self) -> Loaded:
        """The records to decide on. An error before they have been loaded."""
        if self.records is None:
            raise RuntimeError("nothing has been loaded for this request")
        return self.records


def exchange_of(scope: Scope) -> Exchange:
    """The exchange a request belongs to; the stub has put it into the ASGI scope."""
    exchange: Exchange = scope["extensions"]["stepstub"]
    return exchange
