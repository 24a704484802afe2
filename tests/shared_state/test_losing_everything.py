"""A server that has lost all it had, as one that keeps nothing on its disk does when restarted."""

from collections.abc import Iterator

import pytest

from shared_state_support import Shared, stub_at
from state_servers import StateServer, executable


@pytest.fixture
def server() -> Iterator[StateServer]:
    with StateServer(executable("valkey")) as running:
        yield running


@pytest.fixture
def stub(server: StateServer) -> Iterator[Shared]:
    with stub_at(server.url) as running:
        yield running


def test_the_default_sandbox_begins_anew_and_is_one_for_all(
    server: StateServer, stub: Shared
) -> None:
    with stub_at(server.url) as other:
        assert stub.complete().status_code == 200
        assert other.complete().status_code == 412
        server.restart()
        with stub_at(server.url) as late:
            assert late.complete().status_code == 200
            assert [each.complete().status_code for each in (stub, other)] == [412, 412]


def test_other_sandboxes_are_gone_and_new_ones_belong_to_all(
    server: StateServer, stub: Shared
) -> None:
    token = stub.ask("POST", "/_stub/sandboxes").json()["token"]
    server.restart()
    with stub_at(server.url) as late:
        assert late.ask("GET", "/_stub/processes").status_code == 200  # it draws keys of its own
        assert stub.ask("GET", "/_stub/processes", token).status_code == 401
        token = stub.ask("POST", "/_stub/sandboxes").json()["token"]
        assert late.ask("GET", "/_stub/processes", token).status_code == 200
        token = late.ask("POST", "/_stub/sandboxes").json()["token"]
        assert stub.ask("GET", "/_stub/processes", token).status_code == 200
