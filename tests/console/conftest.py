"""Stubs with a console, and who visits them."""

from collections.abc import Iterator

import pytest

import stepstub
from console_support import SECRET, Visitor
from stepstub.serving.server import serve_in_thread
from support import live_app, processes


@pytest.fixture
def server() -> Iterator[stepstub.LiveServer]:
    with stepstub.LiveServer("two-steps") as running:
        yield running


@pytest.fixture
def visitor(server: stepstub.LiveServer) -> Visitor:
    return Visitor(server.url)


@pytest.fixture
def sandbox(server: stepstub.LiveServer) -> stepstub.Sandbox:
    return server.default_sandbox()


@pytest.fixture
def guarded() -> Iterator[Visitor]:
    """A visitor of a stub that was started with a control token."""
    with serve_in_thread(live_app(processes("two-steps"), control_token=SECRET)) as url:
        yield Visitor(url)
