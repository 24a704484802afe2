"""Sandboxes: apart from each other, under load, in a reset, and gone when deleted."""

import gc
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import NoneType

import msgspec
import pytest
import requests

import stepstub
from stepstub.app import create_app
from stepstub.client import Transport
from stepstub.concurrency import CallLimit, EventLoopConcurrency, run_inline
from stepstub.delegates import StepStart
from stepstub.journal import Entry
from stepstub.model import Status
from stepstub.serving.server import serve_in_thread
from stepstub.settings import DEFAULT_TOKEN, Limits, Settings
from stepstub.views import SandboxList, SandboxView
from support import Client, in_time, processes

STEP = "order-1-approve"
NEXT = "order-1-ship"


@pytest.fixture
def server(stepstub_server: stepstub.LiveServer) -> stepstub.LiveServer:
    return stepstub_server


def post(sandbox: stepstub.Sandbox, step_id: str = STEP) -> requests.Response:
    return requests.post(
        sandbox.complete_step_url,
        json={"processStepId": step_id},
        headers=sandbox.headers,
        timeout=30,
    )


def at_once(number: int, function: Callable[[int], requests.Response]) -> list[requests.Response]:
    """What `number` threads get that call `function` at the same moment."""
    barrier = threading.Barrier(number)

    def call(index: int) -> requests.Response:
        barrier.wait(30)
        return function(index)

    with ThreadPoolExecutor(number) as threads:
        return list(threads.map(call, range(number)))


@contextmanager
def held(sandbox: stepstub.Sandbox, step_id: str = STEP) -> Iterator[None]:
    """While it lasts a completion is in flight: its delegate was called and does not respond."""
    called, response = threading.Event(), threading.Event()

    def delegate(start: StepStart) -> None:
        called.set()
        response.wait(30)

    sandbox.on_delegate(delegate)
    responses: list[requests.Response] = []
    client = threading.Thread(target=lambda: responses.append(post(sandbox, step_id)))
    client.start()
    try:
        assert called.wait(10)
        yield
    finally:
        response.set()
        client.join(10)
    assert responses[0].status_code == 200
    assert responses[0].json()["data"]["processStepId"] == NEXT


@pytest.mark.parametrize("transport", ["stepstub", "stepstub_sandbox"])
def test_200_threads_complete_one_step(request: pytest.FixtureRequest, transport: str) -> None:
    sandbox: stepstub.Sandbox = request.getfixturevalue(transport)
    sandbox.start_process("two-steps")
    responses = at_once(200, lambda _: post(sandbox))
    assert Counter(response.status_code for response in responses) == {200: 1, 412: 199}

    journal = sandbox.journal()
    assert [exchange.number for exchange in journal] == list(range(1, 201))
    (winner,) = (exchange for exchange in journal if exchange.status == 200)
    assert {e.moved_by for e in journal if e is not winner} == {winner.number}
    assert [call.exchange_number for call in sandbox.delegate_calls()] == [None, winner.number]
    seen = sandbox.verify_completed(STEP)
    assert (seen.completed, seen.delegate_calls, len(seen.attempts)) == (1, 1, 200)


def test_50_sandboxes_with_the_same_ids_do_not_mix(server: stepstub.LiveServer) -> None:
    def work(index: int) -> list[int]:
        with server.sandbox("two-steps") as sandbox:
            mine = {"who": {"longValue": index}}
            statuses = []
            if index % 2:
                sandbox.fault("after", status=503)
            if index % 5 == 0:
                sandbox.clock.advance(index * 86_400)
            for step_id in (STEP, STEP, NEXT, NEXT):
                response = requests.post(
                    sandbox.complete_step_url,
                    json={"processStepId": step_id, "params": mine},
                    headers=sandbox.headers,
                    timeout=30,
                )
                statuses.append(response.status_code)
            journal = sandbox.journal()
            assert [exchange.number for exchange in journal] == [1, 2, 3, 4]
            assert all(f'"longValue": {index}}}' in exchange.body for exchange in journal)
            (call,) = sandbox.delegate_calls()
            assert call.params["who"].long_value == index
            ahead = journal[0].received_at - journal[0].wall_clock
            assert round(ahead.total_seconds() / 86_400) == (0 if index % 5 else index)
            sandbox.verify_completed(STEP)
            return statuses

    with ThreadPoolExecutor(50) as threads:
        outcomes = list(threads.map(work, range(50)))
    assert outcomes == [[503 if index % 2 else 200, 412, 200, 412] for index in range(50)]


def test_one_that_is_held_up_does_not_hold_up_another(server: stepstub.LiveServer) -> None:
    with server.sandbox("two-steps") as slow, server.sandbox("two-steps") as other:
        with held(slow):
            assert post(other).status_code == 200
            assert [call.process_step_id for call in other.delegate_calls()] == [NEXT]
        assert slow.step(STEP).status is Status.COMPLETED


def test_the_bound_of_blocking_calls_is_each_sandboxes_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One whose delegates do not respond uses up its own calls, and nobody else's."""
    monkeypatch.setattr("stepstub.sandbox.CallLimit", lambda: CallLimit(1))
    with (
        stepstub.LiveServer() as server,
        server.sandbox("two-steps") as slow,
        server.sandbox("two-steps") as other,
    ):
        other.on_delegate(lambda _: None)
        with held(slow):
            assert in_time(lambda: post(other)).status_code == 200


def test_a_token_sees_its_own_world_only(server: stepstub.LiveServer) -> None:
    with server.sandbox("two-steps") as one, server.sandbox() as other:
        assert other.processes() == []
        with pytest.raises(stepstub.ControlFailed, match="Ids belong to one token"):
            other.step(STEP)
        other.fault("before", times=10)
        other.clock.freeze()
        assert post(one).status_code == 200
        assert post(other).status_code == 500
        assert [exchange.status for exchange in one.journal()] == [200]


def test_a_reset_brings_the_start_back(server: stepstub.LiveServer) -> None:
    with server.sandbox("two-steps") as sandbox:
        post(sandbox)
        sandbox.start_process([{}])
        sandbox.reset()
        assert [process.id for process in sandbox.processes()] == ["order-1"]
        assert sandbox.step(STEP).status is Status.STARTED
        assert sandbox.journal() == []
        assert sandbox.delegate_calls() == []
        sandbox.reset("last-step")
        assert [process.id for process in sandbox.processes()] == ["invoice-1"]
        sandbox.reset()
        assert [process.id for process in sandbox.processes()] == ["invoice-1"]


def test_a_reset_lets_requests_in_flight_end_in_the_old_world(server: stepstub.LiveServer) -> None:
    with server.sandbox("two-steps") as sandbox:
        with held(sandbox):
            sandbox.reset()
            assert sandbox.step(STEP).status is Status.STARTED
            assert sandbox.journal() == []
            sandbox.on_delegate(None)
            assert post(sandbox).status_code == 200
        # The one from before has had its response from what it found; here is only the other.
        (exchange,) = sandbox.journal()
        assert (exchange.number, exchange.status) == (1, 200)
        assert sandbox.step(NEXT).moved_by == 1
        assert len(sandbox.delegate_calls()) == 1
        assert sandbox.verify_completed(STEP).attempts == (1,)


def test_resets_under_fire_lose_nothing(server: stepstub.LiveServer) -> None:
    with server.sandbox("two-steps") as sandbox:
        stop = threading.Event()

        def resets() -> None:
            while not stop.wait(0.01):
                sandbox.reset()

        resetting = threading.Thread(target=resets)
        resetting.start()
        try:
            responses = [post(sandbox) for _ in range(60)]
        finally:
            stop.set()
            resetting.join(10)
        assert {response.status_code for response in responses} <= {200, 412}
        sandbox.reset()
        assert post(sandbox).status_code == 200
        assert [exchange.number for exchange in sandbox.journal()] == [1]


def test_a_deleted_sandbox_is_gone(server: stepstub.LiveServer) -> None:
    with server.sandbox("two-steps") as sandbox:
        assert post(sandbox).status_code == 200
    assert post(sandbox).status_code == 401
    with pytest.raises(stepstub.ControlFailed) as caught:
        sandbox.journal()
    assert caught.value.status == 401


def test_a_deleted_sandbox_leaves_no_memory_behind() -> None:
    app = create_app(concurrency=EventLoopConcurrency())
    with serve_in_thread(app) as url, requests.Session() as session:
        with stepstub.Sandbox.create(url, "stub-token", scenario="two-steps") as sandbox:
            world = weakref.ref(run_inline(app.sandboxes.by_token(sandbox.token.encode())))
            store = weakref.ref(world().store)  # type: ignore[union-attr]
            session.headers.update(sandbox.headers)
            session.post(sandbox.complete_step_url, json={"processStepId": STEP}, timeout=5)
        session.get(url + "/openapi.yaml", timeout=5)  # an open connection knows its last request
        gc.collect()
        assert (world(), store()) == (None, None)
        assert run_inline(app.sandboxes.count()) == 1


def test_one_deleted_while_a_request_is_in_flight(server: stepstub.LiveServer) -> None:
    context = server.sandbox("two-steps")
    sandbox = context.__enter__()
    with held(sandbox):
        context.__exit__()
        assert post(sandbox).status_code == 401


FIRST = "process-1-1"


@pytest.fixture(params=["stepstub", "stepstub_sandbox"])
def sandbox(request: pytest.FixtureRequest) -> stepstub.Sandbox:
    made: stepstub.Sandbox = request.getfixturevalue(request.param)
    return made


def test_a_first_step_that_its_failing_delegate_has_completed(stepstub: stepstub.InProcess) -> None:
    """An application reports back at once, and responds 500 to the call all the same."""

    def application(request: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
        assert post(stepstub, FIRST).status_code == 200
        return 500, {}, ""

    stepstub.responses.add_callback("POST", "http://app.test/start", application)
    process = stepstub.start_process([{"delegate": {"http": "http://app.test/start"}}, {}])
    assert [step.status for step in process.steps] == [Status.COMPLETED, Status.STARTED]
    assert stepstub.step(FIRST).status is Status.COMPLETED
    assert stepstub.verify_completed(FIRST).delegate_calls == 1


def test_the_same_with_a_function(sandbox: stepstub.Sandbox) -> None:
    def delegate(start: StepStart) -> None:
        if start.process_step_id == FIRST:
            assert post(sandbox, FIRST).status_code == 200
            raise RuntimeError

    sandbox.on_delegate(delegate)
    process = sandbox.start_process([{}, {}])
    assert [step.status for step in process.steps] == [Status.COMPLETED, Status.STARTED]


def test_a_late_failure_spares_a_new_process_of_the_same_ids(sandbox: stepstub.Sandbox) -> None:
    def delegate(start: StepStart) -> None:
        sandbox.reset()
        sandbox.on_delegate(None)
        sandbox.start_process([{}, {}], id="p")
        assert post(sandbox, "p-1").status_code == 200
        raise RuntimeError

    sandbox.on_delegate(delegate)
    with pytest.raises(stepstub.ControlFailed, match="RuntimeError"):
        sandbox.start_process([{}, {}], id="p")
    statuses = [step.status for step in sandbox.process("p").steps]
    assert statuses == [Status.COMPLETED, Status.STARTED]


def test_a_step_failed_by_a_test_during_a_call_that_fails(sandbox: stepstub.Sandbox) -> None:
    sandbox.start_process("two-steps")

    def delegate(start: StepStart) -> None:
        sandbox.fail_step(start.process_step_id)
        raise RuntimeError

    sandbox.on_delegate(delegate)
    response = post(sandbox)
    assert response.status_code == 500
    assert "the step is COMPLETED, and the next one is FAILED" in response.text
    assert sandbox.step(NEXT).status is Status.FAILED
    assert sandbox.step(STEP).status is Status.COMPLETED
    assert sandbox.verify_completed(STEP).attempts == (1,)
    assert post(sandbox).json()["data"]["processStepId"]["code"] == "STEP_COMPLETED"


@pytest.mark.parametrize("how", ["deleted", "reset"])
def test_what_a_sandbox_held_is_free_at_once(how: str) -> None:
    """Without waiting for the garbage collector, which a server asks for rarely."""
    app = create_app()
    sandbox, _ = run_inline(app.sandboxes.create(processes("long-chain")))
    entry = Entry(method="POST", path="/", headers=(), wall_clock=0, step_id="chain-1-01")
    loaded = run_inline(sandbox.store.load("chain-1-01", entry))
    run_inline(sandbox.complete({}, loaded, entry))
    del loaded
    held = weakref.ref(sandbox.store)
    gc.disable()
    try:
        if how == "deleted":
            run_inline(app.sandboxes.delete(sandbox))
        else:
            run_inline(app.sandboxes.reset(sandbox, ()))
        del sandbox
        assert held() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("how", ["deleted", "reset"])
def test_a_large_sandbox_asks_the_garbage_collector_for_what_it_left(
    monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """There, and nowhere else: a collection stops whatever else is going on."""
    monkeypatch.setattr("stepstub.sandboxes._MANY_STEPS", 5)
    collected: list[bool] = []
    monkeypatch.setattr(gc, "collect", lambda: collected.append(True))
    with stepstub.InProcess("long-chain") as other:
        sandboxes = other.app.sandboxes
        for names in (["two-steps"], ["long-chain"]):
            sandbox, _ = run_inline(sandboxes.create(processes(*names)))
            other.start_process("long-chain")
            assert post(other, "chain-1-01").status_code in (200, 412)
            other.journal()
            assert collected == []
            if how == "deleted":
                run_inline(sandboxes.delete(sandbox))
            else:
                run_inline(sandboxes.reset(sandbox, ()))
    assert collected == [True]


def test_stubs_of_one_process_share_nothing_but_the_gate() -> None:
    small = Client(create_app(processes("two-steps"), Settings(max_body_bytes=60)))
    strict = Client(create_app(processes("two-steps"), Settings(control_token="x")))
    closed = Client(create_app(processes("two-steps"), Settings(with_control=False)))
    statuses = [client.complete("order-1-approve").status for client in (small, strict, closed)]
    assert statuses == [200, 200, 200]
    long = b'{"processStepId": "order-1-ship", "params": {"a": {"strValue": "xyz"}}}'
    assert [client.post(long).status for client in (small, strict)] == [413, 200]
    headers = {"authorization": "Bearer stub-token"}
    asked = [client.request("GET", "/_stub/clock", headers=headers) for client in (small, strict)]
    assert [response.status for response in asked] == [200, 401]
    assert closed.request("GET", "/_stub/clock", headers=headers).status == 404


# How they are listed


def summary(sandbox: stepstub.Sandbox) -> SandboxView:
    return sandbox.call("GET", "sandboxes/current", SandboxView)


def test_sandboxes_are_listed_by_name_and_never_by_token() -> None:
    with (
        stepstub.LiveServer("last-step") as server,
        server.sandbox("two-steps", name="test_retry") as named,
        server.sandbox() as nameless,
    ):
        post(named)
        post(named)
        post(named, "nowhere")
        named.fault("before", "delay")
        content = requests.get(
            f"{server.url}/_stub/sandboxes", headers=nameless.headers, timeout=10
        ).content
        listed = msgspec.json.decode(content, type=SandboxList)
        default, first, second = listed.sandboxes
        assert listed.total == 3
        assert (default.id, default.name, default.processes) == ("default", None, 1)
        assert (first.name, first.processes, first.exchanges, first.faults) == (
            "test_retry",
            1,
            3,
            1,
        )
        assert first.last_refusal
        assert (first.last_refusal.exchange_number, first.last_refusal.status) == (3, 412)
        assert "There is no step nowhere" in first.last_refusal.reason
        assert (second.name, second.exchanges, second.last_refusal) == (None, 0, None)
        assert default.created_at <= first.created_at <= second.created_at
        assert len({each.id for each in listed.sandboxes}) == 3
        for secret in (server.token, named.token, nameless.token):
            assert secret.encode() not in content
        assert summary(named) == first


def test_a_reset_keeps_name_and_id_and_a_long_name_is_cut() -> None:
    with stepstub.LiveServer() as server, server.sandbox(name="x" * 500) as sandbox:
        before = summary(sandbox)
        sandbox.reset("two-steps")
        after = summary(sandbox)
        assert after.name == before.name == "x" * 200
        assert (after.id, after.created_at) == (before.id, before.created_at)
        assert sandbox.token not in after.id


def test_a_fixture_names_its_sandbox_by_the_test(
    stepstub_sandbox: stepstub.Sandbox, request: pytest.FixtureRequest
) -> None:
    assert summary(stepstub_sandbox).name == request.node.nodeid


def test_exchanges_are_counted_beyond_the_bound_and_a_clearing() -> None:
    client = Client(create_app(processes("two-steps"), Settings(limits=Limits(journal=2))))
    sandbox = stepstub.Sandbox("http://stepstub.test", DEFAULT_TOKEN, transport=carried(client))
    for _ in range(5):
        client.complete("nowhere")
    assert summary(sandbox).exchanges == 5
    sandbox.call("DELETE", "journal", NoneType)
    assert summary(sandbox).exchanges == 5
    assert summary(sandbox).last_refusal is None


def carried(client: Client) -> Transport:
    def carry(method: str, path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        sent = {name.lower(): value for name, value in headers.items()}
        response = client.request(method, path, body, sent)
        return response.status, response.body

    return carry


CHANGES: dict[str, Callable[[stepstub.Sandbox], object]] = {
    "an exchange": lambda sandbox: post(sandbox, "nowhere"),
    "a completion": post,
    "a process": lambda sandbox: sandbox.start_process([{}]),
    "a failure": lambda sandbox: sandbox.fail_step(STEP),
    "a fault": lambda sandbox: sandbox.fault("before"),
    "no faults": lambda sandbox: sandbox.clear_faults(),
    "the clock": lambda sandbox: sandbox.clock.advance(1),
    "the journal": lambda sandbox: sandbox.call("DELETE", "journal", NoneType),
    "a reset": lambda sandbox: sandbox.reset(),
}


@pytest.mark.parametrize("name", CHANGES)
def test_every_change_is_another_revision(server: stepstub.LiveServer, name: str) -> None:
    with server.sandbox("two-steps") as sandbox:
        before = summary(sandbox).revision
        assert summary(sandbox).revision == before
        CHANGES[name](sandbox)
        assert summary(sandbox).revision != before
