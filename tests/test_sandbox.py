"""Completions on a sandbox, from one thread and from many."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from stepstub import transitions
from stepstub.concurrency import InlineConcurrency, run_inline
from stepstub.delegates import StepStart
from stepstub.errors import DelegateFailed, StepRefused
from stepstub.model import Param, Params, Process, Status, Step
from stepstub.responses.envelope import StartedStep
from stepstub.responses.explanations import explain
from stepstub.sandbox import Sandbox
from stepstub.stores.memory import MemoryStore
from stepstub.stores.protocol import Applied, Conflict
from store_support import COMPLETED, FAILED, PENDING, STARTED, entry_about, process
from support import TIMEOUT, Clock, in_time


class World:
    """A sandbox and its clock; every completion has a thread of its own."""

    def __init__(self, *processes: Process, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        self.store = MemoryStore(clock=self.clock)
        self.sandbox = Sandbox(processes, store=self.store, concurrency=InlineConcurrency())
        self.delegates = self.sandbox.delegates
        run_inline(self.store.add(processes))

    def complete(self, step_id: str, **params: Param) -> StartedStep:
        return in_time(lambda: self.complete_here(step_id, params))

    def complete_here(self, step_id: str, params: Params | None = None) -> StartedStep:
        entry = entry_about(step_id)
        loaded = run_inline(self.store.load(step_id, entry))
        completion, _ = run_inline(self.sandbox.complete(params or {}, loaded, entry))
        started = completion.started
        process_id = completion.completed.process_id
        if started is None:
            return StartedStep(process_id, None, {})
        return StartedStep(process_id, started.id, started.params)

    def refusal(self, step_id: str) -> str:
        """The code with which a completion is refused."""
        with pytest.raises(StepRefused) as refused:
            self.complete(step_id)
        return code(refused.value)

    def process(self, process_id: str = "p") -> Process | None:
        return run_inline(self.store.process(process_id))

    def step(self, step_id: str) -> Step:
        return run_inline(self.sandbox.step(step_id))

    def fail(self, step_id: str) -> Step:
        return run_inline(self.sandbox.fail_step(step_id))

    def statuses(self, process_id: str = "p") -> list[Status]:
        process = self.process(process_id)
        assert process
        return [step.status for step in process.steps]

    def calls(self) -> list[str]:
        return [call.start.process_step_id for call in run_inline(self.store.calls())]


def code(refused: StepRefused) -> str:
    violations = explain(refused).violations
    assert violations
    return violations["processStepId"].code


def test_completing_a_step_starts_the_next_by_its_delegate() -> None:
    world = World(process(STARTED, PENDING, PENDING))
    assert world.complete("p1") == StartedStep("p", "p2", {})
    assert world.statuses() == [COMPLETED, STARTED, PENDING]
    assert world.calls() == ["p2"]


def test_completing_the_last_step_starts_nothing() -> None:
    world = World(process(COMPLETED, STARTED, params={"own": Param(str_value="x")}))
    assert world.complete("p2", submitted=Param(long_value=1)) == StartedStep("p", None, {})
    assert world.statuses() == [COMPLETED, COMPLETED]
    assert world.calls() == []


def test_a_process_runs_from_its_first_step_to_its_last() -> None:
    world = World(process(STARTED, *[PENDING] * 9))
    step_id: str | None = "p1"
    while step_id:
        step_id = world.complete(step_id).process_step_id
    assert world.statuses() == [COMPLETED] * 10
    assert world.calls() == [f"p{number}" for number in range(2, 11)]


@pytest.mark.parametrize("status", [PENDING, COMPLETED, FAILED])
def test_a_step_that_is_not_started_is_refused_and_nothing_changes(status: Status) -> None:
    world = World(process(status, PENDING))
    assert world.refusal("p1") == f"STEP_{status}"
    assert world.statuses() == [status, PENDING]
    assert world.calls() == []


def test_an_unknown_step_is_refused() -> None:
    assert World(process(STARTED)).refusal("nobody") == "UNKNOWN_STEP"


def test_a_refusal_names_the_exchange_that_moved_the_step() -> None:
    world = World(process(STARTED, PENDING))
    for step_id in ("nobody", "p1"):
        with suppress(StepRefused):
            world.complete(step_id)
    with pytest.raises(StepRefused) as refused:
        world.complete("p1")
    assert refused.value.refusal.moved_by == 2


def test_submitted_params_are_laid_over_the_next_steps_own() -> None:
    own = {"kept": Param(str_value="own"), "both": Param(str_value="own", type="STRING")}
    world = World(process(STARTED, PENDING, PENDING, params=own))
    submitted = {"both": Param(long_value=1), "new": Param(double_value=0.5)}
    merged = {"kept": own["kept"], **submitted}
    assert world.complete("p1", **submitted).params == merged
    assert world.step("p2").params == merged
    (call,) = run_inline(world.store.calls())
    assert call.start == StepStart("p", "p2", merged)
    assert world.complete("p2").params == own, "what one completion submits is not the next one's"


def test_the_next_step_is_started_before_its_delegate_is_called() -> None:
    world = World(process(STARTED, PENDING))
    seen: list[list[Status]] = []
    world.delegates.function = lambda _: seen.append(world.statuses())
    world.complete("p1")
    assert seen == [[COMPLETED, STARTED]]


def test_a_failing_delegate_rolls_both_steps_back() -> None:
    own = {"own": Param(str_value="x")}
    world = World(process(STARTED, PENDING, delegate="failing", params=own, time_out=60))
    before = world.process()
    with pytest.raises(DelegateFailed):
        world.complete("p1", submitted=Param(long_value=1))
    assert world.process() == before


def test_the_same_request_succeeds_when_the_delegate_is_well_again() -> None:
    world = World(process(STARTED, PENDING, delegate="python"))
    with pytest.raises(DelegateFailed):
        world.complete("p1")
    world.delegates.function = lambda _: None
    assert world.complete("p1").process_step_id == "p2"
    assert world.statuses() == [COMPLETED, STARTED]


def test_any_error_out_of_a_delegate_rolls_back() -> None:
    """A server that shuts down cancels its requests; a cancelled one leaves nothing half done."""

    class Cancelled(BaseException):
        pass

    def cancel(_: StepStart) -> None:
        raise Cancelled

    world = World(process(STARTED, PENDING))
    world.delegates.function = cancel
    with pytest.raises(Cancelled):
        world.complete("p1")
    assert world.statuses() == [STARTED, PENDING]


def test_a_success_stands_when_the_failing_delegate_has_completed_the_step() -> None:
    world = World(process(STARTED, PENDING, PENDING))

    def complete_then_fail(start: StepStart) -> None:
        if start.process_step_id == "p2":
            world.complete("p2")
            raise OSError("the connection broke")

    world.delegates.function = complete_then_fail
    assert world.complete("p1").process_step_id == "p2"
    assert world.statuses() == [COMPLETED, COMPLETED, STARTED]


def test_a_failure_by_a_test_stands_when_the_delegate_fails_as_well() -> None:
    world = World(process(STARTED, PENDING, PENDING))

    def fail_then_raise(start: StepStart) -> None:
        world.fail(start.process_step_id)
        raise OSError("the connection broke")

    world.delegates.function = fail_then_raise
    with pytest.raises(DelegateFailed) as failure:
        world.complete("p1")
    assert world.statuses() == [COMPLETED, FAILED, PENDING]
    assert "the step is COMPLETED, and the next one is FAILED" in str(explain(failure.value).reason)
    assert world.refusal("p1") == "STEP_COMPLETED"


def test_no_lock_is_held_while_a_delegate_runs() -> None:
    world = World(process(STARTED, *[PENDING] * 4))

    def complete_it(start: StepStart) -> None:
        world.complete(start.process_step_id)

    world.delegates.function = complete_it
    world.complete("p1")
    assert world.statuses() == [COMPLETED] * 5


def test_exactly_one_of_many_concurrent_completions_wins() -> None:
    number, rounds = 16, 20
    world = World(
        *(process(STARTED, PENDING, process_id=f"p{round_}-") for round_ in range(rounds))
    )
    barrier = threading.Barrier(number)

    def attempt(step_id: str) -> str:
        barrier.wait(TIMEOUT)
        try:
            world.complete(step_id)
        except StepRefused as refusal:
            return code(refusal)
        return "won"

    with ThreadPoolExecutor(number) as threads:
        for round_ in range(rounds):
            outcomes = list(threads.map(attempt, [f"p{round_}-1"] * number))
            assert sorted(outcomes) == ["STEP_COMPLETED"] * (number - 1) + ["won"]
    assert world.calls() == [f"p{round_}-2" for round_ in range(rounds)]


def test_a_completion_that_meets_another_halfway_is_refused() -> None:
    """The other one takes place after the first has looked, and before it writes."""
    world = World(process(STARTED, PENDING, time_out=60))
    entry = entry_about("p1")
    loaded = run_inline(world.store.load("p1", entry))
    world.complete("p1")
    with pytest.raises(StepRefused) as refused:
        run_inline(world.sandbox.complete({}, loaded, entry))
    assert code(refused.value) == "STEP_COMPLETED"
    assert refused.value.refusal.moved_by == 2
    assert world.calls() == ["p2"]


def test_a_step_that_is_not_completed_in_time_is_failed() -> None:
    world = World(process(STARTED, PENDING, time_out=1.5))
    world.clock.jump(1.499)
    assert world.step("p1").status is STARTED
    world.clock.jump(0.001)
    assert world.statuses() == [FAILED, PENDING]
    assert world.refusal("p1") == "STEP_FAILED"
    assert "within 1.5 s" in str(world.step("p1").failure)


def test_the_time_of_a_step_begins_when_it_is_started() -> None:
    world = World(process(STARTED, PENDING, PENDING, time_out=10))
    world.clock.jump(9)
    world.complete("p1")
    world.clock.jump(9)
    world.complete("p2")
    world.clock.jump(10)
    assert world.statuses() == [COMPLETED, COMPLETED, FAILED]


def test_a_step_without_time_out_waits_for_ever() -> None:
    world = World(process(STARTED, PENDING))
    world.clock.jump(10**9)
    assert world.complete("p1").process_step_id == "p2"


def test_a_time_out_is_seen_by_whoever_looks_first() -> None:
    world = World(process(STARTED, PENDING, time_out=1))
    world.clock.jump(2)
    assert world.refusal("p1") == "STEP_FAILED"
    assert world.statuses() == [FAILED, PENDING]


def test_a_started_step_can_be_failed() -> None:
    world = World(process(STARTED, PENDING))
    assert world.fail("p1").status is FAILED
    assert world.refusal("p1") == "STEP_FAILED"
    for step_id in ("p1", "p2"):  # again, and not begun
        with pytest.raises(StepRefused):
            world.fail(step_id)


@pytest.mark.parametrize(
    "clash",
    [
        [process(STARTED, process_id="new"), process(STARTED)],
        [process(STARTED, process_id="new"), process(STARTED, process_id="new")],
        [Process("new", process(STARTED, PENDING).steps)],
    ],
    ids=["process in use", "process twice in one call", "step in use"],
)
def test_ids_in_use_are_refused_and_nothing_is_added(clash: list[Process]) -> None:
    world = World(process(STARTED, PENDING))
    with pytest.raises(ValueError, match="in use"):
        run_inline(world.store.add(clash))
    assert [known.id for known in run_inline(world.store.page(0, 10))[0]] == ["p"]
    assert world.refusal("new1") == "UNKNOWN_STEP"
    assert world.statuses() == [STARTED, PENDING]


def test_a_late_removal_spares_a_new_process_of_the_same_ids() -> None:
    world = World()
    (first,) = run_inline(world.store.add([process(STARTED, PENDING)]))
    assert isinstance(run_inline(world.store.apply(transitions.remove(first))), Applied)
    (second,) = run_inline(world.store.add([process(STARTED, PENDING)]))
    assert isinstance(run_inline(world.store.apply(transitions.remove(first))), Conflict)
    assert world.process() == second


def test_processes_can_be_looked_at() -> None:
    world = World(process(STARTED), process(STARTED, process_id="q"))
    processes, total = run_inline(world.store.page(0, 10))
    assert [known.id for known in processes] == ["p", "q"]
    assert total == 2
    assert world.process("nobody") is None
    with pytest.raises(StepRefused):
        world.step("nobody")


def test_finding_a_step_does_not_walk_over_the_others() -> None:
    class Looked(str):
        """An id that counts how often an id of its kind is looked at."""

        times = 0

        def __hash__(self) -> int:
            Looked.times += 1
            return super().__hash__()

        def __eq__(self, other: object) -> bool:
            Looked.times += 1
            return super().__eq__(other)

    def cost(processes: int) -> int:
        world = World(
            *(
                Process(
                    name,
                    tuple(
                        Step(
                            id=Looked(f"{name}{number}"),
                            process_id=name,
                            position=number,
                            status=STARTED if number == 0 else PENDING,
                            params={},
                        )
                        for number in range(3)
                    ),
                )
                for name in (Looked(f"p{index}-") for index in range(processes))
            )
        )
        Looked.times = 0
        world.complete("p0-0")
        assert world.refusal("nobody") == "UNKNOWN_STEP"
        return Looked.times

    assert cost(1000) == cost(1)
