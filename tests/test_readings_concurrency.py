"""Under every alternative of a reading: of clients that complete one step at once, one wins."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier
from typing import Any

import pytest
import requests

from stepstub import profiles
from stepstub.live import LiveServer
from stepstub.readings import (
    DEFAULT,
    Readings,
    as_mapping,
    differing,
    single_alternatives,
    with_values,
)
from support import TIMEOUT

CLIENTS = 6
STEP, NEXT = "order-1-approve", "order-1-ship"

ALL = [DEFAULT, *single_alternatives()]
ALL += [with_values(DEFAULT, {"credentials": "api-key", "credentials-header": "X-Token"})]
ALL += [
    with_values(DEFAULT, {"completed-step": "repeat", "next-step-started": late, **more})
    for late, more in [
        ("after-call", {}),
        ("before-call", {"returned-params": "submitted"}),
        ("after-call", {"returned-params": "own"}),
    ]
]
ALL += [profiles.load(name) for name in profiles.built_in()[1:]]
each_alternative = pytest.mark.parametrize("readings", ALL, ids=lambda r: str(differing(r)))


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with LiveServer() as running:
        yield running


@contextmanager
def clients() -> Iterator[list[requests.Session]]:
    sessions = [requests.Session() for _ in range(CLIENTS)]
    try:
        yield sessions
    finally:
        for session in sessions:
            session.close()


def at_once(sandbox: Any, body: dict[str, Any]) -> list[requests.Response]:
    """The responses to one request that each of several clients sends at the same time."""
    barrier, url, headers = Barrier(CLIENTS), sandbox.complete_step_url, sandbox.headers

    def send(session: requests.Session) -> requests.Response:
        barrier.wait(TIMEOUT)
        return session.post(url, json=body, headers=headers, timeout=TIMEOUT)

    with clients() as sessions, ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(send, sessions))


BODY = {"processStepId": STEP, "params": {"a": {"longValue": 1, "type": "LONG"}}}


@each_alternative
def test_one_of_several_completions_wins(server: LiveServer, readings: Readings) -> None:
    values = as_mapping(readings)
    second = values["completed-step"]
    with server.sandbox("two-steps", readings=readings) as sandbox:
        responses = at_once(sandbox, BODY)
        statuses = sorted(response.status_code for response in responses)
        if second == "repeat":
            assert statuses == [200] * CLIENTS
            assert len({str(response.json()["data"]) for response in responses}) == 1
        else:
            assert statuses == sorted([200] + [second] * (CLIENTS - 1))
        assert [call.process_step_id for call in sandbox.delegate_calls()] == [NEXT]
        assert sandbox.verify_completed(STEP).completed == 1
        assert (sandbox.step(STEP).status, sandbox.step(NEXT).status) == ("COMPLETED", "STARTED")


@each_alternative
def test_faults_strike_as_by_default(server: LiveServer, readings: Readings) -> None:
    with server.sandbox("two-steps", readings=readings) as sandbox:
        headers, url = sandbox.headers, sandbox.complete_step_url

        def send() -> int:
            return requests.post(url, json=BODY, headers=headers, timeout=TIMEOUT).status_code

        sandbox.fault("before", status=503)
        assert send() == 503
        assert sandbox.step(STEP).status == "STARTED"
        sandbox.fault("after", status=500)
        assert send() == 500
        assert (sandbox.step(STEP).status, sandbox.step(NEXT).status) == ("COMPLETED", "STARTED")
        assert len(sandbox.delegate_calls()) == 1
        second = as_mapping(readings)["completed-step"]
        assert send() == (200 if second == "repeat" else second)
        assert not sandbox.unused_faults()


@each_alternative
def test_time_outs_hold_as_by_default(server: LiveServer, readings: Readings) -> None:
    values = as_mapping(readings)
    with server.sandbox(readings=readings) as sandbox:
        process = sandbox.start_process([{"timeOutInSeconds": 5}, {"timeOutInSeconds": 5}])
        first, second = process.steps
        sandbox.clock.freeze()
        body = {**BODY, "processStepId": first.id}
        headers, url = sandbox.headers, sandbox.complete_step_url
        assert requests.post(url, json=body, headers=headers, timeout=TIMEOUT).status_code == 200
        sandbox.clock.advance(6)
        late = values["time-out"] == "fails"
        assert sandbox.step(second.id).status == ("FAILED" if late else "STARTED")
        body = {**BODY, "processStepId": second.id}
        response = requests.post(url, json=body, headers=headers, timeout=TIMEOUT)
        assert response.status_code == (values["failed-step"] if late else 200)


def test_no_response_broke_the_contract(server: LiveServer) -> None:
    health = requests.get(f"{server.url}/_stub/health", timeout=TIMEOUT).json()
    assert health["contractViolations"] == 0
