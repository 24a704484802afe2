"""What the tests over every store share: records, the kinds of stores, a sandbox over one of them.

A store that is added to `BACKENDS`, or to the fixture `backend`, is held to all of tests/stores.
Nothing there looks into a store, and nothing relies on a record that comes out of it being the
object that went in.
"""

import secrets
from collections.abc import Coroutine, Sequence
from typing import Any, Protocol, TypeVar

from blocking_link import BlockingLink
from remote_store import RemoteStore
from stepstub.clock import Clock as AnyClock
from stepstub.concurrency import InlineConcurrency, run_inline
from stepstub.delegates import DelegateCall
from stepstub.journal import Entry
from stepstub.model import Delegate, Param, Params, Process, Status, Step
from stepstub.sandbox import Sandbox
from stepstub.stores.memory import MemoryStore
from stepstub.stores.protocol import Store
from stepstub.stores.valkey.store import Marks, ValkeyStore
from stepstub.transitions import Completion
from support import Clock

PENDING, STARTED, COMPLETED, FAILED = Status
T = TypeVar("T")


class Backend(Protocol):
    """A kind of store: how one is made, and how its coroutines are run, from any thread."""

    def make_store(self, clock: AnyClock, *, bound: int = 1000) -> Store: ...

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T: ...


class Memory:
    """The default store."""

    def make_store(self, clock: AnyClock, *, bound: int = 1000) -> Store:
        return MemoryStore(clock=clock, bound=bound)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return run_inline(coroutine)


class Remote(Memory):
    """A store that shares no object with its callers."""

    def make_store(self, clock: AnyClock, *, bound: int = 1000) -> Store:
        return RemoteStore(clock=clock, bound=bound)


class Served(Memory):
    """A store in a server of its own, at a port of this machine."""

    def __init__(self, port: int) -> None:
        self._link = BlockingLink("127.0.0.1", port)

    def make_store(self, clock: AnyClock, *, bound: int = 1000) -> Store:
        sandbox, epoch = f"stepstub:{{{secrets.token_hex(8)}}}", secrets.token_hex(8)
        run_inline(self._link.command("HSET", sandbox, "epoch", epoch))
        return ValkeyStore(self._link, sandbox, epoch, marks=Marks(), bound=bound, clock=clock)


BACKENDS: dict[str, Backend] = {"memory": Memory(), "remote": Remote()}
"""Those that take nothing to be started; of the others see `conftest.py` of tests/stores."""


class World:
    """A sandbox over a store, and its clock. Everything happens in the calling thread."""

    def __init__(self, backend: Backend, *processes: Process, store: Store | None = None) -> None:
        self.clock = Clock()
        self.run = backend.run
        self.store = store or backend.make_store(self.clock)
        self.sandbox = Sandbox(processes, store=self.store, concurrency=InlineConcurrency())
        self.delegates = self.sandbox.delegates
        self.run(self.store.add(processes))

    def complete(self, step_id: str, **params: Param) -> Completion:
        entry = entry_about(step_id)
        loaded = self.run(self.store.load(step_id, entry))
        completion, _ = self.run(self.sandbox.complete(params, loaded, entry))
        return completion

    def statuses(self, process_id: str = "p") -> list[Status]:
        process = self.run(self.store.process(process_id))
        assert process
        return [step.status for step in process.steps]

    def calls(self) -> list[tuple[int | None, str, str]]:
        """Of each delegate call: the exchange's number, the step, the outcome."""
        return [told(call) for call in self.run(self.store.calls())]


def told(call: DelegateCall) -> tuple[int | None, str, str]:
    return call.exchange_number, call.start.process_step_id, call.outcome


def facts(*steps: Step | None) -> list[tuple[object, ...] | None]:
    """What a record says. A store may give its records more than that."""
    return [
        None
        if step is None
        else (
            step.id,
            step.process_id,
            step.position,
            step.status,
            step.delegate,
            step.params,
            step.time_out_in_seconds,
            step.deadline,
            step.moved_by,
            step.failure,
        )
        for step in steps
    ]


def entry_about(step_id: str) -> Entry:
    return Entry(method="POST", path="/", headers=(), wall_clock=0, step_id=step_id)


def process(
    *statuses: Status,
    process_id: str = "p",
    delegate: str = "recorded",
    params: Params | None = None,
    time_out: float = 0,
) -> Process:
    """Steps p1, p2, ...; delegate, params and time-out are the same for all."""
    return Process(
        process_id,
        tuple(
            Step(
                id=f"{process_id}{number}",
                process_id=process_id,
                position=number - 1,
                status=status,
                delegate=Delegate(delegate),  # type: ignore[arg-type]
                params=params or {},
                time_out_in_seconds=time_out,
            )
            for number, status in enumerate(statuses, 1)
        ),
    )


def ids(processes: Sequence[Process]) -> list[str]:
    return [process.id for process in processes]
