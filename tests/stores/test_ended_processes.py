"""A process of the stub ends in the middle of what it does: the others finish it or clear it up."""

import asyncio
import secrets

from blocking_link import BlockingLink
from state_servers import StateServer
from stepstub.delegates import DelegateCall, StepStart
from stepstub.readings import DEFAULT
from stepstub.stores.valkey.store import Marks, ValkeyStore
from store_support import PENDING, STARTED, process


def test_the_delegate_of_a_first_step_is_called_by_another(state_server: StateServer) -> None:
    link = BlockingLink("127.0.0.1", state_server.port)
    sandbox, epoch = f"stepstub:{{{secrets.token_hex(8)}}}", secrets.token_hex(8)
    asyncio.run(link.command("HSET", sandbox, "epoch", epoch, "version", 1))
    here, there = (ValkeyStore(link, sandbox, epoch, marks=Marks(), lease=0.0) for _ in range(2))
    call = DelegateCall(called_at=0, kind="http", start=StepStart("p", "p1", {}))
    asyncio.run(here.add([process(STARTED, PENDING)], DEFAULT, call))
    (owed,), _ = asyncio.run(there.take_owed())
    assert (owed.call.start.process_step_id, owed.call.attempt) == ("p1", 2)
