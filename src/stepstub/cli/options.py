"""What commands have in common: options, errors that a user can make, lines of output."""

import errno
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource
from click.types import StringParamType

from stepstub.errors import StepstubError

if TYPE_CHECKING:
    from stepstub.model import Process, Step
    from stepstub.readings import Readings

DEFAULT_SCENARIO = "two-steps"

_LISTED = 20


class WrongUsage(click.ClickException):
    exit_code = 2


class Group(click.Group):
    """Turns every error a user can make into one line on stderr and a non-zero exit status."""

    def invoke(self, context: click.Context) -> object:
        try:
            return super().invoke(context)
        except StepstubError as error:
            raise click.ClickException(str(error)) from error
        except click.UsageError as error:
            raise WrongUsage(_message(error)) from error


def _message(error: click.UsageError) -> str:
    """What is wrong; a value from the environment goes by the name of its variable."""
    if (
        isinstance(error, click.BadParameter)
        and (parameter := error.param)
        and error.ctx
        and is_from_environment(error.ctx, parameter.name)
    ):
        error.param_hint = str(parameter.envvar)
    return error.format_message()


def is_from_environment(context: click.Context, name: str | None) -> bool:
    return context.get_parameter_source(name or "") is ParameterSource.ENVIRONMENT


def is_default(name: str) -> bool:
    """Whether nobody gave a value for a parameter of the present command."""
    source = click.get_current_context().get_parameter_source(name)
    return source is ParameterSource.DEFAULT


def wrong(name: str, what: str) -> click.BadParameter:
    """The error for a parameter of the present command."""
    return click.BadParameter(what, *_parameter(name))


def cannot_run(command: Sequence[str], error: OSError) -> WrongUsage:
    return WrongUsage(f"Cannot run {shlex.join(command)}: {error.strerror}.")


def cannot_listen(host: str, port: int, error: Exception) -> str:
    """Why nobody can listen there, and what may help."""
    reason = getattr(error, "strerror", None) or "there is no such host"
    remedy = "--host takes an address of this machine, such as 127.0.0.1."
    if getattr(error, "errno", None) in (errno.EADDRINUSE, errno.EACCES):
        remedy = "Another --port may be free; 0 picks one."
    return f"Cannot listen on {host} port {port}: {reason}. {remedy}"


@contextmanager
def usage_of(name: str) -> Iterator[None]:
    """Whatever is refused while it lasts is a wrong value of this parameter: exit status 2.

    For commands of which 1 is a result.
    """
    try:
        yield
    except StepstubError as error:
        raise wrong(name, str(error)) from error


def missing(name: str) -> click.MissingParameter:
    """The error for a parameter of the present command that is required in this use of it."""
    context, parameter = _parameter(name)
    return click.MissingParameter(ctx=context, param=parameter)


def _parameter(name: str) -> tuple[click.Context, click.Parameter]:
    context = click.get_current_context()
    (parameter,) = (each for each in context.command.params if each.name == name)
    return context, parameter


Command = Callable[..., None]


def with_options(command: Command, options: Sequence[Callable[[Command], Command]]) -> Command:
    """The command with options, in the order in which its help has them."""
    for add in reversed(options):
        command = add(command)
    return command


scenario_option = click.option(
    "--scenario",
    "scenarios",
    envvar="STEPSTUB_SCENARIO",
    multiple=True,
    metavar="NAME|PATH",
    help=f"Scenario to start with; may be given several times.  [default: {DEFAULT_SCENARIO}]",
)


def scenario_processes(scenarios: Sequence[str]) -> "tuple[Process, ...]":
    """The processes of the scenarios that were chosen, each of them once."""
    from stepstub import scenario

    names = dict.fromkeys(scenarios or (DEFAULT_SCENARIO,))
    return scenario.merge([scenario.load(name) for name in names])


class Words(StringParamType):
    """A text; a variable has several as a shell has words, in quotes where one has spaces."""

    def split_envvar_value(self, rv: str) -> list[str]:
        return shlex.split(rv)


def readings_options(command: Callable[..., None]) -> Callable[..., None]:
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
        type=Words(),
        metavar="NAME=VALUE",
        help="One reading; may be given several times, and the later one wins.",
    )
    return profile(single(command))


def chosen_readings(profile: str | None, single: Sequence[str]) -> "Readings":
    from stepstub import profiles
    from stepstub.readings import with_values

    return with_values(profiles.chosen(profile), named_values(single))


def named_values(single: Sequence[str]) -> dict[str, str]:
    """The values given as NAME=VALUE, by their names; the later one wins."""
    values = {}
    for each in single:
        name, equals, value = each.partition("=")
        if not equals:
            raise wrong("single_readings", f"{each!r} is not of the form NAME=VALUE.")
        values[name] = value
    return values


def check_token(token: str, name: str) -> None:
    if not token.isascii() or not token.isprintable() or not token or " " in token:
        raise wrong(name, "a token is visible ASCII without spaces.")


def listed(processes: "Sequence[Process]") -> list[str]:
    """A line for each of the first processes."""
    from stepstub.schema import printable

    lines = []
    for process in processes[:_LISTED]:
        started = [printable(step.id) for step in process.steps if is_started(step)]
        lines.append(
            f"  process {printable(process.id)}: {count(len(process.steps), 'step')},"
            f" STARTED: {', '.join(started) or 'none'}"
        )
    if len(processes) > _LISTED:
        lines.append(f"  and {len(processes) - _LISTED} more")
    return lines


def is_started(step: "Step") -> bool:
    return step.status == "STARTED"


def count(number: int, noun: str, plural: str = "s") -> str:
    return f"{number} {noun}{'' if number == 1 else plural}"
