"""The state of one sandbox in a server of its own.

What is decided in Python is written by compare and set, in one script each, so that any number of
processes may work on one sandbox. A call that is repeated because its reply was lost says so, and
the script looks whether the first attempt has arrived.
"""

import logging
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from hashlib import blake2b
from itertools import count
from typing import Any, TypeVar

from msgspec.structs import replace

from stepstub import transitions
from stepstub.clock import BACKWARDS, BEYOND, LATEST, Clock
from stepstub.concurrency import Changes
from stepstub.delegates import ACCEPTED, IN_PROGRESS, DelegateCall
from stepstub.errors import StoreUnavailable, WorldReplaced
from stepstub.faults import Fault, Faults, Phase
from stepstub.journal import ALL, Entry, ExchangeQuery
from stepstub.model import Process, Status
from stepstub.readings import DEFAULT, Readings
from stepstub.settings import LEASE
from stepstub.stores.protocol import (
    Applied,
    ClockState,
    Conflict,
    Gone,
    Loaded,
    Owed,
    id_in_use,
)
from stepstub.stores.valkey import records
from stepstub.stores.valkey.link import BUDGET, Argument, Link, Lost, repeated
from stepstub.stores.valkey.notices import Notices
from stepstub.stores.valkey.scripts import script
from stepstub.tokens import EXPIRED, REVOKED, Limit
from stepstub.transitions import Change

log = logging.getLogger("stepstub")

T = TypeVar("T")

OWED = "stepstub:owed"
"""The sandboxes in which a delegate call may have to be taken over, by when its lease is over."""

DETACHED = "stepstub:detached"
"""The epochs that are no sandbox's, by since when: not entered yet, or left."""

_CHUNK = 200  # entries of the journal that one script reads
_GONE, _DONE, _LATE, _REFUSED = 0, 1, 2, 3


class Marks:
    """Tells the calls of one process from those of all others. To be made after it has forked."""

    def __init__(self) -> None:
        self._process = secrets.token_hex(6)
        self._numbers = count(1)

    def next(self) -> str:
        return f"{self._process}-{next(self._numbers)}"


class ValkeyStore:
    """The state of a sandbox, in the epoch that this object was made for.

    `sandbox` is the key of the sandbox, `version` what it was described by when it was looked up:
    no exchange is begun in another one. While it is `filling` its epoch, nobody else knows that. Of
    the time it asks the server, unless it is given a `clock`.
    """

    def __init__(
        self,
        link: Link,
        sandbox: str,
        epoch: str,
        *,
        marks: Marks,
        version: str = "",
        notices: Notices | None = None,
        bound: int = 1000,
        lease: float = LEASE,
        filling: bool = False,
        clock: Clock | None = None,
    ) -> None:
        self.sandbox = sandbox
        self.world = (epoch, version)
        self._link = link
        self._marks = marks
        self._notices = notices
        self._bound = bound
        self._lease = round(lease * 1000)
        self._clock = clock
        self._filling = "*" if filling else ""
        self._retired = False
        self.changes = Changes()

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        if self._notices is None:
            yield
            return
        async with self._notices.about(self.sandbox, self.changes):
            yield

    # --- one exchange

    async def open(self, entry: Entry) -> int:
        if self._retired:
            return self._wall_time()
        reply = await self._load(entry.step_id, entry)
        if reply[0] == _GONE:
            raise WorldReplaced
        return self._opened(entry, reply)

    async def load(self, step_id: str, entry: Entry) -> Loaded:
        if self._retired:
            return Loaded(self._wall_time(), None, None)
        if entry.number:
            return await self.step(step_id)
        reply = await self._load(step_id, entry)
        if reply[0] == _GONE:
            raise WorldReplaced
        now = self._opened(entry, reply)
        fault = await self._fault("before", entry) if reply[5] else None
        step, next_step = records.steps(reply[3:5])
        return Loaded(now, step, next_step, fault)

    async def _load(self, step_id: str | None, entry: Entry) -> Any:
        return await self._run(
            "load",
            self._bound,
            records.encode_entry(entry),
            "" if step_id is None else "1",
            step_id or "",
            self._marks.next(),
            version=self.world[1],
            repeats=5,
        )

    def _opened(self, entry: Entry, reply: Any) -> int:
        entry.received_at = now = reply[1]
        entry.number = reply[2]
        return int(now)

    async def apply(
        self, change: Change, entry: Entry | None = None, call: DelegateCall | None = None
    ) -> Applied | Conflict | Gone:
        if self._retired:
            return Gone()
        phase = _phase(entry, call)
        removed = _removed(change)
        arguments: list[Argument] = [
            self._marks.next(),
            entry.number if entry else 0,
            "" if change.until is None else change.until,
            records.kept_entry(_moved(entry, change)) if entry else b"",
            phase or "",
            (entry.step_id or "") if entry else "",
            *self._call(change, call),
            _last(change),
            len(change.replaces),
            len(change.writes),
            len(removed),
        ]
        for step in (*change.replaces, *change.writes):
            arguments += (step.id, records.encode_step(step))
        reply = await self._run("apply", *arguments, *removed, deadline=True, repeats=2)
        if reply[0] == _GONE:
            return Gone()
        if reply[0] == _REFUSED:
            return Conflict(reply[1], records.steps(reply[2:]))
        if call is not None and not call.number and len(reply) > 3:
            call.number = int(reply[3])
        self.changes.notify()
        return Applied(reply[1], await self._fault_after(phase, entry) if reply[2] else None)

    def _call(self, change: Change, call: DelegateCall | None) -> tuple[Argument, ...]:
        """What `apply` is told of a delegate call."""
        if call is None:
            return "", "", "", "", "", self._lease, self._bound
        encoded, is_open = records.encode_call(call), call.outcome == IN_PROGRESS
        if call.number:
            how = "" if is_open else "end"
        else:
            how = "keep" if is_open or call.outcome == ACCEPTED else ""
        owed = _owed(change, call)
        return how, encoded, call.number, call.attempt, owed, self._lease, self._bound

    async def confirm(self, entry: Entry | None, call: DelegateCall) -> Applied | Conflict:
        over = "" if call.outcome == IN_PROGRESS else "1"
        encoded = records.encode_call(call)
        phase = _phase(entry, None)
        now, faults, ended = await self._noted(
            entry, phase, call.number or "", encoded, call.attempt, over
        )
        if ended and call.outcome.startswith(ACCEPTED):
            outcome = records.decode_call(ended).outcome
            if not outcome.startswith(ACCEPTED):
                return Conflict(now, ())
        return Applied(now, await self._fault_after(phase, entry) if faults else None)

    async def close(self, entry: Entry) -> None:
        try:
            await self._noted(entry, None, "", b"", "", "")
        except StoreUnavailable as error:  # the client gets its response all the same
            log.warning("what became of exchange %d is not kept: %s", entry.number, error)

    async def _noted(
        self, entry: Entry | None, phase: Phase | None, *call: Argument
    ) -> tuple[int, int, bytes]:
        """Write down what has happened, and cannot be helped any more.

        Returns the time, whether faults may strike, and the call as it has ended if it has.
        """
        number, kept, step_id = 0, b"", ""
        if entry is not None:
            number, kept, step_id = entry.number, records.kept_entry(entry), entry.step_id or ""
        reply: Any = (_GONE,)
        is_kept = entry is None or entry.number
        try:
            if is_kept and not self._retired:
                reply = await self._run("note", number, kept, *call, phase or "", step_id)
        finally:
            self.changes.notify()
        if reply[0] == _GONE:
            return entry.received_at if entry else self._wall_time(), 0, b""
        return reply[1], reply[2], reply[3]

    # --- delegate calls that are put off

    async def put_off(self, owed: Owed) -> None:
        debt = records.encode_debt(records.Debt(owed.written, owed.call, owed.responded))
        if self._retired:
            return
        try:
            await self._run("put_off", owed.call.number, debt, owed.due, self._lease)
        except StoreUnavailable as error:  # it is owed, and will be made once its lease is over
            log.warning("a delegate call of %s is not put off: %s", self.sandbox, error)

    async def take_owed(self) -> tuple[list[Owed], int | None]:
        if self._retired:
            return [], None
        reply = await self._run("take_owed", self._lease)
        if reply[0] == _GONE:
            return [], None
        owed = [
            records.decode_debt(debt).owed(int(number), attempt, int(due))
            for number, attempt, due, debt in _in_groups(reply[3:], 4)
        ]
        return sorted(owed, key=lambda each: each.due), None if reply[2] < 0 else reply[2]

    # --- processes

    async def add(
        self,
        processes: Iterable[Process],
        readings: Readings = DEFAULT,
        call: DelegateCall | None = None,
    ) -> tuple[Process, ...]:
        now = (await self.clock()).now
        started = [transitions.start(process, now, readings) for process in processes]
        placed = tuple(map(records.as_kept, started))
        _check_apart(placed)
        encoded = owed = b""
        if call is not None:
            call.called_at = now
            encoded, owed = records.encode_call(call), _owed(Change((), ()), call)
        arguments: list[Argument] = [encoded, owed, self._lease, self._bound, len(placed)]
        for process in placed:
            ids = [step.id for step in process.steps]
            arguments += (process.id, records.encode_ids(ids), len(ids))
            for step in process.steps:
                arguments += (step.id, records.encode_step(step))
        reply = await self._asked("add", self._marks.next(), *arguments, repeats=1)
        if reply[0] == _REFUSED:
            raise id_in_use(reply[1].decode(), reply[2].decode())
        if call is not None:
            call.number = reply[1]
        return placed

    async def step(self, step_id: str) -> Loaded:
        if self._retired:
            return Loaded(self._wall_time(), None, None)
        reply = await self._asked("load", self._bound, b"", "1", step_id, "")
        step, next_step = records.steps(reply[3:5])
        return Loaded(reply[1], step, next_step)

    async def process(self, process_id: str) -> Process | None:
        found, _ = await self._processes(process_id, 0, 0)
        return found[0] if found else None

    async def page(self, offset: int, limit: int) -> tuple[list[Process], int]:
        return await self._processes("", offset, limit)

    async def _processes(
        self, process_id: str, offset: int, limit: int
    ) -> tuple[list[Process], int]:
        if self._retired:
            return [], 0
        reply = await self._asked("processes", process_id, offset, limit)
        now = reply[1]
        found = []
        for name, *kept in reply[3:]:
            steps = [transitions.expire(records.decode_step(each), now) for each in kept]
            found.append(Process(name.decode(), tuple(steps)))
        return found, reply[2]

    async def in_use(self, identifier: str) -> bool:
        if self._retired:
            return False
        return bool((await self._asked("in_use", identifier))[1])

    async def next_id(self, prefix: str) -> str:
        return f"{prefix}-{(await self._asked('next_id', prefix))[1]}"

    # --- the journal

    async def exchanges(self, query: ExchangeQuery = ALL) -> tuple[list[Entry], int]:
        found: list[Entry] = []
        while True:
            missing = None if query.limit is None else query.limit - len(found)
            reply = await self._asked(
                "entries",
                self._bound,
                "" if query.step_id is None else "1",
                query.step_id or "",
                query.after,
                "" if query.before is None else query.before,
                "1" if query.newest_first else "",
                _CHUNK,
            )
            entries = [
                records.decode_entry(number, kept)
                for number, kept in zip(reply[3::2], reply[4::2], strict=True)
            ]
            found += replace(query, limit=missing).among(entries)
            looked_at = reply[2]
            if looked_at < _CHUNK or query.step_id is not None or len(found) == query.limit:
                return found, reply[1]
            if query.newest_first:
                query = replace(query, before=reply[3])
            else:
                query = replace(query, after=reply[-2])

    async def clear_journal(self) -> None:
        await self._asked("clear_journal")

    async def calls(self) -> Sequence[DelegateCall]:
        if self._retired:
            return []
        return sorted((await self._calls()).values(), key=lambda call: call.number)

    async def calls_of(self, exchange_numbers: Iterable[int]) -> dict[int, DelegateCall]:
        numbers = list(exchange_numbers)
        return await self._calls(*numbers) if numbers else {}

    async def _calls(self, *exchange_numbers: int) -> dict[int, DelegateCall]:
        reply = await self._asked("calls", "1" if exchange_numbers else "", *exchange_numbers)
        found = {}
        for key, number, kept in _in_groups(reply[1:], 3):
            found[int(key)] = call = records.decode_call(kept)
            call.number = int(number)
        return found

    # --- faults and the clock

    async def faults(self) -> Sequence[Fault]:
        return [] if self._retired else list((await self._read_faults())[1])

    async def add_fault(self, fault: Fault) -> Fault:
        named = replace(fault, id=await self.next_id("fault"))

        def add(faults: Faults) -> None:
            faults.add(named)

        await self._change_faults(add)
        return named

    async def clear_faults(self) -> None:
        await self._change_faults(Faults.clear)

    async def _fault(self, phase: Phase | None, entry: Entry | None) -> Fault | None:
        """A fault that strikes an exchange, of which the script says that there may be one."""
        if phase is None or entry is None:
            return None
        step_id = entry.step_id or ""
        try:
            return await self._change_faults(lambda faults: faults.take(phase, step_id))
        except WorldReplaced:  # what has been written was written all the same
            return None

    async def _fault_after(self, phase: Phase | None, entry: Entry | None) -> Fault | None:
        """The same once a change has been written, which no failure may hide any more."""
        try:
            return await self._fault(phase, entry)
        except StoreUnavailable:
            return None

    async def _change_faults(self, change: Callable[[Faults], T]) -> T:
        """Change the faults as they are, whatever others do to them; what `change` returns."""
        while True:
            version, faults = await self._read_faults()
            outcome = change(faults)
            rules = faults.rules
            struck = {f"{rule.fault.phase}|{_step(rule.fault)}" for rule in rules}
            reply = await self._asked(
                "write_faults",
                self._marks.next(),
                version,
                records.encode_rules(rules),
                *sorted(struck),
                repeats=1,
            )
            if reply[0] == _DONE:
                return outcome

    async def _read_faults(self) -> tuple[bytes, Faults]:
        _, version, kept = await self._asked("read_faults")
        return version, Faults.of(records.decode_rules(kept))

    async def clock(self) -> ClockState:
        reply = await self._run("clock", "", "", LATEST)
        if reply[0] == _GONE:  # of an exchange that is on its way in a world that is gone
            return ClockState(self._wall_time(), frozen=False)
        return ClockState(reply[1], bool(reply[2]))

    async def revision(self) -> str:
        reply = await self._asked("clock", "", "", LATEST)
        return f"{self.world[0]}.{reply[3].decode()}"

    async def change_clock(self, advance: float, frozen: bool | None) -> ClockState:
        milliseconds = round(advance * 1000)
        if milliseconds < 0:
            raise ValueError(BACKWARDS)
        freeze = {None: "", True: "1", False: "0"}[frozen]
        reply = await self._asked(
            "clock", milliseconds, freeze, LATEST, self._marks.next(), repeats=4
        )
        if reply[0] == _REFUSED:
            raise ValueError(BEYOND)
        return ClockState(reply[1], bool(reply[2]))

    # --- the tokens of the sandbox

    async def limit_token(self, token: bytes, limit: Limit) -> None:
        await self._asked("limit_token", digest_of(token), *limit_arguments(limit))

    async def use_token(self, token: bytes) -> str | None:
        reply = await self._run("use_token", digest_of(token), self._marks.next(), repeats=2)
        if reply[0] == _GONE:  # which who begins the exchange finds out as well
            return None
        return (None, EXPIRED, REVOKED)[reply[1]]

    # --- its end

    async def retire(self) -> int:
        if self._retired:
            return 0
        reply = await self._run("retire", keys=(DETACHED,))
        self._retired = True
        return 0 if reply[0] == _GONE else int(reply[1])

    # --- scripts

    async def _asked(self, name: str, *arguments: Argument, repeats: int | None = None) -> Any:
        """The reply of a script about the world as it is now. Raises `WorldReplaced`.

        What changes the version alone makes a difference to what an exchange is begun with.
        """
        reply = await self._run(name, *arguments, repeats=repeats)
        if reply[0] == _GONE:
            raise WorldReplaced
        return reply

    async def _run(
        self,
        name: str,
        *arguments: Argument,
        version: str = "",
        deadline: bool = False,
        repeats: int | None = None,
        keys: tuple[str, ...] = (),
    ) -> Any:
        """The reply of a script, which may work on further `keys`.

        Where the reply of one is lost it is run again, within the budget. `repeats` is after which
        of its arguments a script is told that; others do no harm twice. With a `deadline` it is
        not carried out later than that, for then the client has been told that it was not.
        """
        wall = "" if self._clock is None else self._clock.now()
        given: list[Argument] = [self.world[0], version or self._filling, wall]
        if deadline:
            given.append(round(self._link.server_time() + BUDGET * 1000))
        given += arguments
        if repeats is not None:
            given.insert(3 + repeats, "")

        def attempt() -> Awaitable[Any]:
            return self._link.run(script(name), (self.sandbox, OWED, *keys), given)

        gives_up = time.monotonic() + BUDGET
        try:
            reply = await attempt()
        except Lost:
            if repeats is not None:
                given[3 + repeats] = "1"
            reply = await repeated(attempt, gives_up, self._link.address)
        if reply[0] == _LATE and deadline:
            self._link.keep_server_time(reply[1])
            raise StoreUnavailable(
                f"The store at {self._link.address} took longer than {BUDGET:g} s."
            )
        return reply

    def _wall_time(self) -> int:
        return round(self._link.server_time()) if self._clock is None else self._clock.now()


def digest_of(token: bytes) -> str:
    """By what the limits of a token are found."""
    return blake2b(token, digest_size=16).hexdigest()


def limit_arguments(limit: Limit) -> tuple[Argument, Argument]:
    """A limit as scripts take it."""
    return (
        "" if limit.until is None else limit.until,
        "" if limit.requests is None else limit.requests,
    )


def _step(fault: Fault) -> str:
    """The step that a fault may strike, as scripts look for it."""
    return "*" if fault.process_step_id is None else fault.process_step_id


def _phase(entry: Entry | None, call: DelegateCall | None) -> Phase | None:
    """The phase of the faults that may strike an exchange once its change has been written."""
    if entry is None or entry.step_id is None:
        return None
    if call is None or call.outcome == ACCEPTED:
        return "after"
    return "delegate" if call.outcome == IN_PROGRESS else None


def _owed(written: Change, call: DelegateCall) -> bytes:
    """What another process needs to make a call that is in progress; nothing for others."""
    is_open = call.outcome == IN_PROGRESS
    return records.encode_debt(records.Debt(written, call)) if is_open else b""


def _moved(entry: Entry, change: Change) -> Entry:
    """An exchange with what its change makes of its step, in case nobody can say so later."""
    if not change.writes or change.replaces[0].id != entry.step_id:
        return entry
    before, after = change.replaces[0].status, change.writes[0].status
    return replace(entry, step_before=before, step_after=after)


def _last(change: Change) -> str:
    """The step that a completion takes to be the last one of its process, if it does.

    Records cannot tell that: another process with the same ids may have a step after it.
    """
    if len(change.replaces) != 1 or not change.writes:
        return ""
    completes = change.writes[0].status is Status.COMPLETED
    return change.replaces[0].id if completes else ""


def _removed(change: Change) -> list[str]:
    """The processes of the steps that a change removes."""
    kept = {step.id for step in change.writes}
    gone = [step.process_id for step in change.replaces if step.id not in kept]
    return list(dict.fromkeys(gone))


def _check_apart(processes: Sequence[Process]) -> None:
    """Raises ValueError for an id that two of these processes, or two of their steps, have."""
    used: set[tuple[str, str]] = set()
    for process in processes:
        named = [("process", process.id), *(("step", step.id) for step in process.steps)]
        for kind, identifier in named:
            if (kind, identifier) in used:
                raise id_in_use(kind, identifier)
            used.add((kind, identifier))


def _in_groups(values: Sequence[T], size: int) -> Iterator[tuple[T, ...]]:
    return zip(*[iter(values)] * size, strict=True)
