"""What goes out: two forms of response behind one protocol, chosen once per exchange.

explanations.py   the sentences of refusals, and the errors that mean the same in both forms
envelope.py       the contract's `{message, timestamp, data, version}`
undocumented.py   other forms of what the document has no status for
problem.py        the control API's plain JSON, and problem details (RFC 9457)
varied.py         variations of a response that is ready
"""

from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct

from stepstub.errors import Violation
from stepstub.framing import Framing

Headers = tuple[tuple[bytes, bytes], ...]


class Response(Struct, frozen=True):
    """A whole response: status, body and the headers besides content-type and content-length.

    `framing` is how it goes over the connection, where that varies.
    """

    status: int
    body: bytes
    headers: Headers = ()
    content_type: bytes = b"application/json"
    framing: Framing | None = None


class Explained(Struct, frozen=True):
    """An error with its sentences: why the request was refused, and what is wrong with which field.

    `violations` is None for an error that is not about any field or subject.
    """

    error: Exception
    reason: str
    violations: Mapping[str, Violation] | None = None


class Responses(Protocol):
    """One form of response. `now` is milliseconds since the epoch, on the sandbox's clock."""

    def success(self, value: object, status: int, now: int) -> Response:
        """The response to a request that was carried out; `value` is what its handler returned."""

    def failure(self, explained: Explained, now: int, path: str) -> Response:
        """The response to a request for `path` that ended in an error, foreseen or not."""
