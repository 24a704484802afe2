"""`stepstub serve`."""

import json
import secrets
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from socket import socket
from typing import TYPE_CHECKING, NamedTuple

import click

from stepstub.cli.options import (
    cannot_listen,
    check_token,
    chosen_readings,
    is_from_environment,
    is_started,
    listed,
    readings_options,
    scenario_option,
    scenario_processes,
    usage_of,
    wrong,
)
from stepstub.cli.tracing import tracing

if TYPE_CHECKING:
    from stepstub.model import Process
    from stepstub.readiness import ReadyFile
    from stepstub.readings import Readings
    from stepstub.stores.valkey.address import Address
    from stepstub.variations import Vary

GENERATE = "generate"
"""In the place of a control token: one is drawn at the start."""


@click.command()
@click.option(
    "--host",
    envvar="STEPSTUB_HOST",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on.",
)
@click.option(
    "--port",
    envvar="STEPSTUB_PORT",
    default=8080,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port to listen on; 0 picks a free one.",
)
@scenario_option
@readings_options
@click.option(
    "--vary",
    "seed",
    envvar="STEPSTUB_VARY",
    metavar="SEED",
    type=click.IntRange(min=0),
    help="Vary responses in what every correct client tolerates, as this number has it.",
)
@click.option(
    "--vary-only",
    "kinds",
    envvar="STEPSTUB_VARY_ONLY",
    multiple=True,
    metavar="KIND",
    help="Vary in this kind alone, as `stepstub variations` lists it; may be given several times.",
)
@click.option(
    "--token",
    envvar="STEPSTUB_TOKEN",
    default="stub-token",
    show_default=True,
    help="Bearer token the stub accepts.",
)
@click.option(
    "--ready-file",
    "ready_path",
    envvar="STEPSTUB_READY_FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write URL, port and pid to this file as JSON once the stub listens; removed in the end.",
)
@click.option(
    "--until-eof",
    is_flag=True,
    envvar="STEPSTUB_UNTIL_EOF",
    help="End when standard input does, as a pipe from the process that started the stub.",
)
@click.option(
    "--max-body-bytes",
    envvar="STEPSTUB_MAX_BODY_BYTES",
    default=1024 * 1024,
    show_default=True,
    type=click.IntRange(min=1),
    help="Largest request body; a larger one gets 413.",
)
@click.option(
    "--log-format",
    envvar="STEPSTUB_LOG_FORMAT",
    default="text",
    show_default=True,
    type=click.Choice(["text", "json"]),
    help="How each exchange is logged on stderr; with json, the start on stdout as well.",
)
@click.option(
    "--log-level",
    envvar="STEPSTUB_LOG_LEVEL",
    default="info",
    show_default=True,
    type=click.Choice(["info", "warning", "error"]),
    help="info logs every exchange.",
)
@click.option(
    "--quiet",
    is_flag=True,
    envvar="STEPSTUB_QUIET",
    help="Print nothing at the start, and log no exchanges.",
)
@click.option(
    "--control-token",
    envvar="STEPSTUB_CONTROL_TOKEN",
    help="Token the control API asks for in X-Stepstub-Control-Token; `generate` draws one and"
    " prints it.",
)
@click.option(
    "--no-control",
    is_flag=True,
    envvar="STEPSTUB_NO_CONTROL",
    help="No control API and no console at all.",
)
@click.option(
    "--metrics",
    "with_metrics",
    is_flag=True,
    envvar="STEPSTUB_METRICS",
    help="Count exchanges, for Prometheus to read at /_stub/metrics.",
)
@click.option(
    "--allow-host",
    "allow_hosts",
    envvar="STEPSTUB_ALLOW_HOST",
    multiple=True,
    metavar="NAME",
    help="Host that requests may name in Host; may be given several times."
    "  [default: loopback names on a loopback address, else any]",
)
@click.option(
    "--journal-size",
    envvar="STEPSTUB_JOURNAL_SIZE",
    default=1000,
    show_default=True,
    type=click.IntRange(1, 1_000_000),
    help="Exchanges that a sandbox remembers.",
)
@click.option(
    "--max-sandboxes",
    envvar="STEPSTUB_MAX_SANDBOXES",
    default=1000,
    show_default=True,
    type=click.IntRange(0, 1_000_000),
    help="Sandboxes there may be beside the default one.",
)
@click.option(
    "--workers",
    envvar="STEPSTUB_WORKERS",
    default=1,
    show_default=True,
    type=click.IntRange(min=1),
    help="Processes that serve the port; more than one takes --state.",
)
@click.option(
    "--state",
    "state_url",
    envvar="STEPSTUB_STATE",
    metavar="URL",
    help="Keep all state in a Valkey or Redis server, valkey://HOST:PORT/0, for all stubs that name"
    " it.",
)
@click.option(
    "--expire-sandboxes",
    "expire_after",
    envvar="STEPSTUB_EXPIRE_SANDBOXES",
    metavar="HOURS",
    default=168.0,
    show_default=True,
    type=click.FloatRange(min=0.001),
    help="With --state: delete a sandbox that nobody has used for so long.",
)
def serve(
    host: str,
    port: int,
    scenarios: tuple[str, ...],
    profile: str | None,
    single_readings: tuple[str, ...],
    seed: int | None,
    kinds: tuple[str, ...],
    token: str,
    ready_path: Path | None,
    until_eof: bool,
    max_body_bytes: int,
    log_format: str,
    log_level: str,
    quiet: bool,
    control_token: str | None,
    no_control: bool,
    with_metrics: bool,
    allow_hosts: tuple[str, ...],
    journal_size: int,
    max_sandboxes: int,
    workers: int,
    state_url: str | None,
    expire_after: float,
) -> None:
    """Run the stub until Ctrl-C or SIGTERM.

    Every option can also be given in the environment, --log-format as STEPSTUB_LOG_FORMAT.
    """
    check_token(token, "token")
    drawn = _drawn(control_token, quiet=quiet) if not no_control else None
    control_token = drawn or control_token
    for name in allow_hosts:
        _check_host(name)
    if workers > 1 and state_url is None:
        raise wrong(
            "workers",
            "processes and their steps live in the memory of one process; more workers would each"
            " have their own. Give --state, where all of them keep their state.",
        )
    if workers > 1 and with_metrics:
        raise wrong(
            "workers",
            "each worker would count its own exchanges, and a scrape reaches one of them. Start"
            " several stubs with --metrics instead, on the same --state.",
        )

    from stepstub import logs, variations

    readings = chosen_readings(profile, single_readings)
    if kinds and seed is None:
        raise wrong("kinds", "it goes with a seed: give --vary, too.")
    with usage_of("kinds"):
        vary = None if seed is None else variations.checked(seed, kinds)
    processes = scenario_processes(scenarios)

    from stepstub.app import create_app
    from stepstub.concurrency import EventLoopConcurrency
    from stepstub.readiness import Ready, notify
    from stepstub.serving.server import is_loopback, serve, url_of
    from stepstub.serving.workers import serve_with_workers
    from stepstub.settings import DEFAULT_TOKEN, Limits, Settings

    state, was_there = (None, False) if state_url is None else _state(state_url, token)
    listener = _listener(host, port, is_guarded=no_control or bool(control_token))
    if token == DEFAULT_TOKEN and not is_loopback(listener):
        click.echo(
            f"Warning: others can reach the stub on {host}, and everybody knows the token {token};"
            " set another with --token.",
            err=True,
        )
    logs.configure(log_format, "warning" if quiet and log_level == "info" else log_level)
    settings = Settings(
        token=token,
        max_body_bytes=max_body_bytes,
        with_control=not no_control,
        with_metrics=with_metrics,
        control_token=control_token,
        limits=Limits(journal=journal_size, sandboxes=max_sandboxes),
        readings=readings,
        vary=vary,
        sandboxes_expire_after=expire_after * 3600,
    )
    shown = _Token(token, is_secret=is_from_environment(click.get_current_context(), "token"))
    url = url_of(listener)
    banner = (
        _banner_of_a_restart(url, shown, drawn, with_console=not no_control)
        if was_there
        else _banner(url, shown, drawn, processes, readings, vary, with_console=not no_control)
    )
    ready = Ready.at(url, control=not no_control)
    with tracing() as spans, _ready_file(ready_path) as file:

        def started() -> None:
            if file is not None:
                file.write(ready)
            notify("READY=1")
            if not quiet:
                click.echo(ready.as_json(drawn) if log_format == "json" else banner)

        app = create_app(
            processes, settings, concurrency=EventLoopConcurrency(), tracing=spans, state=state
        )
        serve_it = serve if workers == 1 else partial(serve_with_workers, workers=workers)
        serve_it(app, listener, started, allow_hosts=allow_hosts, until_eof=until_eof)
        notify("STOPPING=1")


def _state(url: str, token: str) -> "tuple[Address, bool]":
    """Where the state is kept, and whether there is any of an earlier start.

    Raises what ends the command where it cannot be kept there.
    """
    from stepstub.errors import BadRequest
    from stepstub.sandbox import DEFAULT_ID

    try:
        from stepstub.stores.valkey import fitness
        from stepstub.stores.valkey.address import Address
    except ModuleNotFoundError as error:
        raise wrong(
            "state_url", f"it takes {error.name}, which is not installed: pip install {error.name}"
        ) from error
    try:
        address = Address(url)
    except BadRequest as error:
        raise wrong("state_url", str(error)) from error
    return address, fitness.check(address, token, DEFAULT_ID)


def _drawn(control_token: str | None, *, quiet: bool) -> str | None:
    """A control token, if one is to be drawn. Any other is checked."""
    if control_token != GENERATE:
        if control_token is not None:
            check_token(control_token, "control_token")
        return None
    if quiet:
        raise wrong("control_token", "nobody would learn a generated token with --quiet.")
    return secrets.token_urlsafe()


def _listener(host: str, port: int, *, is_guarded: bool) -> socket:
    from stepstub.serving.server import is_loopback, listen

    try:
        listener = listen(host, port)
    except (OSError, UnicodeError) as error:
        raise click.ClickException(cannot_listen(host, port, error)) from error
    if not (is_guarded or is_loopback(listener)):
        listener.close()
        raise click.ClickException(
            f"On {host} others can reach the control API, which needs no password: give a"
            f" --control-token, which may be `{GENERATE}`, or --no-control to switch it off."
        )
    return listener


@contextmanager
def _ready_file(path: Path | None) -> "Iterator[ReadyFile | None]":
    """The file that says that the stub is ready, if one is asked for; removed in the end."""
    from stepstub.readiness import ReadyFile

    try:
        file = None if path is None else ReadyFile(path)
    except OSError as error:
        raise wrong("ready_path", f"cannot write {path}: {error.strerror}.") from error
    try:
        yield file
    finally:
        if file is not None:
            file.remove()


def _check_host(name: str) -> None:
    from stepstub.serving.hosts import is_host_name

    if not is_host_name(name):
        raise wrong("allow_hosts", f"{name!r} is not a host name or address without a port.")


class _Token(NamedTuple):
    """A token as it is shown: what its user has typed in full, the environment's by its name."""

    value: str
    is_secret: bool

    def __str__(self) -> str:
        return "from STEPSTUB_TOKEN" if self.is_secret else self.value

    def options(self, readings: "Readings") -> str:
        """The options of curl that send it as the readings ask, quoted for a shell."""
        from stepstub.shell import credentials_options

        value = "$STEPSTUB_TOKEN" if self.is_secret else self.value
        return credentials_options(readings, value, is_variable=self.is_secret)


def _banner(
    url: str,
    token: _Token,
    control_token: str | None,
    processes: "Sequence[Process]",
    readings: "Readings",
    vary: "Vary | None",
    *,
    with_console: bool,
) -> str:
    from stepstub.readings import differing
    from stepstub.schema import printable

    lines = [*_where(url, token, with_console=with_console), *listed(processes)]
    if control_token is not None:
        lines.append(f"  control token: {control_token}")
    if changed := differing(readings):
        shown = ", ".join(f"{name}: {printable(str(value))}" for name, value in changed.items())
        lines.append(f"  readings that differ from the default: {shown}")
    if vary is not None:
        lines.append(
            f"  responses vary by the seed {vary.seed}: {', '.join(vary.only) or 'all kinds'}"
        )
    started = (step.id for process in processes for step in process.steps if is_started(step))
    if first_started := next(started, None):
        lines += ["Try it:", f"  {_curl(url, token, first_started, readings)}"]
    return "\n".join(lines)


def _where(url: str, token: _Token, *, with_console: bool) -> list[str]:
    lines = [f"Stepstub listens on {url} (page: {url}/docs), token {token}"]
    return [*lines, f"Console: {url}/_stub/console"] if with_console else lines


def _banner_of_a_restart(
    url: str, token: _Token, control_token: str | None, *, with_console: bool
) -> str:
    lines = _where(url, token, with_console=with_console)
    lines.append(
        "  processes are as an earlier start has left them: --scenario, readings and --vary take"
        " effect with a reset"
    )
    if control_token is not None:
        lines.append(f"  control token: {control_token}")
    return "\n".join(lines)


def _curl(url: str, token: _Token, step_id: str, readings: "Readings") -> str:
    body = json.dumps({"processStepId": step_id})
    before = ["curl", "-i", f"{url}/api/v1/processes/complete-step"]
    after = ["-H", "Content-Type: application/json", "-d", body]
    return f"{shlex.join(before)} {token.options(readings)} {shlex.join(after)}"
