"""The default store: everything in this process, under one lock.

No method suspends, so a completion can be driven without an event loop. The lock is held for
dictionary work only, never while a delegate runs.
"""

import secrets
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from itertools import count, islice
from threading import Lock

from msgspec.structs import replace

from stepstub import transitions
from stepstub.clock import Clock, SandboxClock, SystemClock
from stepstub.concurrency import Changes
from stepstub.delegates import ACCEPTED, IN_PROGRESS, DelegateCall
from stepstub.faults import Fault, Faults, Phase
from stepstub.ids import Ids
from stepstub.journal import ALL, Entry, ExchangeQuery, Journal
from stepstub.model import Process, Step
from stepstub.readings import DEFAULT, Readings
from stepstub.stores.protocol import Applied, ClockState, Conflict, Gone, Loaded, Owed, id_in_use
from stepstub.tokens import Limit, TokenLimits
from stepstub.transitions import Change


class MemoryStore:
    """A sandbox's state in memory. It keeps `bound` exchanges, and as many delegate calls.

    Entries and calls are kept as the objects they are, so what is noted on them later shows.
    """

    def __init__(self, *, bound: int = 1000, clock: Clock | None = None) -> None:
        self._lock = Lock()
        self._clock = SandboxClock(clock or SystemClock())
        self._steps: dict[str, Step] = {}
        self._processes: dict[str, tuple[str, ...]] = {}
        self._journal = Journal(bound)
        self._bound = bound
        self._calls: deque[DelegateCall] = deque()
        self._calls_by_exchange: dict[int | None, DelegateCall] = {}
        self._faults = Faults()
        self._owed: list[Owed] = []
        self._limits = TokenLimits()
        self._ids = Ids()
        self._retired = False
        self._name = secrets.token_hex(4)
        self._revisions = count(1)  # `next` is atomic, where += is not
        self._revision = 0
        self.changes = Changes()

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        yield  # there are no other processes

    # --- one exchange

    async def open(self, entry: Entry) -> int:
        with self._lock:
            return self._open(entry)

    async def load(self, step_id: str, entry: Entry) -> Loaded:
        with self._lock:
            fault = None
            if entry.number:
                now = self._clock.now()
            else:
                now = self._open(entry)
                if self._faults:
                    fault = self._faults.take("before", step_id)
            return self._loaded(step_id, now, fault)

    async def apply(
        self, change: Change, entry: Entry | None = None, call: DelegateCall | None = None
    ) -> Applied | Conflict | Gone:
        with self._lock:
            if self._retired:
                return Gone()
            steps, now = self._steps, self._clock.now()
            if change.until is not None and now >= change.until:
                return Conflict(now, tuple([steps.get(each.id) for each in change.replaces]))
            for step in change.replaces:
                if steps.get(step.id) is not step:
                    return Conflict(now, tuple([steps.get(each.id) for each in change.replaces]))
            for step in change.writes:
                steps[step.id] = step
            if len(change.writes) < len(change.replaces):
                self._remove(change)
            fault = None
            if call is None or call.outcome == ACCEPTED:
                fault = self._fault("after", entry)
            elif call.outcome == IN_PROGRESS:
                fault = self._fault("delegate", entry)
            if call is not None and call.outcome in (IN_PROGRESS, ACCEPTED):
                self._keep(call)
        self._changed()
        self.changes.notify()
        return Applied(now, fault)

    async def confirm(self, entry: Entry | None, call: DelegateCall) -> Applied:
        with self._lock:
            applied = Applied(self._clock.now(), self._fault("after", entry))
        self._changed()
        self.changes.notify()
        return applied

    async def close(self, entry: Entry) -> None:
        self._changed()
        self.changes.notify()

    def _changed(self) -> None:
        self._revision = next(self._revisions)

    def _open(self, entry: Entry) -> int:
        self._journal.append(entry)
        self._changed()
        entry.received_at = now = self._clock.now()
        return now

    def _fault(self, phase: Phase, entry: Entry | None) -> Fault | None:
        if not self._faults or entry is None or entry.step_id is None:
            return None
        return self._faults.take(phase, entry.step_id)

    def _loaded(self, step_id: str, now: int, fault: Fault | None = None) -> Loaded:
        step = self._steps.get(step_id)
        if step is None:
            return Loaded(now, None, None, fault)
        step_ids = self._processes[step.process_id]
        following = step.position + 1
        next_step = self._steps[step_ids[following]] if following < len(step_ids) else None
        return Loaded(now, step, next_step, fault)

    def _remove(self, change: Change) -> None:
        kept = {step.id for step in change.writes}
        for step in change.replaces:
            if step.id not in kept:
                del self._steps[step.id]
                self._processes.pop(step.process_id, None)

    # --- delegate calls that are put off

    async def put_off(self, owed: Owed) -> None:
        with self._lock:
            if not self._retired:
                self._owed.append(owed)

    async def take_owed(self) -> tuple[list[Owed], int | None]:
        with self._lock:
            now = self._clock.now()
            due = [owed for owed in self._owed if owed.due <= now]
            self._owed = [owed for owed in self._owed if owed.due > now]
            next_due = min((owed.due - now for owed in self._owed), default=None)
        runs = next_due is not None and not self._clock.frozen
        return sorted(due, key=lambda owed: owed.due), next_due if runs else None

    # --- processes

    async def add(
        self,
        processes: Iterable[Process],
        readings: Readings = DEFAULT,
        call: DelegateCall | None = None,
    ) -> tuple[Process, ...]:
        steps: dict[str, Step] = {}
        with self._lock:
            now = self._clock.now()
            placed = tuple(transitions.start(process, now, readings) for process in processes)
            for process in placed:
                if process.id in self._processes:
                    raise id_in_use("process", process.id)
                for step in process.steps:
                    if step.id in self._steps or step.id in steps:
                        raise id_in_use("step", step.id)
                    steps[step.id] = step
            self._steps.update(steps)
            for process in placed:
                self._processes[process.id] = tuple(step.id for step in process.steps)
            if call is not None:
                call.called_at = now
                self._keep(call)
            self._changed()
            return placed

    async def step(self, step_id: str) -> Loaded:
        with self._lock:
            return self._loaded(step_id, self._clock.now())

    async def process(self, process_id: str) -> Process | None:
        with self._lock:
            step_ids = self._processes.get(process_id)
            return None if step_ids is None else self._process(process_id, step_ids)

    async def page(self, offset: int, limit: int) -> tuple[list[Process], int]:
        with self._lock:
            total = len(self._processes)
            offset = min(offset, total)
            return [
                self._process(process_id, step_ids)
                for process_id, step_ids in islice(self._processes.items(), offset, offset + limit)
            ], total

    def _process(self, process_id: str, step_ids: tuple[str, ...]) -> Process:
        now = self._clock.now()
        return Process(
            process_id,
            tuple(transitions.expire(self._steps[step_id], now) for step_id in step_ids),
        )

    async def in_use(self, identifier: str) -> bool:
        return identifier in self._processes or identifier in self._steps

    async def next_id(self, prefix: str) -> str:
        with self._lock:
            return self._ids.next(prefix)

    # --- the journal

    async def exchanges(self, query: ExchangeQuery = ALL) -> tuple[list[Entry], int]:
        with self._lock:
            candidates, dropped = self._journal.candidates(query), self._journal.dropped
        return query.among(candidates), dropped

    async def clear_journal(self) -> None:
        with self._lock:
            self._journal.clear()
            self._calls.clear()
            self._calls_by_exchange.clear()
            self._changed()

    async def calls(self) -> list[DelegateCall]:
        return list(self._calls.copy())

    async def calls_of(self, exchange_numbers: Iterable[int]) -> dict[int, DelegateCall]:
        found = ((number, self._calls_by_exchange.get(number)) for number in exchange_numbers)
        return {number: call for number, call in found if call is not None}

    def _keep(self, call: DelegateCall) -> None:
        if len(self._calls) == self._bound:
            self._calls_by_exchange.pop(self._calls.popleft().exchange_number, None)
        self._calls.append(call)
        if call.exchange_number is not None:
            self._calls_by_exchange[call.exchange_number] = call

    # --- faults and the clock

    async def faults(self) -> list[Fault]:
        with self._lock:
            return list(self._faults)

    async def add_fault(self, fault: Fault) -> Fault:
        with self._lock:
            named = replace(fault, id=self._ids.next("fault"))
            self._faults.add(named)
            self._changed()
            return named

    async def clear_faults(self) -> None:
        with self._lock:
            self._faults.clear()
            self._changed()

    async def clock(self) -> ClockState:
        return ClockState(self._clock.now(), self._clock.frozen)

    async def revision(self) -> str:
        return f"{self._name}.{self._revision}"

    async def change_clock(self, advance: float, frozen: bool | None) -> ClockState:
        with self._lock:
            self._clock.advance(advance)
            if frozen is True:
                self._clock.freeze()
            elif frozen is False:
                self._clock.resume()
            self._changed()
            return ClockState(self._clock.now(), self._clock.frozen)

    # --- the tokens of the sandbox

    async def limit_token(self, token: bytes, limit: Limit) -> None:
        with self._lock:
            self._limits.limit(token, limit)

    async def use_token(self, token: bytes) -> str | None:
        with self._lock:
            return self._limits.use(token, self._clock.now())

    # --- its end

    async def retire(self) -> int:
        with self._lock:
            self._retired = True
            self._owed = []
            steps = len(self._steps)
            self._steps, self._processes = {}, {}
            return steps
