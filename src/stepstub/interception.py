"""What requests sends to one address, handed to a function instead: by `responses`.

Everything else goes where it would have gone anyway, which may be another mock.
"""

import http.client
import io
import re
from collections.abc import Callable
from typing import Any

import requests
import responses
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.exceptions import MaxRetryError, ProtocolError, ReadTimeoutError

from stepstub.errors import Disconnected, Received, TimedOut

Carried = tuple[int, dict[str, str], bytes | io.BufferedReader]
"""Status, headers and body of a response."""


class Interception(responses.RequestsMock):
    """Hands what requests sends to `url` to `carry`, from `start` to `stop`.

    `carry` raises `Disconnected` and `TimedOut` where no response comes.
    """

    def __init__(self, url: str, carry: Callable[[requests.PreparedRequest], Carried]) -> None:
        super().__init__(assert_all_requests_are_fired=False, real_adapter_send=self._pass_on)
        self._carry = carry
        self._outer_send = HTTPAdapter.send
        ours = re.compile(re.escape(url) + r"([/?#]|$)")
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"):
            self.add_callback(method, ours, self._respond, content_type=None)
        self.add_passthru(re.compile(f"(?!{ours.pattern})"))

    def start(self) -> None:
        """Begin to intercept; what is not for `url` goes to the `HTTPAdapter.send` of this moment.

        Left to itself, `responses` passes on to the one there was when it was imported, and so
        past any mock that is active around this one: to the network.
        """
        outer = HTTPAdapter.send
        super().start()
        if HTTPAdapter.send is not outer:  # and not: it had been started before
            self._outer_send = outer

    def _pass_on(self, *args: Any, **options: Any) -> requests.Response:
        return self._outer_send(*args, **options)

    def _respond(self, request: requests.PreparedRequest) -> Carried | Exception:
        try:
            return self._carry(request)
        except (Disconnected, TimedOut) as error:
            return _begun(error) or _NoResponse(error, request=request)

    # `responses` retries by status alone. A real adapter counts lost connections and time-outs
    # against the same `Retry`, so they are retried here, where `responses` keeps the count.
    def _on_request(
        self, adapter: HTTPAdapter, request: requests.PreparedRequest, **options: Any
    ) -> requests.Response:
        try:
            return super()._on_request(adapter, request, **options)
        except _NoResponse as lost:
            retries = options.pop("retries", None) or adapter.max_retries
            retries = _counted(retries, request, lost.reason)
        # Without the pause of its `backoff_factor`: nothing takes time here.
        return self._on_request(adapter, request, retries=retries, **options)


def _begun(error: Disconnected | TimedOut) -> Carried | None:
    """The response that the client gets before it notices; None when it gets none."""
    received = error.received
    if received is None:
        return None
    if received.in_head:
        # http.client takes the end of the connection for the end of the head.
        is_noticed = isinstance(error, Disconnected) and error.reset
        return None if is_noticed else (received.status, {}, b"")
    headers = {name.decode(): value.decode("latin-1") for name, value in received.headers}
    return received.status, headers, io.BufferedReader(_BrokenBody(received, error))


class _BrokenBody(io.RawIOBase):
    """A part of a body, and then what a socket does that has been closed, or says no more."""

    def __init__(self, received: Received, error: Disconnected | TimedOut) -> None:
        self._part = io.BytesIO(received.body)
        self._error = error

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if size := self._part.readinto(buffer):
            return size
        if isinstance(self._error, TimedOut):
            raise TimeoutError(str(self._error))
        if self._error.reset:
            raise ConnectionResetError(str(self._error))
        raise http.client.IncompleteRead(self._part.getvalue())


class _NoResponse(requests.RequestException):
    """Never gets out of this module: it becomes what requests raises, or a retry."""

    def __init__(self, reason: Disconnected | TimedOut, request: requests.PreparedRequest) -> None:
        self.reason = reason
        super().__init__(str(reason), request=request)


def _counted(
    retries: urllib3.Retry, request: requests.PreparedRequest, reason: Disconnected | TimedOut
) -> urllib3.Retry:
    """What is left of `retries`. Raises what requests' adapter does when that is nothing."""
    url = request.url or ""
    pool = urllib3.connection_from_url(url)
    error = (
        ProtocolError(str(reason))
        if isinstance(reason, Disconnected)
        else ReadTimeoutError(pool, url, str(reason))
    )
    try:
        return retries.increment(request.method, url, error=error, _pool=pool)
    except ReadTimeoutError:
        raise requests.ReadTimeout(str(reason), request=request) from None
    except (ProtocolError, MaxRetryError) as final:
        raise requests.ConnectionError(final, request=request) from None
