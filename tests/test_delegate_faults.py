"""Delegate calls that are made twice, or late: when the client already has its response."""

import threading
from typing import Any

import pytest
import requests

import stepstub
from stepstub import StepStart

STEP, NEXT = "order-1-approve", "order-1-ship"


@pytest.fixture
def called(sandbox: stepstub.Sandbox) -> list[str]:
    """The steps whose delegate has been called."""
    steps: list[str] = []
    sandbox.on_delegate(lambda start: steps.append(start.process_step_id))
    return steps


def complete(sandbox: stepstub.Sandbox, step_id: str = STEP) -> int:
    body = {"processStepId": step_id, "params": {}}
    return requests.post(
        sandbox.complete_step_url, json=body, headers=sandbox.headers, timeout=5
    ).status_code


def failing(_: StepStart) -> None:
    raise RuntimeError


def test_a_delegate_is_called_twice(sandbox: stepstub.Sandbox, called: list[str]) -> None:
    sandbox.fault("delegate", "twice")
    assert complete(sandbox) == 200
    assert called == [NEXT, NEXT]
    assert sandbox.verify_completed(STEP).delegate_calls == 2
    call = sandbox.delegate_calls()[-1]
    assert (call.times, call.outcome) == (2, "accepted; the second time accepted")
    assert sandbox.journal()[0].fault == "delegate: called twice"
    assert sandbox.step(NEXT).status == "STARTED"


def test_the_second_call_may_come_for_a_step_that_is_completed(sandbox: stepstub.Sandbox) -> None:
    statuses: list[str] = []

    def on_start(start: StepStart) -> None:
        statuses.append(sandbox.step(start.process_step_id).status)
        complete(sandbox, start.process_step_id)

    sandbox.on_delegate(on_start)
    sandbox.fault("delegate", "twice")
    assert complete(sandbox) == 200
    assert statuses == ["STARTED", "COMPLETED"]


def test_a_second_call_that_fails_changes_nothing(sandbox: stepstub.Sandbox) -> None:
    calls: list[StepStart] = []

    def on_start(start: StepStart) -> None:
        calls.append(start)
        if len(calls) == 2:
            raise RuntimeError

    sandbox.on_delegate(on_start)
    sandbox.fault("delegate", "twice")
    assert complete(sandbox) == 200
    assert sandbox.step(NEXT).status == "STARTED"
    call = sandbox.delegate_calls()[-1]
    assert call.outcome.startswith("accepted; the second time failed: the Python function raised")


def test_a_first_call_that_fails_is_not_repeated(sandbox: stepstub.Sandbox) -> None:
    calls: list[StepStart] = []

    def on_start(start: StepStart) -> None:
        calls.append(start)
        failing(start)

    sandbox.on_delegate(on_start)
    sandbox.fault("delegate", "twice")
    assert (complete(sandbox), len(calls)) == (500, 1)


def test_a_late_call_comes_once_its_time_has(sandbox: stepstub.Sandbox, called: list[str]) -> None:
    sandbox.clock.freeze()
    sandbox.fault("delegate", "late", seconds=5)
    assert complete(sandbox) == 200
    sandbox.clock.advance(4.9)
    assert called == []
    assert sandbox.delegate_calls()[-1].outcome == "in progress"
    sandbox.clock.advance(0.1)
    assert called == [NEXT]
    call, (exchange,) = sandbox.delegate_calls()[-1], sandbox.journal()
    assert (call.outcome, call.called_at) == ("accepted", sandbox.clock.now())
    assert exchange.fault == "delegate: called 5 s late"
    sandbox.clock.advance(60)
    assert called == [NEXT]


def test_late_calls_come_in_the_order_of_their_times(
    sandbox: stepstub.Sandbox, called: list[str]
) -> None:
    sandbox.clock.freeze()
    for seconds in (9, 3, 6):
        sandbox.fault("delegate", "late", seconds=seconds)
    processes = [sandbox.start_process([{}, {}]) for _ in range(3)]
    called.clear()
    for process in processes:
        complete(sandbox, process.steps[0].id)
    sandbox.clock.advance(60)
    first, second, third = (process.steps[1].id for process in processes)
    assert called == [second, third, first]


def test_a_client_may_complete_the_step_before_its_late_call(
    sandbox: stepstub.Sandbox, called: list[str]
) -> None:
    sandbox.fault("delegate", "late", seconds=60)
    assert (complete(sandbox), complete(sandbox, NEXT)) == (200, 200)
    sandbox.clock.advance(60)
    assert called == [NEXT]
    assert sandbox.step(NEXT).status == "COMPLETED"


def test_a_late_call_that_fails_leaves_the_next_step_failed(sandbox: stepstub.Sandbox) -> None:
    sandbox.on_delegate(failing)
    sandbox.fault("delegate", "late", seconds=60)
    assert complete(sandbox) == 200
    assert sandbox.step(NEXT).status == "STARTED"
    sandbox.clock.advance(60)
    assert [sandbox.step(each).status for each in (STEP, NEXT)] == ["COMPLETED", "FAILED"]
    assert "the Python function raised" in sandbox.delegate_calls()[-1].outcome


def test_a_late_call_starts_a_step_that_waits_for_it() -> None:
    with stepstub.InProcess("two-steps", readings={"next-step-started": "after-call"}) as sandbox:
        sandbox.on_delegate(lambda _: None)
        sandbox.fault("delegate", "late", seconds=60)
        assert complete(sandbox) == 200
        assert sandbox.step(NEXT).status == "PENDING"
        sandbox.clock.advance(60)
        assert sandbox.step(NEXT).status == "STARTED"


def test_on_a_live_server_its_time_comes_by_itself(stepstub_sandbox: stepstub.Sandbox) -> None:
    came = threading.Event()
    stepstub_sandbox.start_process("two-steps")
    stepstub_sandbox.on_delegate(lambda _: came.set())
    stepstub_sandbox.fault("delegate", "late", seconds=0.01)
    assert complete(stepstub_sandbox) == 200
    assert came.wait(10)


def test_a_late_call_comes_when_the_clock_is_resumed(stepstub_sandbox: stepstub.Sandbox) -> None:
    came = threading.Event()
    stepstub_sandbox.clock.freeze()
    stepstub_sandbox.start_process("two-steps")
    stepstub_sandbox.on_delegate(lambda _: came.set())
    stepstub_sandbox.fault("delegate", "late", seconds=0.01)
    assert complete(stepstub_sandbox) == 200
    stepstub_sandbox.clock.resume()
    assert came.wait(10)


def test_a_reset_drops_late_calls(stepstub_sandbox: stepstub.Sandbox) -> None:
    calls: list[str] = []
    came = threading.Event()

    def on_start(start: StepStart) -> None:
        calls.append(start.process_step_id)
        came.set()

    stepstub_sandbox.on_delegate(on_start)
    for seconds, identifier in ((0.05, "dropped"), (0.1, "kept")):
        stepstub_sandbox.reset()
        process = stepstub_sandbox.start_process([{"delegate": "recorded"}, {}], id=identifier)
        calls.clear()
        came.clear()
        stepstub_sandbox.fault("delegate", "late", seconds=seconds)
        assert complete(stepstub_sandbox, process.steps[0].id) == 200
    assert came.wait(10)
    assert calls == ["kept-2"]


def test_an_after_fault_does_not_wait_for_a_late_call(
    sandbox: stepstub.Sandbox, called: list[str]
) -> None:
    sandbox.fault("delegate", "late", seconds=60)
    sandbox.fault("after", "respond", status=503)
    assert complete(sandbox) == 503
    assert called == []
    assert sandbox.journal()[0].fault == "delegate: called 60 s late; after: respond 503"


def test_where_nobody_is_called_nothing_strikes(sandbox: stepstub.Sandbox) -> None:
    sandbox.fault("delegate", "twice")
    assert complete(sandbox) == 200
    assert [fault.action for fault in sandbox.unused_faults()] == ["twice"]
    assert sandbox.verify_completed(STEP).delegate_calls == 1


@pytest.mark.parametrize(("phase", "action"), [("delegate", "reset"), ("after", "twice")])
def test_phase_and_action_have_to_agree(sandbox: stepstub.Sandbox, phase: Any, action: Any) -> None:
    with pytest.raises(stepstub.ControlFailed, match="twice and late go with the phase delegate"):
        sandbox.fault(phase, action)
