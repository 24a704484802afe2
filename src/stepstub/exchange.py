"""One request on its way through the stub."""

from typing import Any

from msgspec import Struct

from stepstub.journal import Entry
from stepstub.sandbox import Sandbox

Headers = tuple[tuple[bytes, bytes], ...]


class Answer(Struct, frozen=True):
    """A whole answer: status, body and the headers besides content-type and content-length."""

    status: int
    body: bytes
    headers: Headers = ()
    content_type: bytes = b"application/json"


class Exchange(Struct, kw_only=True):
    """What is known of a request so far; each part of the way adds to it.

    `sandbox` is the default one until the bearer check has chosen. The contract sets `body`
    (parsed and checked) and `parameters` (of path and query), the handler or a refusal `answer`.
    `disconnect` is a fault's doing: the connection breaks and there is no answer.
    """

    entry: Entry
    sandbox: Sandbox
    parameters: dict[str, Any] = {}
    body: Any = None
    answer: Answer | None = None
    disconnect: bool = False
