"""What is copied from an exchange works: the command, the test, the scenario."""

import os
import re
import subprocess
import sys
from html import unescape
from pathlib import Path

import pytest
import requests
import yaml

import stepstub
from console_support import DEFAULT, Visitor, complete
from stepstub import scenario
from stepstub.console.lanes import lanes
from stepstub.console.retelling import state_before
from stepstub.views import ExchangeView
from support import TIMEOUT, Connection

STEP, NEXT = "order-1-approve", "order-1-ship"


def copied(visitor: Visitor, number: int, what: str) -> str:
    """What the copy button of an exchange's page puts into the clipboard."""
    page = visitor.get(f"{DEFAULT}/exchanges/{number}").text
    (text,) = re.findall(rf'<code id="{what}-text">(.*?)</code>', page, re.DOTALL)
    return unescape(str(text))


def send(sandbox: stepstub.Sandbox, body: bytes, **headers: str) -> int:
    sent = {"Content-Type": "application/json", **sandbox.headers, **headers}
    return requests.post(
        sandbox.complete_step_url, data=body, headers=sent, timeout=TIMEOUT
    ).status_code


BODIES = [
    b'{"processStepId": "order-1-approve", "params": {"a": {"strValue": "it\'s $5 \\\\ `x`"}}}',
    b'{"processStepId":\n  "nowhere"}\n',
    '{"processStepId": "\u202e\x1bżółw \U0001f600"}'.encode(),
    b"{",
    b"@/etc/hostname",  # and not the file of that name
    b"'",
    b"",
]


@pytest.mark.parametrize("body", BODIES)
def test_the_curl_line_sends_the_same_request(
    visitor: Visitor, sandbox: stepstub.Sandbox, body: bytes
) -> None:
    send(sandbox, body, **{"X-Note": "a 'note' of $HOME"})
    line = copied(visitor, 1, "curl")
    assert "$TOKEN" in line
    assert sandbox.token not in line
    sandbox.reset()
    environment = {**os.environ, "TOKEN": sandbox.token}
    subprocess.run(["bash", "-c", line], env=environment, check=True, capture_output=True)
    (again,) = sandbox.journal()
    assert again.body.encode() == body
    assert ("x-note", "a 'note' of $HOME") in again.headers
    assert dict(again.headers)["content-type"] == "application/json"


def test_the_curl_line_has_every_header_and_adds_no_media_type(
    visitor: Visitor, sandbox: stepstub.Sandbox
) -> None:
    def ask(*headers: tuple[str, str]) -> tuple[int, list[tuple[str, str]]]:
        """The status, and the headers that are not the connection's or the client's."""
        sandbox.reset()
        line = [f"{name}: {value}" for name, value in headers]
        authorization = f"Authorization: Bearer {sandbox.token}"
        head = "\r\n".join(["POST /api/v1/processes/complete-step HTTP/1.1", "Host: localhost"])
        body = '{"processStepId": "nowhere"}'
        rest = "\r\n".join([authorization, *line, f"Content-Length: {len(body)}", "", body])
        with Connection(sandbox.url) as connection:
            connection.ask(f"{head}\r\n{rest}".encode())
        return of_the_only_exchange()

    def of_the_only_exchange() -> tuple[int, list[tuple[str, str]]]:
        (exchange,) = sandbox.journal()
        named = ("content-type", "x-note")
        return exchange.status or 0, [each for each in exchange.headers if each[0] in named]

    for headers in (
        [("x-note", "one"), ("x-note", "two"), ("content-type", "application/json")],
        [("x-note", "one")],
        [("content-type", "")],
    ):
        before = ask(*headers)
        line = copied(visitor, 1, "curl")
        sandbox.reset()
        environment = {**os.environ, "TOKEN": sandbox.token}
        subprocess.run(["bash", "-c", line], env=environment, check=True, capture_output=True)
        assert of_the_only_exchange() == before, headers


@pytest.mark.parametrize("credentials", ["basic", "api-key"])
def test_the_curl_line_bears_the_token_as_the_readings_ask(
    visitor: Visitor, sandbox: stepstub.Sandbox, credentials: str
) -> None:
    sandbox.reset(readings={"credentials": credentials})
    assert complete(sandbox, STEP) == 200
    line = copied(visitor, 1, "curl")
    sandbox.reset()
    environment = {**os.environ, "TOKEN": sandbox.token}
    subprocess.run(["bash", "-c", line], env=environment, check=True, capture_output=True)
    assert [exchange.status for exchange in sandbox.journal()] == [200]


@pytest.fixture
def seen(visitor: Visitor, sandbox: stepstub.Sandbox) -> list[ExchangeView]:
    """One exchange of each kind."""
    sandbox.reset(readings={"unknown-step": 404})
    complete(sandbox, NEXT)
    complete(sandbox, STEP, params={"a": {"strValue": "\u202e", "type": "STRING"}})
    complete(sandbox, STEP)
    complete(sandbox, "nowhere")
    send(sandbox, b'{"processStepId": ')
    send(sandbox, b"{}", Authorization="Bearer unknown")
    requests.get(f"{sandbox.url}/nowhere", timeout=TIMEOUT)
    sandbox.fail_step(NEXT)
    complete(sandbox, NEXT)
    return sandbox.journal()


def test_the_copied_tests_pass(visitor: Visitor, seen: list[ExchangeView], tmp_path: Path) -> None:
    for exchange in seen:
        (tmp_path / f"test_{exchange.number}.py").write_text(
            copied(visitor, exchange.number, "test"), encoding="utf-8"
        )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert f"{len(seen)} passed" in done.stdout, done.stdout


def test_a_copied_scenario_leads_to_the_same_response(
    visitor: Visitor, sandbox: stepstub.Sandbox, seen: list[ExchangeView], tmp_path: Path
) -> None:
    about_a_step = [each for each in seen if each.process_step_id is not None]
    assert len(about_a_step) >= 5
    for exchange in about_a_step:
        file = tmp_path / f"scenario-{exchange.number}.yaml"
        file.write_text(copied(visitor, exchange.number, "scenario"), encoding="utf-8")
        assert yaml.safe_load(file.read_text("utf-8"))["description"]
        scenario.load(file)
        readings = {"unknown-step": 404}
        with stepstub.Sandbox.create(
            sandbox.url, sandbox.token, scenario=file, readings=readings
        ) as fresh:
            assert send(fresh, exchange.body.encode()) == exchange.status, exchange


@pytest.mark.parametrize("body", [b'{"processStepId": "nowhere"}', [b"{", b"}"]])
def test_a_body_that_was_not_read_is_not_taken_for_an_empty_one(
    visitor: Visitor, sandbox: stepstub.Sandbox, body: bytes | list[bytes]
) -> None:
    headers = {"Content-Type": "application/json", "Authorization": "Bearer unknown"}
    sent = iter(body) if isinstance(body, list) else body
    url = sandbox.complete_step_url
    assert requests.post(url, data=sent, headers=headers, timeout=TIMEOUT).status_code == 401
    page = visitor.read(f"{DEFAULT}/exchanges/1")
    assert "The body was not read." in page
    assert "The body was not read: the copies are without it" in page
    assert "No body." not in page
    assert "Replay" not in page
    assert "# The body was not read" in copied(visitor, 1, "test")
    assert visitor.post(f"{DEFAULT}/exchanges/1/replay").status_code == 409


def test_an_empty_body_is_one_that_was_read(visitor: Visitor, sandbox: stepstub.Sandbox) -> None:
    headers = {"Content-Type": "application/json", **sandbox.headers}
    url = sandbox.complete_step_url
    for sent in (iter([b""]), b""):
        requests.post(url, data=sent, headers=headers, timeout=TIMEOUT)
    for number in (1, 2):
        page = visitor.read(f"{DEFAULT}/exchanges/{number}")
        assert "No body." in page
        assert "As curl" in page


def test_params_that_a_step_got_later_are_said_to_be_in_the_copies(
    visitor: Visitor, sandbox: stepstub.Sandbox
) -> None:
    note = "A step that was started since has its present params"
    process = sandbox.start_process([{}, {}, {"params": {"own": {"strValue": "x"}}}])
    first, second, third = [step.id for step in process.steps]
    complete(sandbox, first)
    assert note not in visitor.read(f"{DEFAULT}/exchanges/1")
    complete(sandbox, second, params={"given": {"strValue": "later"}})
    for number in (1, 2):
        assert "given" in copied(visitor, number, "scenario")
        assert note in visitor.read(f"{DEFAULT}/exchanges/{number}")
    complete(sandbox, third)
    assert note not in visitor.read(f"{DEFAULT}/exchanges/3")


def test_what_came_later_does_not_count(sandbox: stepstub.Sandbox) -> None:
    sandbox.reset("long-chain")
    for number in range(1, 6):
        complete(sandbox, f"chain-1-0{number}")
    (process,) = sandbox.processes()
    third = sandbox.journal()[2]
    statuses = [spec["status"] for spec in state_before(third, process)]
    assert statuses[:4] == ["COMPLETED", "COMPLETED", "STARTED", "PENDING"]
    assert set(statuses[4:]) == {"PENDING"}


def test_processes_that_moved_last_come_first(sandbox: stepstub.Sandbox) -> None:
    for name in "abc":
        sandbox.start_process([{}, {}], id=name)
    complete(sandbox, "b-1")
    drawn = lanes(sandbox.processes())
    assert [lane.process.id for lane in drawn.open] == ["b", "c", "a", "order-1"]
    assert drawn.next_time_out is None
