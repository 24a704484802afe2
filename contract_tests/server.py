"""The server under test: sends requests and has every response examined."""

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from stepstub.contract_tests.connection import DIRECT, Connection
from stepstub.contract_tests.credentials import Credentials
from stepstub.contract_tests.curl import curl_line
from stepstub.contract_tests.examination import Examiner
from stepstub.contract_tests.expectations import Expectations
from stepstub.contract_tests.response import Response
from stepstub.contract_tests.transport import NoResponse, Transport, Trouble

__all__ = ["NoResponse", "Server"]


class Server:
    """A server by its URL, and the token that it accepts, in the form of `credentials`.

    May be used from several threads, each with connections of its own; `on_response` is called
    from each. `redact` removes secrets from excerpts of responses.
    """

    def __init__(
        self,
        url: str,
        token: str,
        examiner: Examiner,
        credentials: Credentials | None = None,
        connection: Connection = DIRECT,
        *,
        wait: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        on_response: Callable[[], None] = lambda: None,
        redact: Callable[[str], str] = str,
    ) -> None:
        self.url = url.rstrip("/")
        self.token = token
        self.credentials = credentials or Credentials()
        self.connection = connection
        self.examiner = examiner
        self.statuses: list[int] = []
        """The statuses of all responses so far; appending is atomic."""
        self._on_response = on_response
        self._redact = redact
        self._transport = Transport(connection, wait=wait, clock=clock)

    @property
    def trouble(self) -> list[Trouble]:
        """What kept responses away so far, an entry for each request."""
        return self._transport.trouble

    @property
    def sent(self) -> int:
        """The number of requests so far, not counting repetitions."""
        return self._transport.sent

    def close(self) -> None:
        """Close the connections of the calling thread."""
        self._transport.close()

    @property
    def expectations(self) -> Expectations:
        """What is expected of the server at present."""
        return self.examiner.expectations

    @property
    def authorization(self) -> dict[str, str]:
        """The header that carries the token."""
        return self.credentials.headers(self.token)

    @property
    def is_local(self) -> bool:
        """Whether its address is a loopback address of this machine."""
        return bool(re.fullmatch(r"localhost|127\..*|::1", urlsplit(self.url).hostname or ""))

    def complete(self, step_id: str, params: Any = None, *, step: str = "") -> Response:
        """Complete a step; `step`, and what is raised, are as in `send`."""
        body: dict[str, Any] = {"processStepId": step_id}
        return self.post(body if params is None else {**body, "params": params}, step=step)

    def post(
        self,
        body: Any,
        headers: Mapping[str, str] | None = None,
        below: str = "",
        *,
        step: str = "",
    ) -> Response:
        """Send a body to the operation: bytes as they are, else as JSON.

        `headers` replace the one that carries the token; `below` is appended to the path. `step`,
        and what is raised, are as in `send`.
        """
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = self.authorization if headers is None else headers
        return self.send(
            step=step,
            method="POST",
            url=self.url + self.expectations.path + below,
            data=raw,
            headers={"Content-Type": "application/json", **headers},
        )

    def send(self, *, step: str = "", **request: Any) -> Response:
        """Send a request, given as to `requests.Request`, and examine the response.

        `step` is the id of a step that has to be STARTED for the request to mean the same again.
        Raises `NoResponse`, and `ServerGone` where nothing gets through any more.
        """
        latest = self.examiner.latest
        received = self._transport.send(
            lambda sent: curl_line(sent, self.token, self.credentials, self.connection, step),
            **request,
        )
        response = Response(
            received.response.status_code,
            received.response.headers,
            received.response.content,
            received.curl,
            repeated=received.repeated,
            redact=self._redact,
        )
        self.statuses.append(response.status)
        self._on_response()
        found = self.examiner.examine(response, latest, request.get("data") or b"")
        return replace(response, findings=tuple(found))
