"""The one seam to our own stub: processes in whatever state a case needs.

Nothing of it is used on another server, which has only the documented operation.
"""

from collections.abc import Sequence
from typing import Any, Protocol
from uuid import uuid4

import requests

from stepstub import scenario
from stepstub.concurrency import run_inline
from stepstub.contract_tests.server import unchanged
from stepstub.model import Process
from stepstub.sandbox import Sandbox


class ControlRefused(Exception):
    """The control API of a stub asks for a control token, or for another one."""


class Stub(Protocol):
    """A stub that can be told what to hold."""

    def process(self, steps: Sequence[dict[str, Any]]) -> list[str]:
        """Put a process in place, its steps as in a scenario file; returns the steps' ids."""


class LocalStub:
    """A stub of this Python process, by the store of its sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._store = sandbox.store

    def process(self, steps: Sequence[dict[str, Any]]) -> list[str]:
        process_id = f"conformance-{uuid4().hex[:8]}"
        process = Process(process_id, scenario.steps(steps, process_id))
        run_inline(self._store.add([process]))
        return [step.id for step in process.steps]


class RemoteStub:
    """A stub behind a URL, by its control API."""

    def __init__(self, url: str, token: str, control_token: str | None = None) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"}
        if control_token is not None:
            self._headers["X-Stepstub-Control-Token"] = control_token

    def process(self, steps: Sequence[dict[str, Any]]) -> list[str]:
        response = requests.post(
            f"{self._url}/_stub/processes",
            json={"steps": list(steps)},
            headers=self._headers,
            auth=unchanged,
            timeout=10,
        )
        response.raise_for_status()
        (process,) = response.json()["processes"]
        return [step["id"] for step in process["steps"]]


def is_stepstub(headers: Any) -> bool:
    """Whether a response with these headers is a Stepstub's."""
    return str(headers.get("Server", "")).startswith("stepstub")


def stub_behind(
    url: str, token: str, headers: Any, control_token: str | None = None
) -> Stub | None:
    """The stub that gave a response with these headers, if it was one and can be driven.

    Raises `ControlRefused`. Nobody else is sent the control token.
    """
    if not is_stepstub(headers):
        return None
    stub = RemoteStub(url, token, control_token)
    try:
        stub.process([{}])
    except requests.RequestException as error:
        if error.response is not None and error.response.status_code == 401:
            raise ControlRefused from error
        return None  # its control API is switched off
    return stub
