"""The server under test: sends requests and examines every response."""

import json
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import Any
from urllib.parse import urlsplit

import jiter
import requests
from requests import PreparedRequest, Session

from stepstub.clock import TimestampForm
from stepstub.contract_tests.credentials import Credentials
from stepstub.contract_tests.curl import curl_line
from stepstub.contract_tests.expectations import Expectations
from stepstub.contract_tests.findings import (
    DOCUMENT,
    UNDOCUMENTED,
    Finding,
    Problem,
    finding,
)
from stepstub.schema import shorten

RESPONSE_TIMEOUT = 30  # seconds

_MIN_TOKEN_LENGTH = 8  # a shorter token could be part of any sentence
_TIMESTAMP = re.compile(TimestampForm().pattern)


class NoResponse(Exception):
    """The connection failed, or time ran out, before a response was complete."""


@dataclass(frozen=True)
class Response:
    """One response; `curl` is the request that repeats it, with the token as $TOKEN."""

    status: int
    headers: Any
    body: bytes
    curl: str
    findings: tuple[Finding, ...] = ()

    @cached_property
    def value(self) -> Any:
        """The parsed body; None when it is not strict JSON."""
        try:
            return jiter.from_json(self.body, allow_inf_nan=False, catch_duplicate_keys=True)
        except ValueError:
            return None

    @property
    def data(self) -> Any:
        """The envelope's `data`; None when there is no envelope."""
        return self.value.get("data") if isinstance(self.value, dict) else None

    @property
    def media_type(self) -> str:
        """The type of the body, in lower case and without parameters; empty when none is given."""
        return str(self.headers.get("Content-Type", "")).split(";")[0].strip().lower()

    @property
    def named_step(self) -> str | None:
        """The id of the step that a 200 says was started; None after the last step."""
        name = self.data.get("processStepId") if isinstance(self.data, dict) else None
        return name if isinstance(name, str) and name else None

    @property
    def excerpt(self) -> str:
        """The beginning of the body, for messages."""
        return shorten(self.body.decode(errors="replace"), 200)


class Server:
    """A server by its URL, and the token that it accepts, in the form of `credentials`.

    May be used from several threads, each with connections of its own.
    """

    def __init__(
        self,
        url: str,
        token: str,
        expectations: Expectations,
        credentials: Credentials | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self.token = token
        self.credentials = credentials or Credentials()
        self.expectations = expectations
        self._latest_timestamp = ""
        self._threads = threading.local()

    @property
    def session(self) -> Session:
        """The session of the calling thread."""
        if not hasattr(self._threads, "session"):
            self._threads.session = session = Session()
            # Otherwise a .netrc would replace our Authorization header.
            session.auth = unchanged
        local: Session = self._threads.session
        return local

    def close(self) -> None:
        """Close the connections of the calling thread."""
        self.session.close()
        del self._threads.session

    @property
    def authorization(self) -> dict[str, str]:
        """The header that carries the token."""
        return self.credentials.headers(self.token)

    @property
    def is_local(self) -> bool:
        """Whether its address is a loopback address of this machine."""
        return bool(re.fullmatch(r"localhost|127\..*|::1", urlsplit(self.url).hostname or ""))

    def complete(self, step_id: str, params: Any = None) -> Response:
        """Complete a step. Raises `NoResponse`."""
        body: dict[str, Any] = {"processStepId": step_id}
        return self.post(body if params is None else {**body, "params": params})

    def post(
        self, body: Any, headers: Mapping[str, str] | None = None, below: str = ""
    ) -> Response:
        """Send a body to the operation: bytes as they are, else as JSON. Raises `NoResponse`.

        `headers` replace the one that carries the token; `below` is appended to the path.
        """
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = self.authorization if headers is None else headers
        response, _ = self.send(
            method="POST",
            url=self.url + self.expectations.path + below,
            data=raw,
            headers={"Content-Type": "application/json", **headers},
        )
        return response

    def send(self, **request: Any) -> tuple[Response, requests.Response]:
        """Send a request, given as to `Session.request`, and examine the response.

        Raises `NoResponse`.
        """
        latest = self._latest_timestamp
        options = {"timeout": RESPONSE_TIMEOUT, "allow_redirects": False}
        try:
            received = self.session.request(**{**request, **options})
        except requests.RequestException as error:
            raise NoResponse(f"no response ({_reason(error)})") from error
        response = Response(
            received.status_code,
            received.headers,
            received.content,
            curl_line(received.request, self.token, self.credentials),
        )
        problems = chain(self._examine(response), self._examine_timestamp(response, latest))
        findings = tuple(
            finding(rule, f"the {response.status} {message}", response.curl)
            for rule, message in problems
        )
        return replace(response, findings=findings), received

    def examine_form(self, response: Response) -> Iterator[Problem]:
        """What is wrong with a response, whatever request it is the response to."""
        documented = response.status in self.expectations.statuses
        rule = DOCUMENT if documented else UNDOCUMENTED
        if response.media_type != "application/json":
            given = response.headers.get("Content-Type") or "unknown"
            yield rule, f"is of type {given}, not application/json"
        if response.value is None:
            yield rule, f"has a body that is not strict JSON: {response.excerpt}"
            return
        for rule, message in self.expectations.breaches(response.status, response.value):
            yield rule, f"breaks the contract: {message}"
        if response.status not in (200, 412) and isinstance(response.data, str):
            rule = "reading 17" if documented else UNDOCUMENTED
            if len(self.token) >= _MIN_TOKEN_LENGTH and self.token in response.data:
                yield rule, "repeats the token in its data"
            if "Traceback" in response.data or "\n" in response.data:
                yield rule, "has a stack trace as its data, not one plain sentence"

    def _examine(self, response: Response) -> Iterator[Problem]:
        # A response with another status is the wrong one, and the case reports that.
        if response.status in self.expectations.statuses:
            yield from self.examine_form(response)

    def _examine_timestamp(self, response: Response, latest: str) -> Iterator[Problem]:
        """`latest` is the newest timestamp that was known when the request was sent."""
        stamp = response.value.get("timestamp") if isinstance(response.value, dict) else None
        if isinstance(stamp, str) and _TIMESTAMP.fullmatch(stamp):
            self._latest_timestamp = max(stamp, self._latest_timestamp)
            if stamp < latest:
                yield "reading 18", f"has a timestamp ({stamp}) before an earlier one's ({latest})"


def unchanged(request: PreparedRequest) -> PreparedRequest:
    """As the `auth` of requests: leave the headers as they are."""
    return request


def _reason(error: requests.RequestException) -> str:
    match error:
        case requests.exceptions.SSLError():
            return "its certificate cannot be verified"
        case requests.ConnectTimeout():
            return "connecting timed out"
        case requests.Timeout():
            return f"not within {RESPONSE_TIMEOUT} s"
        case requests.ConnectionError():
            return "the connection was refused or closed"
        case _:
            return str(error)
