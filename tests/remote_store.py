"""A store that shares no object with its callers, as one outside the process would not.

Whatever goes in or comes out is a copy. A copy of a record stands for the record it was taken of,
which is what a version would do; two records that say the same are two all the same. What is noted
on an entry or a call shows only once the store has been told. A caller that relies on more than
the protocol promises is found out here.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from copy import deepcopy
from threading import Lock
from typing import TypeVar

from msgspec.structs import replace

from stepstub.clock import Clock
from stepstub.concurrency import Changes
from stepstub.delegates import DelegateCall
from stepstub.faults import Fault
from stepstub.journal import ALL, Entry, ExchangeQuery
from stepstub.model import Process, Step
from stepstub.readings import DEFAULT, Readings
from stepstub.stores.memory import MemoryStore
from stepstub.stores.protocol import Applied, ClockState, Conflict, Gone, Loaded, Owed
from stepstub.tokens import Limit
from stepstub.transitions import Change

S = TypeVar("S", Step, Step | None)


class RemoteStore:
    """Keeps copies in a `MemoryStore`."""

    def __init__(self, *, clock: Clock, bound: int = 1000) -> None:
        self._kept = MemoryStore(clock=clock, bound=bound)
        self._lock = Lock()
        self._records: dict[int, tuple[Step, Step]] = {}
        self._entries: dict[int, Entry] = {}
        self._calls: dict[int, tuple[DelegateCall, DelegateCall]] = {}

    async def open(self, entry: Entry) -> int:
        copy = deepcopy(entry)
        now = await self._kept.open(copy)
        self._opened(entry, copy)
        return now

    async def load(self, step_id: str, entry: Entry) -> Loaded:
        copy = deepcopy(entry)
        loaded = await self._kept.load(step_id, copy)
        if not entry.number:
            self._opened(entry, copy)
        return self._loaded(loaded)

    async def apply(
        self, change: Change, entry: Entry | None = None, call: DelegateCall | None = None
    ) -> Applied | Conflict | Gone:
        with self._lock:
            outcome = await self._kept.apply(
                replace(
                    change,
                    replaces=tuple(map(self._kept_as, change.replaces)),
                    writes=tuple(map(self._kept_as, change.writes)),
                ),
                deepcopy(entry),
                self._noted(call),
            )
            if isinstance(outcome, Conflict):
                return replace(outcome, fresh=tuple(map(self._copy, outcome.fresh)))
            return deepcopy(outcome)

    async def confirm(self, entry: Entry | None, call: DelegateCall) -> Applied:
        with self._lock:
            noted = self._noted(call)
            assert noted
            return deepcopy(await self._kept.confirm(deepcopy(entry), noted))

    async def close(self, entry: Entry) -> None:
        copy = self._entries.pop(entry.number)
        for name in Entry.__struct_fields__:
            setattr(copy, name, deepcopy(getattr(entry, name)))
        await self._kept.close(copy)

    def _copy(self, kept: S) -> S:
        """A copy of a record that is kept, to hand out."""
        copy = deepcopy(kept)
        if kept is not None and copy is not None:
            self._records[id(copy)] = copy, kept
        return copy

    def _kept_as(self, step: Step) -> Step:
        """The record that is kept of one that comes in."""
        return self._records.setdefault(id(step), (step, deepcopy(step)))[1]

    def _loaded(self, loaded: Loaded) -> Loaded:
        return replace(
            deepcopy(loaded), step=self._copy(loaded.step), next_step=self._copy(loaded.next_step)
        )

    def _opened(self, entry: Entry, copy: Entry) -> None:
        entry.number, entry.received_at = copy.number, copy.received_at
        self._entries[copy.number] = copy

    def _noted(self, call: DelegateCall | None) -> DelegateCall | None:
        """The copy of a call, brought up to date."""
        if call is None:
            return None
        _, copy = self._calls.setdefault(id(call), (call, deepcopy(call)))
        copy.outcome = call.outcome
        return copy

    async def add(
        self,
        processes: Iterable[Process],
        readings: Readings = DEFAULT,
        call: DelegateCall | None = None,
    ) -> tuple[Process, ...]:
        added = await self._kept.add(deepcopy(tuple(processes)), readings, self._noted(call))
        return tuple(
            Process(process.id, tuple(map(self._copy, process.steps))) for process in added
        )

    async def step(self, step_id: str) -> Loaded:
        return self._loaded(await self._kept.step(step_id))

    async def process(self, process_id: str) -> Process | None:
        return deepcopy(await self._kept.process(process_id))

    async def page(self, offset: int, limit: int) -> tuple[list[Process], int]:
        return deepcopy(await self._kept.page(offset, limit))

    async def in_use(self, identifier: str) -> bool:
        return await self._kept.in_use(identifier)

    async def next_id(self, prefix: str) -> str:
        return await self._kept.next_id(prefix)

    async def exchanges(self, query: ExchangeQuery = ALL) -> tuple[list[Entry], int]:
        return deepcopy(await self._kept.exchanges(query))

    @property
    def changes(self) -> Changes:
        return self._kept.changes

    async def clear_journal(self) -> None:
        await self._kept.clear_journal()

    async def calls(self) -> Sequence[DelegateCall]:
        return deepcopy(await self._kept.calls())

    async def calls_of(self, exchange_numbers: Iterable[int]) -> Mapping[int, DelegateCall]:
        return deepcopy(await self._kept.calls_of(list(exchange_numbers)))

    async def faults(self) -> Sequence[Fault]:
        return deepcopy(await self._kept.faults())

    async def add_fault(self, fault: Fault) -> Fault:
        return deepcopy(await self._kept.add_fault(deepcopy(fault)))

    async def clear_faults(self) -> None:
        await self._kept.clear_faults()

    async def clock(self) -> ClockState:
        return await self._kept.clock()

    async def revision(self) -> str:
        return await self._kept.revision()

    async def change_clock(self, advance: float, frozen: bool | None) -> ClockState:
        return await self._kept.change_clock(advance, frozen)

    def watched(self) -> AbstractAsyncContextManager[None]:
        return self._kept.watched()

    async def put_off(self, owed: Owed) -> None:
        written = replace(
            owed.written,
            replaces=tuple(map(self._kept_as, owed.written.replaces)),
            writes=tuple(map(self._kept_as, owed.written.writes)),
        )
        noted = self._noted(owed.call)
        assert noted
        await self._kept.put_off(replace(owed, written=written, call=noted))

    async def take_owed(self) -> tuple[Sequence[Owed], int | None]:
        taken, next_in = await self._kept.take_owed()
        return [self._copy_owed(owed) for owed in taken], next_in

    def _copy_owed(self, owed: Owed) -> Owed:
        written = replace(
            owed.written,
            replaces=tuple(map(self._copy, owed.written.replaces)),
            writes=tuple(map(self._copy, owed.written.writes)),
        )
        call = deepcopy(owed.call)
        self._calls[id(call)] = call, owed.call
        return replace(owed, written=written, call=call)

    async def limit_token(self, token: bytes, limit: Limit) -> None:
        await self._kept.limit_token(token, limit)

    async def use_token(self, token: bytes) -> str | None:
        return await self._kept.use_token(token)

    async def retire(self) -> int:
        return await self._kept.retire()
