"""What holds for a stub holds over a shared state: by the suites that there are for any stub."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import test_reading_effects
from blocking_link import BlockingLink
from shared_state_support import command, environment
from state_servers import StateServer
from stepstub.concurrency import InlineConcurrency, run_inline
from stepstub.gate.stack import gate
from stepstub.model import Process
from stepstub.settings import DEFAULT_TOKEN, Settings
from stepstub.shared_sandboxes import SharedSandboxes
from stepstub.stores.valkey.notices import Notices
from stepstub.stub import Stub
from support import ROOT
from test_reading_effects import API_KEY, CASES, named


@pytest.fixture(scope="module")
def server(state_servers: Callable[[str], StateServer]) -> StateServer:
    return state_servers("valkey")


@pytest.fixture
def shared_apps(server: StateServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the tests of the readings make stubs with a shared state, each an empty one.

    Without a socket and an event loop, as those tests have them.
    """
    link = BlockingLink("127.0.0.1", server.port)

    def create_app(processes: tuple[Process, ...], settings: Settings = Settings()) -> Stub:  # noqa: B008
        server.run("FLUSHALL")
        concurrency = InlineConcurrency()
        sandboxes = SharedSandboxes(
            processes,
            settings=settings,
            link=link,
            notices=Notices(lambda: None),
            concurrency=concurrency,
        )
        run_inline(sandboxes.by_token(settings.token.encode()))
        return Stub(
            sandboxes,
            settings=settings,
            concurrency=concurrency,
            gate=gate(with_control=True),
            pages={},
        )

    monkeypatch.setattr(test_reading_effects, "create_app", create_app)


@pytest.mark.usefixtures("shared_apps")
@pytest.mark.parametrize("case", CASES, ids=map(named, CASES))
def test_every_reading_has_its_effect(case: Any) -> None:
    test_reading_effects.test_effect(*case)


@pytest.mark.usefixtures("shared_apps")
@pytest.mark.parametrize("case", API_KEY, ids=map(named, API_KEY))
def test_every_reading_of_an_api_key_has_its_effect(case: Any) -> None:
    test_reading_effects.test_effect_of_api_key(*case)


@pytest.fixture(scope="module")
def two_workers(server: StateServer) -> Iterator[str]:
    server.run("FLUSHALL")
    # What is logged is read in the end, so it must not be much.
    options = ["--workers", "2", "--log-level", "warning"]
    scenarios = ["--scenario", "every-status", "--scenario", "long-chain"]
    with command("--state", server.url, *options, *scenarios) as running:
        yield running.url
        assert "Traceback" not in running.stop()


def run(*words: str, folder: Path = ROOT) -> str:
    ended = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(),
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout
    return ended.stdout


def test_the_conformance_suite_passes(two_workers: str) -> None:
    run("stepstub", "verify", two_workers, "--token", DEFAULT_TOKEN)


def test_a_suite_with_the_fixtures_passes(two_workers: str) -> None:
    # These three take a stub of this process.
    here = "our_params or a_wrong_token"
    server = ("--stepstub-server", two_workers)
    assert " passed" in run("pytest", "-q", "examples", "-k", f"not ({here})", *server)
