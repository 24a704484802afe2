"""The examples, run as a user runs them: over real sockets, each port a free one."""

import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import requests
import responses
from flask import Flask, request

sys.path.insert(0, str(Path(__file__).parent.parent / "examples"))

import demo
import third_party_app

import stepstub

EXAMPLES = Path(demo.__file__).parent
URL = "http://stub.test/api/v1/processes/complete-step"


def run_demo() -> demo.Story:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return demo.run(listener)


def statuses(process: stepstub.ProcessView) -> dict[str, str]:
    return {step.id: step.status for step in process.steps}


def delegate_calls(story: demo.Story) -> list[stepstub.DelegateCallView]:
    """Those that a completion led to."""
    return [call for call in story.calls if call.exchange_number]


ALL_COMPLETED = {
    "order-7-receive": "COMPLETED",
    "order-7-check-credit": "COMPLETED",
    "order-7-pack": "COMPLETED",
    "order-7-notify": "COMPLETED",
}


def test_the_application_works_through_the_whole_process():
    story = run_demo()

    assert statuses(story.process) == ALL_COMPLETED
    calls = delegate_calls(story)
    assert [(call.process_step_id, call.outcome) for call in calls] == [
        ("order-7-check-credit", "accepted"),
        ("order-7-pack", "accepted"),
        ("order-7-notify", "accepted"),
    ]
    exchanges = [(each.process_step_id, each.status) for each in story.exchanges]
    assert exchanges == [(step_id, 200) for step_id in ALL_COMPLETED]
    told_at_last = calls[-1].params
    assert set(told_at_last) == {
        *("customer", "amount", "items"),
        *("creditLimit", "decision", "weightInKg", "channel"),
    }
    assert told_at_last["decision"].str_value == "approved"
    assert told_at_last["weightInKg"].double_value == 3.0


def test_an_application_may_report_from_inside_the_call(monkeypatch):
    def create_app(base_url: str, token: str) -> Flask:
        app = Flask("inside")

        @app.post("/steps")
        def start_step() -> tuple[str, int]:
            start = request.get_json()
            third_party_app.complete_step(base_url, token, start["processStepId"], start["params"])
            return "", 204

        return app

    monkeypatch.setattr(third_party_app, "create_app", create_app)
    story = run_demo()

    assert statuses(story.process) == ALL_COMPLETED
    assert [call.outcome for call in delegate_calls(story)] == ["accepted"] * 3


def test_the_demo_says_what_is_missing_when_the_process_does_not_end(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["demo.py", "--port", "0"])
    monkeypatch.setattr(demo, "TIMEOUT", 0.5)
    monkeypatch.delitem(third_party_app.WORK, "pack")

    problem = demo.main()

    assert problem is not None
    assert "order-7-check-credit is STARTED, order-7-pack is PENDING" in problem
    assert "third-party application responded 404" in capsys.readouterr().out


def demo_process(port: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLES / "demo.py"), "--port", str(port)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def test_the_demo_as_a_command():
    run = demo_process(0)

    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    lines = [re.split(r" {2,}", line)[1:] for line in run.stdout.splitlines()[:-2]]
    assert lines == [
        ["caller -> callee", "action", "outcome", "new params"],
        [
            *("demo -> stub", "complete order-7-receive", "200"),
            "customer=Ada Lovelace, amount=1250, items=4",
        ],
        ["stub -> application", "start order-7-check-credit", "accepted", "creditLimit=5000"],
        ["application -> stub", "complete order-7-check-credit", "200", "decision=approved"],
        ["stub -> application", "start order-7-pack", "accepted"],
        ["application -> stub", "complete order-7-pack", "200", "weightInKg=3.0"],
        ["stub -> application", "start order-7-notify", "accepted", "channel=mail"],
        [
            *("application -> stub", "complete order-7-notify", "200"),
            "message=Ada Lovelace: approved",
        ],
    ]


def test_the_demo_needs_its_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        run = demo_process(taken.getsockname()[1])

    assert run.returncode == 1
    assert run.stderr.startswith("Cannot listen on port")
    assert run.stderr.count("\n") == 1


def test_the_application_as_a_process_of_its_own():
    with stepstub.LiveServer() as server, server.sandbox() as sandbox:
        process = sandbox.start_process([{"id": "order-9-pack"}], id="order-9")
        command = [sys.executable, str(EXAMPLES / "third_party_app.py")]
        options = ["--port", "0", "--stub", sandbox.url, "--token", sandbox.token]
        with subprocess.Popen(command + options, stderr=subprocess.PIPE, text=True) as app:
            try:
                own_url = next(
                    match[0] for line in app.stderr if (match := re.search(r"http://\S+", line))
                )
                start = {
                    "processId": "order-9",
                    "processStepId": "order-9-pack",
                    "params": {"items": {"longValue": 2, "type": "LONG"}},
                }
                response = requests.post(f"{own_url}/steps", json=start, timeout=10)
                assert response.status_code == 202
                sandbox.verify_completed("order-9-pack", within=10)
            finally:
                app.terminate()
        assert statuses(sandbox.process(process.id)) == {"order-9-pack": "COMPLETED"}


def given_responses(*given: tuple[int, object] | Exception) -> responses.RequestsMock:
    """Has Complete Step give these responses, one after the other."""
    mock = responses.RequestsMock()
    for response in given:
        if isinstance(response, Exception):
            mock.post(URL, body=response)
        else:
            status, data = response
            mock.post(URL, status=status, json={"data": data})
    return mock


def refused(code: str) -> tuple[int, object]:
    return 412, {"processStepId": {"code": code}}


@pytest.mark.parametrize(
    "given",
    [
        [(200, {})],
        [(500, "Something went wrong."), (200, {})],
        [requests.ConnectionError(), (200, {})],
        [requests.ReadTimeout(), refused("STEP_COMPLETED")],
        [(500, "Something went wrong."), refused("STEP_COMPLETED")],
        [refused("STEP_COMPLETED")],
    ],
)
def test_a_step_is_done_when_this_attempt_or_an_earlier_one_completed_it(given):
    with given_responses(*given) as stub:
        third_party_app.complete_step("http://stub.test", "secret", "order-7-pack", {})
        assert len(stub.calls) == len(given)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ([(500, "First."), (500, "Second.")], "500, Second."),
        ([(401, "The token is not known.")], "401, The token is not known."),
        ([refused("STEP_FAILED")], "STEP_FAILED"),
        ([(412, {"another": {}})], "412"),
        ([requests.ConnectTimeout(), requests.ConnectTimeout()], "ConnectTimeout"),
    ],
)
def test_what_a_repetition_cannot_help_is_given_up(given, reason):
    with given_responses(*given) as stub:
        with pytest.raises(third_party_app.NotCompleted, match=reason):
            third_party_app.complete_step("http://stub.test", "secret", "order-7-pack", {})
        assert len(stub.calls) == len(given)


def test_work_nobody_knows_is_refused_at_once():
    client = third_party_app.create_app("http://stub.test", "secret").test_client()
    start = {"processId": "order-7", "processStepId": "order-7-dance", "params": {}}

    assert client.post("/steps", json=start).status_code == 404


@pytest.mark.proof
@pytest.mark.parametrize("choice", ["each", "pairs"])
def test_the_client_survives_every_reading_and_variation(choice: str):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    ended = subprocess.run(
        [*command, EXAMPLES, "--stepstub-readings", choice],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout
    assert "0 broke a test." in ended.stdout
