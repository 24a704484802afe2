"""Stubs that share the state in a server."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from shared_state_support import Shared, stub_at
from state_servers import StateServer

Two = tuple[Shared, Shared]


@pytest.fixture
def two(state_server: StateServer) -> Iterator[Two]:
    """Two stubs on the same state."""
    with ExitStack() as running:
        first, second = (running.enter_context(stub_at(state_server.url)) for _ in range(2))
        yield first, second
