"""A sandbox over every store: what only shows where a sandbox and a store work together."""

import pytest

from stepstub.delegates import StepStart
from store_support import PENDING, STARTED, Backend, World, process


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
