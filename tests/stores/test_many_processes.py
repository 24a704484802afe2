"""What one process does to a shared sandbox while others look after it, change it or reset it."""

import secrets
from collections.abc import Sequence
from typing import Any

import pytest

from blocking_link import BlockingLink
from state_servers import StateServer
from stepstub.concurrency import EventLoopConcurrency, run_inline
from stepstub.delegates import ACCEPTED, DelegateCall, StepStart
from stepstub.errors import StoreUnavailable
from stepstub.faults import Fault
from stepstub.handlers.credentials import chosen_by_baggage
from stepstub.settings import Settings
from stepstub.shared_sandboxes import SharedSandboxes
from stepstub.stores.protocol import Applied
from stepstub.stores.valkey.link import Argument
from stepstub.stores.valkey.notices import Notices
from stepstub.stores.valkey.scripts import Script
from stepstub.stores.valkey.store import OWED, Marks, ValkeyStore
from stepstub.transitions import Change, complete
from store_support import PENDING, STARTED, entry_about, process
from support import until

SANDBOX = "stepstub:{sandbox}"
USED = "stepstub:used"


class FailingLink(BlockingLink):
    """Refuses to run the scripts in `fails`."""

    def __init__(self, port: int) -> None:
        super().__init__("127.0.0.1", port)
        self.fails: set[str] = set()

    async def run(
        self, script: Script, keys: Sequence[Argument], arguments: Sequence[Argument]
    ) -> Any:
        if script.name in self.fails:
            raise StoreUnavailable("it fails on purpose")
        return await super().run(script, keys, arguments)


@pytest.fixture
def link(state_server: StateServer) -> FailingLink:
    return FailingLink(state_server.port)


def store_of(link: FailingLink, *, bound: int = 1000) -> ValkeyStore:
    """The sandbox as a process looks it up that has just reset it."""
    epoch = secrets.token_hex(8)
    run_inline(link.command("HSET", SANDBOX, "epoch", epoch))
    version = run_inline(link.command("HINCRBY", SANDBOX, "version", 1))
    store = ValkeyStore(link, SANDBOX, epoch, marks=Marks(), version=str(version), bound=bound)
    run_inline(store.add([process(STARTED, PENDING)]))
    return store


def completion(store: ValkeyStore, number: int | None) -> Change:
    loaded = run_inline(store.step("p1"))
    change = complete("p1", loaded.step, loaded.next_step, {}, loaded.now, number=number)
    assert isinstance(change, Change)
    return change


def begin_call(store: ValkeyStore) -> DelegateCall:
    call = DelegateCall(called_at=0, kind="http", start=StepStart("p", "p2", {}))
    assert isinstance(run_inline(store.apply(completion(store, None), None, call)), Applied)
    return call


def test_an_exchange_goes_on_when_a_token_gets_a_limit(link: FailingLink) -> None:
    store, entry = store_of(link), entry_about("p1")
    run_inline(store.add_fault(Fault(phase="after", action="malformed", remaining=1)))
    run_inline(store.load("p1", entry))
    run_inline(link.command("HINCRBY", SANDBOX, "version", 1))

    applied = run_inline(store.apply(completion(store, entry.number), entry))

    assert isinstance(applied, Applied)
    assert applied.fault


def test_a_completion_that_stands_is_not_refused_for_a_reset(link: FailingLink) -> None:
    store, entry = store_of(link), entry_about("p1")
    run_inline(store.add_fault(Fault(phase="after", action="malformed", remaining=1)))
    run_inline(store.load("p1", entry))
    change = completion(store, entry.number)
    sound = link.run

    async def reset_after_apply(script: Script, *given: Any) -> Any:
        reply = await sound(script, *given)
        if script.name == "apply":
            await link.command("HSET", SANDBOX, "epoch", "another")
        return reply

    link.run = reset_after_apply  # type: ignore[method-assign]
    assert isinstance(run_inline(store.apply(change, entry)), Applied)


def test_what_was_accepted_is_not_told_before_the_store_knows(link: FailingLink) -> None:
    """Or else who takes the call over would undo what the client was told."""
    store, entry = store_of(link), entry_about("p1")
    run_inline(store.load("p1", entry))
    call = begin_call(store)
    call.outcome = ACCEPTED
    link.fails = {"note"}
    with pytest.raises(StoreUnavailable):
        run_inline(store.confirm(entry, call))
    run_inline(store.close(entry))


def test_who_comes_late_from_a_world_that_is_gone_forgets_no_call(
    link: FailingLink, state_server: StateServer
) -> None:
    before = store_of(link)
    begin_call(before)
    after = store_of(link)
    begin_call(after)
    assert run_inline(before.take_owed()) == ([], None)
    assert state_server.run("ZSCORE", OWED, SANDBOX)


def test_the_journal_does_not_take_back_what_it_has_let_go(
    link: FailingLink, state_server: StateServer
) -> None:
    store, entry = store_of(link, bound=1), entry_about("p1")
    run_inline(store.load("p1", entry))
    run_inline(store.open(entry_about("p2")))
    assert isinstance(run_inline(store.apply(completion(store, entry.number), entry)), Applied)
    (journal,) = state_server.run("KEYS", "*:journal")
    assert state_server.run("HKEYS", journal) == [b"2"]
    assert not state_server.run("KEYS", "*:writes")


# --- which sandboxes there are


def sandboxes_of(link: FailingLink, **settings: Any) -> SharedSandboxes:
    return SharedSandboxes(
        [process(STARTED)],
        settings=Settings(**settings),
        link=link,
        notices=Notices(lambda: None),
        concurrency=EventLoopConcurrency(),
    )


def test_baggage_chooses_a_sandbox_whenever_the_default_one_was_looked_up(
    link: FailingLink,
) -> None:
    sandboxes = sandboxes_of(link)
    default = run_inline(sandboxes.by_token(b"stub-token"))
    named, _ = run_inline(sandboxes.create([], name="mine"))
    run_inline(sandboxes.page(0, 10))
    baggage = [(b"baggage", b"stepstub-sandbox=mine")]
    assert run_inline(chosen_by_baggage(sandboxes, default, baggage)).id == named.id


def test_a_sandbox_is_used_that_is_chosen_by_its_name(
    link: FailingLink, state_server: StateServer
) -> None:
    run_inline(sandboxes_of(link).create([], name="mine"))
    (key,) = state_server.run("ZRANGE", USED, 0, -1)
    state_server.run("ZADD", USED, 0, key)
    run_inline(sandboxes_of(link).by_name("mine"))
    assert state_server.run("ZSCORE", USED, key) > 0


def test_use_is_noted_often_enough_for_a_short_life(
    link: FailingLink, state_server: StateServer
) -> None:
    sandboxes = sandboxes_of(link, sandboxes_expire_after=0.003)
    _, token = run_inline(sandboxes.create([]))
    run_inline(sandboxes.by_token(token.encode()))
    (key,) = state_server.run("ZRANGE", USED, 0, -1)
    state_server.run("ZADD", USED, 0, key)

    def is_noted() -> bool:
        run_inline(sandboxes.by_token(token.encode()))
        return bool(state_server.run("ZSCORE", USED, key) > 0)

    until(is_noted)
