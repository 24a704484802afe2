"""Processes as rows of steps: the running ones first, each short enough for one line."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from msgspec import Struct

from stepstub.model import Status
from stepstub.views import ProcessView, StepView

SYMBOLS = {
    Status.PENDING: "○",
    Status.STARTED: "▶",
    Status.COMPLETED: "✓",
    Status.FAILED: "✕",
}
_AROUND = 3  # steps shown before and after the one at which a process is

Phase = Literal["running", "failed", "finished"]


class Chip(Struct, frozen=True):
    """One step in a lane, under a name as short as its process allows."""

    step: StepView
    name: str


class Lane(Struct, frozen=True):
    """One process; `before` and `after` count the steps that are not among `chips`."""

    process: ProcessView
    phase: Phase
    chips: tuple[Chip, ...]
    before: int = 0
    after: int = 0


class Lanes(Struct, frozen=True):
    """Processes by their phase, those that moved last first; and when the next step times out."""

    open: tuple[Lane, ...]
    finished: tuple[Lane, ...]
    next_time_out: datetime | None = None


def lanes(processes: Sequence[ProcessView]) -> Lanes:
    """The lanes of these processes."""
    in_order = sorted(enumerate(processes), key=lambda each: (_last_move(each[1]), each[0]))
    rows = [lane(process) for _, process in reversed(in_order)]
    deadlines = [
        step.times_out_at
        for process in processes
        for step in process.steps
        if step.status is Status.STARTED and step.times_out_at is not None
    ]
    return Lanes(
        open=tuple(row for phase in ("running", "failed") for row in rows if row.phase == phase),
        finished=tuple(row for row in rows if row.phase == "finished"),
        next_time_out=min(deadlines, default=None),
    )


def lane(process: ProcessView, around: int = _AROUND) -> Lane:
    """One process, with so many steps before and after the one at which it is."""
    steps = process.steps
    at = next(
        (index for index, step in enumerate(steps) if step.status is not Status.COMPLETED),
        len(steps),
    )
    first, end = max(at - around, 0), at + around + 1
    shown = steps[first:end]
    return Lane(
        process=process,
        phase=_phase(process),
        chips=tuple(Chip(step, short_name(step)) for step in shown),
        before=first,
        after=max(len(steps) - end, 0),
    )


def short_name(step: StepView) -> str:
    """The id of a step without that of its process, with which most begin."""
    return step.id.removeprefix(f"{step.process_id}-") or step.id


def is_open(process: ProcessView) -> bool:
    """Whether something can still happen to a process, or has gone wrong with it."""
    return _phase(process) != "finished"


def _phase(process: ProcessView) -> Phase:
    statuses = {step.status for step in process.steps}
    if Status.FAILED in statuses:
        return "failed"
    return "finished" if statuses <= {Status.COMPLETED} else "running"


def _last_move(process: ProcessView) -> int:
    return max((step.moved_by or 0 for step in process.steps), default=0)
