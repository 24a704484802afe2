"""A third-party application: it is called to start a step, does the work, and completes the step.

It may complete the step before or after it has sent its own 202, because a step is STARTED before
its delegate is called.
"""

import argparse
import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests
from flask import Flask, request

log = logging.getLogger("third_party_app")

Params = dict[str, dict[str, Any]]
Work = Callable[[Params], Params]


def check_credit(params: Params) -> Params:
    left = params["creditLimit"]["longValue"] - params["amount"]["longValue"]
    decision = "approved" if left >= 0 else "declined"
    return {"decision": {"strValue": decision, "type": "STRING"}}


def pack(params: Params) -> Params:
    weight = params["items"]["longValue"] * 0.75
    return {"weightInKg": {"doubleValue": weight, "type": "DOUBLE"}}


def notify(params: Params) -> Params:
    text = f"{params['customer']['strValue']}: {params['decision']['strValue']}"
    return {"message": {"strValue": text, "type": "STRING"}}


WORK: dict[str, Work] = {"check-credit": check_credit, "pack": pack, "notify": notify}


class NotCompleted(Exception):
    """A step could not be completed."""


def complete_step(base_url: str, token: str, step_id: str, params: Params) -> None:
    """Complete a step, with at most two attempts. Raises `NotCompleted`."""
    problem = ""
    for _ in range(2):
        try:
            response = requests.post(
                f"{base_url}/api/v1/processes/complete-step",
                json={"processStepId": step_id, "params": params},
                headers={"Authorization": f"Bearer {token}", "User-Agent": "third-party-app"},
                timeout=10,
            )
            if response.status_code == 200:
                return
            data = response.json()["data"]
        except requests.RequestException as error:
            problem = f"no usable response ({type(error).__name__})"
            continue
        if response.status_code == 412:
            code = data.get("processStepId", {}).get("code")
            if code == "STEP_COMPLETED":  # by an earlier attempt, whose response was lost
                return
        problem = f"{response.status_code}, {data}"
        if response.status_code != 500:
            break
    raise NotCompleted(f"{step_id}: {problem}")


def create_app(base_url: str, token: str) -> Flask:
    """The application; `base_url` and `token` are the workflow server's."""
    app = Flask(__name__)
    worker = ThreadPoolExecutor(max_workers=1)

    def carry_out(work: Work, step_id: str, params: Params) -> None:
        try:
            # Pass the params on: the next step receives only what is submitted here.
            complete_step(base_url, token, step_id, {**params, **work(params)})
        except Exception:
            log.exception("step %s was not completed", step_id)

    @app.post("/steps")
    def start_step() -> tuple[str, int]:
        start = request.get_json()
        step_id = start["processStepId"]
        work = WORK.get(step_id.removeprefix(f"{start['processId']}-"))
        if work is None:
            return f"Unknown step {step_id}.", 404
        worker.submit(carry_out, work, step_id, start["params"])
        return "", 202

    return app


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=8090)
    parser.add_argument("--stub", default="http://127.0.0.1:8080", metavar="URL")
    parser.add_argument("--token", default=os.environ.get("STEPSTUB_TOKEN", "stub-token"))
    options = parser.parse_args()
    create_app(options.stub, options.token).run(port=options.port)


if __name__ == "__main__":
    main()
