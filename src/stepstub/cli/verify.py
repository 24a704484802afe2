"""`stepstub verify`."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stepstub.cli.asking import as_asked, asking_options
from stepstub.cli.options import WrongUsage, check_token, wrong
from stepstub.cli.planning import planning_options, selected
from stepstub.cli.reaching import Reached, reach_options
from stepstub.cli.steps import step_options, take_steps
from stepstub.errors import StepstubError

if TYPE_CHECKING:
    from stepstub.contract_tests.asked import Asked
    from stepstub.profiles import Profile


@click.command()
@reach_options
@click.option(
    "--control-token",
    envvar="STEPSTUB_CONTROL_TOKEN",
    help="Token the control API of a stub asks for; no other server is sent it.",
)
@step_options
@asking_options
@click.option(
    "--learn",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the server's readings to FILE as a profile.",
)
@click.option("--learn-only", is_flag=True, help="Do not run the suite after learning.")
@click.option(
    "--report-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where junit.xml, report.json and report.html are written.",
)
@click.option(
    "--format",
    "output_format",
    default="text",
    show_default=True,
    type=click.Choice(["text", "github"]),
    help="With github, what was found is shown as annotations of a GitHub Actions job, too.",
)
@click.option(
    "--require",
    default="",
    metavar="STATUSES",
    help="Statuses that have to be covered, as in 200,401,412.",
)
@planning_options
@click.option("--seed", type=int, help="Repeats the generated requests of an earlier run.")
def verify(
    reach: Callable[[], Reached],
    control_token: str | None,
    asked: "Asked",
    earlier: "Profile | None",
    learn: Path | None,
    learn_only: bool,
    only: tuple[str, ...],
    exclude: tuple[str, ...],
    list_cases: bool,
    dry_run: bool,
    **options: Any,
) -> None:
    """Check that the server at URL conforms to the contract.

    Exit status: 0 it conforms, 1 it does not, 2 it could not be checked, 3 it has changed since
    the profile that --against names.
    """
    try:
        from stepstub.verify import verify
    except ModuleNotFoundError as error:
        raise WrongUsage(
            f"{error.name} is missing: install the extra, stepstub[verify]."
        ) from error
    from stepstub.contract_tests.needs import Need
    from stepstub.contract_tests.plan import plan
    from stepstub.contract_tests.rendering import profile_file
    from stepstub.contract_tests.selection import table
    from stepstub.contract_tests.steps import StepPool

    cases = selected(only, exclude)
    if list_cases:
        click.echo("\n".join(table(cases, options["examples"])))
        return
    steps = take_steps(options)
    started = steps.pop(Need.STARTED)
    pool = StepPool(started, options["seed_command"], others=steps)
    planned = plan([] if learn_only else cases, pool, options["examples"])
    if dry_run:
        click.echo("\n".join(planned.lines()))
        return
    reached = reach()
    if control_token is not None:
        check_token(control_token, "control_token")
    if learn_only and learn is None and earlier is None:
        raise wrong("learn_only", "--learn says where to write what is learnt.")
    try:
        if learn is not None:
            profile_file.check(learn)
    except StepstubError as error:
        raise WrongUsage(str(error)) from error
    click.echo(f"{planned.summary}; --dry-run shows the plan.")
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    sys.exit(
        verify(
            reached.url,
            reached.token,
            cases=cases,
            control_token=control_token,
            credentials=as_asked(reached.credentials, asked),
            connection=reached.connection,
            asked=asked,
            earlier=earlier,
            learn=learn,
            learn_only=learn_only,
            started_steps=started,
            other_steps=steps,
            summary_file=Path(summary) if summary else None,
            **options,
        )
    )
