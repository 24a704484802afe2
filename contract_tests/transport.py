"""Reaching a server: one request, sent again where trouble on the way kept its response away."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from requests import PreparedRequest
from urllib3.exceptions import HTTPError

from stepstub.budget import Budget, BudgetSession
from stepstub.contract_tests.connection import Connection
from stepstub.contract_tests.failures import (
    PAGES,
    Failure,
    TroubleKind,
    from_error,
    from_response,
)
from stepstub.contract_tests.findings import ServerGone
from stepstub.contract_tests.pace import Pace

__all__ = ["NoResponse", "Received", "Transport", "Trouble", "TroubleKind", "unchanged"]

MAX_BYTES = 16 * 1024 * 1024
"""The longest response that is read."""

MAX_WAIT = 60.0
"""Seconds between two attempts at most, whatever a Retry-After says."""

MAX_FAILURES = 5
"""Requests in a row without a response, after which the server is gone."""

_FIRST_WAIT = 0.5  # seconds, doubled with every attempt


@dataclass(frozen=True)
class Trouble:
    """One request that met trouble. `attempts` counts all of them; `recovered` is whether the last
    one got a response. `detail` says more in words, `curl` repeats the request.
    """

    kind: TroubleKind
    detail: str
    attempts: int
    recovered: bool
    curl: str = ""


class NoResponse(Exception):
    """A request got no response that counts; `trouble` says why.

    `may_have_arrived` is whether the server may have processed it all the same.
    """

    def __init__(
        self, message: str, trouble: Trouble | None = None, *, may_have_arrived: bool = True
    ) -> None:
        super().__init__(message)
        self.trouble = trouble
        self.may_have_arrived = may_have_arrived


@dataclass(frozen=True)
class Received:
    """A response, and the curl line that repeats its request.

    `repeated` is whether an earlier attempt of the same request may have reached the server: then
    a completion may be refused only because it was accepted before.
    """

    response: requests.Response
    curl: str
    repeated: bool


class Transport:
    """Sends requests. May be used from several threads, each with connections of its own.

    `trouble` has an entry for each request that met any; `sent` is the number of requests,
    not counting repetitions. `clock` and `wait` are those of `Pace`.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        wait: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.trouble: list[Trouble] = []
        self.sent = 0
        self._connection = connection
        self._pace = Pace(connection.rate, wait, clock)
        self._failures = 0
        self._lock = threading.Lock()
        self._threads = threading.local()

    def send(self, curl: Callable[[PreparedRequest], str], **request: Any) -> Received:
        """Send a request, given as to `requests.Request`, until it gets a response.

        Redirects are not followed. Raises `NoResponse`, and `ServerGone` in place of the last of
        `MAX_FAILURES` in a row.
        """
        with self._lock:
            self.sent += 1
        failure: Failure | None = None
        arrived = False
        attempt = 0
        while True:
            attempt += 1
            self._pace.turn()
            outcome, line = self._attempt(curl, request)
            if not isinstance(outcome, Failure):
                self._succeeded(failure, attempt, line)
                return Received(outcome, line, arrived)
            failure = outcome
            arrived = arrived or failure.arrived
            self._pace.hold(min(failure.wait, MAX_WAIT))
            if not failure.passes or attempt > self._connection.retries:
                raise self._failed(failure, attempt, line, arrived)
            self._pace.hold(min(_FIRST_WAIT * 2 ** (attempt - 1), MAX_WAIT))

    def close(self) -> None:
        """Close the connections of the calling thread."""
        self._session.close()
        del self._threads.session

    @property
    def _session(self) -> BudgetSession:
        """The session of the calling thread."""
        if not hasattr(self._threads, "session"):
            session = BudgetSession(Budget(self._connection.timeout, MAX_BYTES))
            session.headers.update(self._connection.headers)
            session.auth = unchanged
            # A cookie would authorise requests that are sent without a token on purpose.
            session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
            self._threads.session = session
        kept: BudgetSession = self._threads.session
        return kept

    def _attempt(
        self, curl: Callable[[PreparedRequest], str], request: Mapping[str, Any]
    ) -> tuple[requests.Response | Failure, str]:
        session, verify = self._session, self._connection.verify
        line = ""
        try:
            prepared = session.prepare_request(requests.Request(**request))
            line = curl(prepared)
            environment = session.merge_environment_settings(prepared.url, {}, None, verify, None)
            response = session.send(
                prepared, timeout=self._connection.timeout, allow_redirects=False, **environment
            )
        # requests lets through what urllib3, ssl and the idna codec say of some hosts and files.
        except (OSError, HTTPError, UnicodeError) as error:
            return from_error(error), line
        return from_response(response) or response, line

    def _succeeded(self, failure: Failure | None, attempts: int, curl: str) -> None:
        with self._lock:
            self._failures = 0
            if failure is not None:
                self.trouble.append(
                    Trouble(failure.kind, failure.detail, attempts, recovered=True, curl=curl)
                )

    def _failed(
        self, failure: Failure, attempts: int, curl: str, arrived: bool
    ) -> NoResponse | ServerGone:
        """What to raise: a request got no response."""
        trouble = Trouble(failure.kind, failure.detail, attempts, recovered=False, curl=curl)
        with self._lock:
            self.trouble.append(trouble)
            self._failures += failure.kind not in PAGES
            gone = self._failures >= MAX_FAILURES
        if gone:
            return ServerGone(
                f"{MAX_FAILURES} requests in a row got no response, the last one because"
                f" {failure.detail}"
            )
        tried = f"; tried {attempts} times" if attempts > 1 else ""
        return NoResponse(
            f"no response ({failure.detail}{tried})", trouble, may_have_arrived=arrived
        )


def unchanged(request: PreparedRequest) -> PreparedRequest:
    """As the `auth` of requests: otherwise a .netrc would replace our Authorization header."""
    return request
