"""Control of a Stepstub under test: processes in the state that a case needs.

Everything goes through the stub's control API, so a stub in this process, on this machine or
elsewhere is driven the same way. Any other server has only the documented operation.
"""

from collections.abc import Sequence
from typing import Any

import requests

from stepstub.contract_tests.connection import DIRECT, Connection
from stepstub.contract_tests.transport import unchanged
from stepstub.readings import Value

_CONTROL_TIMEOUT = 10  # seconds


class ControlRefused(Exception):
    """The control API of a stub requires a control token, or a different one."""


class RemoteStub:
    """A stub behind a URL, driven through its control API.

    Its methods raise `requests.RequestException`.
    """

    def __init__(
        self,
        url: str,
        token: str,
        control_token: str | None = None,
        connection: Connection = DIRECT,
    ) -> None:
        self._url = url
        self._verify = connection.verify
        self._headers = {**connection.headers}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        if control_token is not None:
            self._headers["X-Stepstub-Control-Token"] = control_token

    def start_process(self, steps: Sequence[dict[str, Any]]) -> list[str]:
        """Start a process with steps as in a scenario file; returns the steps' ids."""
        response = requests.post(
            f"{self._url}/_stub/processes",
            json={"steps": list(steps)},
            headers=self._headers,
            auth=unchanged,
            verify=self._verify,
            timeout=_CONTROL_TIMEOUT,
        )
        response.raise_for_status()
        (process,) = response.json()["processes"]
        return [step["id"] for step in process["steps"]]

    def readings(self) -> dict[str, Value]:
        """The readings of the sandbox that the token owns, by their names."""
        response = requests.get(
            f"{self._url}/_stub/readings",
            headers=self._headers,
            auth=unchanged,
            verify=self._verify,
            timeout=_CONTROL_TIMEOUT,
        )
        response.raise_for_status()
        readings: dict[str, Value] = response.json()["readings"]
        return readings


def is_stepstub(headers: Any) -> bool:
    """Whether the headers of a response say that a Stepstub sent it."""
    return str(headers.get("Server", "")).startswith("stepstub")


def stub_behind(
    url: str,
    token: str,
    headers: Any,
    control_token: str | None = None,
    connection: Connection = DIRECT,
) -> RemoteStub | None:
    """The stub that sent a response with these headers; None if it is no stub or cannot be driven.

    Raises `ControlRefused`. The control token is sent to a Stepstub only.
    """
    if not is_stepstub(headers):
        return None
    stub = RemoteStub(url, token, control_token, connection)
    try:
        stub.start_process([{}])
    except requests.RequestException as error:
        if error.response is not None and error.response.status_code == 401:
            raise ControlRefused from error
        return None  # its control API is switched off
    return stub
