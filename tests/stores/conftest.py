"""Every store, one after the other."""

from collections.abc import Callable

import pytest

from state_servers import KINDS, StateServer
from stepstub.stores.protocol import Store
from store_support import BACKENDS, Backend, Served
from support import Clock


@pytest.fixture(params=[*BACKENDS, *KINDS])
def backend(request: pytest.FixtureRequest, state_servers: Callable[[str], StateServer]) -> Backend:
    """A kind of store, and of those in a server of their own one of each kind of server."""
    if request.param in BACKENDS:
        return BACKENDS[request.param]
    return Served(state_servers(request.param).port)


@pytest.fixture
def clock() -> Clock:
    """The machine's time, as the store is told it."""
    return Clock()


@pytest.fixture
def store(backend: Backend, clock: Clock) -> Store:
    """An empty store."""
    return backend.make_store(clock)
