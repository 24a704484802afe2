"""What travels with a request through a system: trace context, and the sandbox it is for."""

import requests
import responses

import stepstub

TRACE = {
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "tracestate": "vendor=a",
    "baggage": "user=1, stepstub-sandbox=nobody",
}
APPLICATION = "http://application.test/start"


def complete(sandbox: stepstub.Sandbox, step_id: str, **headers: str) -> int:
    body = {"processStepId": step_id, "params": {}}
    return requests.post(
        sandbox.complete_step_url, json=body, headers={**sandbox.headers, **headers}, timeout=5
    ).status_code


def test_an_http_delegate_is_called_within_the_trace_of_the_completion() -> None:
    with responses.RequestsMock() as outer, stepstub.InProcess() as sandbox:
        outer.post(APPLICATION)
        process = sandbox.start_process([{}, {"delegate": {"http": APPLICATION}}])
        assert complete(sandbox, process.steps[0].id, **TRACE, **{"X-Own": "kept"}) == 200
        sent = outer.calls[0].request.headers
        assert {name: sent[name] for name in TRACE} == TRACE
        assert "X-Own" not in sent
        assert "Authorization" not in sent
        (exchange,) = sandbox.journal()
    assert TRACE.items() <= dict(exchange.headers).items()


def test_a_request_may_name_its_sandbox_beside_the_token_of_the_default_one() -> None:
    with stepstub.LiveServer("two-steps") as server:
        default = server.default_sandbox()
        with (
            server.sandbox("two-steps", name="tests/test a.py::it") as named,
            server.sandbox("two-steps", name="other") as other,
        ):
            baggage = "x=1,stepstub-sandbox=tests%2Ftest%20a.py%3A%3Ait;p=1, y=2"
            assert complete(default, "order-1-approve", baggage=baggage) == 200
            assert [len(each.journal()) for each in (default, named, other)] == [0, 1, 0]
            # A token of its own is a sandbox of its own.
            assert complete(other, "order-1-approve", baggage=baggage) == 200
            assert len(other.journal()) == 1
            wrong = {"Authorization": "Bearer wrong", "baggage": baggage}
            assert complete(default, "order-1-ship", **wrong) == 401
            assert len(named.journal()) == 1
            named.reset()
            assert complete(default, "order-1-approve", baggage=baggage) == 200
            assert len(named.journal()) == 1
        # Deleted, or never there: the request is the default sandbox's.
        assert complete(default, "order-1-approve", baggage=baggage) == 200
        assert complete(default, "order-1-ship", baggage="stepstub-sandbox=nobody") == 200
        assert [each.status for each in default.journal()] == [401, 200, 200]


def test_of_two_sandboxes_of_one_name_the_newest_is_meant() -> None:
    with (
        stepstub.LiveServer("two-steps") as server,
        server.sandbox("two-steps", name="twin") as first,
        server.sandbox("two-steps", name="twin") as second,
    ):
        baggage = {"baggage": "stepstub-sandbox=twin"}
        assert complete(server.default_sandbox(), "order-1-approve", **baggage) == 200
        assert [len(each.journal()) for each in (first, second)] == [0, 1]
