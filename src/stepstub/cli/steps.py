"""The options of `stepstub verify` that say where steps come from."""

from collections.abc import Callable
from typing import Any

import click

from stepstub.cli.options import with_options
from stepstub.contract_tests.needs import STATES, Need, option

_HELP = {
    "started": "Id of a step that is STARTED and may be completed; may be given several times.",
    "last": "Id of a STARTED step that is the last of its process.",
    "before-params": "Id of a STARTED step whose next step has params of its own.",
    "pending": "Id of a PENDING step.",
    "failed": "Id of a FAILED step.",
    "expired": "Id of a step that was STARTED and not completed in time.",
}


def step_options(command: Callable[..., None]) -> Callable[..., None]:
    """An option for each state that a step can be given in, and the seed command."""
    seed = click.option(
        "--seed-command",
        metavar="COMMAND",
        help="Prints ids of fresh STARTED steps, one a line, or JSON with steps in other states,"
        ' {"started": ["ID"], "pending": "ID"}; called when steps run out.',
    )
    states = [
        click.option(option(state), _name(state), multiple=True, metavar="ID", help=text)
        for state, text in _HELP.items()
    ]
    return with_options(command, [*states, seed])


def take_steps(options: dict[str, Any]) -> dict[Need, tuple[str, ...]]:
    """The ids that were given for each state; they are removed from the options."""
    return {need: options.pop(_name(state)) for state, need in STATES.items()}


def _name(state: str) -> str:
    return f"{state.replace('-', '_')}_steps"
