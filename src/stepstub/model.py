"""The records everything else speaks of: Param, Delegate, Step, Process.

They are immutable. A transition replaces a step by a changed copy, so whoever holds one holds a
consistent snapshot. `gc=False` is safe because a record never refers back to what holds it, and
keeps the garbage collector from walking a million steps.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal

from msgspec import UNSET, Struct, UnsetType, to_builtins


class Status(StrEnum):
    """Where a step is in its life."""

    PENDING = "PENDING"
    STARTED = "STARTED"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


class Param(Struct, frozen=True, gc=False, rename="camel"):
    """One named value. UNSET is a field that was not there, None one that was null.

    It equals the mapping that it is in JSON: `param == {"longValue": 3, "type": "LONG"}`. A long
    with a fraction, and a type beyond STRING, LONG and DOUBLE, exist only where the readings of a
    sandbox let them in.
    """

    str_value: str | None | UnsetType = UNSET
    long_value: int | float | None | UnsetType = UNSET
    double_value: float | None | UnsetType = UNSET
    type: str | None | UnsetType = UNSET

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Param) and isinstance(other, Mapping):
            return bool(to_builtins(self) == other)
        return super().__eq__(other)

    __hash__ = Struct.__hash__


Params = dict[str, Param]


class Delegate(Struct, frozen=True, gc=False, omit_defaults=True):
    """What the server calls to start a step. `url` belongs to the kind http alone."""

    kind: Literal["recorded", "http", "python", "failing"] = "recorded"
    url: str | None = None


RECORDED = Delegate()


class Result(Struct, frozen=True, gc=False):
    """What a completion was made with: the submitted params, and the started step's own."""

    submitted: Params
    own: Params


class Step(Struct, frozen=True, gc=False, kw_only=True):
    """One step of a process.

    `position` counts from 0. Times are milliseconds since the epoch on the sandbox's clock.
    `moved_by` is the number of the exchange that brought the step to its present status, and None
    when no exchange did. `failure` says in words why a step is FAILED. `result` is kept of a
    COMPLETED step where a second completion is to get the same response again.
    """

    id: str
    process_id: str
    position: int
    status: Status = Status.PENDING
    delegate: Delegate = RECORDED
    params: Params
    time_out_in_seconds: float = 0.0
    deadline: int | None = None
    moved_by: int | None = None
    failure: str | None = None
    result: Result | None = None


class Process(Struct, frozen=True, gc=False):
    """One run of a workflow: its steps in order."""

    id: str
    steps: tuple[Step, ...]
