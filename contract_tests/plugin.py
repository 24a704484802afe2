"""The suite as pytest tests: `pytest contract_tests`, with --url for a server that is not ours.

Where the suite is installed and not checked out:
`pytest -p stepstub.contract_tests.plugin --pyargs stepstub.contract_tests --url ...`.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from stepstub.app import DEFAULT_TOKEN, create_app
from stepstub.concurrency import EventLoopConcurrency
from stepstub.contract_tests.findings import CouldNotRun
from stepstub.contract_tests.stub import LocalStub
from stepstub.serving.server import serve_in_thread
from stepstub.verify import Exit, Run, findings, table, write

_RUN: pytest.StashKey[Run] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("conformance of a server to Complete Step")
    group.addoption("--url", help="base URL of the server; without one, a stub is started")
    group.addoption("--token", default=DEFAULT_TOKEN, help="bearer token that the server accepts")
    group.addoption("--control-token", help="token that the control API of a stub asks for")
    group.addoption(
        "--started-step", action="append", default=[], metavar="ID", help="id of a STARTED step"
    )
    group.addoption("--seed-command", help="command that prints an id of a fresh STARTED step")
    group.addoption("--seed", type=int, help="repeats the generated bodies of an earlier run")
    group.addoption("--require", help="statuses that have to be covered, as in 200,401,412")
    group.addoption("--report-dir", type=Path, help="where junit.xml, report.json, report.html go")
    group.addoption(
        "--strict-readings", action="store_true", help="fail on deviations from our reading, too"
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("numprocesses", None):
        raise pytest.UsageError("the conformance suite is one run over shared steps: leave out -n")


@pytest.fixture(scope="session")
def run(pytestconfig: pytest.Config) -> Iterator[Run]:
    """The one run that every case belongs to."""
    option = pytestconfig.option
    options: dict[str, Any] = {
        "strict": option.strict_readings,
        "seed": option.seed,
        "require": option.require or "",
    }
    with ExitStack() as stack:
        if option.url is None:
            app = create_app(token=option.token, concurrency=EventLoopConcurrency())
            url = stack.enter_context(serve_in_thread(app))
            options["stub"] = LocalStub(app.sandboxes.default.engine)
            options["require"] = option.require or "200,401,412,500"
        else:
            url = option.url
            options |= {
                "started_steps": option.started_step,
                "seed_command": option.seed_command,
                "control_token": option.control_token,
            }
        try:
            run = Run(url, option.token, **options)
        except CouldNotRun as error:
            pytest.exit(f"could not run: {error}", returncode=Exit.COULD_NOT_RUN)
        stack.callback(run.close)
        pytestconfig.stash[_RUN] = run
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
    for text in (*table(run.report), *findings(run.report), run.report.verdict):
        terminalreporter.write_line(text)
    if config.option.report_dir is not None:
        write(run.report, config.option.report_dir)
