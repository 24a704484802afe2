"""The transitions of steps. Knows no HTTP.

One lock per engine guards the table of steps. It is held for dictionary work only, never while a
delegate runs, so a third-party application may complete the next step from inside its call.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from threading import Lock

from msgspec import Struct
from msgspec.structs import replace

from stepstub.clock import Clock
from stepstub.delegates import Delegates
from stepstub.errors import DelegateFailed, PreconditionFailed, Violation
from stepstub.model import Params, Process, Status, Step
from stepstub.schema import shorten


class StartedStep(Struct, frozen=True, rename="camel"):
    """The `data` of a 200: the process that goes on, and the step started in it.

    `process_step_id` is None, and `params` empty, when the completed step was the last.
    """

    process_id: str
    process_step_id: str | None
    params: Params


class Engine:
    """Processes in memory. Every method may be called from any thread."""

    def __init__(self, clock: Clock, delegates: Delegates) -> None:
        self._clock = clock
        self._delegates = delegates
        self._lock = Lock()
        self._steps: dict[str, Step] = {}
        self._processes: dict[str, tuple[str, ...]] = {}

    def add(self, processes: Iterable[Process]) -> None:
        """Put processes in place, with the statuses they bear; no delegate is called.

        Ids already in use raise ValueError, and then none of the processes is added.
        """
        processes = tuple(processes)
        now = self._clock.now()
        steps: dict[str, Step] = {}
        with self._lock:
            for process in processes:
                if process.id in self._processes:
                    raise ValueError(f"process id {process.id!r} is in use")
                for step in process.steps:
                    if step.id in self._steps or step.id in steps:
                        raise ValueError(f"step id {step.id!r} is in use")
                    steps[step.id] = (
                        replace(step, deadline=_deadline(step, now))
                        if step.status is Status.STARTED
                        else step
                    )
            self._steps.update(steps)
            for process in processes:
                self._processes[process.id] = tuple(step.id for step in process.steps)

    async def complete(
        self, step_id: str, submitted: Params, exchange: int | None = None
    ) -> StartedStep:
        """Complete a STARTED step and start the one after it by its delegate.

        `exchange` numbers the request that asks, for the refusals of later ones. Raises
        `PreconditionFailed` when the step is unknown or not STARTED, and `DelegateFailed` when
        the next step's delegate does not take the call; in both cases nothing has changed.
        """
        with self._lock:
            now = self._clock.now()
            step = self._steps.get(step_id)
            if step is None:
                raise _unknown(step_id)
            step = self._expire(step, now)
            if step.status is not Status.STARTED:
                raise _not_started(step)
            step_ids = self._processes[step.process_id]
            self._steps[step_id] = replace(
                step, status=Status.COMPLETED, deadline=None, moved_by=exchange
            )
            if step.position + 1 == len(step_ids):
                return StartedStep(step.process_id, None, {})
            pending = self._steps[step_ids[step.position + 1]]
            started = replace(
                pending,
                status=Status.STARTED,
                params={**pending.params, **submitted} if submitted else pending.params,
                deadline=_deadline(pending, now),
                moved_by=exchange,
            )
            self._steps[pending.id] = started
        try:
            await self._delegates.start(started, exchange)
        except BaseException as failure:
            if self._roll_back(step, pending) or not isinstance(failure, DelegateFailed):
                raise
        return StartedStep(started.process_id, started.id, started.params)

    def _roll_back(self, step: Step, pending: Step) -> bool:
        """Undo a completion, unless the next step has been completed meanwhile."""
        with self._lock:
            if self._steps[pending.id].status is Status.COMPLETED:
                return False
            self._steps[step.id] = step
            self._steps[pending.id] = pending
            return True

    async def start(self, process: Process) -> None:
        """Put a process in place and start its STARTED step by its delegate.

        Raises `ValueError` for ids in use and `DelegateFailed`; in both cases nothing is added.
        """
        self.add((process,))
        try:
            for step in process.steps:
                if step.status is Status.STARTED:
                    await self._delegates.start(step)
        except BaseException:
            with self._lock:
                for step_id in self._processes.pop(process.id):
                    del self._steps[step_id]
            raise

    def in_use(self, identifier: str) -> bool:
        """Whether a process or a step has this id."""
        return identifier in self._processes or identifier in self._steps

    def fail(self, step_id: str, reason: str, exchange: int | None = None) -> Step:
        """Set a STARTED step to FAILED, and return it.

        Raises `PreconditionFailed` when the step is unknown or not STARTED.
        """
        with self._lock:
            step = self._require(step_id)
            if step.status is not Status.STARTED:
                raise _not_started(step, "failed")
            failed = replace(
                step, status=Status.FAILED, deadline=None, failure=reason, moved_by=exchange
            )
            self._steps[step_id] = failed
            return failed

    def step(self, step_id: str) -> Step:
        """The step as it is now. Raises `PreconditionFailed` when there is none."""
        with self._lock:
            return self._require(step_id)

    def process(self, process_id: str) -> Process | None:
        """The process as it is now, all its steps at one instant."""
        with self._lock:
            step_ids = self._processes.get(process_id)
            return None if step_ids is None else self._process(process_id, step_ids)

    def __iter__(self) -> Iterator[Process]:
        """The processes in the order they came, each consistent in itself."""
        with self._lock:
            process_ids = tuple(self._processes)
        for process_id in process_ids:
            process = self.process(process_id)
            if process is not None:
                yield process

    def page(self, offset: int, limit: int) -> list[Process]:
        """At most `limit` processes, after the first `offset`, in the order they came."""
        offset = min(offset, len(self))
        with self._lock:
            return [
                self._process(process_id, step_ids)
                for process_id, step_ids in islice(self._processes.items(), offset, offset + limit)
            ]

    def __len__(self) -> int:
        return len(self._processes)

    @property
    def number_of_steps(self) -> int:
        """How many steps there are in all processes."""
        return len(self._steps)

    def _process(self, process_id: str, step_ids: tuple[str, ...]) -> Process:
        now = self._clock.now()
        steps = tuple(self._expire(self._steps[step_id], now) for step_id in step_ids)
        return Process(process_id, steps)

    def _require(self, step_id: str) -> Step:
        step = self._steps.get(step_id)
        if step is None:
            raise _unknown(step_id)
        return self._expire(step, self._clock.now())

    def _expire(self, step: Step, now: int) -> Step:
        """Let a step whose time is over be FAILED. No timer is needed: nobody can look earlier."""
        if step.status is not Status.STARTED or step.deadline is None or now < step.deadline:
            return step
        failed = replace(
            step,
            status=Status.FAILED,
            deadline=None,
            failure=f"it was not completed within {step.time_out_in_seconds:g} s",
        )
        self._steps[step.id] = failed
        return failed


def _deadline(step: Step, now: int) -> int | None:
    return now + round(step.time_out_in_seconds * 1000) if step.time_out_in_seconds else None


def _unknown(step_id: str) -> PreconditionFailed:
    shown = shorten(step_id)
    return PreconditionFailed(
        {
            "processStepId": Violation(
                code="UNKNOWN_STEP",
                detail=f"There is no step {shown}. Ids belong to one token; is it the right one?",
                expected="id of a STARTED step",
                actual=shown,
            )
        }
    )


def _not_started(step: Step, wish: str = "completed") -> PreconditionFailed:
    reason = f", because {step.failure}" if step.failure else ""
    return PreconditionFailed(
        {
            "processStepId": Violation(
                code=f"STEP_{step.status}",
                detail=f"Step {shorten(step.id)} is {step.status}{reason};"
                f" only a STARTED step can be {wish}.",
                status=step.status,
                expected=Status.STARTED,
                actual=step.status,
            )
        },
        moved_by=step.moved_by,
    )
