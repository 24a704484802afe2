"""What becomes of steps: records and the time go in, a change or a refusal comes out.

Pure functions. They know no lock, no table of steps and no sentence: a store applies a change where
the records it replaces still stand, and `responses` words a refusal. Times are milliseconds on the
sandbox's clock.
"""

from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from stepstub.errors import Refusal
from stepstub.model import Params, Process, Result, Status, Step
from stepstub.readings import DEFAULT, Readings

# Every completion asks for these, and to look a member up takes five times as long as a global.
_STARTED, _COMPLETED = Status.STARTED, Status.COMPLETED


class Change(Struct, frozen=True):
    """Records to write in place of those they replace: all of them, or none.

    It applies only where every replaced record still stands, and before the time `until` (ms), the
    deadline of the step it moves. A record that is replaced and not written again is removed.
    """

    replaces: tuple[Step, ...]
    writes: tuple[Step, ...]
    until: int | None = None

    @property
    def completed(self) -> Step:
        """Of a completion: the step that was completed."""
        return self.writes[0]

    @property
    def started(self) -> Step | None:
        """Of a completion: the step it starts, None after the last one."""
        return self.writes[1] if len(self.writes) > 1 else None


class Completion(Struct, frozen=True):
    """A completion that took place: the completed step, and the one it started.

    `submitted` are the params that it brought, `own` those that the started step had before.
    """

    completed: Step
    started: Step | None
    submitted: Params
    own: Params


def complete(
    step_id: str,
    step: Step | None,
    next_step: Step | None,
    submitted: Params,
    now: int,
    *,
    readings: Readings = DEFAULT,
    number: int | None = None,
) -> Change | Completion | Refusal:
    """Complete a STARTED step and start the one after it, which gets the submitted params.

    `number` is that of the exchange that asks. A `Completion` is one that took place before, where
    the readings have its response repeated.
    """
    refusal = _refusal(step_id, step, now, "completed")
    if refusal is not None or step is None:
        if step and step.status is _COMPLETED and readings.completed_step == "repeat":
            return _repeated(step, next_step)
        return refusal or Refusal(step_id, "completed")
    own = next_step.params if next_step else {}
    completed = replace(
        step,
        status=_COMPLETED,
        deadline=None,
        moved_by=number,
        result=Result(submitted, own) if readings.completed_step == "repeat" else None,
    )
    if next_step is None:
        return Change((step,), (completed,), step.deadline)
    started = replace(
        next_step,
        status=_STARTED,
        params={**own, **submitted} if submitted else own,
        deadline=_deadline(next_step, now, readings),
        moved_by=number,
    )
    return Change((step, next_step), (completed, started), step.deadline)


def completion(change: Change, submitted: Params) -> Completion:
    """The facts of a completion that a change made."""
    if len(change.writes) == 1:
        return Completion(change.writes[0], None, submitted, {})
    completed, started = change.writes
    return Completion(completed, started, submitted, change.replaces[1].params)


def hold_back(change: Change) -> Change:
    """The same completion, but for the next step, which stays PENDING until `begin`."""
    return Change(change.replaces, (change.completed, *change.replaces[1:]), change.until)


def whole(written: Change, params: Params) -> Change:
    """The whole completion of which `written` is what stands so far.

    `params` are those that the started step gets.
    """
    completed, following = written.writes
    if following.status is not Status.PENDING:
        return written
    started = replace(
        following, status=_STARTED, params=params, deadline=None, moved_by=completed.moved_by
    )
    return Change(written.replaces, (completed, started), written.until)


def begin(change: Change, now: int, readings: Readings) -> Change:
    """Start the step that was held back from a completion: `change` is the whole completion."""
    pending, started = change.replaces[1], change.writes[1]
    started = replace(started, deadline=_deadline(pending, now, readings))
    return Change((change.completed, pending), (change.completed, started))


def give_up(change: Change, started: Step, reason: str) -> Change:
    """Leave a completion as it stands, and set the step that it should have started to FAILED."""
    failed = replace(
        started,
        status=Status.FAILED,
        deadline=None,
        failure=f"its delegate could not be called: {reason}",
    )
    return Change(change.writes, (change.completed, failed))


def fail(
    step_id: str, step: Step | None, reason: str, now: int, number: int | None = None
) -> Change | Refusal:
    """Set a STARTED step to FAILED."""
    refusal = _refusal(step_id, step, now, "failed")
    if refusal is not None or step is None:
        return refusal or Refusal(step_id, "failed")
    failed = replace(step, status=Status.FAILED, deadline=None, failure=reason, moved_by=number)
    return Change((step,), (failed,), step.deadline)


def start(process: Process, now: int, readings: Readings = DEFAULT) -> Process:
    """The process with the deadlines of its STARTED steps set."""
    return Process(
        process.id,
        tuple(
            replace(step, deadline=_deadline(step, now, readings))
            if step.status is _STARTED
            else step
            for step in process.steps
        ),
    )


def remove(process: Process) -> Change:
    """Take a process away, if no step of it has moved."""
    return Change(process.steps, ())


def undo(change: Change) -> Change:
    """Put the replaced records back where the written ones still stand, at whatever time."""
    return Change(change.writes, change.replaces)


def expire(step: Step, now: int) -> Step:
    """The step as it is at a time: FAILED once its deadline has passed.

    Nothing needs to be written for that, and no timer to run: whoever looks sees the same.
    """
    if step.deadline is None or now < step.deadline or step.status is not _STARTED:
        return step
    return replace(
        step,
        status=Status.FAILED,
        deadline=None,
        moved_by=None,
        failure=f"it was not completed within {step.time_out_in_seconds:g} s",
    )


def _refusal(
    step_id: str, step: Step | None, now: int, attempted: Literal["completed", "failed"]
) -> Refusal | None:
    if step is None:
        return Refusal(step_id, attempted)
    current = expire(step, now)
    if current.status is _STARTED:
        return None
    return Refusal(step_id, attempted, current.status, current.failure, current.moved_by)


def _repeated(step: Step, next_step: Step | None) -> Completion:
    result = step.result
    if result is None:  # a scenario has it completed, and nothing is known of that
        started = next_step if next_step and next_step.status is not Status.PENDING else None
        return Completion(step, started, {}, started.params if started else {})
    # PENDING and without the submitted params while it is held back.
    params = {**result.own, **result.submitted}
    started = replace(next_step, params=params) if next_step else None
    return Completion(step, started, result.submitted, result.own)


def _deadline(step: Step, now: int, readings: Readings) -> int | None:
    if not step.time_out_in_seconds or readings.time_out == "ignored":
        return None
    return now + round(step.time_out_in_seconds * 1000)
