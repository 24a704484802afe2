"""What a client is told of a completion after which the store is lost."""

from collections.abc import Sequence
from typing import Any

import pytest

from blocking_link import BlockingLink
from state_servers import StateServer
from stepstub.concurrency import InlineConcurrency
from stepstub.errors import StoreUnavailable
from stepstub.faults import Fault
from stepstub.model import Status
from stepstub.readings import DEFAULT, with_values
from stepstub.sandbox import Sandbox
from stepstub.stores.valkey.link import Argument
from stepstub.stores.valkey.scripts import Script
from store_support import PENDING, STARTED, Served, World, process

COMPLETED = Status.COMPLETED


class GoneAfter(BlockingLink):
    """A link that is lost once a script has been run."""

    last_script = ""
    is_lost = False

    async def run(
        self, script: Script, keys: Sequence[Argument], arguments: Sequence[Argument]
    ) -> Any:
        if self.is_lost:
            raise StoreUnavailable("The store at 127.0.0.1:1/0 cannot be reached.")
        reply = await super().run(script, keys, arguments)
        self.is_lost = script.name == self.last_script
        return reply


class Failing(Served):
    def __init__(self, port: int) -> None:
        self.link = self._link = GoneAfter("127.0.0.1", port)


FAULTS = {
    "none": None,
    "after": Fault(phase="after", action="respond", remaining=1),
}


def world_of(state_server: StateServer) -> tuple[World, GoneAfter]:
    backend = Failing(state_server.port)
    world = World(backend, process(STARTED, PENDING, delegate="recorded"))
    world.sandbox = Sandbox((), store=world.store, concurrency=InlineConcurrency())
    return world, backend.link


@pytest.mark.parametrize("fault", FAULTS)
def test_a_completion_that_was_written_succeeds(state_server: StateServer, fault: str) -> None:
    world, link = world_of(state_server)
    if planned := FAULTS[fault]:
        world.run(world.store.add_fault(planned))
    link.last_script = "apply"
    assert world.complete("p1").completed.id == "p1"
    assert link.is_lost
    link.is_lost = False
    assert world.statuses()[0] is COMPLETED


@pytest.mark.parametrize("reading", ["before-call", "after-call"])
def test_one_whose_delegate_call_may_be_made_again_is_not_told(
    state_server: StateServer, reading: str
) -> None:
    """Without the end of the call in the store another process makes it, and may undo it all."""
    world, link = world_of(state_server)
    world.sandbox.readings = with_values(DEFAULT, {"next-step-started": reading})
    world.sandbox.delegates.function = lambda _: None
    link.last_script = "apply"
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        world.complete("p1")
    link.is_lost = False
    assert world.statuses()[0] is COMPLETED
