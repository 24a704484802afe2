"""`stepstub verify`."""

import sys
from pathlib import Path
from typing import Any

import click

from stepstub.cli.options import WrongUsage, check_token, wrong


@click.command()
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
        raise wrong("url", f"{url} is no URL of a server: {hint}")
    check_token(token, "token")
    if control_token is not None:
        check_token(control_token, "control_token")
    try:
        from stepstub.verify import verify
    except ModuleNotFoundError as error:
        raise WrongUsage(
            f"{error.name} is missing: install the extra, stepstub[verify]."
        ) from error
    from stepstub.contract_tests.credentials import Credentials
    from stepstub.contract_tests.steps import Need
    from stepstub.readings import DEFAULT, with_values

    with_values(DEFAULT, {"credentials-header": header})  # raises where it is no header's name
    if learn_only and learn is None:
        raise wrong("learn_only", "--learn says where to write what is learnt.")
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
        raise wrong("learn", f"{file} cannot be written: {error.strerror}.") from error
    if is_new:
        file.unlink()
