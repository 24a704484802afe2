"""Misbehaviour on purpose, a counted number of times.

A fault strikes `before` anything has moved, or `after` the step was completed, when only the
response is lost. The difference is what a client's retry has to live with.
"""

from collections.abc import Iterator
from threading import Lock
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from stepstub.errors import Conflict

Phase = Literal["before", "after"]
Action = Literal["respond", "delay", "disconnect", "malformed"]

_MOST_RULES = 1000


class Fault(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One rule. `status` belongs to the action respond, `seconds` to delay.

    `process_step_id` of None means any step; `remaining` counts the strikes still to come.
    """

    id: str
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
    """The rules of one sandbox, tried in the order they came."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._rules: tuple[Fault, ...] = ()

    def __iter__(self) -> Iterator[Fault]:
        return iter(self._rules)

    def add(self, fault: Fault) -> None:
        """Add a rule. Raises `Conflict` when there are a thousand already."""
        with self._lock:
            if len(self._rules) >= _MOST_RULES:
                raise Conflict(f"There are {_MOST_RULES} faults already; clear some first.")
            self._rules = (*self._rules, fault)

    def clear(self) -> None:
        with self._lock:
            self._rules = ()

    def take(self, phase: Phase, step_id: str) -> Fault | None:
        """The first rule that applies, counted down by one; None where none does."""
        if not self._rules:
            return None
        with self._lock:
            for index, fault in enumerate(self._rules):
                if fault.phase == phase and fault.process_step_id in (None, step_id):
                    left = replace(fault, remaining=fault.remaining - 1)
                    kept = (left,) if left.remaining else ()
                    self._rules = (*self._rules[:index], *kept, *self._rules[index + 1 :])
                    return fault
        return None
