"""Three clients that follow every "To be safe", in three libraries; no readings may break them.

Each completes a step at a URL with some headers, and says how that went: `completed`, `refused`,
or `unsure` where a response was lost and the server does not say whether the step is completed.
"""

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import requests

ATTEMPTS = 4
FINAL = {"UNKNOWN_STEP", "STEP_FAILED"}
"""Codes that mean that the step is not completed, and will not be."""

Send = Callable[[bytes], tuple[int, bytes] | None]
"""Sends a body; status and body of the response, or None where it was lost."""


def settled(send: Send, step_id: str, params: Mapping[str, Any]) -> str:
    """Send until there is a response that means something; never for ever."""
    body = json.dumps({"processStepId": step_id, "params": params}).encode()
    lost = pending = False
    for _ in range(ATTEMPTS):
        response = send(body)
        if response is None or response[0] >= 500 or response[0] == 429:
            lost = True
            continue
        status, content = response
        if status == 200:
            if parsed(content) is None:
                lost = True
                continue
            return "completed"
        code = code_of(content)
        if code == "STEP_PENDING":
            pending = True
            continue
        if not lost:
            return "refused"
        if code == "STEP_COMPLETED" or status == 409:
            return "completed"
        return "refused" if code in FINAL else "unsure"
    if pending:
        return "refused"
    raise TimeoutError(f"{step_id}: no response in {ATTEMPTS} attempts that says anything")


def parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None


def code_of(content: bytes) -> str:
    """The code of a 412, or an empty text: the server need not send one."""
    body = parsed(content)
    data = body.get("data") if isinstance(body, dict) else None
    entry = data.get("processStepId") if isinstance(data, dict) else None
    return str(entry.get("code", "")) if isinstance(entry, dict) else ""


def with_requests(url: str, headers: Mapping[str, str], step: str, params: Any) -> str:
    def send(body: bytes) -> tuple[int, bytes] | None:
        try:
            response = requests.post(url, data=body, headers=kind(headers), timeout=2)
        except requests.RequestException:
            return None
        return response.status_code, response.content

    return settled(send, step, params)


def with_httpx(url: str, headers: Mapping[str, str], step: str, params: Any) -> str:
    def send(body: bytes) -> tuple[int, bytes] | None:
        try:
            response = httpx.post(url, content=body, headers=kind(headers), timeout=2)
        except httpx.HTTPError:
            return None
        return response.status_code, response.content

    return settled(send, step, params)


def with_urllib(url: str, headers: Mapping[str, str], step: str, params: Any) -> str:
    def send(body: bytes) -> tuple[int, bytes] | None:
        request = urllib.request.Request(url, body, kind(headers))
        try:
            with urllib.request.urlopen(request, timeout=2) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()
        except OSError:  # no connection, and none in time
            return None

    return settled(send, step, params)


def kind(headers: Mapping[str, str]) -> dict[str, str]:
    return {**headers, "Content-Type": "application/json"}


ROBUST = (with_requests, with_httpx, with_urllib)
