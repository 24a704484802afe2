"""An exchange gives nothing away before its request has earned it."""

import pytest

from stepstub.app import create_app
from stepstub.exchange import Exchange
from stepstub.journal import Entry
from stepstub.operations import api_of

PATH = "/api/v1/processes/complete-step"


@pytest.fixture
def exchange() -> Exchange:
    entry = Entry(method="POST", path=PATH, headers=(), wall_clock=0)
    return Exchange(stub=create_app(), entry=entry, api=api_of(PATH))


def test_it_has_no_sandbox_before_the_credentials_have_been_checked(exchange: Exchange) -> None:
    """A check that is skipped for whatever reason must not let everybody into the default one."""
    with pytest.raises(RuntimeError, match="credentials"):
        _ = exchange.sandbox


def test_it_has_none_whose_token_came_but_was_not_enough(exchange: Exchange) -> None:
    exchange.known = exchange.stub.sandboxes.default
    exchange.unauthorised = "The header X-API-Key must bear the token."
    with pytest.raises(RuntimeError, match="credentials"):
        _ = exchange.sandbox


def test_it_has_the_one_of_its_token(exchange: Exchange) -> None:
    exchange.known = exchange.stub.sandboxes.default
    assert exchange.sandbox is exchange.stub.sandboxes.default


def test_it_has_no_records_before_they_have_been_loaded(exchange: Exchange) -> None:
    with pytest.raises(RuntimeError, match="loaded"):
        _ = exchange.loaded
