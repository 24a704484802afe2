"""A process of the stub ends in the middle of what it does: the others finish it or clear it up."""

import asyncio
import re
import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import pytest

from blocking_link import BlockingLink
from state_servers import StateServer
from stepstub.concurrency import EventLoopConcurrency
from stepstub.delegates import DelegateCall, StepStart
from stepstub.errors import WorldReplaced
from stepstub.readings import DEFAULT
from stepstub.settings import Settings
from stepstub.shared_sandboxes import SharedSandboxes
from stepstub.stores.valkey.link import Argument
from stepstub.stores.valkey.notices import Notices
from stepstub.stores.valkey.scripts import Script
from stepstub.stores.valkey.store import DETACHED, Marks, ValkeyStore
from store_support import PENDING, STARTED, process
from support import in_time


class Ended(BaseException):
    """The process is gone."""


def end() -> None:
    raise Ended


class EndingLink(BlockingLink):
    """That of a process to which something happens right before it runs the script `before`.

    It ends, unless `meanwhile` says what else.
    """

    before = ""
    meanwhile: Callable[[], None] = staticmethod(end)

    async def run(
        self, script: Script, keys: Sequence[Argument], arguments: Sequence[Argument]
    ) -> Any:
        if script.name == self.before:
            self.before = ""
            self.meanwhile()
        return await super().run(script, keys, arguments)


@pytest.fixture
def link(state_server: StateServer) -> EndingLink:
    return EndingLink("127.0.0.1", state_server.port)


class Processes:
    """Processes of the stub, each with a registry of its own, and their server."""

    def __init__(self, link: EndingLink, server: StateServer) -> None:
        self.link, self.server = link, server

    def registry(self) -> SharedSandboxes:
        return SharedSandboxes(
            [process(STARTED, PENDING)],
            settings=Settings(),
            link=self.link,
            notices=Notices(lambda: None),
            concurrency=EventLoopConcurrency(),
        )

    def detached(self) -> list[str]:
        return [each.decode() for each in self.server.run("ZRANGE", DETACHED, 0, -1)]

    def let_a_minute_pass(self) -> None:
        for member in self.detached():
            self.server.run("ZADD", DETACHED, 0, member)

    def let_go(self) -> None:
        self.let_a_minute_pass()
        in_time(self.look_after_the_sandboxes)  # it has an event loop of its own

    def look_after_the_sandboxes(self) -> None:
        """One of them does, as each does every second."""

        async def look() -> None:
            registry = self.registry()
            await registry.begin()
            await asyncio.sleep(0)
            await registry.end()

        asyncio.run(look())

    def keys(self) -> Counter[str]:
        """Those that do not go by themselves, apart from the names of epochs."""
        found = [key.decode() for key in self.server.run("KEYS", "*")]
        kept = [key for key in found if self.server.run("TTL", key) == -1]
        return Counter(re.sub(r"(?<=\}:)[0-9a-f]{16}", "EPOCH", key) for key in kept)


@pytest.fixture
def processes(link: EndingLink, state_server: StateServer) -> Processes:
    made = Processes(link, state_server)
    asyncio.run(made.registry().by_token(b"stub-token"))
    return made


async def create(registry: SharedSandboxes) -> None:
    await registry.create([process(STARTED, process_id="q")])


async def reset(registry: SharedSandboxes) -> None:
    await registry.reset(await registry.by_token(b"stub-token"), None)


async def delete(registry: SharedSandboxes) -> None:
    sandbox, _ = await registry.create([process(STARTED, process_id="q")])
    await registry.delete(sandbox)


@pytest.mark.parametrize(
    ("does", "before"),
    [
        (create, "register"),
        (reset, "replace"),
        (reset, "retire"),
        (delete, "retire"),
    ],
)
def test_nothing_stays_of_what_it_was_filling_or_leaving(
    does: Callable[[SharedSandboxes], Any], before: str, processes: Processes
) -> None:
    kept = processes.keys()
    processes.link.before = before
    with pytest.raises(Ended):
        asyncio.run(does(processes.registry()))
    processes.look_after_the_sandboxes()
    assert processes.keys() != kept, "it has a minute to go on"
    processes.let_a_minute_pass()
    processes.look_after_the_sandboxes()
    assert processes.keys() == kept


@pytest.mark.parametrize(("does", "before"), [(create, "register"), (reset, "replace")])
def test_what_has_been_let_go_is_not_entered(
    does: Callable[[SharedSandboxes], Any], before: str, processes: Processes
) -> None:
    """A process that has stood still for so long finds it gone, and fills it anew or says so."""
    processes.link.before, processes.link.meanwhile = before, processes.let_go
    with suppress(WorldReplaced):
        asyncio.run(does(processes.registry()))
    assert processes.link.before == ""
    expected = [["p"], ["q"]] if does is create else [["p"]]
    assert asyncio.run(pages(processes.registry())) == expected
    assert not processes.detached()


def test_what_has_been_entered_meanwhile_is_not_let_go(processes: Processes) -> None:
    """One process was about to let go of what another one has just been fast enough to enter."""
    (key,) = processes.server.run("ZRANGE", "stepstub:sandboxes", 0, -1)
    epoch = processes.server.run("HGET", key, "epoch")
    processes.server.run("ZADD", DETACHED, 0, b"%b %b" % (key, epoch))
    processes.look_after_the_sandboxes()
    assert asyncio.run(pages(processes.registry())) == [["p"]]
    assert not processes.detached()


async def pages(registry: SharedSandboxes) -> list[list[str]]:
    """The processes of each sandbox."""
    sandboxes = await registry.page(0, 10)
    return [[each.id for each in (await one.store.page(0, 10))[0]] for one in sandboxes]


def test_the_delegate_of_a_first_step_is_called_by_another(link: EndingLink) -> None:
    sandbox, epoch = f"stepstub:{{{secrets.token_hex(8)}}}", secrets.token_hex(8)
    asyncio.run(link.command("HSET", sandbox, "epoch", epoch, "version", 1))
    here, there = (ValkeyStore(link, sandbox, epoch, marks=Marks(), lease=0.0) for _ in range(2))
    call = DelegateCall(called_at=0, kind="http", start=StepStart("p", "p1", {}))
    asyncio.run(here.add([process(STARTED, PENDING)], DEFAULT, call))
    (owed,), _ = asyncio.run(there.take_owed())
    assert (owed.call.start.process_step_id, owed.call.attempt) == ("p1", 2)
