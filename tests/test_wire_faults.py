"""Faults on the wire: what requests and httpx make of them, without a socket and with one."""

import asyncio
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import pytest
import requests

import stepstub
from stepstub import ControlFailed, wire
from stepstub.errors import InConflict
from stepstub.model import Status
from stepstub.serving.server import GRACE_PERIOD
from support import Connection
from support import post as request_bytes

STEP = "order-1-approve"
NEXT = "order-1-ship"
PATIENCE = 0.5  # seconds that a client waits for a stub that stalls
CONNECTING = 10  # seconds that it may take to connect, which no fault delays

Outcome = tuple[int, Mapping[str, str], bytes] | str
Client = Callable[[stepstub.Sandbox], Outcome]


def by_requests(sandbox: stepstub.Sandbox) -> Outcome:
    try:
        response = requests.post(
            sandbox.complete_step_url,
            json={"processStepId": STEP},
            headers=sandbox.headers,
            timeout=(CONNECTING, PATIENCE),
        )
    except requests.RequestException as error:
        return f"requests.{type(error).__name__}"
    return response.status_code, response.headers, response.content


def by_httpx(sandbox: stepstub.Sandbox) -> Outcome:
    try:
        with httpx.Client(
            transport=transport_of(sandbox), timeout=httpx.Timeout(PATIENCE, connect=CONNECTING)
        ) as client:
            return of_httpx(client.post(sandbox.complete_step_url, **httpx_request(sandbox)))
    except httpx.TransportError as error:
        return f"httpx.{type(error).__name__}"


def by_httpx_async(sandbox: stepstub.Sandbox) -> Outcome:
    async def call() -> Outcome:
        async with httpx.AsyncClient(
            transport=transport_of(sandbox, asynchronous=True),
            timeout=httpx.Timeout(PATIENCE, connect=CONNECTING),
        ) as client:
            url = sandbox.complete_step_url
            return of_httpx(await client.post(url, **httpx_request(sandbox)))

    try:
        return asyncio.run(call())
    except httpx.TransportError as error:
        return f"httpx.{type(error).__name__}"


def transport_of(sandbox: stepstub.Sandbox, *, asynchronous: bool = False) -> Any:
    if isinstance(sandbox, stepstub.InProcess):
        return sandbox.httpx_transport()
    return httpx.AsyncHTTPTransport() if asynchronous else httpx.HTTPTransport()


def httpx_request(sandbox: stepstub.Sandbox) -> dict[str, Any]:
    return {"json": {"processStepId": STEP}, "headers": sandbox.headers}


def of_httpx(response: httpx.Response) -> Outcome:
    return response.status_code, response.headers, response.content


CLIENTS = [by_requests, by_httpx, by_httpx_async]

AT_START: dict[str, Any] = {}
IN_HEAD = {"at": "head"}
AFTER_HEAD = {"at": "after-head"}
IN_BODY = {"at": "body"}
AFTER_BYTES = {"after_bytes": 7}
CUT_SHORT = "requests.ChunkedEncodingError", "httpx.RemoteProtocolError"
SILENT = "requests.ConnectionError", "httpx.ReadTimeout"

# The action, where; what requests raises, what httpx does.
BROKEN: list[tuple[Any, dict[str, Any], tuple[Outcome, str]]] = [
    ("disconnect", AT_START, ("requests.ConnectionError", "httpx.RemoteProtocolError")),
    # http.client takes the end of the connection for that of the head.
    ("disconnect", IN_HEAD, ((200, {}, b""), "httpx.RemoteProtocolError")),
    ("disconnect", AFTER_HEAD, CUT_SHORT),
    ("disconnect", IN_BODY, CUT_SHORT),
    ("disconnect", AFTER_BYTES, CUT_SHORT),
    ("reset", AT_START, ("requests.ConnectionError", "httpx.ReadError")),
    ("reset", IN_HEAD, ("requests.ConnectionError", "httpx.ReadError")),
    ("reset", AFTER_HEAD, ("requests.ChunkedEncodingError", "httpx.ReadError")),
    ("reset", IN_BODY, ("requests.ChunkedEncodingError", "httpx.ReadError")),
    ("reset", AFTER_BYTES, ("requests.ChunkedEncodingError", "httpx.ReadError")),
    ("stall", AT_START, ("requests.ReadTimeout", "httpx.ReadTimeout")),
    ("stall", IN_HEAD, ("requests.ReadTimeout", "httpx.ReadTimeout")),
    ("stall", AFTER_HEAD, SILENT),
    ("stall", IN_BODY, SILENT),
    ("stall", {"seconds": 0.01, **IN_BODY}, CUT_SHORT),
    ("drip", {"bytes_per_second": 1}, SILENT),
    ("wrong-length", {}, CUT_SHORT),
    ("wrong-length", {"extra_bytes": 1}, CUT_SHORT),
]


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(("action", "options", "outcomes"), BROKEN)
def test_a_broken_response_is_the_same_without_a_socket_and_with_one(
    sandbox: stepstub.Sandbox,
    client: Client,
    action: Any,
    options: dict[str, Any],
    outcomes: tuple[Outcome, str],
) -> None:
    sandbox.fault("after", action, **options)
    outcome = client(sandbox)
    expected = outcomes[0] if client is by_requests else outcomes[1]
    if isinstance(expected, tuple):
        assert isinstance(outcome, tuple)
        assert (outcome[0], outcome[2]) == (expected[0], expected[2])
        assert "content-type" not in outcome[1]
    else:
        assert outcome == expected
    assert sandbox.step(STEP).status is Status.COMPLETED
    sandbox.verify_completed(STEP, times=1)


@pytest.mark.parametrize("action", ["disconnect", "reset", "stall", "drip", "wrong-length"])
def test_before_the_completion_nothing_moves(sandbox: stepstub.Sandbox, action: Any) -> None:
    options: dict[str, Any] = {"drip": {"bytes_per_second": 1}}.get(action, {})
    sandbox.fault("before", action, **options)
    assert isinstance(by_requests(sandbox), str)
    assert sandbox.step(STEP).status is Status.STARTED
    outcome = by_requests(sandbox)
    assert isinstance(outcome, tuple)
    assert outcome[0] == 200


@pytest.mark.parametrize("client", CLIENTS)
def test_a_drip_that_the_client_outlasts(sandbox: stepstub.Sandbox, client: Client) -> None:
    sandbox.fault("after", "drip", bytes_per_second=2000)
    outcome = client(sandbox)
    assert isinstance(outcome, tuple)
    assert outcome[0] == 200
    assert NEXT.encode() in outcome[2]
    assert sandbox.journal()[-1].response == outcome[2].decode()


@pytest.mark.parametrize("client", CLIENTS)
def test_any_response(sandbox: stepstub.Sandbox, client: Client) -> None:
    headers = {"Retry-After": "7", "Content-Type": "text/plain; charset=utf-8", "X-Note": "a"}
    sandbox.fault("before", "respond", status=520, body="säumig", headers=headers)
    outcome = client(sandbox)
    assert isinstance(outcome, tuple)
    assert (outcome[0], outcome[2].decode()) == (520, "säumig")
    for name, value in headers.items():
        assert outcome[1][name] == value


@pytest.mark.parametrize("form", ["envelope", "problem", "spring", "html", "plain"])
@pytest.mark.parametrize("status", [204, 205, 299, 304, 451, 599])
def test_any_status_in_any_form(sandbox: stepstub.Sandbox, status: int, form: str) -> None:
    sandbox.reset("two-steps", readings={"undocumented-form": form})
    sandbox.fault("before", "respond", status=status)
    outcome = by_requests(sandbox)
    assert isinstance(outcome, tuple)
    assert outcome[0] == status
    assert by_requests(sandbox)[0] == 200


@pytest.mark.parametrize(("status", "named"), [(None, "502 Bad Gateway"), (504, "504 Gateway")])
def test_the_page_of_a_gateway(sandbox: stepstub.Sandbox, status: int | None, named: str) -> None:
    sandbox.fault("after", "gateway", status=status, headers={"Retry-After": "3"})
    outcome = by_requests(sandbox)
    assert isinstance(outcome, tuple)
    assert outcome[0] == (status or 502)
    assert outcome[1]["content-type"] == "text/html"
    assert outcome[1]["retry-after"] == "3"
    assert f"<h1>{named}".encode() in outcome[2]


def test_a_body_that_is_read_bit_by_bit_breaks_where_it_breaks(sandbox: stepstub.Sandbox) -> None:
    sandbox.fault("after", "disconnect", after_bytes=7)
    response = requests.post(
        sandbox.complete_step_url,
        json={"processStepId": STEP},
        headers=sandbox.headers,
        timeout=5,
        stream=True,
    )
    assert response.status_code == 200
    assert int(response.headers["content-length"]) > 7
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        response.content  # noqa: B018


@pytest.mark.parametrize(
    ("action", "options", "status", "response"),
    [
        ("disconnect", AT_START, None, None),
        ("reset", IN_HEAD, None, None),
        ("stall", AFTER_HEAD, 200, ""),
        ("disconnect", AFTER_BYTES, 200, '{"messa'),
    ],
)
def test_the_journal_has_what_the_client_got(
    sandbox: stepstub.Sandbox,
    action: Any,
    options: dict[str, Any],
    status: int | None,
    response: str | None,
) -> None:
    sandbox.fault("after", action, **options)
    by_requests(sandbox)
    exchange = sandbox.journal()[-1]
    assert (exchange.status or None, exchange.response or None) == (status, response or None)
    assert exchange.fault
    assert exchange.fault.startswith("after: ")


def test_a_body_is_never_sent_whole_by_a_fault_that_breaks_it(sandbox: stepstub.Sandbox) -> None:
    sandbox.fault("after", "disconnect", after_bytes=1_000_000)
    assert by_requests(sandbox) == "requests.ChunkedEncodingError"


def test_what_is_on_the_wire(stepstub_sandbox: stepstub.Sandbox) -> None:
    stepstub_sandbox.start_process("two-steps")
    stepstub_sandbox.fault("after", "disconnect", at="head")
    stepstub_sandbox.fault("before", "disconnect", at="after-head")
    token = stepstub_sandbox.token
    seen = []
    for _ in range(2):
        with Connection(stepstub_sandbox.url) as connection:
            connection.send(request_bytes({"processStepId": STEP}, token=token))
            seen.append(connection.rest())
    after_head, in_head = seen
    assert after_head.startswith(b"HTTP/1.1 500 ")
    assert after_head.endswith(b"\r\n\r\n")
    assert in_head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert in_head.endswith(b"\r\ncont")


def test_a_reset_is_a_reset(stepstub_sandbox: stepstub.Sandbox) -> None:
    stepstub_sandbox.start_process("two-steps")
    stepstub_sandbox.fault("after", "reset", after_bytes=5)
    with Connection(stepstub_sandbox.url) as connection:
        connection.send(request_bytes({"processStepId": STEP}, token=stepstub_sandbox.token))
        with pytest.raises(ConnectionResetError):
            connection.rest()


def test_a_stall_ends_when_the_client_has_gone(stepstub_sandbox: stepstub.Sandbox) -> None:
    stepstub_sandbox.start_process("two-steps")
    stepstub_sandbox.fault("after", "stall")
    with Connection(stepstub_sandbox.url) as connection:
        connection.send(request_bytes({"processStepId": STEP}, token=stepstub_sandbox.token))
        stepstub_sandbox.verify_completed(STEP, within=5)
        connection.socket.shutdown(socket.SHUT_WR)
        assert connection.is_closed()  # long before the 60 seconds are over


def test_a_drip_ends(stepstub: stepstub.InProcess) -> None:
    stepstub.start_process("two-steps")
    stepstub.fault("after", "drip", bytes_per_second=1)
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        requests.post(
            stepstub.complete_step_url,
            json={"processStepId": STEP},
            headers=stepstub.headers,
            timeout=None,
        )
    assert wire.MAX_SECONDS == 60


def test_a_server_ends_although_a_client_is_kept_waiting() -> None:
    with stepstub.LiveServer() as server:
        sandbox = server.default_sandbox()
        sandbox.start_process("two-steps")
        sandbox.fault("after", "stall")
        connection = Connection(sandbox.url)
        connection.send(request_bytes({"processStepId": STEP}, token=sandbox.token))
        sandbox.verify_completed(STEP, within=5)
        asked = time.monotonic()
    assert time.monotonic() - asked < GRACE_PERIOD / 2
    with connection:
        assert connection.is_closed()


def test_a_delegate_may_be_far_ahead_of_the_200(sandbox: stepstub.Sandbox) -> None:
    seen: list[int] = []

    def complete(start: stepstub.StepStart) -> None:
        if start.process_step_id == NEXT:
            body = {"processStepId": NEXT}
            url, headers = sandbox.complete_step_url, sandbox.headers
            seen.append(requests.post(url, json=body, headers=headers, timeout=5).status_code)

    sandbox.on_delegate(complete)
    sandbox.fault("after", "stall", step_id=STEP)
    assert by_requests(sandbox) == "requests.ReadTimeout"
    assert seen == [200]


@pytest.mark.parametrize(
    ("action", "options", "wrong"),
    [
        ("respond", {"at": "body"}, "at goes with the action disconnect or reset or stall"),
        ("drip", {"status": 500}, "status goes with the action respond or gateway"),
        ("stall", {"bytes_per_second": 5}, "bytesPerSecond goes with the action drip"),
        ("gateway", {"body": "x"}, "body goes with the action respond"),
        ("disconnect", {"extra_bytes": 1}, "extraBytes goes with the action wrong-length"),
        ("reset", {"at": "body", "after_bytes": 3}, "either at or afterBytes"),
        ("respond", {"headers": {"a b": "c"}}, "'a b' is not the name of a header"),
        ("respond", {"headers": {"A": "b\r\nC: d"}}, "characters that a header cannot have"),
        ("respond", {"headers": {"Content-Length": "3"}}, "use the action wrong-length"),
        ("respond", {"seed": 3}, "seed goes with probability"),
    ],
)
def test_what_has_no_meaning_is_refused(
    stepstub: stepstub.InProcess, action: Any, options: dict[str, Any], wrong: str
) -> None:
    from stepstub import ControlFailed

    with pytest.raises(ControlFailed, match=wrong):
        stepstub.fault("before", action, **options)


def test_a_server_refuses_connections_for_a_while() -> None:
    with stepstub.LiveServer("two-steps") as server:
        sandbox = server.default_sandbox()
        assert sandbox.headers  # from the control API, which will be out of reach
        with requests.Session() as kept:
            for _ in range(2):
                assert kept.get(f"{server.url}/_stub/health", timeout=5).ok
                with server.refusing_connections():
                    for client in CLIENTS:
                        assert client(sandbox) in ("requests.ConnectionError", "httpx.ConnectError")
                    with pytest.raises(requests.ConnectionError):
                        kept.get(f"{server.url}/_stub/health", timeout=5)
                assert sandbox.step(STEP).status is Status.STARTED
        outcome = by_requests(sandbox)
    assert isinstance(outcome, tuple)
    assert outcome[0] == 200


def test_connections_are_refused_for_a_while() -> None:
    with stepstub.LiveServer("two-steps") as server:
        sandbox = server.default_sandbox()
        sandbox.refuse_connections(0.3)
        outcomes = [by_requests(sandbox)]
        while outcomes[-1] == "requests.ConnectionError":
            outcomes.append(by_requests(sandbox))
        assert len(outcomes) > 1
        assert outcomes[-1][0] == 200


def test_the_connection_that_asks_for_it_is_closed_as_well() -> None:
    with stepstub.LiveServer() as server, requests.Session() as kept:
        kept.headers.update(server.default_sandbox().headers)
        url = f"{server.url}/_stub/refuse-connections"
        response = kept.post(url, json={"seconds": 60}, timeout=5)
        assert (response.status_code, response.headers["Connection"]) == (204, "close")
        with pytest.raises(requests.ConnectionError):
            kept.post(url, json={"seconds": 60}, timeout=5)


def test_a_refusal_ends_when_it_is_told_to_and_the_next_one_has_its_whole_time() -> None:
    with stepstub.LiveServer("two-steps") as server:
        sandbox = server.default_sandbox()
        sandbox.refuse_connections(0.1)
        server.accept_connections()
        assert isinstance(by_requests(sandbox), tuple)
        with server.refusing_connections():
            time.sleep(0.15)  # when the first one would have ended
            assert by_requests(sandbox) == "requests.ConnectionError"


def test_connections_cannot_be_refused_twice_at_a_time() -> None:
    with (
        stepstub.LiveServer() as server,
        server.refusing_connections(),
        pytest.raises(InConflict, match="refused already"),
        server.refusing_connections(),
    ):
        pass


def test_a_server_that_has_refused_connections_stops() -> None:
    with stepstub.LiveServer() as server, server.refusing_connections():
        pass
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{server.url}/_stub/health", timeout=5)


def test_what_needs_a_server_names_the_fixture_that_has_one(
    stepstub: stepstub.InProcess,
) -> None:
    with pytest.raises(ControlFailed, match="the fixture stepstub_sandbox"):
        stepstub.refuse_connections(1)
