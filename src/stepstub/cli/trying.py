"""`stepstub try`."""

from pathlib import Path

import click

from stepstub.cli.options import (
    WrongUsage,
    cannot_run,
    is_default,
    scenario_option,
    scenario_processes,
    usage_of,
    wrong,
)


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
@scenario_option
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
@click.option(
    "--html",
    "html_file",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Write the result to this file as a page, too.",
)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def try_(
    choice: str,
    scenarios: tuple[str, ...],
    seconds: float,
    json_file: Path | None,
    html_file: Path | None,
    command: tuple[str, ...],
) -> None:
    """Run COMMAND against servers that read the document differently.

    Each run has a stub of its own: COMMAND finds it by STEPSTUB_URL and STEPSTUB_TOKEN, and what
    differs from the default in STEPSTUB_READING, STEPSTUB_VARY and STEPSTUB_VARY_ONLY. Exit status
    0: it passed under all. 1: some broke it. 2: it cannot be run or sends no request, or it fails
    under the default readings already. 130: it was interrupted.
    """
    import secrets
    from functools import partial

    from stepstub.readings import DEFAULT
    from stepstub.trying import section
    from stepstub.trying.choice import parse, with_seed
    from stepstub.trying.commands import Commands, NothingSeen
    from stepstub.trying.html_report import write
    from stepstub.trying.outcomes import unwritable

    for name, file in (("json_file", json_file), ("html_file", html_file)):
        if file is not None and (why := unwritable(file)):
            raise wrong(name, why)
    with usage_of("scenarios"):
        processes = scenario_processes(scenarios)
    with usage_of("choice"):
        choice = with_seed(choice, secrets.randbelow(10**6))
        trials = parse(choice, DEFAULT)
    options = [text for name in scenarios for text in ("--scenario", name)]
    if not is_default("seconds"):
        options += ["--time-limit", f"{seconds:g}"]
    runs = Commands(
        command,
        processes,
        seconds=seconds,
        output=click.echo,
        progress=partial(click.echo, err=True),
        options=options,
    )
    try:
        found = runs.under(choice, trials)
    except OSError as error:
        raise cannot_run(command, error) from error
    except NothingSeen as error:
        raise WrongUsage(str(error)) from error
    write(found, "command", json_file=json_file, html_file=html_file)
    if found.failed_by_default:
        raise WrongUsage("The command fails under the default readings, so nothing was tried.")
    click.echo(f"--- {section.TITLE} ({choice})")
    for line in section.lines(found, "command"):
        click.echo(line)
    if found.interrupted:
        raise SystemExit(130)
    raise SystemExit(1 if found.broken else 0)
