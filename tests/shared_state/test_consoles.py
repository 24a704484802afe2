"""The consoles of two stubs: whoever has logged in to one of them may see the other."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import requests

from console_support import DEFAULT, SECRET, Visitor, complete
from shared_state_support import Shared, stub_at
from state_servers import StateServer
from support import TIMEOUT

FORM = {"action": "freeze"}


@pytest.fixture
def guarded(state_server: StateServer) -> Iterator[tuple[Shared, Shared]]:
    """Two stubs that were started with the same control token."""
    with ExitStack() as running:
        first, second = (
            running.enter_context(stub_at(state_server.url, control_token=SECRET)) for _ in range(2)
        )
        yield first, second


def visits(guarded: tuple[Shared, Shared]) -> tuple[Visitor, Visitor]:
    """Somebody whose browser reaches now one stub and now the other, at the same address.

    Cookies are sent whatever the port, but the port that the browser sees is part of their names.
    """
    session = requests.Session()
    session.headers["Host"] = "localhost"
    first, second = (Visitor(each.url, session) for each in guarded)
    return first, second


def log_in(visitor: Visitor) -> None:
    response = visitor.session.post(
        f"{visitor.url}/_stub/console/login",
        data={"token": SECRET},
        headers={"Origin": "http://localhost"},
        allow_redirects=False,
        timeout=TIMEOUT,
    )
    assert response.status_code == 303
    name, _, value = response.headers["set-cookie"].partition(";")[0].partition("=")
    visitor.session.headers["Cookie"] = f"{name}={value}"


def is_admitted(visitor: Visitor) -> bool:
    return visitor.get(DEFAULT, allow_redirects=False).status_code == 200


def test_a_session_is_good_at_both_until_it_ends(guarded: tuple[Shared, Shared]) -> None:
    here, there = visits(guarded)
    assert not is_admitted(here)
    log_in(here)
    assert is_admitted(here)
    assert is_admitted(there)
    assert there.get(f"{DEFAULT}/live").status_code == 200
    there.session.post(
        f"{there.url}/_stub/console/logout",
        headers={"Origin": "http://localhost"},
        allow_redirects=False,
        timeout=TIMEOUT,
    )
    assert not is_admitted(there)
    assert not is_admitted(here)
    assert here.get(f"{DEFAULT}/live").status_code == 401


def test_it_ends_with_the_control_token(
    guarded: tuple[Shared, Shared], state_server: StateServer
) -> None:
    here, _ = visits(guarded)
    log_in(here)
    with stub_at(state_server.url, control_token="another") as changed:
        assert not is_admitted(Visitor(changed.url, here.session))
    with stub_at(state_server.url, control_token=SECRET) as restarted:
        assert is_admitted(Visitor(restarted.url, here.session))


def test_what_is_done_at_one_is_shown_by_the_other(two: tuple[Shared, Shared]) -> None:
    here, there = (Visitor(each.url) for each in two)
    assert complete(two[0].sandbox(), "order-1-approve") == 200
    assert "COMPLETED" in there.read(f"{DEFAULT}/steps?id=order-1-approve")
    assert here.post(f"{DEFAULT}/clock", FORM).status_code == 200
    assert "frozen" in there.read(DEFAULT)


def test_a_console_whose_store_is_out_of_reach(state_server: StateServer) -> None:
    with stub_at(state_server.url) as stub:
        visitor = Visitor(stub.url)
        visitor.read(DEFAULT)
        state_server.pause()
        try:
            response = visitor.get(DEFAULT)
        finally:
            state_server.resume()
        assert response.status_code == 503
        assert "did not reply" in response.text
        visitor.read(DEFAULT)
