"""Misbehaviour on purpose, a counted number of times: the rules, and which one applies.

A fault strikes `before` anything has moved, or `after` the step was completed, when only the
response is lost. The difference is what a client's retry has to live with.
"""

from collections import deque
from collections.abc import Iterator
from itertools import chain
from operator import itemgetter
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from stepstub.errors import InConflict

Phase = Literal["before", "after"]
Action = Literal["respond", "delay", "disconnect", "malformed"]

MAX_FAULTS = 1000


class Fault(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One rule. `status` belongs to the action respond, `seconds` to delay.

    The store gives it its `id`. `process_step_id` of None means any step; `remaining` counts
    the strikes still to come.
    """

    id: str = ""
    phase: Phase
    action: Action
    status: int | None = None
    seconds: float | None = None
    process_step_id: str | None = None
    remaining: int

    def describe(self) -> str:
        """`after: respond 500`, for the journal."""
        match self.action:
            case "respond":
                return f"{self.phase}: respond {self.status}"
            case "delay":
                return f"{self.phase}: delay of {self.seconds:g} s"
            case "disconnect":
                return f"{self.phase}: connection broken"
            case "malformed":
                return f"{self.phase}: malformed JSON"


class Faults:
    """The faults of a sandbox, tried in the order they came. Not safe for several threads at once.

    Kept by phase and step, so what a completion pays does not depend on how many there are.
    """

    def __init__(self) -> None:
        # Under each key in the order they came; the number says so across the keys.
        self._queues: dict[tuple[Phase, str | None], deque[tuple[int, Fault]]] = {}
        self._length = 0
        self._last = 0

    def add(self, fault: Fault) -> None:
        """Add one more. Raises `InConflict` when there are a thousand already."""
        if self._length >= MAX_FAULTS:
            raise InConflict(f"There are {MAX_FAULTS} faults already; clear some first.")
        self._last += 1
        self._length += 1
        queue = self._queues.setdefault((fault.phase, fault.process_step_id), deque())
        queue.append((self._last, fault))

    def take(self, phase: Phase, step_id: str) -> Fault | None:
        """The first fault that applies; it is counted down by one."""
        about_it, about_any = self._queues.get((phase, step_id)), self._queues.get((phase, None))
        queue = about_it or about_any
        if not queue:
            return None
        if about_it and about_any:
            queue = min(about_it, about_any, key=itemgetter(0))
        number, fault = queue[0]
        if fault.remaining > 1:
            queue[0] = (number, replace(fault, remaining=fault.remaining - 1))
        else:
            queue.popleft()
            self._length -= 1
            if not queue:
                del self._queues[phase, fault.process_step_id]
        return fault

    def clear(self) -> None:
        """Remove all of them."""
        self._queues.clear()
        self._length = 0

    def __iter__(self) -> Iterator[Fault]:
        """In the order they are tried."""
        numbered = sorted(chain.from_iterable(self._queues.values()), key=itemgetter(0))
        return iter([fault for _, fault in numbered])

    def __len__(self) -> int:
        return self._length
