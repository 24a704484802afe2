"""A sandbox's time: frozen, moved on, resumed; what hangs on it."""

from datetime import datetime, timedelta

import pytest
import requests

import stepstub
from stepstub.clock import SandboxClock, SystemClock, timestamp
from stepstub.model import Status
from support import Clock


def post(sandbox: stepstub.Sandbox, step_id: str) -> requests.Response:
    return requests.post(
        sandbox.complete_step_url,
        json={"processStepId": step_id},
        headers=sandbox.headers,
        timeout=5,
    )


@pytest.fixture
def sandbox(either: stepstub.Sandbox) -> stepstub.Sandbox:
    return either


def test_a_clock_runs_with_its_base_until_it_is_told_otherwise() -> None:
    base = Clock()
    clock = SandboxClock(base)
    start = clock.now()
    base.jump(1)
    assert clock.now() == start + 1000
    clock.freeze()
    assert clock.frozen
    base.jump(10)
    assert clock.now() == start + 1000
    clock.advance(2.5)
    assert clock.now() == start + 3500
    clock.freeze()
    assert clock.now() == start + 3500
    clock.resume()
    assert not clock.frozen
    assert clock.now() == start + 3500
    base.jump(1)
    assert clock.now() == start + 4500
    clock.advance(1)
    clock.resume()
    assert clock.now() == start + 5500


@pytest.mark.parametrize("seconds", [-1, -0.001, 1e12])
def test_time_moves_forward_and_has_an_end(seconds: float) -> None:
    clock = SandboxClock(Clock())
    before = clock.now()
    with pytest.raises(ValueError, match="time"):
        clock.advance(seconds)
    assert clock.now() == before


def test_the_system_clock_does_not_run_backwards(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SystemClock()
    before = clock.now()
    monkeypatch.setattr("time.time_ns", lambda: 0)
    assert clock.now() >= before


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(0, "1970-01-01T00:00:00.000Z"), (1_774_788_659_010, "2026-03-29T12:50:59.010Z")],
)
def test_a_timestamp_has_three_digits(milliseconds: int, text: str) -> None:
    assert timestamp(milliseconds) == text


def test_a_frozen_clock_shows_in_every_response(sandbox: stepstub.Sandbox) -> None:
    sandbox.clock.freeze()
    now = sandbox.clock.now()
    sandbox.start_process([{}, {}])
    responses = [post(sandbox, step).json() for step in ("process-1-1", "process-1-1", "nowhere")]
    assert len({response["timestamp"] for response in responses}) == 1
    assert datetime.fromisoformat(responses[0]["timestamp"]) == now
    assert {exchange.received_at for exchange in sandbox.journal()} == {now}
    assert sandbox.clock.now() == now


def test_the_journal_tells_both_times(sandbox: stepstub.Sandbox) -> None:
    sandbox.clock.advance(86_400)
    post(sandbox, "nowhere")
    (exchange,) = sandbox.journal()
    ahead = exchange.received_at - exchange.wall_clock
    assert timedelta(hours=23, minutes=59) < ahead < timedelta(hours=24, minutes=1)


def test_a_step_fails_then_and_there_when_its_time_is_passed(sandbox: stepstub.Sandbox) -> None:
    sandbox.clock.freeze()
    process = sandbox.start_process([{"timeOutInSeconds": 60}, {}])
    step_id = process.steps[0].id
    assert process.steps[0].times_out_at == sandbox.clock.now() + timedelta(seconds=60)
    sandbox.clock.advance(59.999)
    assert sandbox.step(step_id).status is Status.STARTED
    sandbox.clock.advance(0.001)
    step = sandbox.step(step_id)
    assert (step.status, step.times_out_at) == (Status.FAILED, None)
    assert step.failure == "it was not completed within 60 s"
    response = post(sandbox, step_id)
    assert response.status_code == 412
    assert response.json()["data"]["processStepId"]["code"] == "STEP_FAILED"


def test_a_late_completion_is_refused_although_nobody_has_looked(sandbox: stepstub.Sandbox) -> None:
    sandbox.start_process([{"timeOutInSeconds": 60}, {}])
    sandbox.clock.advance(60)
    assert post(sandbox, "process-1-1").status_code == 412
    assert sandbox.step("process-1-2").status is Status.PENDING


def test_the_next_step_has_its_time_from_when_it_is_started(sandbox: stepstub.Sandbox) -> None:
    sandbox.clock.freeze()
    sandbox.start_process([{}, {"timeOutInSeconds": 10}])
    sandbox.clock.advance(1000)
    assert post(sandbox, "process-1-1").status_code == 200
    sandbox.clock.advance(9)
    assert sandbox.step("process-1-2").status is Status.STARTED
    sandbox.clock.advance(1)
    assert sandbox.step("process-1-2").status is Status.FAILED


def test_time_runs_on_from_where_it_stands(sandbox: stepstub.Sandbox) -> None:
    sandbox.clock.freeze()
    before = sandbox.clock.now()
    sandbox.clock.advance(3600)
    sandbox.clock.resume()
    assert timedelta(seconds=3600) <= sandbox.clock.now() - before < timedelta(seconds=3660)


def test_a_reset_brings_the_machines_time_back(sandbox: stepstub.Sandbox) -> None:
    before = sandbox.clock.now()
    sandbox.clock.freeze()
    sandbox.clock.advance(86_400)
    sandbox.reset()
    assert sandbox.clock.now() - before < timedelta(hours=1)


def test_a_refused_change_changes_nothing(sandbox: stepstub.Sandbox) -> None:
    for _ in range(69):
        sandbox.clock.advance(3_153_600_000)
    with pytest.raises(stepstub.ControlFailed, match="year 9000"):
        sandbox.call("POST", "clock", dict, {"frozen": True, "advanceSeconds": 3_153_600_000})
    assert sandbox.call("GET", "clock", dict)["frozen"] is False
    assert post(sandbox, "nowhere").json()["timestamp"].startswith("8")
