"""A completion that the store has confirmed succeeds, whatever becomes of the store after it."""

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
    "late": Fault(phase="delegate", action="late", seconds=60, remaining=1),
    "twice": Fault(phase="delegate", action="twice", remaining=1),
}


@pytest.mark.parametrize("readings", [{}, {"next-step-started": "after-call"}], ids=str)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_completion_that_was_confirmed_succeeds(
    state_server: StateServer, fault: str, readings: dict[str, str]
) -> None:
    backend = Failing(state_server.port)
    world = World(backend, process(STARTED, PENDING, delegate="recorded"))
    world.sandbox = Sandbox(
        (),
        store=world.store,
        concurrency=InlineConcurrency(),
        readings=with_values(DEFAULT, readings),
    )
    world.sandbox.delegates.function = lambda _: None
    if planned := FAULTS[fault]:
        world.run(world.store.add_fault(planned))
    backend.link.last_script = "apply"
    assert world.complete("p1").completed.id == "p1"
    assert backend.link.is_lost
    backend.link.is_lost = False
    assert world.statuses()[0] is COMPLETED
