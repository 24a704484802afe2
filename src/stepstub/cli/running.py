"""`stepstub run`."""

from collections.abc import Mapping

import click

from stepstub.cli.options import (
    WrongUsage,
    cannot_listen,
    cannot_run,
    chosen_readings,
    readings_options,
    scenario_option,
    scenario_processes,
    usage_of,
)


@click.command("run", context_settings={"ignore_unknown_options": True})
@scenario_option
@readings_options
@click.option(
    "--port",
    default=0,
    type=click.IntRange(0, 65535),
    help="Port to listen on.  [default: a free one]",
)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run(
    scenarios: tuple[str, ...],
    profile: str | None,
    single_readings: tuple[str, ...],
    port: int,
    command: tuple[str, ...],
) -> None:
    """Run COMMAND beside a stub, which ends with it.

    COMMAND finds the stub by STEPSTUB_URL and STEPSTUB_TOKEN. Its exit status is handed on.
    """
    import secrets

    from stepstub.app import create_app
    from stepstub.concurrency import EventLoopConcurrency
    from stepstub.running import environment
    from stepstub.serving.server import serve_in_thread
    from stepstub.settings import Settings

    with usage_of("single_readings"):
        readings = chosen_readings(profile, single_readings)
    with usage_of("scenarios"):
        processes = scenario_processes(scenarios)
    settings = Settings(token=secrets.token_urlsafe(12), readings=readings)
    app = create_app(processes, settings, concurrency=EventLoopConcurrency())
    try:
        with serve_in_thread(app, port=port) as url:
            raise SystemExit(_status(command, environment(url, settings.token)))
    except OSError as error:
        raise WrongUsage(cannot_listen("127.0.0.1", port, error)) from error


def _status(command: tuple[str, ...], environment: Mapping[str, str]) -> int:
    from stepstub.running import in_the_foreground

    try:
        return in_the_foreground(command, environment)
    except OSError as error:
        raise cannot_run(command, error) from error
