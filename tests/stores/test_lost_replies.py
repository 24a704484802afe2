"""A call of the store whose reply is lost is repeated, and has taken effect once."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from blocking_link import BlockingLink
from state_servers import StateServer
from stepstub.concurrency import EventLoopConcurrency
from stepstub.delegates import ACCEPTED, DelegateCall, StepStart
from stepstub.faults import Fault
from stepstub.readings import DEFAULT
from stepstub.sandbox import Sandbox
from stepstub.settings import Settings
from stepstub.shared_sandboxes import SharedSandboxes
from stepstub.stores.protocol import Applied
from stepstub.stores.valkey.link import Argument, Lost
from stepstub.stores.valkey.notices import Notices
from stepstub.stores.valkey.scripts import Script
from stepstub.stores.valkey.store import Marks, ValkeyStore
from stepstub.tokens import REVOKED, Limit
from stepstub.transitions import Change, complete, undo
from store_support import PENDING, STARTED, entry_about, process


class LosingLink(BlockingLink):
    """Loses one reply of each script that is in `loses`, once `meanwhile` has happened."""

    def __init__(self, port: int) -> None:
        super().__init__("127.0.0.1", port)
        self.loses: set[str] = set()
        self.lost: list[str] = []
        self.meanwhile: Callable[[], Awaitable[Any]] | None = None

    async def run(
        self, script: Script, keys: Sequence[Argument], arguments: Sequence[Argument]
    ) -> Any:
        reply = await super().run(script, keys, arguments)
        if script.name not in self.loses:
            return reply
        self.loses.remove(script.name)
        self.lost.append(script.name)
        if self.meanwhile is not None:
            await self.meanwhile()
        raise Lost("it was lost on purpose")


@pytest.fixture
def link(state_server: StateServer) -> LosingLink:
    return LosingLink(state_server.port)


@pytest.fixture
def store(link: LosingLink) -> ValkeyStore:
    sandbox, epoch = f"stepstub:{{{secrets.token_hex(8)}}}", secrets.token_hex(8)
    asyncio.run(link.command("HSET", sandbox, "epoch", epoch, "version", 1))
    return ValkeyStore(link, sandbox, epoch, marks=Marks())


@pytest.fixture
def sandboxes(link: LosingLink) -> SharedSandboxes:
    return SharedSandboxes(
        [process(STARTED, PENDING)],
        settings=Settings(),
        link=link,
        notices=Notices(lambda: None),
        concurrency=EventLoopConcurrency(),
    )


def names(sandbox: Sandbox) -> list[str]:
    return [each.id for each in asyncio.run(sandbox.store.page(0, 100))[0]]


def kept_by(server: StateServer) -> int:
    """How many keys a server keeps for good."""
    return sum(server.run("TTL", key) == -1 for key in server.run("KEYS", "stepstub:*"))


# --- one sandbox


def test_processes_are_added_once(link: LosingLink, store: ValkeyStore) -> None:
    link.loses = {"add"}
    (placed,) = asyncio.run(store.add([process(STARTED)]))
    assert link.lost == ["add"]
    assert asyncio.run(store.page(0, 10)) == ([placed], 1)


def test_so_is_the_call_that_starts_them(link: LosingLink, store: ValkeyStore) -> None:
    link.loses = {"add"}
    call = DelegateCall(called_at=0, kind="http", start=StepStart("p", "p1", {}))
    asyncio.run(store.add([process(STARTED)], DEFAULT, call))
    call.outcome = ACCEPTED
    asyncio.run(store.confirm(None, call))
    assert [each.outcome for each in asyncio.run(store.calls())] == [ACCEPTED]


def test_ids_are_still_in_use(link: LosingLink, store: ValkeyStore) -> None:
    asyncio.run(store.add([process(STARTED)]))
    link.loses = {"add"}
    with pytest.raises(ValueError, match="in use"):
        asyncio.run(store.add([process(STARTED)]))


def test_time_moves_once(link: LosingLink, store: ValkeyStore) -> None:
    frozen = asyncio.run(store.change_clock(0, frozen=True)).now
    link.loses = {"clock"}
    assert asyncio.run(store.change_clock(60, None)).now == frozen + 60_000
    assert link.lost == ["clock"]


@pytest.mark.parametrize("lost", ["load", "read_faults", "write_faults"])
def test_a_fault_strikes_once(lost: str, link: LosingLink, store: ValkeyStore) -> None:
    asyncio.run(store.add([process(STARTED)]))
    asyncio.run(store.add_fault(Fault(phase="before", action="respond", remaining=1)))
    link.loses = {lost}
    assert asyncio.run(store.load("p1", entry_about("p1"))).fault
    assert link.lost == [lost]
    assert asyncio.run(store.load("p1", entry_about("p1"))).fault is None


def test_a_fault_is_added_once(link: LosingLink, store: ValkeyStore) -> None:
    link.loses = {"write_faults", "next_id"}
    fault = asyncio.run(store.add_fault(Fault(phase="before", action="respond", remaining=1)))
    assert asyncio.run(store.faults()) == [fault]


def test_a_request_with_a_token_counts_once(link: LosingLink, store: ValkeyStore) -> None:
    asyncio.run(store.limit_token(b"token", Limit(None, 1)))
    link.loses = {"use_token"}
    assert asyncio.run(store.use_token(b"token")) is None
    assert link.lost == ["use_token"]
    assert asyncio.run(store.use_token(b"token")) == REVOKED


# --- delegate calls


def in_progress(store: ValkeyStore) -> tuple[Change, DelegateCall]:
    """A completion whose delegate is being called."""
    (placed,) = asyncio.run(store.add([process(STARTED, PENDING, PENDING)]))
    entry = entry_about("p1")
    loaded = asyncio.run(store.load("p1", entry))
    change = complete("p1", *placed.steps[:2], {}, loaded.now, number=entry.number)
    assert isinstance(change, Change)
    call = DelegateCall(called_at=0, kind="http", start=StepStart("p", "p2", {}))
    assert isinstance(asyncio.run(store.apply(change, entry, call)), Applied)
    return change, call


def test_an_undo_that_came_too_late_may_be_repeated_when_it_no_longer_does(
    link: LosingLink, store: ValkeyStore
) -> None:
    """Somebody had built on the completion, and has undone that since."""
    change, call = in_progress(store)
    third = asyncio.run(store.step("p2")).next_step
    assert third
    entry = entry_about("p2")
    asyncio.run(store.load("p2", entry))
    after = complete("p2", change.writes[1], third, {}, 0, number=entry.number)
    assert isinstance(after, Change)
    assert isinstance(asyncio.run(store.apply(after, entry)), Applied)

    async def undo_that() -> None:
        await store.apply(undo(after))

    link.loses, link.meanwhile = {"apply"}, undo_that
    call.outcome = "failed: on purpose"
    assert isinstance(asyncio.run(store.apply(undo(change), None, call)), Applied)
    assert statuses(store) == "SPP"


def test_what_was_accepted_is_confirmed_once(link: LosingLink, store: ValkeyStore) -> None:
    _, call = in_progress(store)
    call.outcome = ACCEPTED
    link.loses = {"note"}
    assert isinstance(asyncio.run(store.confirm(None, call)), Applied)
    assert link.lost == ["note"]


def statuses(store: ValkeyStore) -> str:
    found = asyncio.run(store.process("p"))
    assert found
    return "".join(step.status[0] for step in found.steps)


# --- which sandboxes there are


def test_a_sandbox_begins_with_its_processes(link: LosingLink, sandboxes: SharedSandboxes) -> None:
    link.loses = {"add", "register"}
    sandbox, token = asyncio.run(sandboxes.create([process(STARTED, process_id="q")]))
    assert sorted(link.lost) == ["add", "register"]
    assert names(sandbox) == ["q"]
    assert asyncio.run(sandboxes.by_token(token.encode())).id == sandbox.id


def test_the_default_one_begins_with_its_processes(
    link: LosingLink, sandboxes: SharedSandboxes
) -> None:
    link.loses = {"register"}
    assert names(asyncio.run(sandboxes.by_token(b"stub-token"))) == ["p"]
    assert link.lost == ["register"]


def test_a_sandbox_is_reset_once(
    link: LosingLink, sandboxes: SharedSandboxes, state_server: StateServer
) -> None:
    sandbox = asyncio.run(sandboxes.by_token(b"stub-token"))
    before = kept_by(state_server)
    link.loses = {"replace", "retire"}
    fresh = asyncio.run(sandboxes.reset(sandbox, None))
    assert sorted(link.lost) == ["replace", "retire"]
    assert names(fresh) == ["p"]
    assert kept_by(state_server) == before, "the world before was kept"


def test_a_sandbox_is_deleted_with_all_that_it_has(
    link: LosingLink, sandboxes: SharedSandboxes, state_server: StateServer
) -> None:
    asyncio.run(sandboxes.by_token(b"stub-token"))
    before = kept_by(state_server)
    sandbox, _ = asyncio.run(sandboxes.create([process(STARTED)]))
    link.loses = {"remove"}
    asyncio.run(sandboxes.delete(sandbox))
    assert link.lost == ["remove"]
    assert kept_by(state_server) == before


def test_the_last_further_token_is_issued(link: LosingLink, sandboxes: SharedSandboxes) -> None:
    sandbox, _ = asyncio.run(sandboxes.create([]))
    for _ in range(99):
        asyncio.run(sandboxes.issue(sandbox, Limit(None, None)))
    link.loses = {"issue"}
    token = asyncio.run(sandboxes.issue(sandbox, Limit(None, None)))
    assert link.lost == ["issue"]
    assert asyncio.run(sandboxes.by_token(token.encode())).id == sandbox.id
