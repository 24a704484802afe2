"""The suite as pytest tests: `pytest contract_tests`, with --url for a server that is not ours.

Without a checkout, from the installed package:
`pytest -p stepstub.contract_tests.plugin --pyargs stepstub.contract_tests --url ...`.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from stepstub.contract_tests.findings import CouldNotRun
from stepstub.contract_tests.rendering import text, write
from stepstub.contract_tests.results import Exit
from stepstub.contract_tests.run import Run
from stepstub.live import LiveServer
from stepstub.settings import DEFAULT_TOKEN

_RUN: pytest.StashKey[Run] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("conformance of a server to Complete Step")
    group.addoption("--url", help="base URL of the server; without one, a stub is started")
    group.addoption("--token", default=DEFAULT_TOKEN, help="bearer token that the server accepts")
    group.addoption("--control-token", help="token that the control API of a stub requires")
    group.addoption(
        "--started-step", action="append", default=[], metavar="ID", help="id of a STARTED step"
    )
    group.addoption("--seed-command", help="command that prints an id of a fresh STARTED step")
    group.addoption("--seed", type=int, help="repeats the generated requests of an earlier run")
    group.addoption("--require", help="statuses that must be covered, as in 200,401,412")
    group.addoption("--report-dir", type=Path, help="where junit.xml, report.json, report.html go")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("numprocesses", None):
        raise pytest.UsageError("the conformance suite is one run over shared steps: leave out -n")


@pytest.fixture(scope="session")
def run(pytestconfig: pytest.Config) -> Iterator[Run]:
    """The run that all cases share."""
    option = pytestconfig.option
    options: dict[str, Any] = {
        "seed": option.seed,
        "require": option.require or "",
    }
    with ExitStack() as stack:
        if option.url is None:
            url = stack.enter_context(LiveServer(token=option.token)).url
            options["require"] = option.require or "200,401,412,500"
        else:
            url = option.url
            options |= {
                "started_steps": option.started_step,
                "seed_command": option.seed_command,
                "control_token": option.control_token,
            }
        try:
            run = stack.enter_context(Run(url, option.token, **options))
            pytestconfig.stash[_RUN] = run
            stack.callback(run.finish)
            run.open()
            run.learn()
        except CouldNotRun as error:
            pytest.exit(f"could not run: {error}", returncode=Exit.COULD_NOT_RUN)
        yield run


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    run = session.config.stash.get(_RUN, None)
    if run is not None and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = run.report.exit


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    run = config.stash.get(_RUN, None)
    if run is None:
        return
    terminalreporter.section("conformance")
    for line in text.lines(run.report):
        terminalreporter.write_line(line)
    if config.option.report_dir is not None:
        write(run.report, config.option.report_dir)
