"""A sandbox over every store, beside a naive one: whatever is done, both say and show the same.

More examples, with others each time:

    STEPSTUB_EXAMPLES=5000 pytest tests/stores/test_state_machine.py
"""

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from naive_model import NaiveSandbox, Script
from stepstub.delegates import StepStart
from stepstub.errors import DelegateFailed, InConflict, StepRefused
from stepstub.faults import Fault
from stepstub.model import Param, Process
from store_support import (
    COMPLETED,
    FAILED,
    PENDING,
    STARTED,
    Backend,
    World,
    entry_about,
    process,
)
from support import random_runs

OF = {status[0]: status for status in (PENDING, STARTED, COMPLETED, FAILED)}

process_ids = st.sampled_from("pq")
step_ids = st.sampled_from(["p1", "p2", "p3", "q1", "q2", "q3"])
letters = st.sampled_from(["SPP", "SPP", "SP", "S", "CSP", "CCC", "FPP", "PPP", "CCS"])
params = st.dictionaries(st.sampled_from("ab"), st.integers(0, 9), max_size=2)
seconds = st.sampled_from([0, 0, 2])
scripts: st.SearchStrategy[list[Script]] = st.lists(
    st.tuples(
        st.lists(
            st.sampled_from([("complete it",), ("fail it",), ("wait", 1), ("wait", 2)]), max_size=2
        ),
        st.sampled_from([("accept",), ("fail",)]),
    ).map(lambda each: [*each[0], each[1]]),
    max_size=4,
)


class Both(RuleBasedStateMachine):
    """Every rule is carried out on both, and both have to say the same."""

    backend: Backend

    def __init__(self) -> None:
        super().__init__()
        self.reset()

    @rule()
    def reset(self) -> None:
        """As a reset does it: a new store, in which everything begins again."""
        self.naive = NaiveSandbox()
        self.world = World(self.backend)
        self.frozen = False
        self.scripts: list[Script] = []
        self.fault_ids: list[str] = []
        self.world.delegates.function = self.delegate

    @initialize(seconds=seconds)
    def begin(self, seconds: int) -> None:
        self.start("p", "SPP", seconds, [])

    # --- the real one

    def delegate(self, start: StepStart) -> None:
        for action in self.scripts.pop(0) if self.scripts else [("accept",)]:
            match action:
                case ("accept",):
                    return
                case ("fail",):
                    raise OSError
                case ("complete it",):
                    self.real_complete(start.process_step_id, {})
                case ("fail it",):
                    self.real_fail(start.process_step_id)
                case ("wait", int(seconds)):
                    self.real_wait(seconds)

    def real_complete(self, step_id: str, params: dict[str, int]) -> tuple[Any, ...]:
        """As an exchange does it, faults included."""
        world, entry = self.world, entry_about(step_id)
        loaded = world.run(world.store.load(step_id, entry))
        try:
            if loaded.fault:
                return ("fault before", self.place(loaded.fault))
            submitted = {name: Param(long_value=value) for name, value in params.items()}
            done, applied = world.run(world.sandbox.complete(submitted, loaded, entry))
        except StepRefused as refused:
            return self.refused(refused)
        except DelegateFailed as failed:
            return ("delegate failed", "stands" if failed.stands else "undone")
        finally:
            world.run(world.store.close(entry))
        return ("completed", done.started and done.started.id, self.place(applied.fault))

    def real_fail(self, step_id: str) -> tuple[Any, ...]:
        try:
            self.world.run(self.world.sandbox.fail_step(step_id))
        except StepRefused as refused:
            return self.refused(refused)
        return ("failed",)

    def real_start(self, process_id: str, letters: str, seconds: int) -> tuple[Any, ...]:
        statuses = [OF[letter] for letter in letters]
        started = process(*statuses, process_id=process_id, time_out=seconds)
        try:
            self.world.run(self.world.sandbox.start_process(started))
        except InConflict:
            return ("in use",)
        except DelegateFailed:
            return ("delegate failed",)
        return ("added",)

    def real_wait(self, seconds: int) -> None:
        """Half of the time by the machine's clock, while that is what counts."""
        if not self.frozen:
            self.world.clock.jump(seconds / 2)
        ahead = seconds if self.frozen else seconds / 2
        self.world.run(self.world.store.change_clock(ahead, None))

    def refused(self, refused: StepRefused) -> tuple[Any, ...]:
        refusal = refused.refusal
        return ("refused", refusal.status and refusal.status[0], refusal.moved_by)

    def place(self, fault: Fault | None) -> int | None:
        return None if fault is None else self.fault_ids.index(fault.id)

    # --- both

    def script(self, scripts: list[Script]) -> None:
        self.scripts, self.naive.scripts = list(scripts), list(scripts)

    @rule(step_id=step_ids, params=params, scripts=scripts)
    def complete(self, step_id: str, params: dict[str, int], scripts: list[Script]) -> None:
        self.script(scripts)
        assert self.real_complete(step_id, params) == self.naive.complete(step_id, params)

    @precondition(lambda self: any(s["letter"] == "S" for s in self.naive.steps.values()))
    @rule(data=st.data(), params=params, scripts=scripts)
    def complete_a_started_one(
        self, data: st.DataObject, params: dict[str, int], scripts: list[Script]
    ) -> None:
        started = [name for name, each in self.naive.steps.items() if each["letter"] == "S"]
        self.complete(data.draw(st.sampled_from(started)), params, scripts)

    @rule(step_id=step_ids)
    def fail(self, step_id: str) -> None:
        assert self.real_fail(step_id) == self.naive.fail(step_id)

    @rule(process_id=process_ids, letters=letters, seconds=seconds, scripts=scripts)
    def start(self, process_id: str, letters: str, seconds: int, scripts: list[Script]) -> None:
        self.script(scripts)
        real = self.real_start(process_id, letters, seconds)
        assert real == self.naive.start(process_id, letters, seconds)

    @rule(seconds=st.integers(0, 2))
    def wait(self, seconds: int) -> None:
        self.real_wait(seconds)
        self.naive.now += seconds

    @rule(frozen=st.booleans())
    def freeze(self, frozen: bool) -> None:
        self.frozen = frozen
        self.world.run(self.world.store.change_clock(0, frozen))

    @precondition(lambda self: self.frozen)
    @rule()
    def time_elsewhere(self) -> None:
        self.world.clock.jump(5)

    @rule(
        phase=st.sampled_from(["before", "after"]),
        step_id=st.none() | step_ids,
        times=st.integers(1, 2),
    )
    def fault(self, phase: Any, step_id: str | None, times: int) -> None:
        fault = Fault(phase=phase, action="respond", process_step_id=step_id, remaining=times)
        self.fault_ids.append(self.world.run(self.world.store.add_fault(fault)).id)
        self.naive.faults.append({"phase": phase, "step": step_id, "left": times})

    @rule()
    def clear_faults(self) -> None:
        self.world.run(self.world.store.clear_faults())
        for fault in self.naive.faults:
            fault["left"] = 0

    @invariant()
    def both_show_the_same(self) -> None:
        run, store, naive = self.world.run, self.world.store, self.naive
        found, total = run(store.page(0, 10))
        assert total == len(naive.processes)
        shown = {each.id: told(each) for each in found}
        assert shown == {name: naive.look(name) for name in naive.processes}
        assert list(shown) == list(naive.processes)
        calls = [
            [number, step_id, "accept" if outcome == "accepted" else outcome[:4]]
            for number, step_id, outcome in self.world.calls()
        ]
        assert calls == naive.calls
        left = [each["left"] for each in naive.faults if each["left"]]
        assert [each.remaining for each in run(store.faults())] == left
        entries, dropped = run(store.exchanges())
        assert [entry.number for entry in entries] == list(range(1, naive.exchanges + 1))
        assert dropped == 0


def told(shown: Process) -> list[tuple[Any, ...]]:
    return [
        (
            step.status[0],
            {name: param.long_value for name, param in step.params.items()},
            step.moved_by,
        )
        for step in shown.steps
    ]


@pytest.mark.proof
def test_a_sandbox_does_what_a_naive_one_does(backend: Backend) -> None:
    machine = type("Both", (Both,), {"backend": backend})
    run_state_machine_as_test(machine, settings=random_runs(120, steps=25))
