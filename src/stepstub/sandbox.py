"""One token's world, and the registry of all of them."""

import gc
import hmac
import re
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from hashlib import blake2b
from itertools import islice
from threading import Lock

from msgspec.structs import replace

from stepstub import contract, transitions
from stepstub.clock import SystemClock
from stepstub.concurrency import CallLimit, Concurrency, run_inline
from stepstub.delegates import (
    ACCEPTED,
    IN_PROGRESS,
    CallTracing,
    DelegateCall,
    Delegates,
    StepStart,
)
from stepstub.errors import DelegateFailed, InConflict, Refusal, StepRefused, Unauthorized
from stepstub.journal import Entry
from stepstub.late_calls import LateCalls
from stepstub.model import Params, Process, Status, Step
from stepstub.params import ParamsReader
from stepstub.readings import DEFAULT, Readings
from stepstub.responses.envelope import envelope
from stepstub.settings import Limits
from stepstub.stores.memory import MemoryStore
from stepstub.stores.protocol import Applied, Conflict, Gone, Loaded, Store
from stepstub.tokens import Limit, Tokens
from stepstub.transitions import Change, Completion
from stepstub.variations import Vary

_MANY_STEPS = 10_000  # from here on their memory is worth a full collection in the end
_NUMBERED = re.compile(r"-\d+$")


class Sandbox:
    """Everything that belongs to one bearer token. Two sandboxes share nothing.

    A reset makes a new one under the same token, so requests in flight end in the old world and
    cannot touch the new one. `name` is for people; `created_at` is when the token was made, in
    milliseconds on the machine's clock.
    """

    def __init__(
        self,
        token: str,
        processes: Sequence[Process],
        *,
        store: Store,
        concurrency: Concurrency,
        readings: Readings = DEFAULT,
        vary: Vary | None = None,
        name: str | None = None,
        created_at: int = 0,
        tracing: CallTracing | None = None,
    ) -> None:
        self.token = token
        self.name = name
        self.created_at = created_at
        self.scenario = processes
        self.store = store
        self.concurrency = concurrency
        self.delegates = Delegates(concurrency, CallLimit(), tracing=tracing)
        self.readings = readings
        self.vary = vary
        self.contract = contract.effective(readings)
        self.responses = envelope(self.contract)
        self.read_params = ParamsReader(readings)
        self.tokens: Tokens | None = None  # once a test has asked for something about them
        self.late_calls = LateCalls(store, concurrency)

    def use_token(self, token: bytes) -> str | None:
        """Why a token of this sandbox is not good for a request of the contract, if so."""
        if self.tokens is None:
            return None
        return self.tokens.use(token, lambda: run_inline(self.store.clock()).now)

    async def limit_of(self, expires_in: float | None, requests: int | None) -> Limit:
        """The limit that ends in so many seconds, and after so many requests."""
        now = (await self.store.clock()).now
        return Limit(None if expires_in is None else now + round(expires_in * 1000), requests)

    def limit_token(self, token: bytes, limit: Limit) -> None:
        """Have a token be good no longer than that, from now on."""
        self.tokens = self.tokens or Tokens()
        self.tokens.limit(token, limit)

    async def complete(
        self, submitted: Params, loaded: Loaded, entry: Entry
    ) -> tuple[Completion, Applied]:
        """Complete the step that the exchange of `entry` is about, and start the one after it.

        Returns the facts, and what the store said in the end. `loaded` is what the store has for
        that exchange. Raises `StepRefused` when the step is unknown or not STARTED, and nothing has
        changed then; and `DelegateFailed` when the next step's delegate does not accept the call.
        """
        step_id, number, readings = entry.step_id or "", entry.number or None, self.readings
        while True:
            step, next_step, now = loaded.step, loaded.next_step, loaded.now
            change = transitions.complete(
                step_id, step, next_step, submitted, now, readings=readings, number=number
            )
            if not isinstance(change, Change):
                return self._not_changed(change, now, entry)
            started = change.started
            headers, span = entry.headers, entry.span
            call = self.delegates.prepare(started, now, number, headers, span) if started else None
            pending = call is not None and call.outcome == IN_PROGRESS
            held_back = pending and readings.next_step_started == "after-call"
            written = transitions.hold_back(change) if held_back else change
            outcome = await self.store.apply(written, entry, call)
            if isinstance(outcome, Applied):
                break
            if isinstance(outcome, Gone):
                raise StepRefused(Refusal(step_id, "completed"))
            # Not decided on the conflict's records: the process may have been taken away, and
            # another one with the same ids need not have the same step after this one.
            loaded = await self.store.step(step_id)
        if pending and call and started:
            outcome = await self._start(change, written, call, entry, outcome)
        entry.step_before, entry.step_after = Status.STARTED, Status.COMPLETED
        self.store.changes.notify()
        return transitions.completion(change, submitted), outcome

    def _not_changed(
        self, found: Completion | Refusal, now: int, entry: Entry
    ) -> tuple[Completion, Applied]:
        """A completion that is repeated, or one that is refused."""
        if isinstance(found, Completion):
            entry.step_before = entry.step_after = Status.COMPLETED
            return found, Applied(now)
        entry.step_before = entry.step_after = found.status
        raise StepRefused(found)

    async def _start(
        self,
        change: Change,
        written: Change,
        call: DelegateCall,
        entry: Entry,
        applied: Applied,
    ) -> Applied:
        """Call the delegate of the step that a completion starts.

        `change` is the whole completion, `written` what has been written of it so far. When the
        call fails, the readings say whether it is undone, unless something has built on it. A fault
        in `applied` has the call made twice, or when the client already has its response.
        """
        started, fault = change.writes[1], applied.fault
        if fault is not None:
            entry.note_fault(fault.describe())
            if fault.action == "late":
                due = applied.now + round((fault.seconds or 0) * 1000)
                self.late_calls.put_off(
                    due, applied.now, lambda: self._start_late(change, written, call)
                )
                return await self.store.confirm(entry, call)
        try:
            await self.delegates.make(call, started)
        except DelegateFailed as failure:
            if not await self._fail(written, started, call, entry, failure):
                raise
        except BaseException:
            await self.store.apply(transitions.undo(written), entry, call)
            raise
        await self._begin(change, written)
        if fault is not None:
            await self._call_again(call, started)
        return await self.store.confirm(entry, call)

    async def _start_late(self, change: Change, written: Change, call: DelegateCall) -> None:
        """The call of a completion whose client has its response: it cannot be undone any more."""
        started = change.writes[1]
        call.called_at = (await self.store.clock()).now
        try:
            await self.delegates.make(call, started)
        except DelegateFailed as failure:
            given_up = transitions.give_up(written, started, str(failure))
            await self.store.apply(given_up, None, call)
        else:
            await self._begin(change, written)
        await self.store.confirm(None, call)

    async def _begin(self, change: Change, written: Change) -> None:
        """Start the next step now, if it was held back until its delegate had been called."""
        if written is not change:
            now = (await self.store.clock()).now
            await self.store.apply(transitions.begin(change, now, self.readings))

    async def _call_again(self, call: DelegateCall, started: Step) -> None:
        """Make an accepted call once more; only its outcome comes of that."""
        call.times += 1
        with suppress(DelegateFailed):
            await self.delegates.make(call, started)
        call.outcome = f"{ACCEPTED}; the second time {call.outcome}"

    async def _fail(
        self,
        written: Change,
        started: Step,
        call: DelegateCall,
        entry: Entry,
        failure: DelegateFailed,
    ) -> bool:
        """Deal with a delegate call that failed; whether the client gets a 200 all the same."""
        entry.step_before = Status.STARTED
        reading = self.readings.delegate_failure
        change = (
            transitions.undo(written)
            if reading == "undone"
            else transitions.give_up(written, started, str(failure))
        )
        outcome = await self.store.apply(change, entry, call)
        if _completed(outcome, started):
            return True
        failure.stands = isinstance(outcome, Conflict) or reading != "undone"
        entry.step_after = Status.COMPLETED if failure.stands else Status.STARTED
        return reading == "hidden"

    async def start_scenario(self, processes: Sequence[Process]) -> list[Process]:
        """Start the processes of a scenario, under free ids where theirs are in use.

        Raises as `start_process` does.
        """
        return [
            await self.start_process(await self._with_free_ids(process)) for process in processes
        ]

    async def start_process(self, process: Process) -> Process:
        """Put a process in place, start its STARTED step by its delegate, and return it.

        Raises `InConflict` for ids in use, and `DelegateFailed` when the delegate of the first step
        does not accept the call; in both cases nothing is added.
        """
        try:
            (placed,) = await self.store.add((process,), self.readings)
        except ValueError as error:
            raise InConflict(f"{error}; leave ids out and free ones are chosen.") from error
        for step in placed.steps:
            if step.status is Status.STARTED:
                await self._call_first(placed, step)
        return await self.store.process(process.id) or process

    async def _call_first(self, placed: Process, step: Step) -> None:
        """Start a step of a process that has just been put in place, or take the process away."""
        call = self.delegates.prepare(step, (await self.store.clock()).now)
        await self.store.apply(Change((), ()), call=call)
        if call.outcome != IN_PROGRESS:
            return
        try:
            await self.delegates.make(call, step)
        except BaseException as failure:
            undone = await self.store.apply(transitions.remove(placed), call=call)
            if not isinstance(failure, DelegateFailed) or not _completed(undone, step):
                raise
        await self.store.confirm(None, call)

    async def _with_free_ids(self, process: Process) -> Process:
        used = self.store.in_use
        if not await used(process.id) and not any([await used(step.id) for step in process.steps]):
            return process
        process_id = await self.free_id(_NUMBERED.sub("", process.id))
        return Process(
            process_id,
            tuple(
                replace(
                    step,
                    process_id=process_id,
                    id=process_id + step.id.removeprefix(process.id)
                    if step.id.startswith(process.id)
                    else f"{process_id}-{step.position + 1}",
                )
                for step in process.steps
            ),
        )

    async def free_id(self, prefix: str) -> str:
        """`prefix-N` with the first N that no process or step uses."""
        while await self.store.in_use(identifier := await self.store.next_id(prefix)):
            pass
        return identifier

    async def step(self, step_id: str) -> Step:
        """The step as it is now. Raises `StepRefused` when there is none."""
        loaded = await self.store.step(step_id)
        if loaded.step is None:
            raise StepRefused(Refusal(step_id, "completed"))
        return transitions.expire(loaded.step, loaded.now)

    async def fail_step(self, step_id: str) -> Step:
        """Set a STARTED step to FAILED, and return it. Raises `StepRefused`."""
        loaded = await self.store.step(step_id)
        step, now = loaded.step, loaded.now
        while True:
            change = transitions.fail(step_id, step, "the control API failed it", now)
            if isinstance(change, Refusal):
                raise StepRefused(change)
            outcome = await self.store.apply(change)
            if isinstance(outcome, Applied):
                return change.writes[0]
            if isinstance(outcome, Gone):
                raise StepRefused(Refusal(step_id, "failed"))
            now, (step,) = outcome.now, outcome.fresh


def _completed(outcome: Applied | Conflict | Gone, step: Step) -> bool:
    """Whether a change to a started step came too late, because the step had been completed.

    The call did succeed then, whatever it ended in. What stood in the way is asked, not what
    stands now, for that completion may have been undone since.
    """
    return isinstance(outcome, Conflict) and any(
        fresh is not None and fresh.id == step.id and fresh.status is Status.COMPLETED
        for fresh in outcome.fresh
    )


class Sandboxes:
    """The sandboxes by their tokens; `default` is that of the token the stub was started with.

    `readings` and `vary` are those of a new sandbox that asks for no other, `key_headers` the names
    of all headers in which any sandbox expects its token, in lower case.

    Tokens are looked up by a keyed digest and then compared in constant time, so how long a
    refusal takes tells nothing about the tokens there are.
    """

    def __init__(
        self,
        token: str,
        processes: Sequence[Process],
        *,
        concurrency: Concurrency,
        limits: Limits,
        readings: Readings = DEFAULT,
        vary: Vary | None = None,
        tracing: CallTracing | None = None,
    ) -> None:
        self.readings = readings
        self.vary = vary
        self.key_headers: frozenset[bytes] = frozenset()
        self._keyed = blake2b(key=secrets.token_bytes(32), digest_size=16)
        self._lock = Lock()
        self._concurrency = concurrency
        self._limits = limits
        self._tracing = tracing
        self._clock = SystemClock()
        self._default_token = token
        self._by_digest: dict[bytes, Sandbox] = {}
        self._by_id: dict[str, Sandbox] = {}
        self._by_name: dict[str, Sandbox] = {}  # of those with the same name the newest
        self._further: dict[bytes, Sandbox] = {}  # by the digests of tokens that were issued later
        self.default = self._put(run_inline(self._filled(token, processes, readings, vary)))

    def __len__(self) -> int:
        return len(self._by_digest)

    def page(self, offset: int, limit: int) -> list[Sandbox]:
        """At most `limit` sandboxes after the first `offset`, in the order they were created."""
        with self._lock:
            offset = min(offset, len(self))
            return list(islice(self._by_digest.values(), offset, offset + limit))

    def by_token(self, token: bytes) -> Sandbox:
        """The sandbox of a token. Raises `Unauthorized` when there is none."""
        sandbox = self._by_digest.get(self._digest(token))
        if sandbox is None or not hmac.compare_digest(sandbox.token.encode(), token):
            if further := self._further.get(self._digest(token)):
                return further
            raise Unauthorized("The bearer token is not known to this server.")
        return sandbox

    def id_of(self, sandbox: Sandbox) -> str:
        """What names a sandbox where its token must not be: default, or a hash of the token.

        The default one's token may be a word that a hash would give away.
        """
        return "default" if sandbox.token == self._default_token else _id(sandbox.token)

    def by_id(self, sandbox_id: str) -> Sandbox | None:
        """The sandbox of an id, if there is one."""
        if sandbox_id == "default":
            return self.default
        return self._by_id.get(sandbox_id)

    @property
    def has_names(self) -> bool:
        """Whether any sandbox has a name."""
        return bool(self._by_name)

    def by_name(self, name: str) -> Sandbox | None:
        """The newest sandbox of a name, if there is one."""
        return self._by_name.get(name)

    async def create(
        self,
        processes: Sequence[Process],
        readings: Readings | None = None,
        vary: Vary | None = None,
        name: str | None = None,
    ) -> Sandbox:
        """A new sandbox with a token of its own. Raises `InConflict` when there are too many."""
        token = f"sandbox-{secrets.token_urlsafe(16)}"
        sandbox = await self._filled(token, processes, readings or self.readings, vary)
        sandbox.name = name
        with self._lock:
            if len(self) > self._limits.sandboxes:
                raise InConflict(
                    f"There are {self._limits.sandboxes} sandboxes already;"
                    " delete some, or start the stub with a larger --max-sandboxes."
                )
            return self._put(sandbox)

    def issue(self, sandbox: Sandbox, limit: Limit) -> str:
        """A further token for a sandbox, until that is reset. Raises `InConflict` beyond 100."""
        token = f"sandbox-{secrets.token_urlsafe(16)}"
        with self._lock:
            sandbox.tokens = sandbox.tokens or Tokens()
            sandbox.tokens.issue(token.encode(), limit)
            # One that was reset or deleted meanwhile has no tokens any more.
            if self._by_digest.get(self._digest(sandbox.token.encode())) is sandbox:
                self._further[self._digest(token.encode())] = sandbox
        return token

    async def reset(
        self,
        sandbox: Sandbox,
        processes: Sequence[Process] | None,
        readings: Readings | None = None,
        vary: Vary | None = None,
    ) -> Sandbox:
        """A new sandbox under the same token; None is what the sandbox began with.

        But for `vary`, of which None is that responses do not vary.
        """
        fresh = await self._filled(
            sandbox.token,
            sandbox.scenario if processes is None else processes,
            readings or sandbox.readings,
            vary,
        )
        with self._lock:
            # One that was deleted, or reset by somebody else, meanwhile is no longer the owner.
            replaced = self.by_token(sandbox.token.encode())
            fresh.delegates.function = replaced.delegates.function
            fresh.name, fresh.created_at = replaced.name, replaced.created_at
            self._withdraw(replaced)
            self._put(fresh)
            if fresh.token == self._default_token:
                self.default = fresh
        await _let_go(replaced)
        return fresh

    def on_delegate(self, token: str, function: Callable[[StepStart], None] | None) -> None:
        """Have `function` start the steps of this token's sandbox that are recorded or python."""
        self.by_token(token.encode()).delegates.function = function

    async def delete(self, sandbox: Sandbox) -> None:
        """Forget a sandbox and its token. Raises `InConflict` for the default one."""
        if sandbox.token == self._default_token:
            raise InConflict("The default sandbox cannot be deleted; reset it instead.")
        with self._lock:
            deleted = self._by_digest.pop(self._digest(sandbox.token.encode()), sandbox)
            self._by_id.pop(_id(sandbox.token), None)
            self._withdraw(deleted)
            if self._by_name.get(deleted.name or "") is deleted:
                del self._by_name[deleted.name or ""]
        await _let_go(deleted)

    async def _filled(
        self,
        token: str,
        processes: Sequence[Process],
        readings: Readings,
        vary: Vary | None,
    ) -> Sandbox:
        store = MemoryStore(bound=self._limits.journal)
        await store.add(processes, readings)
        return Sandbox(
            token,
            processes,
            store=store,
            concurrency=self._concurrency,
            readings=readings,
            vary=vary,
            created_at=self._clock.now(),
            tracing=self._tracing,
        )

    def _put(self, sandbox: Sandbox) -> Sandbox:
        if sandbox.readings.credentials == "api-key":
            self.key_headers |= {sandbox.readings.credentials_header.lower().encode()}
        self._by_digest[self._digest(sandbox.token.encode())] = sandbox
        if sandbox.token != self._default_token:
            self._by_id[_id(sandbox.token)] = sandbox
        if sandbox.name:
            self._by_name[sandbox.name] = sandbox
        return sandbox

    def _withdraw(self, sandbox: Sandbox) -> None:
        for token in sandbox.tokens.issued if sandbox.tokens else ():
            self._further.pop(self._digest(token), None)

    def _digest(self, token: bytes) -> bytes:
        keyed = self._keyed.copy()  # to set a key up anew takes longer
        keyed.update(token)
        return keyed.digest()


def _id(token: str) -> str:
    return blake2b(token.encode(), digest_size=6).hexdigest()


async def _let_go(sandbox: Sandbox) -> None:
    sandbox.late_calls.drop()
    if await sandbox.store.retire() > _MANY_STEPS:
        # CPython keeps some freed objects for later use, and a single one is enough to hold on to
        # a megabyte around it. A full collection lets go of them.
        gc.collect()
