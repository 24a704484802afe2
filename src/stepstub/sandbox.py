"""One token's world."""

import logging
import re
from collections.abc import Sequence
from contextlib import suppress
from itertools import groupby

from msgspec.structs import replace

from stepstub import contract, transitions
from stepstub.concurrency import CallLimit, Concurrency
from stepstub.delegates import ACCEPTED, IN_PROGRESS, CallTracing, DelegateCall, Delegates
from stepstub.errors import (
    DelegateFailed,
    InConflict,
    Refusal,
    StepRefused,
    StoreUnavailable,
    WorldReplaced,
)
from stepstub.journal import Entry
from stepstub.model import Params, Process, Status, Step
from stepstub.params import ParamsReader
from stepstub.readings import DEFAULT, Readings
from stepstub.responses.envelope import envelope
from stepstub.stores.protocol import Applied, Conflict, Gone, Loaded, Owed, Store
from stepstub.tokens import Limit
from stepstub.transitions import Change, Completion
from stepstub.variations import Vary

log = logging.getLogger("stepstub")

DEFAULT_ID = "default"
"""The id of the sandbox whose token the stub was started with."""

_TAKEN_OVER = "another process of the stub took the call over, and there it failed"
_NUMBERED = re.compile(r"-\d+$")


class Sandbox:
    """Everything that belongs to one bearer token. Two sandboxes share nothing.

    A reset makes a new one under the same token, so requests in flight end in the old world and
    cannot touch the new one. `id` names it where its token must not be, `name` is for people.
    `created_at` is when the token was made, in milliseconds on the machine's clock.
    """

    def __init__(
        self,
        processes: Sequence[Process],
        *,
        sandbox_id: str = DEFAULT_ID,
        store: Store,
        concurrency: Concurrency,
        readings: Readings = DEFAULT,
        vary: Vary | None = None,
        name: str | None = None,
        created_at: int = 0,
        tracing: CallTracing | None = None,
    ) -> None:
        self.id = sandbox_id
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
        self.limits_tokens = False
        # What a reset goes back to that asks for no other, as `scenario` is.
        self.reset_readings, self.reset_vary = readings, vary

    async def limit_of(self, expires_in: float | None, requests: int | None) -> Limit:
        """The limit that ends in so many seconds, and after so many requests."""
        now = (await self.store.clock()).now
        return Limit(None if expires_in is None else now + round(expires_in * 1000), requests)

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
                late = round((fault.seconds or 0) * 1000)
                await self.store.put_off(Owed(written, call, applied.now + late))
                self.concurrency.later(late / 1000, self._make_owed_calls_in_time)
                return await self._confirmed(change, call, entry)
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
        return await self._confirmed(change, call, entry)

    async def _confirmed(self, change: Change, call: DelegateCall, entry: Entry) -> Applied:
        """What is left to do for a completion whose call has ended, or has been put off.

        Raises `DelegateFailed` when the completion has been undone, since another process had
        taken the call over and it failed there.
        """
        confirmed = await self.store.confirm(entry, call)
        if isinstance(confirmed, Applied):
            return confirmed
        if not _is_made_by(change, (await self.store.step(change.completed.id)).step):
            entry.step_before = entry.step_after = Status.STARTED
            raise DelegateFailed(_TAKEN_OVER)
        return Applied(confirmed.now)

    async def make_owed_calls(self) -> None:
        """Make the delegate calls that were put off and whose time has come."""
        owed, next_in = await self.store.take_owed()
        # Those of a process that has ended are due at once. If each waited for those before it, the
        # leases of the last ones would be over before their turns.
        for _, at_once in groupby(owed, key=lambda each: each.due):
            await self.concurrency.for_each(at_once, self._start_owed)
        if next_in is not None:
            self.concurrency.later(next_in / 1000, self._make_owed_calls_in_time)

    async def _make_owed_calls_in_time(self) -> None:
        """The same, where nobody waits to be told that it cannot be done now."""
        try:
            await self.make_owed_calls()
        except WorldReplaced:
            pass
        except StoreUnavailable as error:  # the calls are taken over once their leases are over
            log.warning("delegate calls that are due are not made yet: %s", error)

    async def _start_owed(self, owed: Owed) -> None:
        """Make a call that was put off, or that another process has left unfinished.

        A completion whose client has its response cannot be undone any more.
        """
        written, call = owed.written, owed.call
        call.called_at = (await self.store.clock()).now
        if not written.writes:
            await self._start_first_again(call)
            return
        change = transitions.whole(written, call.start.params)
        started = change.writes[1]
        undoes = not owed.responded and self.readings.delegate_failure == "undone"
        try:
            await self.delegates.make(call, started)
        except DelegateFailed as failure:
            given_up = transitions.give_up(written, started, str(failure))
            await self.store.apply(transitions.undo(written) if undoes else given_up, None, call)
        else:
            await self._begin(change, written)
        await self.store.confirm(None, call)

    async def _start_first_again(self, call: DelegateCall) -> None:
        """The call of a process's first step, whose process is taken away if that fails."""
        process = await self.store.process(call.start.process_id)
        step = (await self.store.step(call.start.process_step_id)).step
        if process is not None and step is not None:
            try:
                await self.delegates.make(call, step)
            except DelegateFailed:
                has_moved = any(each.moved_by or each.failure for each in process.steps)
                change = Change((), ()) if has_moved else transitions.remove(process)
                await self.store.apply(change, None, call)
        else:
            call.outcome = "failed: the process is gone"
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
        if isinstance(outcome, Conflict) and outcome.fresh == written.writes:
            return True  # another process has taken the call over, and it was accepted there
        failure.stands = reading != "undone" or (
            isinstance(outcome, Conflict) and _is_made_by(written, outcome.fresh[0])
        )
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
        first = next((step for step in process.steps if step.status is Status.STARTED), None)
        # When it is made, the store says.
        call = None if first is None else self.delegates.prepare(first, 0)
        try:
            (placed,) = await self.store.add((process,), self.readings, call)
        except ValueError as error:
            raise InConflict(f"{error}; leave ids out and free ones are chosen.") from error
        if first is not None and call is not None and call.outcome == IN_PROGRESS:
            await self._call_first(placed, first, call)
        return await self.store.process(process.id) or process

    async def _call_first(self, placed: Process, step: Step, call: DelegateCall) -> None:
        """Start the step that a process has begun with, or take the process away."""
        try:
            await self.delegates.make(call, step)
        except BaseException as failure:
            undone = await self.store.apply(transitions.remove(placed), call=call)
            # The records stand where another process has taken the call over, and it was accepted.
            in_vain = isinstance(undone, Conflict) and undone.fresh == placed.steps
            if not isinstance(failure, DelegateFailed) or not (_completed(undone, step) or in_vain):
                raise
        confirmed = await self.store.confirm(None, call)
        if not isinstance(confirmed, Applied) and await self.store.process(placed.id) is None:
            raise DelegateFailed(_TAKEN_OVER)

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


def _is_made_by(change: Change, step: Step | None) -> bool:
    """Whether a step is COMPLETED as the completion `change` has made it."""
    completed = change.completed
    return step is not None and (step.status, step.moved_by) == (
        Status.COMPLETED,
        completed.moved_by,
    )


def _completed(outcome: Applied | Conflict | Gone, step: Step) -> bool:
    """Whether a change to a started step came too late, because the step had been completed.

    The call did succeed then, whatever it ended in. What stood in the way is asked, not what
    stands now, for that completion may have been undone since.
    """
    return isinstance(outcome, Conflict) and any(
        fresh is not None and fresh.id == step.id and fresh.status is Status.COMPLETED
        for fresh in outcome.fresh
    )
