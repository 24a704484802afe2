"""Faults: each phase and action, as a client meets it in-process and over real sockets."""

from typing import Any

import pytest
import requests
from requests.exceptions import JSONDecodeError

import stepstub
from stepstub.concurrency import run_inline
from stepstub.faults import MAX_FAULTS, Fault
from stepstub.journal import Entry
from stepstub.model import Status
from stepstub.stores.memory import MemoryStore

STEP = "order-1-approve"
NEXT = "order-1-ship"


def post(sandbox: stepstub.Sandbox, step_id: str = STEP, timeout: float = 5) -> requests.Response:
    return requests.post(
        sandbox.complete_step_url,
        json={"processStepId": step_id},
        headers=sandbox.headers,
        timeout=timeout,
    )


def check_moved(sandbox: stepstub.Sandbox, phase: str) -> None:
    """After a `before` fault nothing has moved, after an `after` fault everything has."""
    moved = phase == "after"
    assert sandbox.step(STEP).status is (Status.COMPLETED if moved else Status.STARTED)
    assert sandbox.step(NEXT).status is (Status.STARTED if moved else Status.PENDING)


def check_retry(sandbox: stepstub.Sandbox, phase: str) -> None:
    """The same request again does what is left to do, and nothing has happened twice."""
    response = post(sandbox)
    if phase == "before":
        assert response.status_code == 200
    else:
        assert response.status_code == 412
        assert response.json()["data"]["processStepId"]["code"] == "STEP_COMPLETED"
        assert sandbox.journal()[-1].moved_by == sandbox.journal()[-2].number
    seen = sandbox.verify_completed(STEP, times=1)
    assert (seen.completed, seen.delegate_calls, len(seen.attempts)) == (1, 1, 2)
    assert "completed once" in seen.explanation
    assert "called once" in seen.explanation
    assert "2 attempts" in seen.explanation
    assert [call.process_step_id for call in sandbox.delegate_calls()[1:]] == [NEXT]


@pytest.mark.parametrize("phase", ["before", "after"])
@pytest.mark.parametrize("status", [None, 401, 429, 500, 502, 503, 504])
def test_response(stepstub: stepstub.InProcess, phase: Any, status: int | None) -> None:
    stepstub.start_process("two-steps")
    stepstub.fault(phase, status=status)
    response = post(stepstub)
    assert response.status_code == (status or 500)
    assert list(response.json()) == ["message", "timestamp", "data", "version"]
    assert ("www-authenticate" in response.headers) == (status == 401)
    check_moved(stepstub, phase)
    check_retry(stepstub, phase)


@pytest.mark.parametrize("phase", ["before", "after"])
@pytest.mark.parametrize("status", [401, 500])
def test_response_anywhere(sandbox: stepstub.Sandbox, phase: Any, status: int) -> None:
    sandbox.fault(phase, "respond", status=status)
    assert post(sandbox).status_code == status
    check_moved(sandbox, phase)
    check_retry(sandbox, phase)


@pytest.mark.parametrize("phase", ["before", "after"])
def test_disconnect(sandbox: stepstub.Sandbox, phase: Any) -> None:
    sandbox.fault(phase, "disconnect")
    with pytest.raises(requests.ConnectionError):
        post(sandbox)
    check_moved(sandbox, phase)
    check_retry(sandbox, phase)


def test_a_broken_connection_gives_no_byte_of_a_response(
    stepstub_sandbox: stepstub.Sandbox,
) -> None:
    from support import Connection
    from support import post as request

    stepstub_sandbox.start_process("two-steps")
    stepstub_sandbox.fault("after", "disconnect")
    with Connection(stepstub_sandbox.url) as connection:
        connection.send(request({"processStepId": STEP}, token=stepstub_sandbox.token))
        assert connection.is_closed()


@pytest.mark.parametrize("phase", ["before", "after"])
def test_malformed(sandbox: stepstub.Sandbox, phase: Any) -> None:
    sandbox.fault(phase, "malformed")
    response = post(sandbox)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.text.startswith("{")
    with pytest.raises(JSONDecodeError):
        response.json()
    check_moved(sandbox, phase)
    check_retry(sandbox, phase)


@pytest.mark.parametrize("phase", ["before", "after"])
def test_a_delay_that_the_client_outlasts(sandbox: stepstub.Sandbox, phase: Any) -> None:
    sandbox.fault(phase, "delay", seconds=0.05)
    response = post(sandbox)
    assert (response.status_code, response.json()["data"]["processStepId"]) == (200, NEXT)
    (exchange,) = sandbox.journal()
    assert exchange.fault == f"{phase}: delay of 0.05 s"


@pytest.mark.parametrize("phase", ["before", "after"])
def test_a_delay_that_is_too_long_for_the_client(sandbox: stepstub.Sandbox, phase: Any) -> None:
    sandbox.fault(phase, "delay", seconds=0.5)
    with pytest.raises(requests.ReadTimeout):
        post(sandbox, timeout=0.2)
    # Late, and with nobody to hear of it, the server does what it was asked to.
    assert sandbox.verify_completed(STEP, within=5).completed == 1
    check_moved(sandbox, "after")


def test_in_process_a_delay_takes_no_time(stepstub: stepstub.InProcess) -> None:
    stepstub.start_process("two-steps")
    stepstub.fault("before", "delay", seconds=60)
    with pytest.raises(requests.ReadTimeout):
        post(stepstub, timeout=59)
    stepstub.fault("before", "delay", seconds=60)
    response = post(stepstub, NEXT, timeout=61)
    assert response.status_code == 200
    assert response.elapsed.total_seconds() < 5


def test_a_delay_outlives_what_a_delegate_calls_meanwhile(stepstub: stepstub.InProcess) -> None:
    stepstub.start_process("two-steps")
    stepstub.on_delegate(lambda start: post(stepstub, start.process_step_id).raise_for_status())
    stepstub.fault("before", "delay", seconds=5, step_id=STEP)
    with pytest.raises(requests.ReadTimeout):
        post(stepstub, timeout=1)


def test_a_fault_strikes_as_often_as_it_says(sandbox: stepstub.Sandbox) -> None:
    sandbox.fault("before", status=503, times=2)
    assert [post(sandbox).status_code for _ in range(4)] == [503, 503, 200, 412]


def test_a_fault_for_one_step_spares_the_others(sandbox: stepstub.Sandbox) -> None:
    sandbox.fault("before", step_id=NEXT)
    assert [post(sandbox, step).status_code for step in (STEP, NEXT, NEXT)] == [200, 500, 200]


def test_a_fault_may_wait_for_a_step_that_is_not_there(sandbox: stepstub.Sandbox) -> None:
    sandbox.fault("before", step_id="process-1-1")
    sandbox.start_process([{}])
    assert [post(sandbox, "process-1-1").status_code for _ in range(2)] == [500, 200]


def test_faults_strike_in_the_order_they_were_asked_for(sandbox: stepstub.Sandbox) -> None:
    sandbox.fault("before", status=502)
    sandbox.fault("before", status=504)
    assert [post(sandbox).status_code for _ in range(3)] == [502, 504, 200]


def test_what_order_means_for_any_step_and_for_one() -> None:
    store = MemoryStore()
    for phase, step_id, times in (
        ("before", "a", 2),
        ("after", "a", 1),
        ("before", None, 2),
        ("before", "b", 1),
        ("before", "a", 1),
    ):
        add(store, phase, step_id, times)
    assert [fault.id for fault in run_inline(store.faults())] == [
        f"fault-{number}" for number in range(1, 6)
    ]
    struck = [strike(store, step_id) for step_id in ("a", "b", "a", "a", "a", "b", "b")]
    assert struck == [f"fault-{n}" for n in (1, 3, 1, 3, 5, 4)] + [None]
    assert [fault.id for fault in run_inline(store.faults())] == ["fault-2"]


class Compared(str):
    """A step id that counts how often it is compared."""

    __slots__ = ()
    times = 0
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        Compared.times += 1
        return str.__eq__(self, other)


def test_faults_for_other_steps_cost_a_completion_nothing() -> None:
    store = MemoryStore()
    for number in range(MAX_FAULTS):
        add(store, "before", f"other-{number}", 1)
    assert strike(store, Compared("mine")) is None
    assert Compared.times < 10


def add(store: MemoryStore, phase: Any, step_id: str | None, times: int) -> None:
    fault = Fault(phase=phase, action="disconnect", process_step_id=step_id, remaining=times)
    run_inline(store.add_fault(fault))


def strike(store: MemoryStore, step_id: str) -> str | None:
    """The id of the before-fault that strikes a request about this step."""
    entry = Entry(method="POST", path="/", headers=(), wall_clock=0)
    fault = run_inline(store.load(step_id, entry)).fault
    return fault.id if fault else None


def test_after_strikes_only_a_completion(sandbox: stepstub.Sandbox) -> None:
    sandbox.fault("after")
    assert post(sandbox, NEXT).status_code == 412
    assert post(sandbox, "nowhere").status_code == 412
    assert post(sandbox).status_code == 500
    check_moved(sandbox, "after")


def test_after_spares_a_completion_that_is_rolled_back(sandbox: stepstub.Sandbox) -> None:
    process = sandbox.start_process([{}, {"delegate": "failing"}])
    step_id = process.steps[0].id
    sandbox.fault("after", "disconnect")
    assert post(sandbox, step_id).status_code == 500
    assert sandbox.step(step_id).status is Status.STARTED
    with pytest.raises(requests.ConnectionError):
        post(sandbox)


def test_cleared_faults_do_not_strike(sandbox: stepstub.Sandbox) -> None:
    sandbox.fault("before", times=100)
    sandbox.clear_faults()
    assert post(sandbox).status_code == 200


def test_a_reset_ends_the_faults(sandbox: stepstub.Sandbox) -> None:
    sandbox.fault("before", times=100)
    sandbox.reset("two-steps")
    assert post(sandbox).status_code == 200


def test_a_fault_is_not_counted_as_a_breach_of_the_contract(stepstub: stepstub.InProcess) -> None:
    stepstub.start_process("two-steps")
    stepstub.fault("before", status=503)
    stepstub.fault("after", "malformed")
    post(stepstub)
    post(stepstub)
    assert stepstub.app.violations == 0


def test_the_journal_names_both_faults_that_struck(sandbox: stepstub.Sandbox) -> None:
    sandbox.fault("before", "delay", seconds=0)
    sandbox.fault("after", "malformed")
    post(sandbox)
    fault = sandbox.journal()[0].fault
    assert fault
    assert "before: delay" in fault
    assert "after: malformed JSON" in fault


def test_a_combination_without_meaning_is_refused(sandbox: stepstub.Sandbox) -> None:
    with pytest.raises(stepstub.ControlFailed, match="seconds goes with the action delay"):
        sandbox.fault("before", "respond", seconds=1)
