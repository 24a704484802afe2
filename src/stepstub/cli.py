"""The command line. Heavy imports wait until a command needs them, so `--help` is instant."""

import errno
import json
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
from click.core import ParameterSource

from stepstub.errors import StepstubError

if TYPE_CHECKING:
    from stepstub.model import Process, Step
    from stepstub.readings import Readings

_DEFAULT_SCENARIO = "two-steps"
_LISTED = 20


class _WrongUsage(click.ClickException):
    exit_code = 2


class _Group(click.Group):
    """Turns every error a user can make into one line on stderr and a non-zero exit status."""

    def invoke(self, context: click.Context) -> object:
        try:
            return super().invoke(context)
        except StepstubError as error:
            raise click.ClickException(str(error)) from error
        except click.UsageError as error:
            raise _WrongUsage(_message(error)) from error


def _message(error: click.UsageError) -> str:
    """What is wrong; a value from the environment goes by the name of its variable."""
    if (
        isinstance(error, click.BadParameter)
        and (parameter := error.param)
        and error.ctx
        and _is_from_environment(error.ctx, parameter.name)
    ):
        error.param_hint = str(parameter.envvar)
    return error.format_message()


def _is_from_environment(context: click.Context, name: str | None) -> bool:
    return context.get_parameter_source(name or "") is ParameterSource.ENVIRONMENT


def _wrong(name: str, what: str) -> click.BadParameter:
    """The error for a parameter of the present command."""
    context = click.get_current_context()
    (parameter,) = (each for each in context.command.params if each.name == name)
    return click.BadParameter(what, context, parameter)


def _readings_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that choose readings: a profile, and single ones on top of it."""
    profile = click.option(
        "--readings",
        "profile",
        envvar="STEPSTUB_READINGS",
        metavar="NAME|PATH",
        help="Profile of readings, as `stepstub readings` lists them.  [default: default]",
    )
    single = click.option(
        "--reading",
        "single_readings",
        envvar="STEPSTUB_READING",
        multiple=True,
        metavar="NAME=VALUE",
        help="One reading; may be given several times, and the later one wins.",
    )
    return profile(single(command))


def _readings(profile: str | None, single: Sequence[str]) -> "Readings":
    from stepstub import profiles
    from stepstub.readings import with_values

    readings = profiles.chosen(profile)
    for each in single:
        name, equals, value = each.partition("=")
        if not equals:
            raise _wrong("single_readings", f"{each!r} is not of the form NAME=VALUE.")
        readings = with_values(readings, {name: value})
    return readings


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="stepstub")
def main() -> None:
    """A stateful stub of the Complete Step API, for tests of its clients."""


@main.command()
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
@click.option(
    "--scenario",
    "scenarios",
    envvar="STEPSTUB_SCENARIO",
    multiple=True,
    metavar="NAME|PATH",
    help=f"Scenario to start with; may be given several times.  [default: {_DEFAULT_SCENARIO}]",
)
@_readings_options
@click.option(
    "--token",
    envvar="STEPSTUB_TOKEN",
    default="stub-token",
    show_default=True,
    help="Bearer token the stub accepts.",
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
    help="How each exchange is logged on stderr.",
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
    help="Token the control API asks for in X-Stepstub-Control-Token.",
)
@click.option(
    "--no-control", is_flag=True, envvar="STEPSTUB_NO_CONTROL", help="No control API at all."
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
    help="One; state lives in one process.",
)
def serve(
    host: str,
    port: int,
    scenarios: tuple[str, ...],
    profile: str | None,
    single_readings: tuple[str, ...],
    token: str,
    max_body_bytes: int,
    log_format: str,
    log_level: str,
    quiet: bool,
    control_token: str | None,
    no_control: bool,
    allow_hosts: tuple[str, ...],
    journal_size: int,
    max_sandboxes: int,
    workers: int,
) -> None:
    """Run the stub until Ctrl-C or SIGTERM.

    Every option can also be given in the environment, --log-format as STEPSTUB_LOG_FORMAT.
    """
    _check_token(token, "token")
    if control_token is not None:
        _check_token(control_token, "control_token")
    for name in allow_hosts:
        _check_host(name)
    if workers > 1:
        raise _wrong(
            "workers",
            "processes and their steps live in the memory of one process; more workers would each"
            " have their own. Start several stubs on several ports instead.",
        )

    from stepstub import logs, scenario

    readings = _readings(profile, single_readings)
    processes = scenario.merge(
        [scenario.load(name) for name in dict.fromkeys(scenarios or (_DEFAULT_SCENARIO,))]
    )

    from stepstub.app import create_app
    from stepstub.concurrency import EventLoopConcurrency
    from stepstub.serving.server import is_loopback, listen, serve, url_of
    from stepstub.settings import DEFAULT_TOKEN, Limits, Settings

    try:
        listener = listen(host, port)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "there is no such host"
        raise click.ClickException(
            f"Cannot listen on {host} port {port}: {reason}. {_remedy(error)}"
        ) from error
    if not (is_loopback(listener) or control_token or no_control):
        listener.close()
        raise click.ClickException(
            f"On {host} others can reach the control API, which needs no password: give a"
            " --control-token, or --no-control to switch it off."
        )
    if token == DEFAULT_TOKEN and not is_loopback(listener):
        click.echo(
            f"Warning: others can reach the stub on {host}, and everybody knows the token {token};"
            " set another with --token.",
            err=True,
        )
    logs.configure(log_format, "warning" if quiet and log_level == "info" else log_level)
    app = create_app(
        processes,
        Settings(
            token=token,
            max_body_bytes=max_body_bytes,
            with_control=not no_control,
            control_token=control_token,
            limits=Limits(journal=journal_size, sandboxes=max_sandboxes),
            readings=readings,
        ),
        concurrency=EventLoopConcurrency(),
    )
    shown = _Token(token, is_secret=_is_from_environment(click.get_current_context(), "token"))
    banner = _banner(url_of(listener), shown, processes, readings)
    serve(
        app,
        listener,
        lambda: None if quiet else click.echo(banner),
        allow_hosts=allow_hosts,
    )


def _remedy(error: Exception) -> str:
    if getattr(error, "errno", None) in (errno.EADDRINUSE, errno.EACCES):
        return "Another --port may be free; 0 picks one."
    return "--host takes an address of this machine, such as 127.0.0.1."


@main.command()
@click.argument("file", required=False)
def scenarios(file: str | None) -> None:
    """List the built-in scenarios, or check FILE and say what is in it."""
    from stepstub import scenario

    if file is not None:
        processes = scenario.load(file).processes
        steps = sum(len(process.steps) for process in processes)
        click.echo(f"{file}: {_count(len(processes), 'process', 'es')}, {_count(steps, 'step')}")
        click.echo("".join(f"{line}\n" for line in _listed(processes)), nl=False)
        return
    names = scenario.built_in()
    width = max(map(len, names))
    for name in names:
        default = " (default)" if name == _DEFAULT_SCENARIO else ""
        description = scenario.load(name).description
        click.echo(f"{name:{width}}  {description}{default}")


@main.command()
@click.option("--schema", is_flag=True, help="Print the JSON Schema of a profile instead.")
@click.argument("profile", required=False, metavar="[NAME|PATH]")
def readings(schema: bool, profile: str | None) -> None:
    """List the readings and the built-in profiles, or check a profile and say what it changes."""
    from stepstub import profiles
    from stepstub.readings import alternatives, differing, json_schema, questions
    from stepstub.schema import printable

    if schema:
        click.echo(json.dumps(json_schema(), indent=2))
        return
    if profile is not None:
        for name, value in differing(profiles.load(profile)).items():
            click.echo(f"{name}: {printable(str(value))}")
        return
    for name, question in questions().items():
        click.echo(f"{question.number:>2}  {name}: {question.text}")
        for index, value in enumerate(alternatives(name)):
            default = " (default)" if index == 0 else ""
            click.echo(f"      {value}: {question.meanings[value]}{default}")
    click.echo(f"\nProfiles: {', '.join(profiles.built_in())}")


@main.command()
@_readings_options
@click.option("--overlay", is_flag=True, help="Only the overlay that the readings amount to.")
@click.option(
    "--format",
    "output_format",
    default="yaml",
    show_default=True,
    type=click.Choice(["yaml", "json"]),
    help="As it was written, or as JSON.",
)
def spec(
    profile: str | None, single_readings: tuple[str, ...], overlay: bool, output_format: str
) -> None:
    """Print the contract as the readings have it; by default, openapi.yaml itself.

    With --overlay, print the OpenAPI Overlay 1.1 document that leads from openapi.yaml to it.
    """
    from stepstub import contract

    effective = contract.effective(_readings(profile, single_readings))
    document = effective.combined_overlay() if overlay else effective.document
    if output_format == "json":
        text = json.dumps(document, indent=2, ensure_ascii=False)
    else:
        text = contract.as_yaml(document) if overlay else effective.text
    click.echo(text.rstrip("\n"))


@main.command()
@click.argument("url")
@click.option("--token", required=True, envvar="STEPSTUB_TOKEN", help="Token the server accepts.")
@click.option(
    "--control-token",
    envvar="STEPSTUB_CONTROL_TOKEN",
    help="Token the control API of a stub asks for; no other server is sent it.",
)
@click.option(
    "--started-step",
    "started_steps",
    multiple=True,
    metavar="ID",
    help="Id of a step that is STARTED and may be completed; may be given several times.",
)
@click.option(
    "--last-step",
    "last_steps",
    multiple=True,
    metavar="ID",
    help="Id of a STARTED step that is the last of its process; may be given several times.",
)
@click.option(
    "--step-before-params",
    "steps_before_params",
    multiple=True,
    metavar="ID",
    help="Id of a STARTED step whose next step has params of its own.",
)
@click.option(
    "--pending-step", "pending_steps", multiple=True, metavar="ID", help="Id of a PENDING step."
)
@click.option(
    "--failed-step", "failed_steps", multiple=True, metavar="ID", help="Id of a FAILED step."
)
@click.option(
    "--expired-step",
    "expired_steps",
    multiple=True,
    metavar="ID",
    help="Id of a step that was STARTED and not completed in time.",
)
@click.option(
    "--seed-command",
    metavar="COMMAND",
    help="Prints ids of fresh STARTED steps, one a line; called when steps run out.",
)
@click.option(
    "--credentials",
    "form",
    default="bearer",
    show_default=True,
    type=click.Choice(["bearer", "basic", "api-key"]),
    help="How the token is sent; with basic, it is the password.",
)
@click.option(
    "--credentials-header",
    "header",
    default="X-API-Key",
    show_default=True,
    metavar="NAME",
    help="The header that carries the token with --credentials api-key.",
)
@click.option(
    "--learn",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Learn the server's readings first, and write them to FILE as a profile.",
)
@click.option("--learn-only", is_flag=True, help="With --learn: do not run the suite afterwards.")
@click.option(
    "--report-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where junit.xml, report.json and report.html are written.",
)
@click.option("--strict", is_flag=True, help="Fail on deviations from our readings as well.")
@click.option(
    "--require",
    default="",
    metavar="STATUSES",
    help="Statuses that have to be covered, as in 200,401,412.",
)
@click.option("--seed", type=int, help="Repeats the generated requests of an earlier run.")
def verify(
    url: str,
    token: str,
    control_token: str | None,
    form: str,
    header: str,
    learn: Path | None,
    learn_only: bool,
    **options: Any,
) -> None:
    """Check that the server at URL conforms to the contract.

    Exit status: 0 it conforms, 1 it does not, 2 it could not be checked. With --learn-only, 0 says
    that FILE was written.
    """
    if not url.lower().startswith(("http://", "https://")):
        hint = (
            "it begins with http:// or https://" if "://" in url else f"did you mean http://{url}?"
        )
        raise _wrong("url", f"{url} is no URL of a server: {hint}")
    _check_token(token, "token")
    if control_token is not None:
        _check_token(control_token, "control_token")
    try:
        from stepstub.verify import verify
    except ModuleNotFoundError as error:
        raise _WrongUsage(
            f"{error.name} is missing: install the extra, stepstub[verify]."
        ) from error
    from stepstub.contract_tests.credentials import Credentials
    from stepstub.contract_tests.steps import Need
    from stepstub.readings import DEFAULT, with_values

    with_values(DEFAULT, {"credentials-header": header})  # raises where it is no header's name
    if learn_only and learn is None:
        raise _wrong("learn_only", "--learn says where to write what is learnt.")
    if learn is not None:
        _check_writable(learn)
    others = {
        Need.LAST: options.pop("last_steps"),
        Need.NEXT_HAS_PARAMS: options.pop("steps_before_params"),
        Need.PENDING: options.pop("pending_steps"),
        Need.FAILED: options.pop("failed_steps"),
        Need.TIME_IS_OVER: options.pop("expired_steps"),
    }
    sys.exit(
        verify(
            url,
            token,
            control_token=control_token,
            credentials=Credentials(form, header),
            learn=learn,
            learn_only=learn_only,
            other_steps=others,
            **options,
        )
    )


def _check_writable(file: Path) -> None:
    is_new = not file.exists()
    try:
        file.open("a").close()
    except OSError as error:
        raise _wrong("learn", f"{file} cannot be written: {error.strerror}.") from error
    if is_new:
        file.unlink()


def _check_token(token: str, name: str) -> None:
    if not token.isascii() or not token.isprintable() or not token or " " in token:
        raise _wrong(name, "a token is visible ASCII without spaces.")


def _check_host(name: str) -> None:
    from stepstub.serving.hosts import is_host_name

    if not is_host_name(name):
        raise _wrong("allow_hosts", f"{name!r} is not a host name or address without a port.")


class _Token(NamedTuple):
    """A token as it is shown: what its user has typed in full, the environment's by its name."""

    value: str
    is_secret: bool

    def __str__(self) -> str:
        return "from STEPSTUB_TOKEN" if self.is_secret else self.value

    def options(self, readings: "Readings") -> str:
        """The options of curl that send it as the readings ask, quoted for a shell."""
        from stepstub.readings import credentials_headers

        if self.is_secret and readings.credentials == "basic":
            return '-u "stepstub:$STEPSTUB_TOKEN"'
        value = "$STEPSTUB_TOKEN" if self.is_secret else self.value
        headers = credentials_headers(readings, value)
        lines = [f"{name}: {text}" for name, text in headers.items()]
        return " ".join(
            f'-H "{line}"' if self.is_secret else shlex.join(["-H", line]) for line in lines
        )


def _banner(url: str, token: _Token, processes: "Sequence[Process]", readings: "Readings") -> str:
    from stepstub.readings import differing
    from stepstub.schema import printable

    lines = [f"Stepstub listens on {url} (page: {url}/docs), token {token}", *_listed(processes)]
    if changed := differing(readings):
        listed = ", ".join(f"{name}: {printable(str(value))}" for name, value in changed.items())
        lines.append(f"  readings that differ from the default: {listed}")
    started = (step.id for process in processes for step in process.steps if _is_started(step))
    if first_started := next(started, None):
        lines += ["Try it:", f"  {_curl(url, token, first_started, readings)}"]
    return "\n".join(lines)


def _listed(processes: "Sequence[Process]") -> list[str]:
    """A line for each of the first processes."""
    from stepstub.schema import printable

    lines = []
    for process in processes[:_LISTED]:
        started = [printable(step.id) for step in process.steps if _is_started(step)]
        lines.append(
            f"  process {printable(process.id)}: {_count(len(process.steps), 'step')},"
            f" STARTED: {', '.join(started) or 'none'}"
        )
    if len(processes) > _LISTED:
        lines.append(f"  and {len(processes) - _LISTED} more")
    return lines


def _is_started(step: "Step") -> bool:
    return step.status == "STARTED"


def _count(number: int, noun: str, plural: str = "s") -> str:
    return f"{number} {noun}{'' if number == 1 else plural}"


def _curl(url: str, token: _Token, step_id: str, readings: "Readings") -> str:
    body = json.dumps({"processStepId": step_id})
    before = ["curl", "-i", f"{url}/api/v1/processes/complete-step"]
    after = ["-H", "Content-Type: application/json", "-d", body]
    return f"{shlex.join(before)} {token.options(readings)} {shlex.join(after)}"
