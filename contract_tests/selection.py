"""Which of the cases a run has."""

from collections.abc import Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

from stepstub.contract_tests.cases.case import Case
from stepstub.contract_tests.plan import cost


class UnknownCase(Exception):
    """A pattern matches no case, or no case is left. The message says which, and the remedy."""


def select(cases: Sequence[Case], only: Sequence[str], exclude: Sequence[str]) -> list[Case]:
    """The cases whose names match one of the patterns `only`, all of them if there is none; but
    none that matches one of `exclude`.

    Patterns are globs such as `generated-*`. Raises `UnknownCase`.
    """
    _check("--case", only, cases)
    _check("--exclude", exclude, cases)
    selected = [
        case for case in cases if _matches(case, only or ["*"]) and not _matches(case, exclude)
    ]
    if not selected:
        raise UnknownCase("--exclude leaves no case")
    return selected


def table(cases: Sequence[Case], examples: int) -> list[str]:
    """A line for each case, below a heading.

    `second-completion  412  a second completion of a step  completed-step  0`
    """
    rows = [("case", "status", "situation", "decided by", "steps")]
    for case in cases:
        decided_by = case.reading or "the document"
        steps = str(cost(case, examples).steps)
        rows.append((case.name, str(case.status), case.situation, decided_by, steps))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _matches(case: Case, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(case.name, pattern) for pattern in patterns)


def _check(option: str, patterns: Sequence[str], cases: Sequence[Case]) -> None:
    for pattern in patterns:
        if not any(_matches(case, [pattern]) for case in cases):
            near = get_close_matches(pattern, [case.name for case in cases], n=2)
            remedy = f"did you mean {' or '.join(near)}?" if near else "--list prints them all"
            raise UnknownCase(f"{option} {pattern}: no case has such a name; {remedy}")
