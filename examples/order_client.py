"""An integrator's client of Complete Step, which retries where that is safe."""

import time
from collections.abc import Callable
from typing import Any

import requests


class Refused(Exception):
    """The server refuses to complete the step, and retrying does not help."""


def complete_step(
    base_url: str,
    token: str,
    step_id: str,
    params: dict[str, Any] | None = None,
    *,
    attempts: int = 3,
    pause: Callable[[float], None] = time.sleep,
) -> dict[str, Any] | None:
    """Complete a step. Returns the step started next, or None if an earlier attempt succeeded.

    A 500 and a lost response are retried. After a lost response it is unknown whether the step was
    completed; a 412 with STEP_COMPLETED then means that it was, so it is not an error.
    """
    response_lost = False
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
            body = response.json()
        except requests.RequestException:  # no connection, no response in time, or truncated JSON
            response_lost = True
            continue
        if response.status_code == 200:
            return body["data"]
        if response.status_code == 412:
            problem = body["data"].get("processStepId", {})
            if response_lost and problem.get("code") == "STEP_COMPLETED":
                return None
        if response.status_code != 500:
            raise Refused(f"{response.status_code}: {body['data']}")
    raise TimeoutError(f"step {step_id}: no usable response in {attempts} attempts")
