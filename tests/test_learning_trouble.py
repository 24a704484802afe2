"""What is learnt from servers that break, lie or refuse to take part: little, but nothing wrong."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import requests

from stepstub import contract
from stepstub.contract_tests.expectations import Expectations
from stepstub.contract_tests.probes import learn
from stepstub.contract_tests.probes.learnt import Learnt
from stepstub.contract_tests.server import NoResponse, Response, Server
from stepstub.contract_tests.steps import StepPool
from stepstub.contract_tests.stub import RemoteStub
from stepstub.inprocess import InProcess
from stepstub.readings import DEFAULT, as_mapping
from stepstub.settings import DEFAULT_TOKEN

Received = tuple[Response, requests.Response]
Send = Callable[[], Received]
Change = Callable[[int, bytes, Send], Received]
"""What a server makes of the request with a number and a body."""

EXPECTATIONS = Expectations(contract.load())
REQUESTS = 28  # of one learning
PAGE = b"<html>Please try again later.</html>"


class Changed(Server):
    """A server that is not what it should be."""

    def __init__(self, url: str, change: Change) -> None:
        super().__init__(url, DEFAULT_TOKEN, EXPECTATIONS)
        self._change = change
        self._number = -1

    def send(self, **request: Any) -> Received:
        self._number += 1
        body = request.get("data", b"")
        return self._change(self._number, body, lambda: super(Changed, self).send(**request))


@pytest.fixture(scope="module")
def stub() -> Iterator[InProcess]:
    with InProcess() as stub:
        yield stub


def learnt_from(stub: InProcess, change: Change, steps: StepPool | None = None) -> Learnt:
    pool = steps or StepPool(stub=RemoteStub(stub.url, DEFAULT_TOKEN))
    return learn(Changed(stub.url, change), pool)


def wrong(learnt: Learnt) -> dict[str, object]:
    ours = as_mapping(DEFAULT)
    return {name: value for name, value in learnt.values.items() if value not in (None, ours[name])}


def known(learnt: Learnt) -> set[str]:
    return {name for name, value in learnt.values.items() if value is not None}


def instead(status: int, body: bytes = PAGE, **headers: str) -> Callable[[Send], Received]:
    """Another response; the request never gets to the server."""

    def respond(send: Send) -> Received:
        received = requests.Response()
        return Response(status, {"Content-Type": "text/html", **headers}, body, "curl"), received

    return respond


def dropped(send: Send) -> Received:
    raise NoResponse("no response (the connection was refused or closed)")


def lost(send: Send) -> Received:
    """The request has its effect, but the response is lost."""
    send()
    return dropped(send)


TROUBLE = {
    "dropped": dropped,
    "lost": lost,
    "page": instead(200),
    "unavailable": instead(503),
    "too-many": instead(429, **{"Retry-After": "1"}),
    "redirect": instead(302, Location="https://login.example/"),
}
each_trouble = pytest.mark.parametrize("trouble", TROUBLE)


@each_trouble
def test_trouble_is_no_reading(stub: InProcess, trouble: str) -> None:
    learnt = learnt_from(stub, lambda number, body, send: TROUBLE[trouble](send))
    assert known(learnt) == set()
    assert all(evidence.why for evidence in learnt.evidence.values())


@each_trouble
def test_trouble_with_one_request_makes_nothing_wrong(stub: InProcess, trouble: str) -> None:
    seen = known(learnt_from(stub, lambda number, body, send: send()))
    for broken in range(REQUESTS + 1):

        def change(number: int, body: bytes, send: Send, broken: int = broken) -> Received:
            return TROUBLE[trouble](send) if number == broken else send()

        learnt = learnt_from(stub, change)
        assert not wrong(learnt), broken
        assert len(seen - known(learnt)) <= 4, (broken, seen - known(learnt))


@each_trouble
def test_trouble_now_and_then_makes_nothing_wrong(stub: InProcess, trouble: str) -> None:
    for often in (2, 3, 5):

        def change(number: int, body: bytes, send: Send, often: int = often) -> Received:
            return TROUBLE[trouble](send) if number % often == 0 else send()

        assert not wrong(learnt_from(stub, change))


def test_a_refused_request_that_completes_its_step_spoils_no_other_reading(
    stub: InProcess,
) -> None:
    server = Server(stub.url, DEFAULT_TOKEN, EXPECTATIONS)

    def change(number: int, body: bytes, send: Send) -> Received:
        if b'"type": "string"' in body:
            server.complete(json.loads(body)["processStepId"])
        return send()

    learnt = learnt_from(stub, change)
    assert not wrong(learnt)
    assert learnt.values["type-names"] is None
    assert "so was the same step with a good body" in learnt.evidence["type-names"].why
    before = known(learnt_from(stub, lambda number, body, send: send()))
    assert before - known(learnt) == {"type-names"}


def test_steps_that_are_not_started_tell_nothing_about_bodies(stub: InProcess) -> None:
    learnt = learnt_from(
        stub, lambda number, body, send: send(), StepPool([f"no-such-step-{n}" for n in range(50)])
    )
    assert not wrong(learnt)
    assert known(learnt) == {
        *("bad-body", "unknown-step", "refusal-data", "undocumented-form", "version"),
        *("credentials", "challenge", "checked-first", "timestamp", "timestamp-zone"),
    }


def test_without_a_step_what_needs_none_is_learnt(stub: InProcess) -> None:
    learnt = learnt_from(stub, lambda number, body, send: send(), StepPool())
    assert not wrong(learnt)
    assert {"bad-body", "unknown-step", "challenge", "checked-first"} <= known(learnt)
    assert learnt.evidence["null-param"].why == "no STARTED step was left"
    assert learnt.steps == 0


def test_a_question_that_is_read_in_two_ways_is_unknown(stub: InProcess) -> None:
    def change(number: int, body: bytes, send: Send) -> Received:
        response, received = send()
        is_no_json = body == b"{" and response.status == 412
        return (replace(response, status=400) if is_no_json else response), received

    learnt = learnt_from(stub, change)
    assert learnt.values["bad-body"] is None
    assert learnt.evidence["bad-body"].why == (
        "in two ways: 400 for no JSON, 412 without processStepId"
    )
    assert not wrong(learnt)


def test_a_wrong_path_is_not_an_unknown_step(stub: InProcess) -> None:
    learnt = learnt_from(stub, lambda number, body, send: instead(404)(send))
    assert learnt.values["unknown-step"] is None
    assert known(learnt) == {"undocumented-form"}


@pytest.mark.parametrize(
    ("name", "status", "body"),
    [
        ("refusal-data", 412, {"data": ["processStepId"]}),
        ("undocumented-form", 404, {"detail": "Not Found"}),
        ("last-step-params", 200, {"data": {"processId": "p", "params": "none"}}),
        ("last-step-id", 200, {"data": {"processId": "p", "processStepId": "no-step"}}),
        (
            "unset-fields",
            200,
            {"data": {"processId": "p", "params": {"probe": {"longValue": None}}}},
        ),
    ],
)
def test_a_form_that_no_value_has_is_unknown(
    stub: InProcess, name: str, status: int, body: dict[str, Any]
) -> None:
    def change(number: int, sent: bytes, send: Send) -> Received:
        response, received = send()
        if response.status != status:
            return response, received
        new = {**response.value, **body} if "data" in body else body
        return replace(response, body=json.dumps(new).encode()), received

    assert learnt_from(stub, change).values[name] is None
