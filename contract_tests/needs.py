"""The states that cases need steps in, and how steps in these states are given."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class Need(StrEnum):
    """The state a case needs a step in."""

    NOTHING = "nothing"
    STARTED = "a STARTED step"
    COMPLETED = "a step that has been completed"
    NAMED = "a step that a 200 has named as started"
    LAST = "the last step of a process"
    PENDING = "a PENDING step"
    FAILED = "a FAILED step"
    TIME_IS_OVER = "a step that was not completed in time"
    NEXT_HAS_PARAMS = "a STARTED step before one with params of its own"
    NEXT_FAILS = "a STARTED step before one that cannot be started"
    NEXT_CALLS = "a STARTED step before one whose delegate calls us"
    NEXT_IS_LATE = "a STARTED step before one that has no time"


STATES: Mapping[str, Need] = MappingProxyType(
    {
        "started": Need.STARTED,
        "pending": Need.PENDING,
        "failed": Need.FAILED,
        "expired": Need.TIME_IS_OVER,
        "last": Need.LAST,
        "before-params": Need.NEXT_HAS_PARAMS,
    }
)
"""The states that steps can be given in: by options, and in the JSON of a seed command."""

WHY_STUB_ONLY: Mapping[Need, str] = MappingProxyType(
    {
        Need.LAST: "the documented operation does not say which step is the last of its process",
        Need.PENDING: "the documented operation does not reveal the id of a PENDING step",
        Need.FAILED: "the documented operation does not reveal the id of a FAILED step",
        Need.TIME_IS_OVER: "the documented operation does not say how long a step may take",
        Need.NEXT_HAS_PARAMS: "the documented operation does not reveal a step's own params",
        Need.NEXT_FAILS: "the documented operation cannot make a server fail",
        Need.NEXT_CALLS: "the documented operation does not say what a delegate calls",
        Need.NEXT_IS_LATE: "the documented operation does not say how long a step may take",
    }
)
"""Why only a stub provides steps in these states, where nobody else gives them."""


def option(state: str) -> str:
    """The option that gives a step in one of the `STATES`."""
    return f"--step-{state}" if state.startswith("before-") else f"--{state}-step"


def remedy(need: Need) -> str:
    """How a step in a state is given. Raises `StopIteration` for a state it cannot be given in."""
    state = next(state for state, each in STATES.items() if each is need)
    return f'{option(state)} ID, or "{state}" in the JSON of a seed command'
