"""The cost of a `requests` call handled by the pytest plugin, compared with a bare callback of
`responses`; prints one JSON array.
"""

import argparse
import json
import time
from collections.abc import Callable
from statistics import median

import requests
import responses

from stepstub import InProcess

_STEPS = 50  # of a process; each call completes one
_URL = "http://bare.test/api/v1/processes/complete-step"
_PARAMS = {
    "decision": {"strValue": "approved", "type": "STRING"},
    "approvedAmount": {"longValue": 1250, "type": "LONG"},
    "confidence": {"doubleValue": 0.97, "type": "DOUBLE"},
}

_BODY = json.dumps(
    {
        "message": "Success",
        "timestamp": "2026-03-29T12:50:59.211Z",
        "data": {"processId": "p", "processStepId": "p-1", "params": _PARAMS},
        "version": "1.0.0",
    }
)


def timed(call: Callable[[str], requests.Response], step_ids: list[str]) -> float:
    """The median of the calls, in microseconds."""
    times = []
    for step_id in step_ids:
        began = time.perf_counter_ns()
        response = call(step_id)
        times.append((time.perf_counter_ns() - began) / 1000)
        if response.status_code != 200:
            raise SystemExit(f"{step_id}: {response.status_code} {response.text}")
    return median(times)


def post(url: str, step_id: str, headers: dict[str, str]) -> requests.Response:
    body = {"processStepId": step_id, "params": _PARAMS}
    return requests.post(url, json=body, headers=headers, timeout=10)


def plugin() -> float:
    """Completions by the stub."""
    with InProcess() as stub:
        step_ids = [step.id for step in stub.start_process([{}] * _STEPS).steps]
        return timed(lambda step: post(stub.complete_step_url, step, stub.headers), step_ids)


def bare() -> float:
    """The same requests, handled by a callback with a static response."""
    headers = {"content-type": "application/json"}
    with responses.RequestsMock() as mock:
        mock.add_callback(responses.POST, _URL, lambda _: (200, headers, _BODY), content_type=None)
        token = {"Authorization": "Bearer stub-token"}
        return timed(lambda step: post(_URL, step, token), [f"p-{n}" for n in range(_STEPS)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    rounds = parser.parse_args().rounds
    plugin()
    bare()
    print(json.dumps([{"plugin": plugin(), "bare": bare()} for _ in range(rounds)]))


if __name__ == "__main__":
    main()
