"""The options of `stepstub verify` that ask for readings, and what they amount to."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from stepstub.cli.options import WrongUsage, is_default, named_values, with_options, wrong
from stepstub.errors import StepstubError

if TYPE_CHECKING:
    from stepstub.contract_tests.asked import Asked
    from stepstub.contract_tests.credentials import Credentials

# Unlike those of serve, these take nothing from the environment: a job that serves a stub with
# STEPSTUB_READINGS may verify another server.
_OPTIONS = (
    click.option(
        "--readings",
        "profile",
        metavar="NAME|PATH",
        help="Profile of readings that the server is held to.  [default: any reading will do]",
    ),
    click.option(
        "--reading",
        "single_readings",
        multiple=True,
        metavar="NAME=VALUE",
        help="One reading that the server is held to; may be given several times.",
    ),
    click.option("--strict", is_flag=True, help="The same as --readings default."),
    click.option(
        "--against",
        metavar="FILE",
        help="Earlier profile of the server; exit status 3 if a reading has changed since.",
    ),
)


def asking_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that ask for readings.

    The command gets `asked`, what the server is held to, and `earlier`, a profile to compare with
    or None.
    """

    @wraps(command)
    def run(
        profile: str | None,
        single_readings: Sequence[str],
        strict: bool,
        against: str | None,
        **options: Any,
    ) -> None:
        from stepstub.contract_tests.asked import asked_for
        from stepstub.profiles import DEFAULT_NAME, load_profile

        if strict and profile is not None:
            raise wrong("strict", "it means --readings default; leave one of the two out.")
        try:
            asked = asked_for(DEFAULT_NAME if strict else profile, named_values(single_readings))
            earlier = None if against is None else load_profile(against)
        except StepstubError as error:
            raise WrongUsage(str(error)) from error
        command(asked=asked, earlier=earlier, **options)

    return with_options(run, _OPTIONS)


def as_asked(credentials: "Credentials", asked: "Asked") -> "Credentials":
    """How the token is sent: as the readings that are asked for say, unless options do."""
    usual = type(credentials)()
    if not is_default("form") or credentials.form != usual.form:
        return credentials
    form = asked.values.get("credentials", credentials.form)
    header = asked.values.get("credentials-header", credentials.header)
    is_given = credentials.header != usual.header
    return replace(
        credentials, form=str(form), header=credentials.header if is_given else str(header)
    )
