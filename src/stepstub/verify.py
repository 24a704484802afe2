"""`stepstub verify`: learn readings, run the conformance suite, write profile and reports."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import gettempdir
from typing import Any, TextIO

import click

from stepstub.contract_tests.cases import ALL_CASES
from stepstub.contract_tests.findings import CouldNotRun
from stepstub.contract_tests.rendering import profile, text, write
from stepstub.contract_tests.results import Exit, Result
from stepstub.contract_tests.run import Run


def verify(
    url: str,
    token: str,
    *,
    learn: Path | None = None,
    learn_only: bool = False,
    report_dir: Path | None = None,
    out: TextIO | None = None,
    **options: Any,
) -> Exit:
    """Run every case against the server at `url`; the result is the exit status.

    With `learn`, the server's readings are learnt first and written to that file; with `learn_only`
    the cases are left out. `options` are those of `Run.connect`. Neither token gets into the output
    or into a file.
    """
    out = out or sys.stdout
    # Hypothesis caches character tables, by default in the working directory.
    os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", f"{gettempdir()}/stepstub-hypothesis")
    try:
        with Run.connect(url, token, **options) as run:
            if learn is not None:
                learnt = run.learn()
                learn.write_text(profile.render(learnt, run.report.url), "utf-8")
                click.echo("\n".join([*profile.table(learnt), ""]), out)
            if learn_only:
                return Exit.CONFORMS
            with _progress(out) as show:
                for case in ALL_CASES:
                    show(run.execute(case))
    except CouldNotRun as error:
        click.echo(f"could not run: {error}", err=True)
        return Exit.COULD_NOT_RUN
    click.echo("\n".join(["", *text.lines(run.report)]), out)
    if report_dir is not None:
        write(run.report, report_dir)
    return run.report.exit


@contextmanager
def _progress(out: TextIO) -> Iterator[Callable[[Result], None]]:
    """Shows each result: as a progress bar on a terminal, as a line anywhere else."""
    if not out.isatty():
        yield lambda result: click.echo(text.line(result), out)
        return
    with click.progressbar(
        length=len(ALL_CASES), file=out, item_show_func=lambda situation: situation
    ) as bar:
        yield lambda result: bar.update(1, result.case.situation)
