"""The server under test: sends the documented operation and examines every response."""

import json
import re
import shlex
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

from stepstub.contract_tests.findings import (
    BEYOND_THE_DOCUMENT,
    DOCUMENT,
    Expectations,
    Finding,
    finding,
)
from stepstub.schema import shorten

PATIENCE = 30
"""Seconds in which a response has to come."""

_PADDING = 1024  # blanks at the end of a body that a curl line does not write out
_TELLING = 8  # characters of a token; a shorter one may be part of any sentence
_TIMESTAMP = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z")


class NoResponse(Exception):
    """The connection ended, or time ran out, before a response was whole."""


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
        """The envelope's `data`, None when there is no envelope."""
        return self.value.get("data") if isinstance(self.value, dict) else None

    @property
    def named_step(self) -> str | None:
        """The id that a 200 says was started; None for a last step."""
        name = self.data.get("processStepId") if isinstance(self.data, dict) else None
        return name if isinstance(name, str) and name else None

    @property
    def excerpt(self) -> str:
        return shorten(self.body.decode(errors="replace"), 200)


class Server:
    """A server by its URL, and the token that it accepts."""

    def __init__(self, url: str, token: str, expectations: Expectations) -> None:
        self.url = url.rstrip("/")
        self.token = token
        self.expectations = expectations
        self._latest = ""
        self._threads = threading.local()

    @property
    def session(self) -> Session:
        """A session of the calling thread's own."""
        if not hasattr(self._threads, "session"):
            self._threads.session = session = Session()
            # Or a .netrc would put its own Authorization in the place of ours.
            session.auth = unchanged
        local: Session = self._threads.session
        return local

    def close(self) -> None:
        """Close the connections of the calling thread."""
        self.session.close()
        del self._threads.session

    @property
    def authorization(self) -> dict[str, str]:
        """The header that bears the token."""
        return {"Authorization": f"Bearer {self.token}"}

    @property
    def is_local(self) -> bool:
        """Whether its address is a loopback one, which leads back to this machine."""
        return bool(re.fullmatch(r"localhost|127\..*|::1", urlsplit(self.url).hostname or ""))

    def complete(self, step_id: str, params: Any = None) -> Response:
        """Complete a step with the given token."""
        body: dict[str, Any] = {"processStepId": step_id}
        return self.post(body if params is None else {**body, "params": params})

    def post(self, body: Any, headers: Mapping[str, str] | None = None) -> Response:
        """Send a body (as it is when it is bytes, else as JSON). Raises `NoResponse`.

        `headers` take the place of the one that bears the token.
        """
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = self.authorization if headers is None else headers
        response, _ = self.send(
            method="POST",
            url=self.url + self.expectations.path,
            data=raw,
            headers={"Content-Type": "application/json", **headers},
        )
        return response

    def send(self, **request: Any) -> tuple[Response, requests.Response]:
        """Send what `requests` takes; the response comes examined. Raises `NoResponse`."""
        latest = self._latest
        options = {"timeout": PATIENCE, "allow_redirects": False}
        try:
            received = self.session.request(**{**request, **options})
        except requests.RequestException as error:
            raise NoResponse(f"no response came ({_reason(error)})") from error
        response = Response(
            received.status_code, received.headers, received.content, self._curl(received.request)
        )
        found = [
            finding(rule, f"the {response.status} {words}", response.curl)
            for rule, words in chain(self._examine(response), self._examine_time(response, latest))
        ]
        return replace(response, findings=tuple(found)), received

    def examine_form(self, response: Response) -> Iterator[tuple[str, str]]:
        """Rule and words of what is wrong with a response, whatever it is the response to."""
        documented = response.status in self.expectations.statuses
        rule = DOCUMENT if documented else BEYOND_THE_DOCUMENT
        content_type = response.headers.get("Content-Type", "")
        if content_type.split(";")[0].strip().lower() != "application/json":
            yield rule, f"is of type {content_type or 'unknown'}, not application/json"
        if response.value is None:
            yield rule, f"has a body that is not strict JSON: {response.excerpt}"
            return
        for rule, words in self.expectations.breaches(response.status, response.value):
            yield rule, f"breaks the contract: {words}"
        if response.status not in (200, 412) and isinstance(response.data, str):
            rule = "reading 17" if documented else BEYOND_THE_DOCUMENT
            if len(self.token) >= _TELLING and self.token in response.data:
                yield rule, "repeats the token in its data"
            if "Traceback" in response.data or "\n" in response.data:
                yield rule, "has a stack trace for data, not one plain sentence"

    def redacted(self, text: str) -> str:
        """`text` without the token."""
        return text.replace(self.token, "$TOKEN")

    def _curl(self, request: PreparedRequest) -> str:
        """A line for a shell that repeats a request; $TOKEN stands for the token."""
        line = ["curl", "-i", "-X", request.method or "", shlex.quote(request.url or "")]
        for name in ("Authorization", "Content-Type"):
            if name in request.headers:
                value = request.headers[name]
                text = value.decode("latin-1") if isinstance(value, bytes) else value
                quoted = shlex.quote(f"{name}: {text}")
                if self.token in text:
                    quoted = f'"{name}: {text.replace(self.token, "$TOKEN")}"'
                line += ["-H", quoted]
        if request.body:
            body = request.body if isinstance(request.body, bytes) else request.body.encode()
            blanks = len(body) - len(body.rstrip(b" "))
            if blanks < _PADDING:
                line += ["--data-binary", _quoted(body)]
            else:  # no shell takes a megabyte in one argument
                padded = f"printf '%s%{blanks}s' {_quoted(body.rstrip(b' '))} ''"
                line = [padded, "|", *line, "--data-binary", "@-"]
        return self.redacted(" ".join(line))

    def _examine(self, response: Response) -> Iterator[tuple[str, str]]:
        if (
            response.status in self.expectations.statuses
        ):  # or it is not the response, and the case says so
            yield from self.examine_form(response)

    def _examine_time(self, response: Response, latest: str) -> Iterator[tuple[str, str]]:
        """`latest` is the newest timestamp that was known when the request was sent."""
        stamp = response.value.get("timestamp") if isinstance(response.value, dict) else None
        if isinstance(stamp, str) and _TIMESTAMP.fullmatch(stamp):
            self._latest = max(stamp, self._latest)
            if stamp < latest:
                yield "reading 18", f"has a timestamp ({stamp}) before an earlier one's ({latest})"


def unchanged(request: PreparedRequest) -> PreparedRequest:
    """For `auth` of requests: the headers as they are."""
    return request


def _reason(error: requests.RequestException) -> str:
    match error:
        case requests.exceptions.SSLError():
            return "its certificate cannot be verified"
        case requests.ConnectTimeout():
            return "no connection in time"
        case requests.Timeout():
            return f"not within {PATIENCE} s"
        case requests.ConnectionError():
            return "the connection was refused or ended"
        case _:
            return str(error)


def _quoted(body: bytes) -> str:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = ""
    if text.isprintable() and text:
        return shlex.quote(text)
    return "$'" + "".join(f"\\x{byte:02x}" for byte in body) + "'"
