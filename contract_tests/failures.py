"""What an attempt to get a response can meet."""

import ssl
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

import requests
from urllib3.exceptions import HTTPError, NameResolutionError, NewConnectionError
from urllib3.util import Retry

from stepstub.budget import TooMuch
from stepstub.schema import printable, shorten


class TroubleKind(StrEnum):
    """What kept a response away, or made it say nothing about the server's readings."""

    UNREACHABLE = "no connection"
    DROPPED = "the connection was dropped"
    TIMED_OUT = "no response in time"
    UNAVAILABLE = "502, 503 or 504"
    RATE_LIMITED = "429"
    TOO_LONG = "a response of more than 16 MiB"
    REDIRECTED = "a redirect"
    NOT_THE_SERVER = "an HTML page in place of a response"


PAGES = (TroubleKind.REDIRECTED, TroubleKind.NOT_THE_SERVER)
"""They show that something is there, and may be about one request only: a login, for example."""


@dataclass(frozen=True)
class Failure:
    """An attempt without a response that counts. `wait` is what a Retry-After asks for, in seconds;
    `passes` is whether the next attempt may fare better.
    """

    kind: TroubleKind
    detail: str
    arrived: bool
    passes: bool = True
    wait: float = 0.0


_PASSING = {
    429: TroubleKind.RATE_LIMITED,
    502: TroubleKind.UNAVAILABLE,
    503: TroubleKind.UNAVAILABLE,
    504: TroubleKind.UNAVAILABLE,
}


def from_response(response: requests.Response) -> Failure | None:
    """The failure that a response amounts to, if it does."""
    status = response.status_code
    kind = _PASSING.get(status)
    if kind is not None:
        asked = response.headers.get("Retry-After")
        wait = _seconds(asked)
        # Who says when to come back has not begun.
        refused = kind is TroubleKind.RATE_LIMITED or (status == 503 and wait is not None)
        detail = f"the status was {status}" + (f", Retry-After: {_shown(asked)}" if asked else "")
        return Failure(kind, detail, arrived=not refused, wait=wait or 0)
    if status == 407:
        detail = "the proxy requires credentials: 407"
        return Failure(TroubleKind.UNREACHABLE, detail, arrived=False, passes=False)
    if 300 <= status < 400:
        location = _shown(response.headers.get("Location", "nowhere"))
        detail = f"{status} redirects to {location}, and redirects are not followed"
        return Failure(TroubleKind.REDIRECTED, detail, arrived=True, passes=False)
    media_type = response.headers.get("Content-Type", "").lower()
    if status < 300 and "html" in media_type and response.content.lstrip().startswith(b"<"):
        detail = f"{status} with an HTML page: the URL is not that of the API, or needs a login"
        return Failure(TroubleKind.NOT_THE_SERVER, detail, arrived=True, passes=False)
    return None


def from_error(error: Exception) -> Failure:
    """The failure that an exception amounts to. Its own words may hold secrets."""
    causes = list(_causes(error))
    for kind, failure in _ERRORS.items():
        if any(isinstance(each, kind) for each in causes):
            return failure
    detail = f"the request cannot be sent: {type(error).__name__}"
    return Failure(TroubleKind.UNREACHABLE, detail, arrived=False, passes=False)


_TOO_LATE = Failure(TroubleKind.TIMED_OUT, "it was not complete in time (--timeout)", arrived=True)

_CLOSED = Failure(
    TroubleKind.DROPPED, "the connection was closed before the response was complete", arrived=True
)

_ERRORS: Mapping[type[Exception], Failure] = {
    TooMuch: Failure(TroubleKind.TOO_LONG, "the response did not end", arrived=True, passes=False),
    requests.ConnectTimeout: Failure(
        TroubleKind.TIMED_OUT, "connecting took too long (--timeout)", arrived=False
    ),
    requests.exceptions.ProxyError: Failure(
        TroubleKind.UNREACHABLE,
        "the proxy that the environment names does not let it through",
        arrived=False,
    ),
    requests.ReadTimeout: _TOO_LATE,
    TimeoutError: _TOO_LATE,
    ssl.SSLCertVerificationError: Failure(
        TroubleKind.UNREACHABLE,
        "the server's certificate cannot be verified: give the CA's with --ca, or leave it"
        " unchecked with --insecure",
        arrived=False,
        passes=False,
    ),
    NameResolutionError: Failure(
        TroubleKind.UNREACHABLE, "the name of the host is unknown", arrived=False
    ),
    ConnectionRefusedError: Failure(
        TroubleKind.UNREACHABLE, "the connection was refused", arrived=False
    ),
    NewConnectionError: Failure(
        TroubleKind.UNREACHABLE, "no connection could be established", arrived=False
    ),
    requests.exceptions.SSLError: Failure(
        TroubleKind.DROPPED,
        "TLS failed: is it an http:// URL, or a protocol that is too old?",
        arrived=True,
    ),
    requests.exceptions.ContentDecodingError: Failure(
        TroubleKind.DROPPED,
        "the response is not encoded as its Content-Encoding says",
        arrived=True,
        passes=False,
    ),
    requests.ConnectionError: _CLOSED,
    requests.exceptions.ChunkedEncodingError: _CLOSED,
}
"""What the first of these among the causes of an exception amounts to."""


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An exception and those that it came from."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _seconds(retry_after: str | None) -> float | None:
    """The seconds that a Retry-After asks for, given as such or as a date; None for neither."""
    with suppress(HTTPError, ValueError, OverflowError):
        return Retry().parse_retry_after(retry_after) if retry_after is not None else None
    return None


def _shown(header: str) -> str:
    return shorten(printable(header), 200)
