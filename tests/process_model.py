"""A model of a process of three steps, and what is seen of several: for the linearization checker.

A completion that calls a delegate is two operations here, `complete` up to the call and `settle`
after it, as the docstring of tests/stores/test_linearizability.py explains.
"""

from dataclasses import replace
from typing import Any, NamedTuple

from linearizability import UNKNOWN, Operation, linearization


class Record(NamedTuple):
    """A step: its status, who moved it there, and by which of its exchanges. `before` is undone."""

    letter: str
    by: object = None
    before: Any = None  # of a completed step: the records of it and of the next one


Steps = tuple[Record, ...]

BEGINNING: Steps = (Record("S"), Record("P"), Record("P"))


def model(steps: Steps, operation: Operation) -> Steps | None:
    name, result = operation.name, operation.result
    if name == "look":
        return steps if result == "".join(step.letter for step in steps) else None
    if name == "reset":
        return BEGINNING
    index = int(str(operation.arguments[0]))
    step, following = steps[index], steps[index + 1 : index + 2]
    by = operation.arguments[-1]
    if name == "settle":  # after the delegate failed
        if step.by != by:
            return None  # its own completion comes first
        if following[0].by == by and following[0].letter == "S":
            undone = with_(steps, index, step.before)
            return undone if result in ("undone", UNKNOWN) else None
        expected = "completed" if following[0].letter == "C" else "stands"
        return steps if result == expected else None
    if step.letter != "S":
        return steps if result == step.letter else None
    if result not in ("done", UNKNOWN):
        return None
    if name == "fail":
        return with_(steps, index, (Record("F"),))
    completed = Record("C", by, (step, *following))
    return with_(steps, index, (completed, *(Record("S", by) for _ in following)))


def with_(steps: Steps, index: int, changed: tuple[Record, ...]) -> Steps:
    return (*steps[:index], *changed, *steps[index + len(changed) :])


def is_linearizable(operations: list[Operation]) -> bool:
    """Processes share nothing, so each has an order of its own."""
    by_process: dict[Any, list[Operation]] = {}
    for each in operations:
        by_process.setdefault(each.arguments[0], []).append(
            replace(each, arguments=each.arguments[1:])
        )
    return all(linearization(each, BEGINNING, model) is not None for each in by_process.values())
