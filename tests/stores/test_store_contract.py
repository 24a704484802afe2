"""What a store promises, over every store."""

import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain
from typing import Any, TypeVar

import pytest

from stepstub import transitions
from stepstub.delegates import ACCEPTED, IN_PROGRESS, DelegateCall, StepStart
from stepstub.errors import InConflict
from stepstub.faults import MAX_FAULTS, Fault, Phase
from stepstub.journal import Entry, ExchangeQuery
from stepstub.model import Param, Process, Step
from stepstub.readings import DEFAULT
from stepstub.stores.protocol import (
    Applied,
    ClockState,
    Conflict,
    Gone,
    Loaded,
    Owed,
    Store,
)
from stepstub.tokens import EXPIRED, REVOKED, Limit
from stepstub.transitions import Change
from store_support import (
    COMPLETED,
    FAILED,
    PENDING,
    STARTED,
    Backend,
    entry_about,
    facts,
    ids,
    process,
    told,
)
from support import TIMEOUT, Clock, asking, in_time

T = TypeVar("T")
LATE = 1.0  # a second on the machine's clock


class Kept:
    """A store, driven as a sandbox drives it, one step at a time."""

    def __init__(self, store: Store, run: Callable[[Any], Any]) -> None:
        self.store = store
        self.run = run

    def opened(self, step_id: str = "p1") -> tuple[Entry, Loaded]:
        entry = entry_about(step_id)
        return entry, self.run(self.store.load(step_id, entry))

    def completion(self, step_id: str = "p1", **params: Param) -> tuple[Entry, Change]:
        """An exchange that has decided to complete a step, and has not written it yet."""
        entry, loaded = self.opened(step_id)
        return entry, completion(step_id, loaded, entry, **params)

    def apply(self, change: Change, *also: Any) -> Any:
        return self.run(self.store.apply(change, *also))

    def complete(self, step_id: str) -> Change:
        entry, change = self.completion(step_id)
        assert isinstance(self.apply(change, entry), Applied)
        return change

    def fail(self, step_id: str) -> Change:
        loaded = self.run(self.store.step(step_id))
        change = transitions.fail(step_id, loaded.step, "why", loaded.now)
        assert isinstance(change, Change)
        return change

    def records(self, process_id: str = "p") -> list[Step]:
        found: Process | None = self.run(self.store.process(process_id))
        assert found
        return list(found.steps)

    def statuses(self, process_id: str = "p") -> list[Any]:
        return [step.status for step in self.records(process_id)]

    def add(self, *processes: Process) -> tuple[Process, ...]:
        added: tuple[Process, ...] = self.run(self.store.add(processes))
        return added

    def fault(self, phase: Phase, remaining: int = 1, step_id: str | None = None) -> str:
        """Adds a fault; its id."""
        fault = Fault(phase=phase, action="respond", remaining=remaining, process_step_id=step_id)
        added: Fault = self.run(self.store.add_fault(fault))
        return added.id

    def faults(self) -> dict[str, int]:
        """How often each is still to strike."""
        return {fault.id: fault.remaining for fault in self.run(self.store.faults())}


@pytest.fixture
def kept(store: Store, backend: Backend) -> Kept:
    return Kept(store, backend.run)


def completion(step_id: str, loaded: Loaded, entry: Entry, **params: Param) -> Change:
    change = transitions.complete(
        step_id, loaded.step, loaded.next_step, params, loaded.now, number=entry.number
    )
    assert isinstance(change, Change)
    return change


def call_of(step_id: str, outcome: str = ACCEPTED, number: int | None = None) -> DelegateCall:
    return DelegateCall(
        called_at=0,
        kind="python",
        start=StepStart("p", step_id, {}),
        exchange_number=number,
        outcome=outcome,
    )


# --- load


def test_load_gives_a_step_the_one_after_it_and_the_time(kept: Kept, clock: Clock) -> None:
    (added,) = kept.add(process(STARTED, PENDING, params={"a": Param(long_value=2**53 + 1)}))
    first, second = added.steps
    for step_id, expected in (("p1", [first, second]), ("p2", [second, None]), ("no", [None] * 2)):
        _, loaded = kept.opened(step_id)
        assert facts(loaded.step, loaded.next_step) == facts(*expected)
        assert (loaded.now, loaded.fault) == (clock.now(), None)


def test_the_step_after_one_is_of_its_own_process(kept: Kept) -> None:
    kept.add(process(STARTED), process(STARTED, PENDING, process_id="q"))
    for step_id, after in (("p1", None), ("q1", "q2"), ("q2", None)):
        _, loaded = kept.opened(step_id)
        assert (loaded.next_step and loaded.next_step.id) == after


def test_loading_numbers_an_exchange_once(kept: Kept, clock: Clock) -> None:
    entry, _ = kept.opened("no")
    assert (entry.number, entry.received_at) == (1, clock.now())
    clock.jump(LATE)
    again = kept.run(kept.store.load("no", entry))
    assert again.now == clock.now()
    assert (entry.number, entry.received_at) == (1, clock.now() - 1000)
    assert kept.opened("no")[0].number == 2
    assert kept.run(kept.store.exchanges()) == kept.run(kept.store.exchanges(ExchangeQuery()))
    assert [each.number for each in kept.run(kept.store.exchanges())[0]] == [1, 2]


def test_opening_numbers_it_too_and_loading_does_not_number_it_again(kept: Kept) -> None:
    entry = entry_about("p1")
    now = kept.run(kept.store.open(entry))
    assert (entry.number, entry.received_at) == (1, now)
    kept.fault("before")
    assert kept.run(kept.store.load("p1", entry)).fault is None
    assert entry.number == 1


def test_loading_takes_one_before_fault_and_again_none(kept: Kept) -> None:
    ids_ = [kept.fault("before", 2), kept.fault("before")]
    entry, loaded = kept.opened("nobody")
    assert loaded.fault
    assert (loaded.fault.id, kept.faults()) == (ids_[0], dict.fromkeys(ids_, 1))
    assert kept.run(kept.store.load("nobody", entry)).fault is None
    assert kept.faults() == dict.fromkeys(ids_, 1)


def test_a_look_at_a_step_is_no_exchange(kept: Kept, clock: Clock) -> None:
    (added,) = kept.add(process(STARTED, PENDING))
    kept.fault("before")
    seen = kept.run(kept.store.step("p1"))
    assert facts(seen.step, seen.next_step) == facts(*added.steps)
    assert (seen.now, seen.fault) == (clock.now(), None)
    assert kept.run(kept.store.step("no")).step is None
    assert kept.run(kept.store.exchanges()) == ([], 0)
    assert list(kept.faults().values()) == [1]


# --- apply


def test_a_change_is_written_whole(kept: Kept, clock: Clock) -> None:
    kept.add(process(STARTED, PENDING, PENDING))
    entry, change = kept.completion(a=Param(str_value="b"))
    clock.jump(LATE)
    assert kept.apply(change, entry) == Applied(clock.now(), None)
    assert facts(*kept.records()[:2]) == facts(*change.writes)
    assert kept.statuses() == [COMPLETED, STARTED, PENDING]


def test_or_not_at_all_and_the_fresh_records_are_given_in_order(kept: Kept, clock: Clock) -> None:
    kept.add(process(STARTED, PENDING, PENDING))
    late, change = kept.completion()
    kept.complete("p1")
    kept.complete("p2")
    before = facts(*kept.records())
    clock.jump(LATE)
    outcome = kept.apply(change, late)
    assert isinstance(outcome, Conflict)
    assert outcome.now == clock.now()
    assert facts(*outcome.fresh) == before[:2]
    assert facts(*kept.records()) == before


@pytest.mark.parametrize("moved", [0, 1], ids=["the first", "the last"])
def test_one_record_that_no_longer_stands_is_enough(kept: Kept, moved: int) -> None:
    """Two steps of two processes, so that either can be moved alone."""
    kept.add(process(STARTED), process(STARTED, process_id="q"))
    both = [kept.fail("p1"), kept.fail("q1")]
    change = Change(
        both[0].replaces + both[1].replaces,
        both[0].writes + both[1].writes,
    )
    assert isinstance(kept.apply(both[moved]), Applied)
    before = facts(*kept.records("p"), *kept.records("q"))
    outcome = kept.apply(change)
    assert isinstance(outcome, Conflict)
    assert facts(*outcome.fresh) == before == facts(*kept.records("p"), *kept.records("q"))
    assert sorted(status for each in "pq" for status in kept.statuses(each)) == [FAILED, STARTED]


def test_a_conflict_has_none_for_a_record_that_is_gone(kept: Kept) -> None:
    (added,) = kept.add(process(STARTED, PENDING))
    entry, change = kept.completion()
    kept.apply(transitions.remove(added))
    outcome = kept.apply(change, entry)
    assert isinstance(outcome, Conflict)
    assert outcome.fresh == (None, None)
    assert kept.run(kept.store.process("p")) is None
    assert not kept.run(kept.store.in_use("p1"))


def test_what_is_decided_again_on_the_fresh_records_applies(kept: Kept) -> None:
    """One completes p1, is undone, and completes it again; the other has p2 of the first time."""
    kept.add(process(STARTED, PENDING, PENDING))
    first = kept.complete("p1")
    entry, change = kept.completion("p2")
    assert isinstance(kept.apply(transitions.undo(first)), Applied)
    second = kept.complete("p1")
    outcome = kept.apply(change, entry)
    assert isinstance(outcome, Conflict)
    assert facts(*outcome.fresh) == facts(second.started, kept.records()[2])
    fresh, after = outcome.fresh
    again = transitions.complete("p2", fresh, after, {}, outcome.now, number=entry.number)
    assert isinstance(again, Change)
    assert isinstance(kept.apply(again, entry), Applied)
    assert kept.statuses() == [COMPLETED, COMPLETED, STARTED]


def test_a_change_of_nothing_applies(kept: Kept, clock: Clock) -> None:
    assert kept.apply(Change((), ())) == Applied(clock.now(), None)


def test_a_conflict_takes_no_fault_and_keeps_no_call(kept: Kept) -> None:
    kept.add(process(STARTED, PENDING))
    late, change = kept.completion()
    kept.complete("p1")
    kept.fault("after")
    assert isinstance(kept.apply(change, late, call_of("p2")), Conflict)
    assert list(kept.faults().values()) == [1]
    assert kept.run(kept.store.calls()) == []


# --- undo


def test_undoing_puts_the_very_records_back(kept: Kept) -> None:
    kept.add(process(STARTED, PENDING, params={"a": Param(double_value=0.5)}, time_out=60))
    before = facts(*kept.records())
    change = kept.complete("p1")
    assert facts(*kept.records()) != before
    assert isinstance(kept.apply(transitions.undo(change)), Applied)
    assert facts(*kept.records()) == before


def test_undoing_twice_is_a_conflict(kept: Kept) -> None:
    kept.add(process(STARTED, PENDING))
    before = facts(*kept.records())
    change = kept.complete("p1")
    kept.apply(transitions.undo(change))
    outcome = kept.apply(transitions.undo(change))
    assert isinstance(outcome, Conflict)
    assert facts(*outcome.fresh) == before == facts(*kept.records())


@pytest.mark.parametrize("how", ["completed", "failed"])
def test_nothing_is_undone_once_something_has_built_on_it(kept: Kept, how: str) -> None:
    kept.add(process(STARTED, PENDING, PENDING))
    change = kept.complete("p1")
    if how == "completed":
        kept.complete("p2")
    else:
        kept.apply(kept.fail("p2"))
    before = facts(*kept.records())
    outcome = kept.apply(transitions.undo(change))
    assert isinstance(outcome, Conflict)
    assert facts(*outcome.fresh) == before[:2]
    assert facts(*kept.records()) == before


def test_nested_completions_are_undone_from_the_inside_out(kept: Kept) -> None:
    kept.add(process(STARTED, PENDING, PENDING))
    states = [facts(*kept.records())]
    outer = kept.complete("p1")
    states.append(facts(*kept.records()))
    inner = kept.complete("p2")
    assert isinstance(kept.apply(transitions.undo(inner)), Applied)
    assert facts(*kept.records()) == states[1]
    assert isinstance(kept.apply(transitions.undo(outer)), Applied)
    assert facts(*kept.records()) == states[0]


def test_and_not_from_the_outside_in(kept: Kept) -> None:
    kept.add(process(STARTED, PENDING, PENDING))
    outer = kept.complete("p1")
    between = facts(*kept.records())
    inner = kept.complete("p2")
    assert isinstance(kept.apply(transitions.undo(outer)), Conflict)
    assert kept.statuses() == [COMPLETED, COMPLETED, STARTED]
    assert isinstance(kept.apply(transitions.undo(inner)), Applied)
    assert facts(*kept.records()) == between


def test_undoing_spares_what_somebody_else_has_done_since(kept: Kept) -> None:
    """p1 is completed, undone, and completed by another exchange: that one stands."""
    kept.add(process(STARTED, PENDING))
    first = kept.complete("p1")
    kept.apply(transitions.undo(first))
    second = kept.complete("p1")
    assert isinstance(kept.apply(transitions.undo(first)), Conflict)
    assert facts(*kept.records()) == facts(*second.writes)
    assert isinstance(kept.apply(transitions.undo(second)), Applied)


# --- the same records again


def test_a_change_of_before_applies_after_an_undo(kept: Kept) -> None:
    """The records it was decided on stand again, so it is as right as it was."""
    kept.add(process(STARTED, PENDING))
    entry, waiting = kept.completion(a=Param(long_value=1))
    kept.apply(transitions.undo(kept.complete("p1")))
    assert isinstance(kept.apply(waiting, entry), Applied)
    assert facts(*kept.records()) == facts(*waiting.writes)


def test_a_change_of_between_does_not(kept: Kept) -> None:
    """p2 is started twice; a change on its first start may not pass for one on its second."""
    kept.add(process(STARTED, PENDING, PENDING))
    first = kept.complete("p1")
    entry, waiting = kept.completion("p2")
    kept.apply(transitions.undo(first))
    assert isinstance(kept.apply(waiting, entry), Conflict)
    assert kept.statuses() == [STARTED, PENDING, PENDING]
    kept.complete("p1")
    assert isinstance(kept.apply(waiting, entry), Conflict)
    assert kept.statuses() == [COMPLETED, STARTED, PENDING]


def test_a_change_on_a_process_that_was_removed_spares_another_with_its_ids(kept: Kept) -> None:
    (added,) = kept.add(process(STARTED, PENDING))
    entry, waiting = kept.completion()
    kept.apply(transitions.remove(added))
    kept.add(process(STARTED, PENDING, params={"another": Param(long_value=1)}))
    before = facts(*kept.records())
    outcome = kept.apply(waiting, entry)
    assert isinstance(outcome, Conflict)
    assert facts(*outcome.fresh) == before == facts(*kept.records())


# --- processes


def test_processes_come_in_the_order_they_were_added(kept: Kept) -> None:
    kept.add(process(STARTED, process_id="b"), process(STARTED, PENDING, process_id="a"))
    kept.add(process(STARTED, process_id="c"))
    for offset, limit, expected in [
        (0, 9, ["b", "a", "c"]),
        (0, 2, ["b", "a"]),
        (2, 2, ["c"]),
        (3, 2, []),
        (9, 2, []),
        (0, 0, []),
    ]:
        found, total = kept.run(kept.store.page(offset, limit))
        assert (ids(found), total) == (expected, 3)
    assert kept.run(kept.store.process("nobody")) is None


def test_a_process_is_added_as_it_is_with_its_deadlines(kept: Kept, clock: Clock) -> None:
    given = process(
        COMPLETED, STARTED, PENDING, params={"a": Param(str_value=None, type="LONG")}, time_out=1.5
    )
    (added,) = kept.add(given)
    assert added.id == "p"
    assert facts(*added.steps) == facts(*transitions.start(given, clock.now()).steps)
    assert facts(*kept.records()) == facts(*added.steps)


@pytest.mark.parametrize("outcome", [ACCEPTED, IN_PROGRESS])
def test_the_call_that_starts_it_is_kept_with_it(kept: Kept, clock: Clock, outcome: str) -> None:
    call = call_of("p1", outcome)
    kept.run(kept.store.add([process(STARTED, PENDING)], DEFAULT, call))
    (found,) = kept.run(kept.store.calls())
    assert told(found) == told(call)
    assert found.called_at == clock.now()


def test_none_is_kept_with_what_is_refused(kept: Kept) -> None:
    kept.add(process(STARTED))
    with pytest.raises(ValueError, match="in use"):
        kept.run(kept.store.add([process(STARTED)], DEFAULT, call_of("p1")))
    assert kept.run(kept.store.calls()) == []


def test_a_look_shows_a_step_whose_time_is_over_as_failed(kept: Kept, clock: Clock) -> None:
    kept.add(process(STARTED, PENDING, time_out=1.5))
    clock.jump(1.499)
    assert kept.statuses() == [STARTED, PENDING]
    clock.jump(0.001)
    assert kept.statuses() == [FAILED, PENDING]
    (paged,), _ = kept.run(kept.store.page(0, 1))
    assert facts(*paged.steps) == facts(*kept.records())


@pytest.mark.parametrize(
    "clash",
    [
        [process(STARTED, process_id="new"), process(STARTED)],
        [process(STARTED, process_id="new"), process(STARTED, process_id="new")],
        [Process("new", process(STARTED, PENDING).steps)],
        [process(STARTED, process_id="new"), Process("q", process(STARTED).steps)],
        [Process("new", process(STARTED, process_id="n").steps * 2)],
    ],
    ids=["process", "process within", "step", "step of the last", "step within"],
)
def test_ids_in_use_are_refused_and_nothing_is_added(kept: Kept, clash: list[Process]) -> None:
    kept.add(process(STARTED, PENDING))
    before = facts(*kept.records())
    with pytest.raises(ValueError, match="in use"):
        kept.add(*clash)
    found, total = kept.run(kept.store.page(0, 9))
    assert (ids(found), total) == (["p"], 1)
    assert facts(*kept.records()) == before
    for identifier in ("new", "new1", "n1", "q"):
        assert not kept.run(kept.store.in_use(identifier))
        assert kept.run(kept.store.step(identifier)).step is None


def test_ids_are_in_use_while_there_is_something_under_them(kept: Kept) -> None:
    (added,) = kept.add(process(STARTED, PENDING))
    for identifier, used in (("p", True), ("p1", True), ("p2", True), ("p3", False), ("", False)):
        assert kept.run(kept.store.in_use(identifier)) is used
    kept.apply(transitions.remove(added))
    assert not any(kept.run(kept.store.in_use(identifier)) for identifier in ("p", "p1", "p2"))
    (again,) = kept.add(process(STARTED, PENDING))
    assert facts(*again.steps) == facts(*added.steps)


def test_a_process_is_removed_whole_if_no_step_has_moved(kept: Kept) -> None:
    (added, _) = kept.add(process(STARTED, PENDING), process(STARTED, process_id="q"))
    change = kept.complete("p1")
    outcome = kept.apply(transitions.remove(added))
    assert isinstance(outcome, Conflict)
    assert facts(*outcome.fresh) == facts(*change.writes)
    assert kept.statuses() == [COMPLETED, STARTED]
    kept.apply(transitions.undo(change))
    assert isinstance(kept.apply(transitions.remove(added)), Applied)
    found, total = kept.run(kept.store.page(0, 9))
    assert (ids(found), total) == (["q"], 1)
    assert kept.run(kept.store.process("p")) is None


def test_ids_are_counted_for_each_prefix_and_those_in_use_are_not_skipped(kept: Kept) -> None:
    kept.add(process(STARTED, process_id="order-1"))
    prefixes = ("order", "order", "a b", "order")
    given = [kept.run(kept.store.next_id(prefix)) for prefix in prefixes]
    assert given == ["order-1", "order-2", "a b-1", "order-3"]


# --- the end


def test_after_the_end_nothing_is_written_and_nothing_found(kept: Kept) -> None:
    kept.add(process(STARTED, PENDING, PENDING), process(STARTED, process_id="q"))
    done = kept.complete("p1")
    entry, waiting = kept.completion("p2")
    kept.fault("after")
    assert kept.run(kept.store.retire()) == 4
    assert kept.run(kept.store.retire()) == 0
    for change in (waiting, transitions.undo(done), Change((), ())):
        assert kept.apply(change, entry, call_of("p3")) == Gone()
    assert list(kept.faults().values()) in ([], [1])
    assert kept.run(kept.store.calls()) == []
    _, loaded = kept.opened("p2")
    assert (loaded.step, loaded.next_step) == (None, None)
    assert kept.run(kept.store.step("p2")).step is None
    assert kept.run(kept.store.process("p")) is None
    assert kept.run(kept.store.page(0, 9)) == ([], 0)
    assert not kept.run(kept.store.in_use("p"))


# --- after-faults and delegate calls


@pytest.mark.parametrize(
    ("outcome", "struck"),
    [(None, True), (ACCEPTED, True), (IN_PROGRESS, False), ("failed: why", False)],
)
def test_an_after_fault_waits_for_the_delegate(
    kept: Kept, outcome: str | None, struck: bool
) -> None:
    kept.add(process(STARTED, PENDING))
    fault = kept.fault("after", 2)
    entry, change = kept.completion()
    applied = kept.apply(change, entry, outcome and call_of("p2", outcome))
    assert isinstance(applied, Applied)
    assert (applied.fault.id if applied.fault else None) == (fault if struck else None)
    assert kept.faults() == {fault: 1 if struck else 2}


@pytest.mark.parametrize(
    ("outcome", "struck"),
    [(None, False), (ACCEPTED, False), (IN_PROGRESS, True), ("failed: why", False)],
)
def test_a_fault_of_delegate_calls_strikes_one_in_progress(
    kept: Kept, outcome: str | None, struck: bool
) -> None:
    kept.add(process(STARTED, PENDING))
    fault = kept.fault("delegate", 2)
    entry, change = kept.completion()
    applied = kept.apply(change, entry, outcome and call_of("p2", outcome))
    assert isinstance(applied, Applied)
    assert (applied.fault.id if applied.fault else None) == (fault if struck else None)
    assert kept.faults() == {fault: 1 if struck else 2}


def test_confirming_a_call_takes_the_after_fault(kept: Kept, clock: Clock) -> None:
    kept.add(process(STARTED, PENDING))
    fault = kept.fault("after")
    entry, change = kept.completion()
    call = call_of("p2", IN_PROGRESS, entry.number)
    kept.apply(change, entry, call)
    assert [told(each) for each in kept.run(kept.store.calls())] == [(1, "p2", IN_PROGRESS)]
    clock.jump(LATE)
    call.outcome = ACCEPTED
    confirmed = kept.run(kept.store.confirm(entry, call))
    assert (confirmed.now, confirmed.fault.id) == (clock.now(), fault)
    assert kept.faults() == {}
    assert [told(each) for each in kept.run(kept.store.calls())] == [(1, "p2", ACCEPTED)]


def test_undoing_a_completion_takes_none_and_tells_how_the_call_ended(kept: Kept) -> None:
    kept.add(process(STARTED, PENDING))
    fault = kept.fault("after")
    entry, change = kept.completion()
    call = call_of("p2", IN_PROGRESS, entry.number)
    kept.apply(change, entry, call)
    call.outcome = "failed: why"
    assert kept.apply(transitions.undo(change), entry, call).fault is None
    assert kept.faults() == {fault: 1}
    assert [told(each) for each in kept.run(kept.store.calls())] == [(1, "p2", "failed: why")]


def test_a_change_that_no_exchange_asks_for_takes_none(kept: Kept) -> None:
    kept.add(process(STARTED, PENDING))
    fault = kept.fault("after")
    assert kept.apply(kept.fail("p1")).fault is None
    assert kept.faults() == {fault: 1}


def test_calls_are_kept_in_order_and_whole(kept: Kept) -> None:
    params = {"a": Param(long_value=2**53 + 1)}
    calls = [call_of(f"p{n}", number=n) for n in range(1, 4)]
    calls.append(DelegateCall(called_at=5, kind="http", start=StepStart("q", "q1", params)))
    for call in calls:
        call.outcome = ACCEPTED
        kept.apply(Change((), ()), None, call)
    assert kept.run(kept.store.calls()) == calls


@pytest.mark.parametrize("bound", [1, 3])
def test_at_their_bound_the_newest_are_kept(backend: Backend, clock: Clock, bound: int) -> None:
    kept = Kept(backend.make_store(clock, bound=bound), backend.run)
    for number in range(1, 6):
        kept.apply(Change((), ()), None, call_of(f"p{number}", number=number))
        kept.opened()
    numbers = list(range(6 - bound, 6))
    assert [call.exchange_number for call in kept.run(kept.store.calls())] == numbers
    entries, dropped = kept.run(kept.store.exchanges())
    assert ([entry.number for entry in entries], dropped) == (numbers, 5 - bound)


# --- the journal


def test_an_exchange_is_kept_as_it_ended(kept: Kept) -> None:
    entry, _ = kept.opened()
    (begun,), _ = kept.run(kept.store.exchanges())
    assert (begun.number, begun.step_id, begun.status) == (1, "p1", None)
    entry.status, entry.body, entry.response, entry.duration = 412, b"\x00\xff", b"{}", 0.25
    entry.step_before = entry.step_after = PENDING
    entry.reason, entry.moved_by, entry.fault = "why", 3, "before: delay of 1 s"
    kept.run(kept.store.close(entry))
    assert kept.run(kept.store.exchanges()) == ([entry], 0)


def test_exchanges_are_found_by_what_they_are_about(kept: Kept) -> None:
    for step_id, status, operation in [
        ("p1", 200, "completeStep"),
        ("p2", 412, "completeStep"),
        ("p1", 412, "completeStep"),
        ("p1", 401, None),
    ]:
        entry, _ = kept.opened(step_id)
        entry.status, entry.operation = status, operation
        kept.run(kept.store.close(entry))

    def found(**query: Any) -> list[int]:
        entries, dropped = kept.run(kept.store.exchanges(ExchangeQuery(**query)))
        assert dropped == 0
        return [entry.number for entry in entries]

    assert found() == [1, 2, 3, 4]
    assert found(step_id="p1") == [1, 3, 4]
    assert found(status=412) == [2, 3]
    assert found(operation="completeStep") == [1, 2, 3]
    assert found(step_id="p1", status=412) == [3]
    assert found(step_id="nobody") == []
    assert found(limit=2) == [1, 2]
    assert found(limit=0) == []
    assert found(limit=2, after=2) == [3, 4]
    assert found(after=4) == []
    assert found(step_id="p1", after=1, limit=1) == [3]
    assert found(before=3) == [1, 2]
    assert found(newest_first=True) == [4, 3, 2, 1]
    assert found(newest_first=True, before=4, after=1, limit=1) == [3]
    assert found(step_id="p1", newest_first=True, before=4) == [3, 1]
    assert found(refused=True) == found(text="nobody's") == []


def test_a_store_says_whether_anything_has_changed(kept: Kept, backend: Backend) -> None:
    def revision() -> str:
        return kept.run(kept.store.revision())

    seen = [revision()]
    for change in (
        lambda: kept.opened("p1"),
        lambda: kept.run(kept.store.add_fault(Fault(phase="before", action="delay", remaining=1))),
        lambda: kept.run(kept.store.clear_faults()),
        lambda: kept.run(kept.store.change_clock(1, None)),
        lambda: kept.run(kept.store.clear_journal()),
    ):
        change()
        seen.append(revision())
        assert seen[-1] == revision()
    seen.append(backend.run(backend.make_store(Clock()).revision()))
    assert len(set(seen)) == len(seen)


def test_what_has_been_pushed_out_is_not_found(backend: Backend, clock: Clock) -> None:
    """An exchange that comes in while the others are looked through is not counted half."""
    kept = Kept(backend.make_store(clock, bound=1), backend.run)
    kept.opened()

    class Meanwhile(ExchangeQuery, frozen=True):
        def matches(self, entry: Entry) -> bool:
            kept.opened()
            return super().matches(entry)

    (entry,), dropped = in_time(lambda: kept.run(kept.store.exchanges(Meanwhile())))
    assert dropped == entry.number - 1


def test_a_cleared_journal_goes_on_counting(kept: Kept) -> None:
    for _ in range(3):
        kept.opened()
    kept.apply(Change((), ()), None, call_of("p1"))
    kept.run(kept.store.clear_journal())
    assert kept.run(kept.store.exchanges()) == ([], 3)
    assert kept.run(kept.store.calls()) == []
    assert kept.opened()[0].number == 4
    entries, dropped = kept.run(kept.store.exchanges())
    assert ([entry.number for entry in entries], dropped) == ([4], 3)


# --- waiting


def test_waiting_ends_with_the_time(kept: Kept) -> None:
    assert not kept.store.changes.block_until(asking(lambda: False), 0.001)


def ways_to_change(kept: Kept) -> dict[str, Callable[[], Any]]:
    entry, change = kept.completion()
    return {
        "apply": lambda: kept.apply(change, entry, call_of("p2", IN_PROGRESS)),
        "confirm": lambda: kept.run(kept.store.confirm(entry, call_of("p2"))),
        "close": lambda: kept.run(kept.store.close(entry)),
    }


@pytest.mark.parametrize("way", ["apply", "confirm", "close"])
def test_a_change_wakes_those_who_wait(kept: Kept, way: str) -> None:
    kept.add(process(STARTED, PENDING))
    change = ways_to_change(kept)[way]
    changed = threading.Event()
    looked = [threading.Event(), threading.Event()]

    def wait(index: int) -> bool:
        def holds() -> bool:
            now = changed.is_set()
            looked[index].set()
            return now

        return kept.store.changes.block_until(asking(holds), TIMEOUT)

    with ThreadPoolExecutor(2) as threads:
        waiting = [threads.submit(wait, index) for index in range(2)]
        assert all(each.wait(TIMEOUT) for each in looked)
        changed.set()
        change()
        assert all(each.result(TIMEOUT / 2) for each in waiting)


# --- faults


@pytest.mark.parametrize("phase", ["before", "after"])
def test_faults_are_counted_and_tried_in_order(kept: Kept, phase: Phase) -> None:
    first = kept.fault(phase, 2, "p1")
    second = kept.fault(phase, 1)
    other = kept.fault("after" if phase == "before" else "before", 9)

    def strike(step_id: str) -> str | None:
        entry, loaded = kept.opened(step_id)
        if phase == "before":
            return loaded.fault.id if loaded.fault else None
        applied: Applied = kept.apply(Change((), ()), entry)
        return applied.fault.id if applied.fault else None

    if phase == "after":  # which takes the other on the way
        kept.run(kept.store.clear_faults())
        first, second = kept.fault(phase, 2, "p1"), kept.fault(phase, 1)
    assert [strike(step_id) for step_id in ("p1", "p2", "p2", "p1", "p1")] == [
        first,
        second,
        None,
        first,
        None,
    ]
    assert kept.faults() == ({other: 9} if phase == "before" else {})


def test_a_fault_strikes_as_it_was_before_it_was_counted_down(kept: Kept) -> None:
    fault = Fault(phase="before", action="delay", seconds=1.5, process_step_id="p1", remaining=2)
    added = kept.run(kept.store.add_fault(fault))
    assert added.id
    assert (added.action, added.seconds, added.process_step_id) == ("delay", 1.5, "p1")
    assert list(kept.run(kept.store.faults())) == [added]
    assert kept.opened("p1")[1].fault == added


def test_a_thousand_faults_are_enough(kept: Kept) -> None:
    given = [kept.fault("before") for _ in range(MAX_FAULTS)]
    assert len(set(given)) == MAX_FAULTS == 1000
    with pytest.raises(InConflict, match="1000"):
        kept.fault("after")
    assert list(kept.faults()) == given
    kept.opened()
    another = kept.fault("after")
    assert list(kept.faults()) == [*given[1:], another]
    kept.run(kept.store.clear_faults())
    assert kept.faults() == {}
    assert kept.opened()[1].fault is None


# --- the clock


def test_time_runs_stands_still_and_runs_on(kept: Kept, clock: Clock) -> None:
    start = clock.now()

    def changed(advance: float = 0, frozen: bool | None = None) -> tuple[int, bool]:
        state: ClockState = kept.run(kept.store.change_clock(advance, frozen))
        assert state == kept.run(kept.store.clock())
        assert kept.opened()[1].now == state.now
        return state.now - start, state.frozen

    assert changed() == (0, False)
    assert changed(2.5) == (2500, False)
    clock.jump(1)
    assert changed(1, frozen=True) == (4500, True)
    clock.jump(10)
    assert changed() == (4500, True)
    assert changed(0.5) == (5000, True)
    assert changed(frozen=True) == (5000, True)
    assert changed(1, frozen=False) == (6000, False)
    clock.jump(1)
    assert changed(frozen=False) == (7000, False)


@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("advance", [-1, -0.001, 1e12])
def test_a_time_that_cannot_be_changes_nothing(kept: Kept, advance: float, frozen: bool) -> None:
    before = kept.run(kept.store.change_clock(1, frozen))
    with pytest.raises(ValueError, match="time"):
        kept.run(kept.store.change_clock(advance, not frozen))
    assert kept.run(kept.store.clock()) == before


def test_deadlines_are_on_the_stores_clock(kept: Kept) -> None:
    kept.run(kept.store.change_clock(86_400, frozen=True))
    kept.add(process(STARTED, PENDING, time_out=60))
    kept.run(kept.store.change_clock(59.999, None))
    assert kept.statuses() == [STARTED, PENDING]
    kept.run(kept.store.change_clock(0.001, None))
    assert kept.statuses() == [FAILED, PENDING]


# --- many threads


@contextmanager
def eager_threads() -> Iterator[None]:
    """Has threads take turns as often as can be."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)


def at_once(number: int, function: Callable[[int], T]) -> list[T]:
    """What `function` returns to each of `number` threads that call it at the same time."""
    barrier = threading.Barrier(number)

    def call(index: int) -> T:
        barrier.wait(TIMEOUT)
        return function(index)

    with eager_threads(), ThreadPoolExecutor(number) as threads:
        return list(threads.map(call, range(number)))


def test_numbers_are_unique_and_without_gaps(kept: Kept) -> None:
    def open_some(index: int) -> list[int]:
        numbers = []
        for turn in range(100):
            entry = entry_about("nobody")
            if (index + turn) % 2:
                kept.run(kept.store.open(entry))
            else:
                kept.run(kept.store.load("nobody", entry))
            numbers.append(entry.number)
        return numbers

    given = at_once(8, open_some)
    assert all(numbers == sorted(numbers) for numbers in given)
    assert sorted(chain.from_iterable(given)) == list(range(1, 801))
    entries, dropped = kept.run(kept.store.exchanges())
    assert ([entry.number for entry in entries], dropped) == (list(range(1, 801)), 0)


def test_ids_are_given_once(kept: Kept) -> None:
    given = at_once(8, lambda _: [kept.run(kept.store.next_id("a")) for _ in range(50)])
    assert sorted(chain.from_iterable(given)) == sorted(f"a-{number}" for number in range(1, 401))


def test_exactly_one_of_many_changes_of_the_same_records_is_written(kept: Kept) -> None:
    for round_ in range(20):
        name = f"p{round_}-"
        kept.add(process(STARTED, PENDING, process_id=name))
        changes = [kept.completion(f"{name}1") for _ in range(8)]

        def attempt(index: int, changes: list[Any] = changes) -> Any:
            entry, change = changes[index]
            return kept.apply(change, entry, call_of("any", number=entry.number))

        outcomes = at_once(8, attempt)
        (won,) = [index for index, each in enumerate(outcomes) if isinstance(each, Applied)]
        entry, change = changes[won]
        assert facts(*kept.records(name)) == facts(*change.writes)
        lost = [each for each in outcomes if isinstance(each, Conflict)]
        assert len(lost) == 7
        assert all(facts(*each.fresh) == facts(*change.writes) for each in lost)
        assert kept.run(kept.store.calls())[-1].exchange_number == entry.number
    assert len(kept.run(kept.store.calls())) == 20


@pytest.mark.parametrize("phase", ["before", "after"])
def test_a_fault_strikes_exactly_as_often_as_it_says(kept: Kept, phase: Phase) -> None:
    kept.fault(phase, 100)

    def strike(_: int) -> int:
        struck = 0
        for _turn in range(50):
            entry, loaded = kept.opened("nobody")
            applied = kept.apply(Change((), ()), entry)
            struck += loaded.fault is not None or applied.fault is not None
        return struck

    assert sum(at_once(4, strike)) == 100
    assert kept.faults() == {}


def test_ids_are_taken_by_one_of_many(kept: Kept) -> None:
    def attempt(index: int) -> bool:
        try:
            kept.add(process(STARTED, process_id=f"q{index}-"), process(STARTED, PENDING))
        except ValueError:
            return False
        return True

    (won,) = [index for index, added in enumerate(at_once(8, attempt)) if added]
    found, total = kept.run(kept.store.page(0, 20))
    assert (ids(found), total) == ([f"q{won}-", "p"], 2)


def test_no_change_slips_in_behind_the_end(kept: Kept) -> None:
    kept.add(*(process(STARTED, PENDING, process_id=f"p{n}-") for n in range(50)))
    changes = [kept.completion(f"p{n}-1") for n in range(50)]

    def act(index: int) -> list[Any]:
        if index == 0:
            return [kept.run(kept.store.retire())]
        return [kept.apply(change, entry) for entry, change in changes[index - 1 :: 3]]

    (steps,), *outcomes = at_once(4, act)
    assert steps == 100
    for each in outcomes:
        gone = [isinstance(outcome, Gone) for outcome in each]
        assert gone == sorted(gone), "once gone, it stays gone"
    assert kept.run(kept.store.page(0, 9)) == ([], 0)


def test_all_steps_of_a_process_are_seen_at_one_instant(kept: Kept) -> None:
    kept.add(process(STARTED, *[PENDING] * 20))

    def work(index: int) -> bool:
        if index == 0:
            for number in range(1, 21):
                kept.complete(f"p{number}")
            return True
        letters = []
        while "S" in (seen := "".join(status[0] for status in kept.statuses()))[:-1]:
            letters.append(seen)
        return all(
            each == "C" * each.index("S") + "S" + "P" * (20 - each.index("S")) for each in letters
        )

    assert in_time(lambda: all(at_once(3, work)))


# --- delegate calls that are put off


def put_off(kept: Kept, due: int) -> Owed:
    """A completion whose delegate call is to be made at a time."""
    entry, change = kept.completion()
    call = call_of("p2", IN_PROGRESS, number=entry.number)
    assert isinstance(kept.apply(change, entry, call), Applied)
    owed = Owed(change, call, due)
    kept.run(kept.store.put_off(owed))
    kept.run(kept.store.confirm(entry, call))
    return owed


def take(kept: Kept) -> tuple[list[str], int | None]:
    """The steps whose calls are handed out, and when the next one is due."""
    owed, next_in = kept.run(kept.store.take_owed())
    return [each.call.start.process_step_id for each in owed], next_in


def test_a_call_that_is_put_off_is_handed_out_once_when_it_is_due(kept: Kept, clock: Clock) -> None:
    kept.add(process(STARTED, PENDING))
    owed = put_off(kept, clock.now() + 1500)
    assert take(kept) == ([], 1500)
    clock.jump(1.499)
    assert take(kept) == ([], 1)
    clock.jump(0.001)
    (taken,), next_in = kept.run(kept.store.take_owed())
    assert next_in is None
    assert facts(*taken.written.writes) == facts(*owed.written.writes)
    assert taken.responded
    assert take(kept) == ([], None)
    taken.call.outcome = ACCEPTED
    kept.run(kept.store.confirm(None, taken.call))
    assert [told(call) for call in kept.run(kept.store.calls())] == [(1, "p2", ACCEPTED)]


def test_calls_are_handed_out_in_the_order_they_are_due(kept: Kept, clock: Clock) -> None:
    kept.add(process(STARTED, PENDING), process(STARTED, PENDING, process_id="q"))
    put_off(kept, clock.now() + 2000)
    entry, change = kept.completion("q1")
    call = call_of("q2", IN_PROGRESS, number=entry.number)
    kept.apply(change, entry, call)
    kept.run(kept.store.put_off(Owed(change, call, clock.now() + 1000)))
    clock.jump(3)
    assert take(kept) == (["q2", "p2"], None)


def test_no_call_is_due_while_the_time_stands_still(kept: Kept, clock: Clock) -> None:
    kept.add(process(STARTED, PENDING))
    put_off(kept, clock.now() + 1000)
    kept.run(kept.store.change_clock(0, True))
    clock.jump(60)
    assert take(kept) == ([], None)
    kept.run(kept.store.change_clock(1, None))
    assert take(kept) == (["p2"], None)


def test_no_call_is_made_in_a_world_that_is_gone(kept: Kept, clock: Clock) -> None:
    kept.add(process(STARTED, PENDING))
    put_off(kept, clock.now())
    kept.run(kept.store.retire())
    assert take(kept) == ([], None)


# --- tokens


@pytest.mark.parametrize("requests", [0, 1, 3])
def test_a_token_is_good_for_so_many_requests(kept: Kept, requests: int) -> None:
    kept.run(kept.store.limit_token(b"one", Limit(requests=requests)))
    uses = [kept.run(kept.store.use_token(b"one")) for _ in range(requests + 2)]
    assert uses == [None] * requests + [REVOKED] * 2
    assert kept.run(kept.store.use_token(b"another")) is None


def test_a_token_is_good_until_its_time(kept: Kept, clock: Clock) -> None:
    kept.run(kept.store.limit_token(b"one", Limit(until=clock.now() + 1000)))
    clock.jump(0.999)
    assert kept.run(kept.store.use_token(b"one")) is None
    clock.jump(0.001)
    assert kept.run(kept.store.use_token(b"one")) == EXPIRED
    kept.run(kept.store.limit_token(b"one", Limit()))
    assert kept.run(kept.store.use_token(b"one")) is None


def test_requests_at_once_are_counted_one_by_one(kept: Kept) -> None:
    kept.run(kept.store.limit_token(b"one", Limit(requests=30)))
    uses = at_once(4, lambda _: [kept.run(kept.store.use_token(b"one")) for _ in range(10)])
    assert sum(use is None for each in uses for use in each) == 30
