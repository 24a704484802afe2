"""Sandboxes that nobody uses go, and nothing of them stays; nor of what has been reset or deleted.

The server's own time decides, so expiring takes real seconds: few.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from shared_state_support import Shared, keys, stub_at
from state_servers import StateServer
from stepstub.settings import Limits
from support import until

BAGGAGE = {"baggage": "stepstub-sandbox=by-baggage"}
# What there is once a stub has been used, whatever sandboxes there were.
ALWAYS = {"stepstub:key", "stepstub:sandboxes", "stepstub:ids", "stepstub:used"}


def create(stub: Shared, **wanted: Any) -> str:
    body = {"scenario": "two-steps", **wanted}
    token: str = stub.ask("POST", "/_stub/sandboxes", json=body).json()["token"]
    return token


def use_everything(stub: Shared, token: str) -> None:
    """Leave something behind of every kind."""
    for body in (
        {"phase": "before", "action": "delay", "seconds": 0},
        {"phase": "after", "action": "respond", "nth": 5},
    ):
        assert stub.ask("POST", "/_stub/faults", token, json=body).status_code == 201
    assert stub.ask("POST", "/_stub/tokens", token, json={"requests": 3}).status_code == 201
    assert stub.ask("POST", "/_stub/tokens/current", token, json={"requests": 9}).status_code == 204
    assert stub.complete(token=token).status_code == 200
    assert stub.complete(token=token).status_code == 412
    assert stub.ask("POST", "/_stub/steps/order-1-ship/fail", token).status_code == 200
    steps = {"steps": [{"status": "STARTED"}, {}]}
    assert stub.ask("POST", "/_stub/processes", token, json=steps).status_code == 201
    assert stub.ask("POST", "/_stub/clock", token, json={"frozen": True}).status_code == 200


@pytest.fixture
def short_lived(state_server: StateServer) -> Iterator[tuple[Shared, Shared]]:
    """Two stubs whose sandboxes expire after two seconds."""
    with ExitStack() as running:
        first, second = (
            running.enter_context(stub_at(state_server.url, sandboxes_expire_after=2.0))
            for _ in range(2)
        )
        yield first, second


def names(stub: Shared) -> set[str]:
    found = stub.ask("GET", "/_stub/sandboxes").json()["sandboxes"]
    return {each.get("name", each["id"]) for each in found}


def test_a_sandbox_goes_that_nobody_uses(
    state_server: StateServer, short_lived: tuple[Shared, Shared]
) -> None:
    here, there = short_lived
    used = create(here, name="used")
    create(here, name="by-baggage")
    unused = create(here, name="unused")
    use_everything(there, unused)
    assert names(there) == {"default", "used", "by-baggage", "unused"}

    def only_the_unused_one_is_gone() -> bool:
        assert here.complete("nobody", used).status_code == 412
        assert there.complete("nobody", headers=BAGGAGE).status_code == 412
        found = names(there)
        assert found >= {"default", "used", "by-baggage"}
        return "unused" not in found

    until(only_the_unused_one_is_gone)
    for stub in short_lived:
        assert stub.ask("GET", "/_stub/processes", unused).status_code == 401
    until(lambda: names(here) == {"default"})
    # The default sandbox has been seen, and its state is that of one sandbox.
    until(lambda: len({key.split("}")[0] for key in keys(state_server) - ALWAYS}) == 1)


def test_nothing_is_left_of_what_was_deleted_or_reset(
    state_server: StateServer, two: tuple[Shared, Shared]
) -> None:
    here, there = two
    assert here.complete("nobody").status_code == 412
    before = keys(state_server)
    key = {"credentials": "api-key"}
    tokens = [create(here, name="a"), create(there, name="a"), create(here, readings=key)]
    use_everything(there, tokens[0])
    use_everything(here, tokens[1])
    for token in tokens:
        assert there.ask("POST", "/_stub/reset", token).status_code == 200
    use_everything(here, tokens[0])
    for token in tokens:
        assert here.ask("DELETE", "/_stub/sandboxes/current", token).status_code == 204
    assert keys(state_server) - before == {"stepstub:headers"}
    assert state_server.run("HLEN", "stepstub:ids") == 1
    assert state_server.run("ZCARD", "stepstub:used") == 1


def test_a_reset_leaves_what_a_new_sandbox_has(
    state_server: StateServer, two: tuple[Shared, Shared]
) -> None:
    here, there = two
    assert here.ask("POST", "/_stub/reset").status_code == 200
    fresh = len(keys(state_server))
    use_everything(there, "stub-token")
    assert len(keys(state_server)) > fresh
    assert there.ask("POST", "/_stub/reset").status_code == 200
    assert len(keys(state_server)) == fresh


def test_nothing_is_left_of_one_that_was_refused(state_server: StateServer) -> None:
    with stub_at(state_server.url, limits=Limits(sandboxes=1)) as stub:
        create(stub)
        before = keys(state_server)
        response = stub.ask("POST", "/_stub/sandboxes", json={"scenario": "two-steps"})
        assert response.status_code == 409
        assert "--max-sandboxes" in response.json()["detail"]
        assert keys(state_server) == before
