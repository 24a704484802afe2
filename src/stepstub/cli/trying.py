"""`stepstub try`."""

import shlex
from pathlib import Path

import click

from stepstub.cli.options import DEFAULT_SCENARIO, wrong


@click.command("try", context_settings={"ignore_unknown_options": True})
@click.option(
    "--readings",
    "choice",
    default="each",
    show_default=True,
    metavar="each|pairs|random:N[:SEED]|NAME|FILE|READING=VALUE",
    help="What to try: every value in turn, pairs of values, N random sets, a profile, or single"
    " values separated by commas.",
)
@click.option(
    "--scenario",
    "scenarios",
    multiple=True,
    metavar="NAME|PATH",
    help=f"Scenario that each stub has; may be given several times.  [default: {DEFAULT_SCENARIO}]",
)
@click.option(
    "--time-limit",
    "seconds",
    default=60.0,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    help="Seconds that one run may take.",
)
@click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Write the result to this file, too.",
)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def try_(
    choice: str,
    scenarios: tuple[str, ...],
    seconds: float,
    json_file: Path | None,
    command: tuple[str, ...],
) -> None:
    """Run COMMAND against servers that read the document differently.

    Each run has a stub of its own: COMMAND finds it by STEPSTUB_URL and STEPSTUB_TOKEN, and what
    differs from the default in STEPSTUB_READING, STEPSTUB_VARY and STEPSTUB_VARY_ONLY. Exit status
    0: it passed under all. 1: some broke it. 2: it cannot be run, or fails under the default
    readings already.
    """
    import secrets

    from stepstub import scenario
    from stepstub.cli.options import WrongUsage
    from stepstub.errors import InvalidReadings, InvalidVariations
    from stepstub.readings import DEFAULT
    from stepstub.trying import section
    from stepstub.trying.choice import CannotChoose, parse, with_seed
    from stepstub.trying.commands import Commands

    processes = scenario.merge(
        [scenario.load(name) for name in dict.fromkeys(scenarios or (DEFAULT_SCENARIO,))]
    )
    choice = with_seed(choice, secrets.randbelow(10**6))
    try:
        trials = parse(choice, DEFAULT)
    except (CannotChoose, InvalidReadings, InvalidVariations) as error:
        raise wrong("choice", str(error)) from error
    runs = Commands(command, processes, seconds=seconds, output=click.echo)
    try:
        found = runs.under(choice, trials)
    except OSError as error:
        raise WrongUsage(f"Cannot run {shlex.join(command)}: {error.strerror}.") from error
    if json_file is not None:
        json_file.write_bytes(found.as_json())
    if found.failed_by_default:
        raise WrongUsage("The command fails under the default readings, so nothing was tried.")
    click.echo(f"--- {section.TITLE} ({choice})")
    for line in section.lines(found, "command"):
        click.echo(line)
    raise SystemExit(1 if found.broken else 0)
