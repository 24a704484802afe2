"""`stepstub verify`: learn readings, judge by them, write profile and reports."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import gettempdir
from typing import Any, Literal, TextIO

import click

from stepstub.contract_tests.cases import ALL_CASES
from stepstub.contract_tests.cases.case import Case
from stepstub.contract_tests.findings import CouldNotRun
from stepstub.contract_tests.progress import Progress, shown_on
from stepstub.contract_tests.rendering import github, profile, profile_file, text, write
from stepstub.contract_tests.results import Exit, Report
from stepstub.contract_tests.run import Run
from stepstub.errors import ProfileError


def verify(
    url: str,
    token: str,
    *,
    cases: Sequence[Case] = ALL_CASES,
    learn: Path | None = None,
    learn_only: bool = False,
    report_dir: Path | None = None,
    output_format: Literal["text", "github"] = "text",
    summary_file: Path | None = None,
    out: TextIO | None = None,
    **options: Any,
) -> Exit:
    """Verify the server at `url`; the result is the exit status.

    The server's readings are learnt, written to `learn` if that is given, and with `learn_only`
    that is all. With `github`, annotations are printed as well, and a summary is appended to
    `summary_file`. `options` are those of `Run`. Whatever happens, the reports are written. No
    secret gets into the output or into a file.
    """
    out = out or sys.stdout
    # Hypothesis caches character tables, by default in the working directory.
    os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", f"{gettempdir()}/stepstub-hypothesis")
    progress = shown_on(out)
    try:
        run = Run(url, token, progress=progress, **options)
    except CouldNotRun as error:
        click.echo(f"could not run: {error}", err=True)
        return Exit.COULD_NOT_RUN
    with run:
        try:
            run.open()
            _learn(run, learn, out)
            if not learn_only:
                _judge(run, cases, progress)
        except (CouldNotRun, ProfileError) as error:
            run.report.unfinished = str(error)
            click.echo(f"could not run: {error}", err=True)
        except KeyboardInterrupt:
            run.report.unfinished = "the run was interrupted"
            click.echo("interrupted", err=True)
        except Exception as error:
            run.report.unfinished = f"the suite itself failed with {type(error).__name__}"
            raise
        finally:
            run.finish()
            report = run.report
            if report.learnt is not None and not learn_only:
                click.echo("\n".join(["", *text.lines(report)]), out)
            elif report.learnt is not None and report.exit is not Exit.CONFORMS:
                click.echo("\n".join(text.without_cases(report)), out)
            if report_dir is not None:
                write(report, report_dir)
            if output_format == "github":
                _annotate(report, out, summary_file)
    return report.exit


def _learn(run: Run, file: Path | None, out: TextIO) -> None:
    """Learn, and write the profile, what there is of it."""
    try:
        run.learn()
    finally:
        report = run.report
        if file is not None and report.learnt is not None:
            written = profile_file.write(file, report.learnt, report.url, report.accepted)
            click.echo("\n".join([*profile.table(report.learnt), written, ""]), out)


def _judge(run: Run, cases: Sequence[Case], progress: Progress) -> None:
    progress.started("judging by them", len(cases))
    for case in cases:
        result = run.execute(case)
        progress.result(text.line(run.report, result))
    progress.finished()


def _annotate(report: Report, out: TextIO, summary_file: Path | None) -> None:
    click.echo("\n".join(github.lines(report)), out)
    if summary_file is not None:
        with summary_file.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(github.summary(report))
