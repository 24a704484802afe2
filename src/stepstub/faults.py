"""Misbehaviour on purpose, a counted number of times: the rules, and which one applies.

A fault strikes `before` anything has moved, or `after` the step was completed, when only the
response is lost. The difference is what a client's retry has to live with.
"""

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


Faults = tuple[Fault, ...]
"""The faults of a sandbox, tried in the order they came."""


def add(faults: Faults, fault: Fault) -> Faults:
    """The faults with one more. Raises `InConflict` when there are a thousand already."""
    if len(faults) >= MAX_FAULTS:
        raise InConflict(f"There are {MAX_FAULTS} faults already; clear some first.")
    return (*faults, fault)


def take(faults: Faults, phase: Phase, step_id: str) -> tuple[Fault | None, Faults]:
    """The first fault that applies, and the faults with it counted down by one."""
    for index, fault in enumerate(faults):
        if fault.phase == phase and fault.process_step_id in (None, step_id):
            left = replace(fault, remaining=fault.remaining - 1)
            kept = (left,) if left.remaining else ()
            return fault, (*faults[:index], *kept, *faults[index + 1 :])
    return None, faults
