"""An integrator's client of Complete Step, which works with every server the document allows."""

import time
from collections.abc import Callable
from typing import Any

import requests

NOT_COMPLETED = {"UNKNOWN_STEP", "STEP_FAILED"}  # other codes may mean anything


class Refused(Exception):
    """The server refuses to complete the step, and retrying does not help."""


class Unsure(Exception):
    """A response was lost, and the server does not say whether the step is completed."""


def complete_step(
    base_url: str,
    token: str,
    step_id: str,
    params: dict[str, Any] | None = None,
    *,
    attempts: int = 3,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Complete a step. Raises `Refused`, `Unsure`, or `TimeoutError` if no attempt is conclusive.

    A 500, a lost response and a step that has not been started yet are retried. After a lost
    response the step may be completed, so being told that it is COMPLETED is a success then.
    """
    lost, refusal = False, ""
    for attempt in range(attempts):
        if attempt:
            pause(0.1 * 2**attempt)
        try:
            response = requests.post(
                f"{base_url}/api/v1/processes/complete-step",
                json={"processStepId": step_id, "params": params or {}},
                headers={"Authorization": f"Bearer {token}"},
                timeout=2,
            )
        except requests.RequestException:  # no connection, or no response in time
            lost = True
            continue
        status, body = response.status_code, parsed(response)
        if status == 200 and body is not None:
            return
        if status == 200 or status >= 500:  # truncated, or something failed halfway
            lost = True
            continue
        code, refusal = code_of(body), f"{status}: {response.text}"
        if code == "STEP_PENDING":  # it is just being started
            continue
        if lost and (code == "STEP_COMPLETED" or status == 409):
            return
        if lost and code not in NOT_COMPLETED and status != 401:
            raise Unsure(f"step {step_id}: {refusal}")
        raise Refused(refusal)
    if refusal:
        raise Refused(refusal)
    raise TimeoutError(f"step {step_id}: no usable response in {attempts} attempts")


def parsed(response: requests.Response) -> Any:
    """The body, or None where it is not JSON: a proxy may respond in the server's place."""
    try:
        return response.json()
    except requests.JSONDecodeError:
        return None


def code_of(body: Any) -> str:
    """The code of a 412, or an empty string: not every server sends one."""
    for name in ("data", "processStepId", "code"):
        body = body.get(name) if isinstance(body, dict) else None
    return body if isinstance(body, str) else ""
