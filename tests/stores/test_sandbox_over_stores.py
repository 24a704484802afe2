"""A sandbox over every store: what only shows where a sandbox and a store work together."""

import pytest
from msgspec.structs import replace

from stepstub import transitions
from stepstub.delegates import StepStart
from stepstub.model import Process
from store_support import (
    COMPLETED,
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
    completion = world.run(world.sandbox.complete({}, loaded, entry))
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
    assert world.run(world.sandbox.complete({}, loaded, entry)).started is None
    assert world.statuses("q") == [PENDING]
