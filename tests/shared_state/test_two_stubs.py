"""Two stubs see one world: what is done at one of them, the other knows."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from shared_state_support import Shared
from stepstub.settings import DEFAULT_TOKEN
from support import PATH, TIMEOUT, until

Two = tuple[Shared, Shared]


def created(stub: Shared, **wanted: Any) -> str:
    """The token of a new sandbox."""
    response = stub.ask("POST", "/_stub/sandboxes", json={"scenario": "two-steps", **wanted})
    assert response.status_code == 201, response.text
    token: str = response.json()["token"]
    return token


def reset(stub: Shared, token: str = DEFAULT_TOKEN, **wanted: Any) -> None:
    assert stub.ask("POST", "/_stub/reset", token, json=wanted).status_code == 200


def readings(stub: Shared, token: str) -> dict[str, Any]:
    found: dict[str, Any] = stub.ask("GET", "/_stub/readings", token).json()["readings"]
    return found


def test_a_sandbox_that_is_created_reset_and_deleted(two: Two) -> None:
    here, there = two
    token = created(here)
    assert there.complete(token=token).status_code == 200
    assert here.complete(token=token).status_code == 412
    reset(there, token)
    assert here.complete(token=token).status_code == 200
    assert there.ask("GET", "/_stub/sandboxes").json()["total"] == 2
    assert here.ask("DELETE", "/_stub/sandboxes/current", token).status_code == 204
    assert there.complete(token=token).status_code == 401
    assert there.ask("DELETE", "/_stub/sandboxes/current", token).status_code == 401


def test_readings_that_a_reset_changes(two: Two) -> None:
    here, there = two
    token = created(here)
    assert there.complete(token=token).status_code == 200
    reset(here, token, readings={"completed-step": 409})
    assert readings(there, token)["completed-step"] == 409
    # What is left out stays as it is by now, not as it was when this stub saw it last.
    reset(there, token, readings={"unknown-step": 404})
    assert readings(here, token)["completed-step"] == 409
    assert there.complete("nobody", token).status_code == 404
    assert there.complete(token=token).status_code == 200
    assert here.complete(token=token).status_code == 409


def test_the_journal_has_nothing_of_readings_that_are_over(two: Two) -> None:
    """The first look at a request may be by readings that the other stub has changed."""
    here, there = two
    token = created(here, readings={"unknown-members": "refuse"})
    body = {"processStepId": "order-1-approve", "more": 1}
    assert there.ask("POST", PATH, token, json=body).status_code == 412
    reset(here, token, readings={"unknown-members": "ignore"})
    assert there.ask("POST", PATH, token, json=body).status_code == 200
    (entry,) = here.ask("GET", "/_stub/journal", token).json()["exchanges"]
    assert entry["status"] == 200
    assert (entry.get("reason"), entry.get("violations")) == (None, None)


def test_the_form_of_the_credentials(two: Two) -> None:
    here, there = two
    key = {"credentials": "api-key", "credentials-header": "X-Order-Key"}
    token = created(here, readings=key)
    body = {"json": {"processStepId": "order-1-approve"}}
    assert there.ask("POST", PATH, token, **body).status_code == 401
    headers = {"X-Order-Key": token, "Authorization": ""}
    assert there.ask("POST", PATH, **body, headers=headers).status_code == 200
    (entry,) = here.ask("GET", "/_stub/journal?status=200", token).json()["exchanges"]
    assert token not in str(entry)
    reset(here, token, readings={"credentials": "bearer"})
    assert there.ask("POST", PATH, token, **body).status_code == 200


def test_a_default_sandbox_that_takes_no_credentials(two: Two) -> None:
    here, there = two
    anonymous = {"Authorization": ""}
    assert there.complete(headers=anonymous).status_code == 401
    reset(here, readings={"credentials": "none"})
    response = there.ask(
        "POST", PATH, json={"processStepId": "order-1-approve"}, headers={"Authorization": None}
    )
    assert response.status_code == 200


def test_a_sandbox_chosen_by_baggage(two: Two) -> None:
    here, there = two
    baggage = {"baggage": "stepstub-sandbox=test_it"}
    for stub in two:  # both have seen the default sandbox, and their consoles have as well
        assert stub.ask("GET", "/_stub/sandboxes").json()["total"] == 1
        assert stub.complete("nobody").status_code == 412
        assert stub.ask("GET", "/_stub/sandboxes").json()["total"] == 1
    token = created(here, name="test_it")
    assert there.complete(headers=baggage).status_code == 200
    assert here.complete(token=token).status_code == 412
    assert here.complete().status_code == 200


def test_tokens_that_are_issued_limited_and_revoked(two: Two) -> None:
    here, there = two
    token = created(here)
    further = here.ask("POST", "/_stub/tokens", token, json={"requests": 2}).json()["token"]
    assert there.complete(token=further).status_code == 200
    assert here.complete(token=further).status_code == 412
    assert there.complete(token=further).status_code == 401
    assert there.complete("order-1-ship", token).status_code == 200
    limit = {"expiresInSeconds": 10}
    assert here.ask("POST", "/_stub/tokens/current", token, json=limit).status_code == 204
    assert there.complete(token=token).status_code == 412
    assert there.ask("POST", "/_stub/clock", token, json={"advanceSeconds": 11}).status_code == 200
    assert here.complete(token=token).status_code == 401
    reset(here, token)
    assert there.complete(token=further).status_code == 401
    assert there.complete(token=token).status_code == 200


def test_a_limited_token_after_a_reset_at_the_other_stub(two: Two) -> None:
    here, there = two
    token = created(here)
    assert here.ask("POST", "/_stub/tokens/current", token, json={"requests": 5}).status_code == 204
    assert there.complete(token=token).status_code == 200
    reset(here, token)
    assert there.complete(token=token).status_code == 200


def test_a_token_limited_while_another_request_is_delayed(two: Two) -> None:
    here, there = two
    token = created(here)
    delay = {"phase": "before", "action": "delay", "seconds": 0.5}
    assert here.ask("POST", "/_stub/faults", token, json=delay).status_code == 201
    with ThreadPoolExecutor() as pool:
        delayed = pool.submit(here.complete, token=token)
        until(lambda: there.ask("GET", "/_stub/journal", token).json()["exchanges"])
        assert there.ask("POST", "/_stub/tokens", token, json={"requests": 5}).status_code == 201
        assert delayed.result(TIMEOUT).status_code == 200


def test_faults_and_the_clock(two: Two) -> None:
    here, there = two
    fault = {"phase": "after", "action": "respond", "status": 503}
    assert here.ask("POST", "/_stub/faults", json=fault).status_code == 201
    assert there.complete().status_code == 503
    assert here.ask("GET", "/_stub/faults").json()["faults"] == []
    change = {"advanceSeconds": 3600, "frozen": True}
    now = here.ask("POST", "/_stub/clock", json=change).json()["now"]
    assert there.ask("GET", "/_stub/clock").json() == {"now": now, "frozen": True}
    timestamp = there.complete().json()["timestamp"]
    assert datetime.fromisoformat(timestamp) == datetime.fromisoformat(now)


def test_the_journal_and_its_search(two: Two) -> None:
    here, there = two
    for stub in (here, there, here):
        stub.complete()
    for stub in two:
        found = stub.ask("GET", "/_stub/journal?order=newest-first").json()["exchanges"]
        told = [(each["number"], each["status"]) for each in found]
        assert told == [(3, 412), (2, 412), (1, 200)]
        assert found[0]["movedBy"] == 1
        refused = stub.ask("GET", "/_stub/journal?refused=true&text=order-1-approve").json()
        assert len(refused["exchanges"]) == 2
    assert there.ask("DELETE", "/_stub/journal").status_code == 204
    assert here.ask("GET", "/_stub/journal").json()["exchanges"] == []


def test_waiting_at_one_stub_for_what_comes_by_the_other(two: Two) -> None:
    here, there = two
    tokens = [created(here) for _ in range(4)]

    def wait(token: str) -> Any:
        wanted = {"processStepId": "order-1-approve", "withinSeconds": TIMEOUT - 1}
        return there.ask("POST", "/_stub/verifications", token, json=wanted).json()

    for _ in range(2):  # the second time, when nobody has been waiting for a moment
        with ThreadPoolExecutor(len(tokens)) as pool:
            verifications = [pool.submit(wait, token) for token in tokens]
            for token in tokens:
                assert here.complete(token=token).status_code == 200
            for verification in verifications:
                assert verification.result(TIMEOUT / 2)["holds"]
        for token in tokens:
            reset(here, token)


class _Application(BaseHTTPRequestHandler):
    """Accepts the start of every step."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def application() -> Iterator[str]:
    """The URL of a third-party application."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Application) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/steps"
        server.shutdown()
        thread.join(TIMEOUT)


def test_a_late_call_is_made_when_the_clock_is_advanced_at_the_other_stub(
    two: Two, application: str
) -> None:
    here, there = two
    steps = [{"id": "order-1-approve"}, {"id": "next", "delegate": {"http": application}}]
    reset(here, processes=[{"id": "order-1", "steps": steps}])
    late = {"phase": "delegate", "action": "late", "seconds": 60}
    assert here.ask("POST", "/_stub/faults", json=late).status_code == 201
    assert here.complete().status_code == 200
    (call,) = there.ask("GET", "/_stub/delegate-calls").json()["delegateCalls"]
    assert call["outcome"] == "in progress"
    assert there.ask("POST", "/_stub/clock", json={"advanceSeconds": 61}).status_code == 200
    for stub in two:
        (call,) = stub.ask("GET", "/_stub/delegate-calls").json()["delegateCalls"]
        assert call["outcome"] == "accepted"


@pytest.mark.parametrize("every", [None, 10])
def test_a_fault_strikes_exactly_as_often_as_it_is_to(two: Two, every: int | None) -> None:
    fault = {"phase": "before", "action": "respond", "status": 503, "times": 7, "every": every}
    known = {name: value for name, value in fault.items() if value is not None}
    assert two[0].ask("POST", "/_stub/faults", json=known).status_code == 201
    at_once = threading.Barrier(20)

    def ask(number: int) -> int:
        if number < 20:
            at_once.wait(TIMEOUT)
        return two[number % 2].complete("nobody").status_code

    with ThreadPoolExecutor(20) as pool:
        statuses = list(pool.map(ask, range(100)))
    assert statuses.count(503) == 7
    assert statuses.count(412) == 93
    exchanges = two[1].ask("GET", "/_stub/journal?limit=200").json()["exchanges"]
    assert [each["number"] for each in exchanges] == list(range(1, 101))
    struck = [each["number"] for each in exchanges if each.get("fault")]
    assert len(struck) == 7
