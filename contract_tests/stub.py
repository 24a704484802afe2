"""Control of a Stepstub under test: processes in the state that a case needs.

Everything goes through the stub's control API, so a stub in this process, on this machine or
elsewhere is driven the same way. Any other server has only the documented operation.
"""

from collections.abc import Sequence
from typing import Any

import requests

from stepstub.contract_tests.connection import DIRECT, Connection
from stepstub.contract_tests.findings import CouldNotRun
from stepstub.contract_tests.transport import unchanged
from stepstub.readings import Value

_CONTROL_TIMEOUT = 10  # seconds


class ControlRefused(Exception):
    """The control API of a stub requires a control token, or a different one."""


class RemoteStub:
    """A stub behind a URL, driven through its control API.

    Its methods raise `CouldNotRun` where it can no longer be driven.
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
        (process,) = self._drive("POST", "processes", {"steps": list(steps)})["processes"]
        return [step["id"] for step in process["steps"]]

    def readings(self) -> dict[str, Value]:
        """The readings of the sandbox that the token owns, by their names."""
        readings: dict[str, Value] = self._drive("GET", "readings")["readings"]
        return readings

    def can_be_driven(self) -> bool:
        """Whether there is a control API at all. Raises `ControlRefused`."""
        try:
            self._send("POST", "processes", {"steps": [{}]})
        except requests.RequestException as error:
            if error.response is not None and error.response.status_code == 401:
                raise ControlRefused from error
            return False
        return True

    def _drive(self, method: str, path: str, body: object = None) -> Any:
        try:
            return self._send(method, path, body)
        except requests.RequestException as error:
            raise CouldNotRun(f"the stub can no longer be driven: {error}") from error

    def _send(self, method: str, path: str, body: object = None) -> Any:
        """The parsed body of a response. Raises `requests.RequestException`."""
        response = requests.request(
            method,
            f"{self._url}/_stub/{path}",
            json=body,
            headers=self._headers,
            auth=unchanged,
            verify=self._verify,
            timeout=_CONTROL_TIMEOUT,
        )
        response.raise_for_status()
        return response.json()


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
    if not str(headers.get("Server", "")).startswith("stepstub"):
        return None
    stub = RemoteStub(url, token, control_token, connection)
    return stub if stub.can_be_driven() else None
