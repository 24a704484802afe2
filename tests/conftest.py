"""The fixtures that the tests share; helpers to import are in support.py."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache

import pytest

import stepstub
from state_servers import KINDS, StateServer, executable
from stepstub import scenario
from stepstub.app import create_app
from stepstub.concurrency import EventLoopConcurrency
from stepstub.serving.server import serve_in_thread
from support import Client, Connection, processes


@pytest.fixture
def client() -> Client:
    """A client of a stub that holds every built-in scenario."""
    return Client(create_app(processes(*scenario.built_in())))


@pytest.fixture(scope="session")
def url() -> Iterator[str]:
    """A live server that holds every built-in scenario; tests may not move its steps."""
    app = create_app(processes(*scenario.built_in()), concurrency=EventLoopConcurrency())
    with serve_in_thread(app) as address:
        yield address


@pytest.fixture
def connection(url: str) -> Iterator[Connection]:
    with Connection(url) as open_connection:
        yield open_connection


@pytest.fixture(params=["stepstub", "stepstub_sandbox"])
def either(request: pytest.FixtureRequest) -> stepstub.Sandbox:
    """An empty sandbox, without a socket and with one: a client sees no difference."""
    made: stepstub.Sandbox = request.getfixturevalue(request.param)
    return made


@pytest.fixture
def sandbox(either: stepstub.Sandbox) -> stepstub.Sandbox:
    """The same, with two steps to complete, the first of them STARTED."""
    either.start_process("two-steps")
    return either


@pytest.fixture(scope="session")
def state_servers() -> Iterator[Callable[[str], StateServer]]:
    """Servers by their kind, each started when it is asked for first."""
    with ExitStack() as running:
        yield cache(lambda kind: running.enter_context(StateServer(executable(kind))))


@pytest.fixture(params=KINDS)
def state_server(
    request: pytest.FixtureRequest, state_servers: Callable[[str], StateServer]
) -> StateServer:
    """An empty server of each kind. Tests share it, and may neither stop nor configure it."""
    server = state_servers(request.param)
    server.run("FLUSHALL")
    server.run("SCRIPT", "FLUSH")
    return server
