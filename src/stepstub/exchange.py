"""One request on its way through the stub."""

from typing import Any, Protocol

from msgspec import Struct
from starlette.types import Receive, Scope, Send

from stepstub.journal import Entry
from stepstub.sandbox import Sandbox, Sandboxes

CONTROL = "/_stub/"
"""Where the paths of the control API begin."""

Headers = tuple[tuple[bytes, bytes], ...]


class Response(Struct, frozen=True):
    """A whole response: status, body and the headers besides content-type and content-length."""

    status: int
    body: bytes
    headers: Headers = ()
    content_type: bytes = b"application/json"


class Host(Protocol):
    """The stub that an exchange belongs to: what the way of a request needs to know of it.

    `dispatch` calls the handler of the operation (None: no operation is at this path), once the
    request has passed everything else.
    """

    sandboxes: Sandboxes
    max_body_bytes: int
    control_token: str | None

    async def dispatch(
        self, operation_id: str | None, scope: Scope, receive: Receive, send: Send
    ) -> None: ...


class Exchange(Struct, kw_only=True):
    """What is known of a request so far; each part of the way adds to it.

    `sandbox` is the default one until the bearer check has chosen. The contract sets `content`
    (the bytes), `body` (parsed and checked) and `parameters` (of path and query), the handler or a
    refusal `response`. `disconnect` is a fault's doing: the connection breaks without a response.
    """

    stub: Host
    entry: Entry
    sandbox: Sandbox
    parameters: dict[str, Any] = {}
    content: bytes = b""
    body: Any = None
    response: Response | None = None
    disconnect: bool = False


def exchange_of(scope: Scope) -> Exchange:
    """The exchange a request belongs to; the stub has put it into the ASGI scope."""
    exchange: Exchange = scope["extensions"]["stepstub"]
    return exchange
