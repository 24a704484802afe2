"""Which requests a fault strikes: the nth, every nth, the first of each step, by chance."""

from typing import Any

import pytest
import requests

import stepstub
from stepstub.concurrency import run_inline
from stepstub.faults import MAX_FAULTS, MAX_STEPS_COUNTED, Fault
from stepstub.journal import Entry
from stepstub.stores.memory import MemoryStore

STEP = "order-1-approve"
NEXT = "order-1-ship"


def statuses(sandbox: stepstub.Sandbox, *step_ids: str) -> list[int]:
    """The status that a request about each of these steps gets; 503 is the fault's."""
    return [
        requests.post(
            sandbox.complete_step_url,
            json={"processStepId": step_id},
            headers=sandbox.headers,
            timeout=5,
        ).status_code
        for step_id in step_ids
    ]


def struck(sandbox: stepstub.Sandbox, *step_ids: str) -> list[int]:
    """The numbers of the requests that the fault struck."""
    found = enumerate(statuses(sandbox, *step_ids), start=1)
    return [number for number, status in found if status == 503]


@pytest.mark.parametrize(
    ("schedule", "numbers"),
    [
        ({}, [1]),
        ({"times": 2}, [1, 2]),
        ({"nth": 3}, [3]),
        ({"nth": 3, "times": 2}, [3, 4]),
        ({"every": 3}, [3, 6, 9, 12]),
        ({"every": 3, "times": 2}, [3, 6]),
        ({"nth": 2, "every": 4}, [2, 6, 10]),
        ({"probability": 1}, [*range(1, 13)]),
        ({"probability": 0}, []),
        ({"probability": 0.5, "seed": 1}, [2, 3, 9, 11, 12]),
        ({"probability": 0.5, "seed": 1, "times": 2}, [2, 3]),
    ],
)
def test_a_schedule(
    sandbox: stepstub.Sandbox, schedule: dict[str, Any], numbers: list[int]
) -> None:
    sandbox.fault("before", status=503, **schedule)
    assert struck(sandbox, *["nowhere"] * 12) == numbers


def test_the_first_of_each_step(sandbox: stepstub.Sandbox) -> None:
    sandbox.fault("before", status=503, each_step=True, times=2)
    steps = (STEP, STEP, STEP, NEXT, NEXT, NEXT, STEP)
    assert statuses(sandbox, *steps) == [503, 503, 200, 503, 503, 200, 412]


def test_the_second_completion_of_all(sandbox: stepstub.Sandbox) -> None:
    sandbox.fault("after", status=503, nth=2)
    assert statuses(sandbox, STEP, STEP, NEXT) == [200, 412, 503]


def test_several_schedules_count_the_same_requests(sandbox: stepstub.Sandbox) -> None:
    sandbox.fault("before", status=503, nth=2)
    sandbox.fault("before", status=502, nth=3)
    sandbox.fault("before", status=504)
    assert statuses(sandbox, *["nowhere"] * 4) == [504, 503, 502, 412]


def test_the_earlier_fault_strikes_when_two_are_due(sandbox: stepstub.Sandbox) -> None:
    sandbox.fault("before", status=502, nth=2)
    sandbox.fault("before", status=503, times=2)
    sandbox.fault("before", status=504, nth=2)
    assert statuses(sandbox, *["nowhere"] * 5) == [503, 502, 503, 504, 412]


def test_another_seed_strikes_other_requests(sandbox: stepstub.Sandbox) -> None:
    rounds = []
    for seed in (1, 1, 2):
        sandbox.clear_faults()
        sandbox.fault("before", status=503, probability=0.5, seed=seed)
        rounds.append(struck(sandbox, *["nowhere"] * 20))
    assert rounds[0] == rounds[1] != rounds[2]


def test_a_fault_that_never_struck_is_reported_with_its_schedule(
    sandbox: stepstub.Sandbox,
) -> None:
    sandbox.fault("before", status=503, nth=3)
    sandbox.fault("before", status=503, every=2)
    assert [fault.nth for fault in sandbox.unused_faults()] == [3, None]
    statuses(sandbox, STEP, STEP)
    (unused,) = sandbox.unused_faults()
    assert unused.describe() == "before: respond 503 (request 3)"
    statuses(sandbox, STEP)
    assert sandbox.unused_faults() == []


def test_the_journal_names_the_schedule(sandbox: stepstub.Sandbox) -> None:
    sandbox.fault("before", status=503, probability=1, times=3)
    statuses(sandbox, STEP)
    assert sandbox.journal()[0].fault == "before: respond 503 (probability 1, seed 0)"


def test_steps_beyond_a_bound_are_spared() -> None:
    store = MemoryStore()
    fault = Fault(phase="before", action="disconnect", each_step=True, remaining=1)
    run_inline(store.add_fault(fault))
    steps = [f"step-{number}" for number in range(MAX_STEPS_COUNTED + 1)]
    *found, beyond = [strikes(store, step_id) for step_id in steps]
    assert all(found)
    assert not beyond


def test_schedules_for_other_steps_cost_a_completion_nothing() -> None:
    store = MemoryStore()
    for number in range(MAX_FAULTS):
        of_other = Fault(
            phase="before", action="reset", process_step_id=f"p{number}", nth=1, remaining=1
        )
        run_inline(store.add_fault(of_other))
    assert not strikes(store, "mine")
    assert [fault.struck for fault in run_inline(store.faults())] == [0] * MAX_FAULTS


def strikes(store: MemoryStore, step_id: str) -> bool:
    entry = Entry(method="POST", path="/", headers=(), wall_clock=0)
    return run_inline(store.load(step_id, entry)).fault is not None
