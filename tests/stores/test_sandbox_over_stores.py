"""A sandbox over every store: what only shows where a sandbox and a store work together."""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from stepstub import transitions
from stepstub.delegates import StepStart
from stepstub.errors import DelegateFailed, StepRefused
from stepstub.model import Process
from stepstub.stores.protocol import Conflict, Store
from stepstub.transitions import Change
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


class Cancelled(BaseException):
    """What a server that shuts down throws into a request."""


def cancel(_: StepStart) -> None:
    raise Cancelled


def test_the_call_of_a_request_that_is_cancelled_is_kept_once(backend: Backend) -> None:
    world = World(backend, process(STARTED, PENDING))
    world.delegates.function = cancel
    with pytest.raises(Cancelled):
        world.complete("p1")
    assert world.statuses() == [STARTED, PENDING]
    assert world.calls() == [(1, "p2", "failed: the request was cancelled")]


def test_what_a_completion_meets_may_be_another_process_with_the_same_ids(
    backend: Backend,
) -> None:
    """The first one is taken away because its delegate fails; the second one is longer."""
    world = World(backend)
    (removed,) = world.run(world.store.add([process(STARTED)]))
    entry = entry_about("p1")
    loaded = world.run(world.store.load("p1", entry))
    world.run(world.store.apply(transitions.remove(removed)))
    world.run(world.store.add([process(STARTED, PENDING)]))
    completion, _ = world.run(world.sandbox.complete({}, loaded, entry))
    assert completion.started
    assert world.statuses() == [COMPLETED, STARTED]
    assert world.calls() == [(1, "p2", "accepted")]


def test_nor_is_a_step_of_another_process_started(backend: Backend) -> None:
    world = World(backend)
    (removed,) = world.run(world.store.add([process(STARTED, PENDING)]))
    entry = entry_about("p1")
    loaded = world.run(world.store.load("p1", entry))
    world.run(world.store.apply(transitions.remove(removed)))
    _, second = process(STARTED, PENDING).steps
    other = Process("q", (replace(second, process_id="q", position=0, status=PENDING),))
    world.run(world.store.add([process(STARTED), other]))
    completion, _ = world.run(world.sandbox.complete({}, loaded, entry))
    assert completion.started is None
    assert world.statuses("q") == [PENDING]


class Interrupted:
    """A store that lets something happen right after its next conflict."""

    def __init__(self, store: Store, happens: Callable[[], None]) -> None:
        self._store = store
        self._happens = happens

    async def apply(self, *arguments: Any, **options: Any) -> Any:
        outcome = await self._store.apply(*arguments, **options)
        if isinstance(outcome, Conflict):
            self._happens()
        return outcome

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def test_a_start_that_could_not_be_undone_is_judged_by_what_stood_in_the_way(
    backend: Backend,
) -> None:
    """p2 is completed while its delegate is called, which fails; then that is undone as well.

    The first completion was kept by the second one, so it stands. Looking again after the second
    one is gone would call it a failure that nobody undoes.
    """
    world = World(backend, process(STARTED, PENDING, PENDING))
    inner: list[Change] = []

    def complete_and_fail(_: StepStart) -> None:
        loaded = world.run(world.store.load("p2", entry := entry_about("p2")))
        change = transitions.complete(
            "p2", loaded.step, loaded.next_step, {}, 0, number=entry.number
        )
        assert isinstance(change, Change)
        world.run(world.store.apply(change))
        inner.append(change)
        raise OSError

    def undo() -> None:
        world.run(kept.apply(transitions.undo(inner[0])))

    kept = world.store
    world.sandbox.store = Interrupted(kept, undo)
    world.delegates.function = complete_and_fail
    assert world.complete("p1").started
    assert world.statuses() == [COMPLETED, STARTED, PENDING]


@pytest.mark.parametrize("act", ["complete", "fail"])
def test_a_step_that_was_seen_to_be_out_of_time_stays_so(backend: Backend, act: str) -> None:
    """Its time passes after it was looked at, and before the change is written."""
    world = World(backend, process(STARTED, PENDING, time_out=60))
    entry = entry_about("p1")
    loaded = world.run(world.store.load("p1", entry))
    world.clock.jump(60)
    assert world.statuses() == [FAILED, PENDING]
    if act == "complete":
        with pytest.raises(StepRefused) as refused:
            world.run(world.sandbox.complete({}, loaded, entry))
        assert refused.value.refusal.status is FAILED
        assert "within 60 s" in str(refused.value.refusal.failure)
    else:
        assert loaded.step
        change = transitions.fail("p1", loaded.step, "why", loaded.now)
        assert isinstance(change, Change)
        assert isinstance(world.run(world.store.apply(change)), Conflict)
    assert world.statuses() == [FAILED, PENDING]


def test_a_completion_is_undone_although_the_time_of_what_it_started_is_over(
    backend: Backend,
) -> None:
    first, second = process(STARTED, PENDING).steps
    world = World(backend, Process("p", (first, replace(second, time_out_in_seconds=60))))

    def dawdle_and_fail(_: StepStart) -> None:
        world.clock.jump(61)
        raise OSError

    world.delegates.function = dawdle_and_fail
    with pytest.raises(DelegateFailed) as failed:
        world.complete("p1")
    assert not failed.value.stands
    assert world.statuses() == [STARTED, PENDING]


@pytest.mark.parametrize("accepts", [True, False])
def test_how_the_call_for_a_first_step_ended_is_kept(backend: Backend, accepts: bool) -> None:
    world = World(backend)

    def start(_: StepStart) -> None:
        if not accepts:
            raise OSError

    world.delegates.function = start
    if accepts:
        world.run(world.sandbox.start_process(process(STARTED, PENDING)))
        assert world.calls() == [(None, "p1", "accepted")]
    else:
        with pytest.raises(DelegateFailed):
            world.run(world.sandbox.start_process(process(STARTED, PENDING)))
        assert world.run(world.store.process("p")) is None
        assert world.calls() == [(None, "p1", "failed: the Python function raised OSError")]
