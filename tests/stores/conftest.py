"""Every store, one after the other."""

import pytest

from stepstub.stores.protocol import Store
from store_support import BACKENDS, Backend
from support import Clock


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Backend:
    """A kind of store."""
    return BACKENDS[request.param]


@pytest.fixture
def clock() -> Clock:
    """The machine's time, as the store is told it."""
    return Clock()


@pytest.fixture
def store(backend: Backend, clock: Clock) -> Store:
    """An empty store."""
    return backend.make_store(clock)
