"""The pytest plugin: fixtures `stepstub`, `stepstub_server` and `stepstub_sandbox`.

It is loaded into every suite where Stepstub is installed, so at import it takes nothing but
pytest; a suite that uses no fixture pays for this file alone.
"""

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from stepstub.client import Sandbox
    from stepstub.inprocess import InProcess
    from stepstub.live import LiveServer

_sandboxes = pytest.StashKey["list[Sandbox]"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini(
        "stepstub_url",
        "base URL at which the fixture stepstub takes the calls of requests",
        default="http://stepstub.test",
    )


@pytest.fixture
def stepstub(request: pytest.FixtureRequest) -> "Iterator[InProcess]":
    """A stub in this process: it responds to what requests sends to `stepstub.url`.

    It begins without processes; `stepstub.start_process("two-steps")` makes the first.
    """
    from stepstub.inprocess import InProcess

    with InProcess(url=request.config.getini("stepstub_url")) as sandbox:
        _remember(request, sandbox)
        yield sandbox


@pytest.fixture(scope="session")
def stepstub_server() -> "Iterator[LiveServer]":
    """A stub that listens on a free port, once for the whole run (and once for an xdist worker)."""
    from stepstub.live import LiveServer

    with LiveServer() as server:
        yield server


@pytest.fixture
def stepstub_sandbox(
    request: pytest.FixtureRequest, stepstub_server: "LiveServer"
) -> "Iterator[Sandbox]":
    """A fresh sandbox on `stepstub_server`, for clients in any library, thread or process."""
    with stepstub_server.sandbox() as sandbox:
        _remember(request, sandbox)
        yield sandbox


def _remember(request: pytest.FixtureRequest, sandbox: "Sandbox") -> None:
    request.node.stash.setdefault(_sandboxes, []).append(sandbox)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when != "teardown" and report.failed:
        for sandbox in item.stash.get(_sandboxes, []):
            report.sections.append(("stepstub journal", _journal(sandbox)))
    return report


def _journal(sandbox: "Sandbox") -> str:
    from stepstub.client import render_journal
    from stepstub.errors import StepstubError

    try:
        return render_journal(sandbox.journal())
    except (StepstubError, OSError) as error:  # it must not hide why the test failed
        return f"(it cannot be had: {error})"
