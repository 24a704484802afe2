"""Whether what several threads saw could have happened one thing after the other.

A history is linearizable when its operations can be put in an order in which each gives the result
it gave, and in which none comes before another that had ended when it began. The search is that of
Wing and Gong, and does not look twice at the same operations done with the same state (Lowe).

Of an operation whose result nobody has seen, because its connection broke, only the start is known:
it may have taken place at any time since, or never.
"""

import sys
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

State = TypeVar("State", bound=Hashable)

UNKNOWN = "unknown"
"""The result of an operation that has taken place at some time, or never."""
NEVER = sys.maxsize
"""Its end."""


@dataclass(frozen=True)
class Operation:
    """What one thread did. `start` and `end` order it against the others; they are no times."""

    thread: int
    name: str
    arguments: tuple[Hashable, ...]
    result: Hashable
    start: int
    end: int


Model = Callable[[State, Operation], State | None]
"""The state after an operation, None when the operation cannot have had its result there.

For one whose result is unknown: the state if it takes effect, None when it would have none.
"""


def linearization(
    history: Iterable[Operation], initial: State, model: Model[State]
) -> list[Operation] | None:
    """An order that explains the history, None when there is none."""
    operations = sorted(history, key=lambda each: each.start)
    certain = sum(1 << index for index, each in enumerate(operations) if each.result != UNKNOWN)
    seen: set[tuple[int, State]] = set()
    # One frame for each operation that has been put in order: what is done, the state, what to try.
    stack = [(0, initial, _minimal(operations, 0))]
    order: list[Operation] = []
    while stack:
        done, state, candidates = stack[-1]
        if done & certain == certain:
            return order
        while candidates:
            index = candidates.pop()
            after = model(state, operations[index])
            next_done = done | 1 << index
            if after is not None and (next_done, after) not in seen:
                seen.add((next_done, after))
                order.append(operations[index])
                stack.append((next_done, after, _minimal(operations, next_done)))
                break
        else:
            stack.pop()
            if order:
                order.pop()
    return None


def _minimal(operations: Sequence[Operation], done: int) -> list[int]:
    """The operations that may come next: none that is left had ended before they began."""
    left = [index for index in range(len(operations)) if not done >> index & 1]
    first_end = min((operations[index].end for index in left), default=0)
    return [index for index in left if operations[index].start < first_end]
