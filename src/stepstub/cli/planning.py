"""The options of `stepstub verify` that choose cases, or only show what a run would do."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click

from stepstub.cli.options import WrongUsage, with_options

if TYPE_CHECKING:
    from stepstub.contract_tests.cases.case import Case


def planning_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that choose cases, and that only show them."""
    return with_options(command, _OPTIONS)


def selected(only: Sequence[str], exclude: Sequence[str]) -> "Sequence[Case]":
    """The cases that the options choose."""
    from stepstub.contract_tests.cases import ALL_CASES
    from stepstub.contract_tests.selection import UnknownCase, select

    try:
        return select(ALL_CASES, only, exclude)
    except UnknownCase as error:
        raise WrongUsage(str(error)) from error


_OPTIONS = (
    click.option(
        "--case",
        "only",
        multiple=True,
        metavar="NAME",
        help="Run only this case; a glob such as 'generated-*', may be given several times.",
    ),
    click.option(
        "--exclude",
        multiple=True,
        metavar="NAME",
        help="Leave this case out; likewise.",
    ),
    click.option(
        "--examples",
        default=100,
        show_default=True,
        type=click.IntRange(min=1),
        help="Bodies that a generated case tries at most; fewer on a slow server.",
    ),
    click.option("--list", "list_cases", is_flag=True, help="List the cases; needs no URL."),
    click.option(
        "--dry-run",
        is_flag=True,
        help="Show what the run would use and what it would not cover; sends nothing.",
    ),
)
