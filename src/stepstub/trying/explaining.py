"""Which values of a trial explain why it broke a test: as few as explain all that the test shows.

A value that a trial has which the test survived is not to blame, nor are two of them that stand
together in one. Of what is left, that counts first which explains most of the failures.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations

from msgspec import Struct

from stepstub.readings import Value

Values = Mapping[str, Value]
Cause = tuple[tuple[str, Value], ...]


class Failure(Struct, frozen=True):
    """A trial that broke the test; `shaping` are the names of what shaped a response in it."""

    trial: str
    values: Values
    shaping: frozenset[str]


def explanations(
    failures: Iterable[Failure], survived: Sequence[Values]
) -> dict[str, tuple[str, ...]]:
    """The names of the values that explain each failure, by its trial, of one test.

    Single values, or else pairs of them; all that could be if nothing tells them apart.
    """
    left = {failure.trial: failure for failure in failures}
    found: dict[str, tuple[str, ...]] = {}
    for size in (1, 2):
        causes = _possible_causes(left.values(), survived, size)
        while best := _best(causes, left):
            explained = {trial for cause in best for trial in causes[cause]} & set(left)
            for trial in explained:
                names = {name for cause in best if trial in causes[cause] for name, _ in cause}
                found[trial] = _in_order(left.pop(trial).values, names)
    for trial, failure in left.items():
        found[trial] = _in_order(failure.values, failure.shaping) or tuple(failure.values)
    return found


def _possible_causes(
    failures: Iterable[Failure], survived: Sequence[Values], size: int
) -> dict[Cause, set[str]]:
    """So many values that no survived trial has together, with the trials that have them."""
    harmless = {cause for values in survived for cause in _together(values, size)}
    causes: dict[Cause, set[str]] = {}
    for failure in failures:
        for cause in _together(failure.values, size):
            if cause not in harmless:
                causes.setdefault(cause, set()).add(failure.trial)
    return causes


def _together(values: Values, size: int) -> Iterator[Cause]:
    return combinations(sorted(values.items(), key=lambda item: item[0]), size)


def _best(causes: Mapping[Cause, set[str]], left: Mapping[str, Failure]) -> list[Cause]:
    """Those that explain most of what is left to explain, all of them if there are several.

    What shaped a response comes before what did not.
    """
    ranked: dict[tuple[int, int], list[Cause]] = {}
    for cause, trials in causes.items():
        open_trials = [left[trial] for trial in trials if trial in left]
        if open_trials:
            names = {name for name, _ in cause}
            shaped = sum(names <= failure.shaping for failure in open_trials)
            ranked.setdefault((shaped, len(open_trials)), []).append(cause)
    return ranked[max(ranked)] if ranked else []


def _in_order(values: Values, names: Iterable[str]) -> tuple[str, ...]:
    chosen = set(names)
    return tuple(name for name in values if name in chosen)
