"""The journal: what it keeps, what it never keeps, and the reason of every refusal."""

import random
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import requests

import stepstub
from stepstub.app import create_app
from stepstub.client import render_journal
from stepstub.concurrency import EventLoopConcurrency, run_inline
from stepstub.delegates import DelegateCall, StepStart
from stepstub.journal import MAX_JOURNALED_BODY, Entry, ExchangeQuery, Journal
from stepstub.model import Status
from stepstub.serving.server import serve_in_thread
from stepstub.settings import Limits, Settings
from stepstub.stores.memory import MemoryStore
from stepstub.transitions import Change
from support import Connection, head

STEP = "order-1-approve"
NEXT = "order-1-ship"


def post(sandbox: stepstub.Sandbox, step_id: str = STEP, **options: Any) -> requests.Response:
    body = options.pop("data", None)
    return requests.post(
        sandbox.complete_step_url,
        data=body,
        json=None if body is not None else {"processStepId": step_id},
        headers={"Content-Type": "application/json", **sandbox.headers, **options},
        timeout=10,
    )


def test_an_exchange_is_told_whole(sandbox: stepstub.Sandbox) -> None:
    response = post(sandbox)
    (exchange,) = sandbox.journal()
    assert (exchange.number, exchange.method, exchange.path) == (
        1,
        "POST",
        "/api/v1/processes/complete-step",
    )
    assert (exchange.operation, exchange.status) == ("completeStep", 200)
    assert exchange.body == f'{{"processStepId": "{STEP}"}}'
    assert exchange.body_size == len(exchange.body)
    assert exchange.response == response.text
    assert exchange.duration_ms
    assert ("content-type", "application/json") in exchange.headers
    assert (exchange.process_step_id, exchange.step_before, exchange.step_after) == (
        STEP,
        Status.STARTED,
        Status.COMPLETED,
    )
    assert (exchange.reason, exchange.moved_by, exchange.fault) == (None, None, None)
    call = exchange.delegate_call
    assert call
    assert (call.process_step_id, call.kind, call.outcome) == (NEXT, "recorded", "accepted")
    assert call.exchange_number == 1
    assert call == sandbox.delegate_calls()[-1]


def test_secrets_are_never_stored(sandbox: stepstub.Sandbox) -> None:
    secrets = {
        "Cookie": "session=sesame",
        "Proxy-Authorization": "Basic sesame",
        "X-Stepstub-Control-Token": "sesame",
        "X-Api-Key": "sesame",
        "X-Auth-Token": "sesame",
    }
    post(sandbox, **secrets)
    post(sandbox, AUTHORIZATION="Bearer sesame")  # a second one, which is then the only one
    post(sandbox, data=b"sesam", **secrets)
    for text in (repr(sandbox.journal()), render_journal(sandbox.journal())):
        assert sandbox.token not in text
        assert "sesame" not in text
    headers = dict(sandbox.journal()[0].headers)
    for name in ("authorization", *map(str.lower, secrets)):
        assert headers[name] == "(redacted)"


@pytest.fixture(params=["stepstub", "stepstub_server"])
def stub(request: pytest.FixtureRequest) -> Iterator[tuple[stepstub.Sandbox, stepstub.Sandbox]]:
    """A sandbox for a test, and the default one beside it, which is empty."""
    if request.param == "stepstub":
        sandbox = request.getfixturevalue("stepstub")
        yield sandbox, sandbox.default_sandbox()
    else:
        with stepstub.LiveServer() as server, server.sandbox() as fresh:
            yield fresh, server.default_sandbox()


Stub = tuple[stepstub.Sandbox, stepstub.Sandbox]


def test_nor_those_of_a_request_whose_token_nobody_has(stub: Stub) -> None:
    sandbox, default = stub
    post(sandbox, Authorization="Bearer sesame")
    post(sandbox, Authorization="sesame")
    assert sandbox.journal() == []
    journal = default.journal()
    assert [exchange.status for exchange in journal] == [401, 401]
    assert "sesame" not in repr(journal)
    assert all("bearer token" in str(e.reason).lower() for e in journal)


def test_a_body_is_cut(sandbox: stepstub.Sandbox) -> None:
    body = f'{{"processStepId": "{STEP}", "params": {{"a": {{"strValue": "{"é" * 9000}"}}}}}}'
    assert post(sandbox, data=body.encode()).status_code == 200
    (exchange,) = sandbox.journal()
    assert MAX_JOURNALED_BODY == 16 * 1024
    assert exchange.body_size == len(body.encode())
    kept = body.encode()[:MAX_JOURNALED_BODY].decode(errors="replace")
    assert exchange.body == kept
    assert exchange.response
    assert len(exchange.response.encode()) <= MAX_JOURNALED_BODY + 2  # half a character is replaced


def test_a_body_that_is_no_text_is_told_all_the_same(sandbox: stepstub.Sandbox) -> None:
    post(sandbox, data=b"\xff\x00{")
    (exchange,) = sandbox.journal()
    assert (exchange.body, exchange.body_size, exchange.status) == ("\ufffd\x00{", 3, 412)


def test_the_reason_of_a_refusal_by_state(sandbox: stepstub.Sandbox) -> None:
    post(sandbox, "nowhere")
    post(sandbox)
    post(sandbox)
    sandbox.fail_step(NEXT)
    post(sandbox, NEXT)
    unknown, winner, again, failed = sandbox.journal()
    assert "There is no step nowhere" in str(unknown.reason)
    assert (unknown.step_before, unknown.moved_by) == (None, None)
    assert again.reason == f"Step {STEP} is COMPLETED; only a STARTED step can be completed."
    assert again.violations["processStepId"].expected == "STARTED"
    assert again.violations["processStepId"].actual == "COMPLETED"
    assert (again.step_before, again.step_after) == (Status.COMPLETED, Status.COMPLETED)
    assert again.moved_by == winner.number == 2
    assert "the control API failed it" in str(failed.reason)
    assert failed.moved_by is None  # the test did it, and no request


def test_the_reason_of_a_refusal_of_the_body(sandbox: stepstub.Sandbox) -> None:
    post(sandbox, data=b'{"processStepId": "x", "params": {"total": {"longValue": 1.5}}}')
    post(sandbox, data=b'{"processStepId": ')
    field, syntax = sandbox.journal()
    assert list(field.violations) == ["params.total.longValue"]
    assert "params.total.longValue" in str(field.reason)
    assert syntax.violations["body"].code == "INVALID_JSON"
    assert "line 1 column" in str(syntax.reason)
    assert (field.process_step_id, syntax.process_step_id) == (None, None)


def test_a_delegate_that_failed(sandbox: stepstub.Sandbox) -> None:
    step_id = sandbox.start_process([{}, {"delegate": "failing"}]).steps[0].id
    post(sandbox, step_id)
    exchange = sandbox.journal()[-1]
    assert (exchange.status, exchange.step_before, exchange.step_after) == (
        500,
        Status.STARTED,
        Status.STARTED,
    )
    assert exchange.delegate_call
    assert exchange.delegate_call.outcome.startswith("failed: ")


@pytest.mark.parametrize("action", ["respond", "disconnect", "malformed"])
def test_a_fault_and_what_had_moved(sandbox: stepstub.Sandbox, action: Any) -> None:
    sandbox.fault("after", action)
    try:
        post(sandbox)
    except requests.ConnectionError:
        assert action == "disconnect"
    (exchange,) = sandbox.journal()
    assert str(exchange.fault).startswith("after: ")
    assert (exchange.step_before, exchange.step_after) == (Status.STARTED, Status.COMPLETED)
    assert exchange.status == {"respond": 500, "malformed": 200, "disconnect": None}[action]
    assert exchange.duration_ms is not None


def test_a_miss_is_journaled_in_the_default_sandbox(stub: Stub) -> None:
    sandbox, default = stub
    requests.get(sandbox.url + "/nowhere", headers=sandbox.headers, timeout=5)
    requests.get(sandbox.complete_step_url, headers=sandbox.headers, timeout=5)
    assert sandbox.journal() == []
    assert [(e.method, e.path, e.status) for e in default.journal()] == [
        ("GET", "/nowhere", 404),
        ("GET", "/api/v1/processes/complete-step", 405),
    ]


def test_a_client_that_hung_up_is_told(stepstub_sandbox: stepstub.Sandbox) -> None:
    with Connection(stepstub_sandbox.url) as connection:
        connection.send(head("Content-Length: 9", token=stepstub_sandbox.token))
    post(stepstub_sandbox, "nowhere")  # the server has seen the end of the first by then
    gone, _ = stepstub_sandbox.journal()
    assert gone.status is None
    assert gone.reason == "The client went away before its request was whole."


def test_filters(sandbox: stepstub.Sandbox) -> None:
    for step_id in (NEXT, STEP, STEP, "nowhere"):
        post(sandbox, step_id)
    assert [e.number for e in sandbox.journal(step_id=STEP)] == [2, 3]
    assert [e.number for e in sandbox.journal(status=412)] == [1, 3, 4]
    assert [e.number for e in sandbox.journal(step_id=STEP, status=200)] == [2]

    def numbers(**query: object) -> list[int]:
        found = sandbox.call("GET", "journal", dict, query=query)
        return [exchange["number"] for exchange in found["exchanges"]]

    assert numbers(operation="completeStep") == [1, 2, 3, 4]
    assert numbers(operation="other") == []
    assert numbers(after=2) == [3, 4]


def test_pages(sandbox: stepstub.Sandbox) -> None:
    for step_id in (NEXT, STEP, NEXT, STEP, STEP):
        post(sandbox, step_id)

    def page(**query: object) -> tuple[list[int], int | None]:
        found = sandbox.call("GET", "journal", dict, query=query)
        return [exchange["number"] for exchange in found["exchanges"]], found.get("next")

    assert page(limit=2) == ([1, 2], 2)
    assert page(limit=2, after=2) == ([3, 4], 4)
    assert page(limit=2, after=4) == ([5], None)
    assert page(limit=5) == ([1, 2, 3, 4, 5], None)
    assert page(limit=1, status=412) == ([1], 1)
    assert page(limit=1, status=412, after=1) == ([4], 4)
    assert page(limit=1, status=412, after=4) == ([5], None)


def test_a_cleared_journal_goes_on_counting(sandbox: stepstub.Sandbox) -> None:
    post(sandbox)
    sandbox.call("DELETE", "journal", type(None))
    assert sandbox.journal() == []
    assert sandbox.delegate_calls() == []
    assert sandbox.call("GET", "journal", dict)["dropped"] == 1
    post(sandbox)
    (exchange,) = sandbox.journal()
    assert (exchange.number, exchange.moved_by) == (2, 1)


@pytest.mark.parametrize("bound", [1, 3])
def test_at_its_bound_the_newest_are_kept_and_the_numbers_go_on(bound: int) -> None:
    app = create_app(
        settings=Settings(limits=Limits(journal=bound)), concurrency=EventLoopConcurrency()
    )
    with serve_in_thread(app) as url:
        sandbox = stepstub.Sandbox(url, "stub-token")
        sandbox.start_process("long-chain")
        for number in range(1, 8):
            assert post(sandbox, f"chain-1-0{number}").status_code == 200
        found = sandbox.call("GET", "journal", dict)
        assert [e["number"] for e in found["exchanges"]] == list(range(8 - bound, 8))
        assert found["dropped"] == 7 - bound
        calls = [call.process_step_id for call in sandbox.delegate_calls()]
        assert calls == [f"chain-1-0{number}" for number in range(9 - bound, 9)]
        assert post(sandbox, "chain-1-01").status_code == 412
        assert sandbox.journal()[-1].moved_by == 1  # known, although it is no longer there


def entry(step_id: str | None = None) -> Entry:
    return Entry(method="POST", path="/", headers=(), wall_clock=0, step_id=step_id)


class Counting(ExchangeQuery, frozen=True, kw_only=True):
    """A query that notes the exchanges it is asked about."""

    asked: list[int]

    def matches(self, entry: Entry) -> bool:
        self.asked.append(entry.number)
        return super().matches(entry)


def test_the_exchanges_of_a_step_are_found_without_a_look_at_the_others() -> None:
    journal = Journal(bound=100)
    for number in range(1000):
        journal.append(entry(f"s-{number % 50}"))
    query = Counting(step_id="s-7", asked=[])
    assert [each.number for each in exchanges(journal, query)] == [908, 958]
    assert query.asked == [908, 958]
    query = Counting(after=997, asked=[])
    assert [each.number for each in exchanges(journal, query)] == query.asked == [998, 999, 1000]


def exchanges(journal: Journal, query: ExchangeQuery) -> list[Entry]:
    return query.among(journal.candidates(query))


@pytest.mark.parametrize("bound", [1, 2, 7, 40, 1000])
def test_they_are_those_that_the_journal_has(bound: int) -> None:
    journal = Journal(bound)
    choose = random.Random(bound)
    steps = [None, *"aaaaaabc"]
    for _ in range(500):
        journal.append(entry(choose.choice(steps)))
        for step_id in "abcd":
            found = exchanges(journal, ExchangeQuery(step_id=step_id))
            assert found == [each for each in journal if each.step_id == step_id]
    assert len(journal) == min(bound, 500)
    journal.clear()
    assert exchanges(journal, ExchangeQuery(step_id="a")) == []
    journal.append(entry("a"))
    assert [each.number for each in exchanges(journal, ExchangeQuery(step_id="a"))] == [501]


def test_a_call_is_found_by_its_exchange_while_it_is_remembered() -> None:
    store = MemoryStore(bound=3)
    nothing = Change((), ())
    for number in [*range(1, 6), None]:
        call = DelegateCall(
            called_at=0,
            kind="recorded",
            start=StepStart("p", "s", {}),
            exchange_number=number,
            outcome="accepted",
        )
        run_inline(store.apply(nothing, call=call))
    assert [call.exchange_number for call in run_inline(store.calls())] == [4, 5, None]
    assert list(run_inline(store.calls_of([1, 2, 3, 4, 5, 6]))) == [4, 5]
    run_inline(store.clear_journal())
    assert run_inline(store.calls_of([4, 5])) == {}


def test_many_threads_keep_their_entries_in_the_order_of_the_numbers() -> None:
    store = MemoryStore(bound=10_000)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [
            threading.Thread(target=lambda: [run_inline(store.open(entry())) for _ in range(500)])
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    finally:
        sys.setswitchinterval(interval)
    entries, dropped = run_inline(store.exchanges())
    assert [each.number for each in entries] == list(range(1, 4001))
    assert dropped == 0


def test_it_reads_well(sandbox: stepstub.Sandbox) -> None:
    assert render_journal(sandbox.journal()) == "(no exchanges)"
    post(sandbox)
    post(sandbox)
    journal = sandbox.journal()
    assert render_journal(journal).splitlines() == [
        "#1 POST /api/v1/processes/complete-step -> 200",
        f'   sent: {{"processStepId": "{STEP}"}}',
        f"   step {STEP}: STARTED -> COMPLETED",
        f"   delegate of {NEXT} (recorded): accepted",
        "#2 POST /api/v1/processes/complete-step -> 412",
        f'   sent: {{"processStepId": "{STEP}"}}',
        f"   step {STEP}: COMPLETED, unchanged",
        f"   why: {journal[1].reason} (moved there by #1)",
    ]
