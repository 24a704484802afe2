"""An integrator's client of Complete Step, which works with every server the document allows."""

import time
from collections.abc import Callable
from typing import Any

import requests

NOT_COMPLETED = {"UNKNOWN_STEP", "STEP_FAILED"}  # other codes may mean anything
TRY_AGAIN = {408, 425, 429}  # a proxy sends them too, and then the step may be completed
MAX_PAUSE = 30


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

    A step that has not been started yet is retried, and so is a lost response or one that does not
    say what became of the step. The step may be completed after those, so being told that it is
    COMPLETED is a success then.
    """
    lost, refusal, wait = False, "", 0.0
    for attempt in range(attempts):
        if attempt:
            pause(max(0.1 * 2**attempt, wait))
        try:
            response = requests.post(
                f"{base_url}/api/v1/processes/complete-step",
                json={"processStepId": step_id, "params": params or {}},
                headers={"Authorization": f"Bearer {token}"},
                allow_redirects=False,
                timeout=2,
            )
        except requests.RequestException:  # no connection, or no response in time
            lost, refusal, wait = True, "", 0.0
            continue
        status, body, wait = response.status_code, parsed(response), retry_after(response)
        if status == 200 and isinstance(body, dict) and isinstance(body.get("data"), dict):
            return
        if status < 400 or status in TRY_AGAIN or status >= 500:  # what became of it is not known
            lost, refusal = True, ""
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


def retry_after(response: requests.Response) -> float:
    """The seconds that the server asks to wait, within limits; 0 if it names none, or a date."""
    value = response.headers.get("Retry-After", "")
    return min(float(value), MAX_PAUSE) if value.isdecimal() else 0.0


def code_of(body: Any) -> str:
    """The code of a 412, or an empty string: not every server sends one."""
    for name in ("data", "processStepId", "code"):
        body = body.get(name) if isinstance(body, dict) else None
    return body if isinstance(body, str) else ""
