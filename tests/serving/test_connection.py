"""HTTP on one connection, over real sockets: what is slow, broken off, too large or impatient."""

import asyncio
import gc
import logging
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.server import ServerState

from stepstub.app import create_app
from stepstub.concurrency import EventLoopConcurrency
from stepstub.delegates import StepStart
from stepstub.serving import connection as connection_module
from stepstub.serving.connection import Connection as ServedConnection
from stepstub.serving.hosts import Hosts
from stepstub.serving.request import Request
from stepstub.serving.server import serve_in_thread
from stepstub.stub import Stub
from support import TIMEOUT, Connection, head, post, processes

PROBE = post({"processStepId": "claim-1-pending"})
ASSET = head(method="GET", target="/docs/assets/swagger-ui-bundle.js")


def app_of(*names: str) -> Stub:
    return create_app(processes(*names), concurrency=EventLoopConcurrency())


def held(app: Stub) -> tuple[threading.Event, threading.Event]:
    """Holds up the delegates of a stub; the events: one was called, and it may go on."""
    called, go_on = threading.Event(), threading.Event()

    def wait(_: StepStart) -> None:
        called.set()
        assert go_on.wait(TIMEOUT)

    app.sandboxes.default.delegates.function = wait
    return called, go_on


def check_pending(connection: Connection, request: bytes = PROBE) -> None:
    assert connection.ask(request).codes == {"processStepId": "STEP_PENDING"}


def read_on(connection: Connection) -> None:
    """Read until the server hangs up."""
    while connection.socket.recv(65536):
        pass


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server that hangs up after 0.2 s of silence."""
    monkeypatch.setattr(connection_module, "KEEP_ALIVE_TIMEOUT", 0.2)
    with serve_in_thread(app_of("every-status", "two-steps")) as url:
        yield url


def test_the_time_of_a_body_that_was_refused_is_not_idle(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection_module, "KEEP_ALIVE_TIMEOUT", 1.0)
    with serve_in_thread(app_of("every-status")) as url, Connection(url) as connection:
        assert connection.ask(head("Content-Length: 2", token=None)).status == 401
        for part in (b"{}", PROBE):
            connection.socket.settimeout(0.65)
            with pytest.raises(TimeoutError):
                connection.socket.recv(1)
            connection.send(part)
        connection.socket.settimeout(TIMEOUT)
        assert b"412" in connection.socket.recv(100)


@pytest.mark.parametrize("requests", [0, 1, 2])
def test_a_connection_that_is_idle_is_closed(hasty: str, requests: int) -> None:
    with Connection(hasty) as connection:
        for _ in range(requests):
            check_pending(connection)
        assert connection.is_closed()


@pytest.mark.parametrize(
    "part",
    [b"P", head()[:-2], head("Content-Length: 9", token=None)],
    ids=["a letter", "half a head", "a body that was refused"],
)
def test_what_never_comes_is_waited_for_longer_and_then_no_more(
    hasty: str, monkeypatch: pytest.MonkeyPatch, part: bytes
) -> None:
    with Connection(hasty) as connection:
        connection.send(part)
        connection.socket.settimeout(0.5)
        with pytest.raises(TimeoutError):
            read_on(connection)
    monkeypatch.setattr(connection_module, "STALL_TIMEOUT", 0.3)
    with Connection(hasty) as connection:
        connection.send(part)
        read_on(connection)


def test_a_connection_is_not_idle_while_its_delegate_is_called(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection_module, "KEEP_ALIVE_TIMEOUT", 0.05)
    app = app_of("two-steps")
    done = threading.Event()
    app.sandboxes.default.delegates.function = lambda _: done.wait(0.3) and None
    with serve_in_thread(app) as url, Connection(url) as connection:
        assert connection.ask(post({"processStepId": "order-1-approve"})).status == 200


@pytest.mark.parametrize(
    "endless",
    [b"X: " + b"x" * 400_000, b"X: x\r\n" * 70_000],
    ids=["one header", "many headers"],
)
def test_a_head_without_end_is_refused(connection: Connection, url: str, endless: bytes) -> None:
    def send_on() -> None:
        with suppress(OSError):  # the server hangs up
            connection.send(*[head()[:-2] + endless] * 50)

    sender = threading.Thread(target=send_on)
    sender.start()
    try:
        response = connection.response()
        assert response.status == 431
        assert response.json["message"] == "Request Header Fields Too Large"
        assert "65536 bytes" in response.data
        assert response.headers["connection"] == "close"
    except ConnectionResetError:
        pass  # the response was lost, since we would not stop
    sender.join(TIMEOUT)
    assert not sender.is_alive()
    with Connection(url) as other:
        check_pending(other)


@pytest.mark.parametrize("token", ["", None])
@pytest.mark.parametrize(
    "endless",
    [b"X: x\r\n" * 10_000, b"X: " + b"x" * 100_000, b"\r\n" * 60_000],
    ids=["trailers", "one trailer", "nothing"],
)
def test_what_comes_after_a_body_without_end_is_refused(
    connection: Connection, endless: bytes, token: str | None
) -> None:
    connection.send(head("Transfer-Encoding: chunked", token=token) + b"2\r\n{}\r\n0\r\n")
    if endless.startswith(b"\r\n"):
        connection.send(b"\r\n")
    with suppress(OSError):
        for start in range(0, 4 * len(endless), 50_000):
            connection.send((endless * 4)[start : start + 50_000])
    with suppress(ConnectionResetError):
        while connection.response().status != 431:
            pass
    assert connection.is_closed()


@pytest.mark.parametrize(
    ("trailer", "token", "status"),
    [
        ("Authorization: Bearer stub-token", None, 401),
        ("Content-Encoding: gzip", "", 412),
        ("Expect: 100-continue", "", 412),
    ],
)
def test_a_trailer_is_no_header(
    connection: Connection, trailer: str, token: str | None, status: int
) -> None:
    body = b"2\r\n{}\r\n0\r\n" + trailer.encode() + b"\r\n\r\n"
    connection.send(head("Transfer-Encoding: chunked", token=token) + body)
    assert connection.response().status == status
    check_pending(connection)


def test_a_trailer_may_close_the_connection(connection: Connection) -> None:
    body = b"2\r\n{}\r\n0\r\nConnection: close\r\n\r\n"
    assert connection.ask(head("Transfer-Encoding: chunked") + body).status == 412
    connection.socket.settimeout(2)  # not only when it has been idle
    assert connection.is_closed()


def test_after_a_refusal_without_100_continue_the_connection_is_closed(
    connection: Connection,
) -> None:
    """The client was not told to send its body, so what follows could be another request."""
    response = connection.ask(head("Expect: 100-continue", "Content-Length: 300", token=None))
    assert response.status == 401
    assert response.headers["connection"] == "close"
    assert connection.is_closed()


def test_http_1_0_knows_no_100_continue(connection: Connection) -> None:
    request = post({"processStepId": "claim-1-pending"}, "Expect: 100-continue")
    assert connection.ask(request.replace(b"HTTP/1.1", b"HTTP/1.0")).status == 412


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("http://localhost", 307),
        ("http://localhost?a=b", 307),
        ("http://localhost:80/docs", 200),
        ("?a=b", 400),
    ],
)
def test_a_target_may_name_the_server(connection: Connection, target: str, status: int) -> None:
    assert connection.ask(head(method="GET", target=target)).status == status


def test_heads_that_are_split_between_packets_do_not_add_up(connection: Connection) -> None:
    large = post({"processStepId": "claim-1-pending"}, "X: " + "x" * 40_000)
    stream = large * 10
    cuts = range(0, len(stream), 30_000)
    sender = threading.Thread(
        target=connection.send, args=[stream[cut : cut + 30_000] for cut in cuts]
    )
    sender.start()
    for _ in range(10):
        assert connection.response().codes == {"processStepId": "STEP_PENDING"}
    sender.join()


def test_what_came_before_a_broken_request_gets_a_response_first(connection: Connection) -> None:
    connection.send(PROBE + PROBE + b"this is no request\r\n\r\n")
    assert [connection.response().status for _ in range(3)] == [412, 412, 400]
    assert connection.is_closed()


def test_a_body_that_breaks_waits_for_its_turn_too(connection: Connection) -> None:
    connection.send(PROBE + head("Transfer-Encoding: chunked") + b"zz\r\n")
    assert connection.response().status == 412
    assert connection.response().status == 400
    assert connection.is_closed()


def test_a_client_that_has_said_all_gets_its_responses(connection: Connection) -> None:
    connection.send(PROBE * 3)
    connection.socket.shutdown(socket.SHUT_WR)
    for _ in range(3):
        assert connection.response().codes == {"processStepId": "STEP_PENDING"}
    assert connection.is_closed()


@pytest.mark.parametrize(
    ("sent", "statuses"),
    [
        (PROBE, [412]),
        (post(b"{}", token=None), [401]),
        (head("Content-Length: 50", token=None), [401]),
        (PROBE + b"POST /", [412]),
        (PROBE + head("Content-Length: 5") + b"{", [412]),
        (PROBE * 2 + b"no HTTP\r\n\r\n", [412, 412, 400]),
    ],
    ids=["one", "refused", "refused at once", "a part", "a part of a body", "broken"],
)
def test_no_response_is_lost_with_the_end_of_what_is_sent(
    url: str, sent: bytes, statuses: list[int]
) -> None:
    for _ in range(20):
        with Connection(url) as connection:
            connection.send(sent)
            connection.socket.shutdown(socket.SHUT_WR)
            assert [connection.response().status for _ in statuses] == statuses
            assert connection.is_closed()


def test_it_gets_them_though_they_take_their_time() -> None:
    app = app_of("two-steps", "every-status")
    called, go_on = held(app)
    with serve_in_thread(app) as url, Connection(url) as connection:
        connection.send(post({"processStepId": "order-1-approve"}) + PROBE)
        connection.socket.shutdown(socket.SHUT_WR)
        assert called.wait(TIMEOUT)
        for _ in range(3):  # so the server has seen by now that no more will come
            with Connection(url) as other:
                check_pending(other)
        go_on.set()
        assert [connection.response().status for _ in range(2)] == [200, 412]
        assert connection.is_closed()


@pytest.mark.parametrize("part", [b"", b"POST /", head("Content-Length: 5") + b"{"])
def test_a_client_that_says_no_more_is_hung_up_on(connection: Connection, part: bytes) -> None:
    connection.send(part)
    connection.socket.shutdown(socket.SHUT_WR)
    assert connection.is_closed()


def test_a_client_that_reads_slowly_gets_a_whole_file(connection: Connection) -> None:
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    connection.send(ASSET * 8 + PROBE)  # more than the sockets' own buffers take
    files = [connection.response() for _ in range(8)]
    assert {response.status for response in files} == {200}
    assert len({response.body for response in files}) == 1
    assert len(files[0].body) > 1_000_000
    assert connection.response().status == 412


def test_a_client_that_reads_nothing_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """And until then what it asks for does not pile up."""
    monkeypatch.setattr(connection_module, "KEEP_ALIVE_TIMEOUT", 0.1)
    monkeypatch.setattr(connection_module, "STALL_TIMEOUT", 0.3)
    app = app_of("every-status")
    page = head(method="GET", target="/openapi.yaml")
    with serve_in_thread(app) as url, Connection(url) as connection:
        connection.socket.settimeout(2)
        with pytest.raises((ConnectionResetError, BrokenPipeError)):  # and no TimeoutError
            connection.send(*[page * 1000] * 200)


def test_a_client_that_goes_away_from_a_file_hurts_nobody(url: str) -> None:
    for _ in range(5):
        with Connection(url) as connection:
            connection.send(ASSET * 3)
            connection.socket.recv(1000)
    with Connection(url) as connection:
        check_pending(connection)


def test_a_client_may_go_away_while_its_delegate_is_called(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = app_of("two-steps", "every-status")
    called, go_on = held(app)
    with serve_in_thread(app) as url:
        with Connection(url) as connection:
            connection.send(post({"processStepId": "order-1-approve"}) + PROBE)
            assert called.wait(TIMEOUT)
        go_on.set()
        with Connection(url) as connection:
            response = connection.ask(post({"processStepId": "order-1-approve"}))
            assert response.codes == {"processStepId": "STEP_COMPLETED"}
    assert all(record.levelno < logging.WARNING for record in caplog.records)


def test_a_response_before_a_broken_connection_goes_out(connection: Connection) -> None:
    """Of two requests sent at once the second is met by a fault."""
    app = app_of("every-status")
    with serve_in_thread(app) as url:
        with Connection(url) as control:
            fault = {"phase": "before", "action": "disconnect", "processStepId": "claim-1-started"}
            assert control.ask(post(fault, target="/_stub/faults")).status == 201
        with Connection(url) as connection:
            connection.send(PROBE + post({"processStepId": "claim-1-started"}) + PROBE)
            assert connection.response().status == 412
            assert connection.is_closed()


@pytest.mark.parametrize(
    "request_",
    [
        PROBE,
        post({"processStepId": "unknown"}),
        post(b"{"),
        post(b"{}"),
        post(b"{}", token="other"),
        post(b"{}", token=None),
        post(b"{}", "Content-Type: text/plain"),
        post(b"{}", target="/nowhere"),
        head(method="GET"),
        post(b"{}", target="/_stub/clock"),
    ],
    ids=["412", "unknown", "no JSON", "bad", "401", "no token", "415", "404", "405", "control"],
)
def test_an_exchange_leaves_nothing_to_the_garbage_collector(
    connection: Connection, request_: bytes
) -> None:
    """Or it stops everything once in a while, and some responses take a hundred times as long."""
    number = 100
    connection.ask(request_)
    gc.disable()
    try:
        gc.collect()
        for _ in range(number):
            connection.ask(request_)
        assert gc.collect() < number
    finally:
        gc.enable()


def test_a_connection_that_is_gone_leaves_nothing_either(url: str) -> None:
    number = 50
    large = post(b'{"processStepId": "%b"}' % (b"x" * 100_000), "Connection: close")

    def requests_alive() -> int:
        return sum(isinstance(found, Request) for found in gc.get_objects())

    before = requests_alive()
    gc.disable()
    try:
        for _ in range(number):
            with Connection(url) as connection:
                assert connection.ask(large).status == 412
                assert connection.is_closed()
        with Connection(url) as connection:
            check_pending(connection)
        assert requests_alive() - before < number / 2
    finally:
        gc.enable()


class Transport:
    """What a connection does with its transport."""

    def __init__(self) -> None:
        self.written = b""
        self.reads = True
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written += data

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


async def turns() -> None:
    """Let everything happen that can."""
    for _ in range(10):
        await asyncio.sleep(0)


def over_transport(app: ASGIApp, scenario: Callable[[Any, Transport], Awaitable[None]]) -> None:
    """Play a scenario with a connection of `app` and its transport, on a loop of its own."""

    async def play() -> None:
        config: Any = SimpleNamespace(loaded_app=app)
        connection = ServedConnection(
            config,
            ServerState(),
            {},
            refuse=lambda *_: (b"application/json", b"{}"),
            refuse_connections=lambda _: asyncio.sleep(0),
            hosts=Hosts(loopback=True),
        )
        transport = Transport()
        connection.connection_made(transport)  # type: ignore[arg-type]
        await scenario(connection, transport)
        connection.connection_lost(None)
        await turns()

    asyncio.run(play())


async def echo_in_two(scope: Scope, receive: Receive, send: Send) -> None:
    """Reads a whole body, and responds in two parts."""
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"a", "more_body": True})
    await send({"type": "http.response.body", "body": b"b"})


def when(goes_on: asyncio.Event) -> ASGIApp:
    """Does the same, but not before the event."""

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await goes_on.wait()
        await echo_in_two(scope, receive, send)

    return slow


def test_a_response_waits_for_a_client_that_does_not_keep_up() -> None:
    async def scenario(connection: ServedConnection, transport: Transport) -> None:
        connection.data_received(head(method="GET"))
        connection.pause_writing()
        await turns()
        assert transport.written == b""
        connection.resume_writing()
        await turns()
        assert transport.written.endswith(b"\r\n\r\nab")

    over_transport(echo_in_two, scenario)


def test_reading_stops_while_the_application_does_not_keep_up() -> None:
    goes_on = asyncio.Event()

    async def scenario(connection: ServedConnection, transport: Transport) -> None:
        connection.data_received(head("Content-Length: 200000") + b"x" * 60_000)
        await turns()
        assert transport.reads
        connection.data_received(b"x" * 60_000)
        await turns()
        assert not transport.reads
        goes_on.set()
        await turns()
        assert transport.reads

    over_transport(when(goes_on), scenario)


def test_reading_stops_while_requests_wait_for_their_turn() -> None:
    goes_on = asyncio.Event()

    async def scenario(connection: ServedConnection, transport: Transport) -> None:
        connection.data_received(head(method="GET"))
        await turns()
        assert transport.reads
        connection.data_received(head(method="GET") * 3)
        await turns()
        assert not transport.reads
        goes_on.set()
        await turns()
        assert transport.reads
        assert transport.written.count(b"HTTP/1.1 200 OK") == 4

    over_transport(when(goes_on), scenario)


def test_an_application_that_fails_breaks_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    async def failing(scope: Scope, receive: Receive, send: Send) -> None:
        raise ZeroDivisionError

    async def scenario(connection: ServedConnection, transport: Transport) -> None:
        transport.abort = transport.close  # type: ignore[attr-defined]
        connection.data_received(head(method="GET"))
        await turns()
        assert transport.closed
        assert transport.written == b""

    over_transport(failing, scenario)
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("rest", [b"rubbish\r\n\r\n", b"\x16\x03\x01", head(method="GET")])
def test_what_follows_a_last_request_does_not_change_its_response(rest: bytes) -> None:
    """HTTP/1.0 with keep-alive, half-closed while the application still works on it."""
    goes_on = asyncio.Event()
    line = head("Connection: keep-alive", method="GET").replace(b"HTTP/1.1", b"HTTP/1.0")

    async def scenario(connection: ServedConnection, transport: Transport) -> None:
        connection.data_received(line + rest)
        connection.eof_received()
        goes_on.set()
        await turns()
        assert transport.written.count(b"HTTP/1.1 ") == 1
        assert b"connection: close\r\n" in transport.written
        assert transport.closed

    over_transport(when(goes_on), scenario)
