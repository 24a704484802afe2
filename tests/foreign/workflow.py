"""The processes behind a foreign server, kept in memory as an example would keep them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from threading import Lock
from typing import Any

TOKEN = "token-of-the-foreign-workflow"
LENGTH = 4

Params = dict[str, Any]


class UnknownStep(Exception):
    """There is no such step."""


class NotStarted(Exception):
    """The step is in another status, which is the exception's text."""


@dataclass
class Step:
    """A step of the process at `process_id`, whose next step is at `next_id`."""

    id: str
    process_id: str
    next_id: str | None
    params: Params = field(default_factory=dict)
    status: str = "PENDING"


class Workflow:
    """Processes of four steps; the second step of each has params of its own, `own_params`."""

    def __init__(self, own_params: Params) -> None:
        self._own_params = own_params
        self._steps: dict[str, Step] = {}
        self._numbers = count(1)
        self._lock = Lock()

    def start(self, length: int = LENGTH, status: str = "STARTED") -> Sequence[str]:
        """Start a process, whose first step is in this status; the ids of its steps."""
        number = next(self._numbers)
        ids = [f"process-{number}-step-{position}" for position in range(1, length + 1)]
        for step_id, next_id in zip(ids, [*ids[1:], None], strict=True):
            self._steps[step_id] = Step(step_id, f"process-{number}", next_id)
        self._steps[ids[0]].status = status
        for second in ids[1:2]:
            self._steps[second].params = self._own_params
        return ids

    def complete(self, step_id: str) -> tuple[Step, Step | None]:
        """Complete a step and start the next one, if there is one; both.

        Raises `UnknownStep` and `NotStarted`.
        """
        with self._lock:
            if step_id not in self._steps:
                raise UnknownStep(step_id)
            step = self._steps[step_id]
            if step.status != "STARTED":
                raise NotStarted(step.status)
            step.status = "COMPLETED"
            following = self._steps[step.next_id] if step.next_id else None
            if following:
                following.status = "STARTED"
            return step, following

    def seeds(self) -> dict[str, list[str]]:
        """Ids of steps of fresh processes, by what is known of them."""
        return {
            "started": [self.start()[0] for _ in range(5)],
            "pending": [self.start()[2]],
            "failed": [self.start(status="FAILED")[0]],
            "expired": [self.start(status="EXPIRED")[0]],
            "last": [self.start(length=1)[0]],
        }
