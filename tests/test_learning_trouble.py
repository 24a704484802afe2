"""What is learnt from servers that break, lie or refuse to take part: little, but nothing wrong."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stepstub.cli.verify import verify
from stepstub.contract_tests.examination import Examiner
from stepstub.contract_tests.expectations import Expectations
from stepstub.contract_tests.findings import CouldNotRun
from stepstub.contract_tests.probes import learn
from stepstub.contract_tests.probes.learnt import Learnt
from stepstub.contract_tests.probes.remedies import REMEDIES
from stepstub.contract_tests.rendering import profile
from stepstub.contract_tests.server import NoResponse, Response, Server
from stepstub.contract_tests.steps import StepPool
from stepstub.contract_tests.stub import RemoteStub
from stepstub.inprocess import InProcess
from stepstub.readings import DEFAULT, as_mapping, questions
from stepstub.settings import DEFAULT_TOKEN

Send = Callable[[], Response]
Change = Callable[[int, bytes, Send], Response]
"""What a server makes of the request with a number and a body."""

REQUESTS = 29  # of one learning
PAGE = b"<html>Please try again later.</html>"


class Changed(Server):
    """A server that is not what it should be."""

    def __init__(self, url: str, change: Change) -> None:
        super().__init__(url, DEFAULT_TOKEN, Examiner(Expectations()))
        self._change = change
        self._number = -1

    def send(self, **request: Any) -> Response:
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


def instead(status: int, body: bytes = PAGE) -> Callable[[Send], Response]:
    """Another response; the request never gets to the server."""

    def respond(send: Send) -> Response:
        return Response(status, {"Content-Type": "text/html"}, body, "curl")

    return respond


def dropped(send: Send) -> Response:
    raise NoResponse("no response (the connection was refused or closed)")


def lost(send: Send) -> Response:
    """The request has its effect, but the response is lost."""
    send()
    return dropped(send)


TROUBLE = {
    "dropped": dropped,
    "lost": lost,
    "page": instead(200),
    "internal error": instead(500),
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

        def change(number: int, body: bytes, send: Send, broken: int = broken) -> Response:
            return TROUBLE[trouble](send) if number == broken else send()

        learnt = learnt_from(stub, change)
        assert not wrong(learnt), broken
        assert len(seen - known(learnt)) <= 4, (broken, seen - known(learnt))


@each_trouble
def test_trouble_now_and_then_makes_nothing_wrong(stub: InProcess, trouble: str) -> None:
    for often in (2, 3, 5):

        def change(number: int, body: bytes, send: Send, often: int = often) -> Response:
            return TROUBLE[trouble](send) if number % often == 0 else send()

        assert not wrong(learnt_from(stub, change))


def test_a_refused_request_that_completes_its_step_spoils_no_other_reading(
    stub: InProcess,
) -> None:
    server = Server(stub.url, DEFAULT_TOKEN, Examiner(Expectations()))

    def change(number: int, body: bytes, send: Send) -> Response:
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
    assert learnt.evidence["null-param"].why.startswith("no STARTED step was left")
    assert learnt.steps == 0


FROM_INSIDE = {"next-step-started", "delegate-failure"}


def test_what_was_learnt_before_the_server_went_away_is_kept(stub: InProcess) -> None:
    known_before: set[str] = set()
    for last in range(REQUESTS):
        sent: list[int] = []

        def change(
            number: int, body: bytes, send: Send, sent: list[int] = sent, last: int = last
        ) -> Response:
            sent.append(number)
            if number == last:
                raise CouldNotRun("ten requests in a row met trouble")
            return send()

        learnt = learnt_from(stub, change)
        assert not wrong(learnt)
        assert learnt.unfinished == "ten requests in a row met trouble"
        assert sent == list(range(last + 1))
        assert learnt.requests == last + 1
        assert len(known_before - known(learnt)) <= 1  # a refusal that is not confirmed any more
        known_before = known(learnt)
        if last == 0:
            assert not known_before
            for name in learnt.values.keys() - FROM_INSIDE:
                assert "ten requests in a row met trouble" in learnt.evidence[name].why, name
    assert len(known_before) > 20
    assert not learnt_from(stub, lambda number, body, send: send()).unfinished


def test_a_seed_command_that_fails_costs_what_needs_more_steps(
    stub: InProcess, tmp_path: Path
) -> None:
    sandbox = stub.default_sandbox()
    ids = [sandbox.start_process([{}]).steps[0].id for _ in range(2)]
    (tmp_path / "ids").write_text("\n".join(ids), "utf-8")
    command = f"""
        cd {tmp_path}
        test -s ids || {{ echo the test database is full >&2; exit 3; }}
        cat ids
        rm ids
    """
    pool = StepPool(seed_command=command)
    learnt = learnt_from(stub, lambda number, body, send: send(), pool)
    assert not wrong(learnt)
    assert {"bad-body", "unknown-step", "completed-step", "params-missing"} <= known(learnt)
    reason = "the seed command ended with status 3: the test database is full"
    assert not learnt.unfinished
    assert reason in learnt.evidence["long-range"].why


def test_a_stub_that_can_no_longer_be_driven_ends_learning_with_what_is_known(
    stub: InProcess,
) -> None:
    pool = StepPool(stub=RemoteStub(f"{stub.url}/nowhere", DEFAULT_TOKEN))
    learnt = learnt_from(stub, lambda number, body, send: send(), pool)
    assert known(learnt) >= {"bad-body", "version"}
    assert "404" in learnt.unfinished


def test_what_is_unknown_says_what_would_make_it_seen(stub: InProcess) -> None:
    learnt = learnt_from(stub, lambda number, body, send: send(), StepPool())
    assert set(REMEDIES) == set(questions())
    for name, value in learnt.values.items():
        expected = "" if value is not None else REMEDIES[name]
        assert learnt.evidence[name].remedy == expected
    assert {name for name, remedy in REMEDIES.items() if not remedy} == FROM_INSIDE
    options = {option for parameter in verify.params for option in parameter.opts}
    named = set(re.findall(r"--[a-z-]+", " ".join(REMEDIES.values())))
    assert "--pending-step" in named
    assert named <= options


def test_no_secret_gets_into_what_is_learnt(stub: InProcess) -> None:
    secret = "hunter2-hunter2"

    def change(number: int, body: bytes, send: Send) -> Response:
        response = send()
        value = response.value
        if response.status == 412:  # cut after 200 characters, in the middle of the secret
            del value["version"]
            value = {"version": "v" * 178 + secret, **value}
        elif response.status == 200:
            value = {**value, "message": f"Success for {secret}"}
            value["data"] = {**value["data"], "processStepId": [secret]}
        return replace(response, body=json.dumps(value).encode())

    server = Changed(stub.url, change)
    pool = StepPool(stub=RemoteStub(stub.url, DEFAULT_TOKEN))
    learnt = learn(server, pool, lambda text: text.replace(secret, "$SECRET"))
    assert learnt.values["success-message"] is None
    assert learnt.evidence["success-message"].why == "the text contains a secret"
    text = profile.render(learnt, stub.url)
    assert "$SECRET" in text
    assert secret[:5] not in text


def test_a_question_that_is_read_in_two_ways_is_unknown(stub: InProcess) -> None:
    def change(number: int, body: bytes, send: Send) -> Response:
        response = send()
        is_no_json = body == b"{" and response.status == 412
        return replace(response, status=400) if is_no_json else response

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
    def change(number: int, sent: bytes, send: Send) -> Response:
        response = send()
        if response.status != status:
            return response
        new = {**response.value, **body} if "data" in body else body
        return replace(response, body=json.dumps(new).encode())

    assert learnt_from(stub, change).values[name] is None
