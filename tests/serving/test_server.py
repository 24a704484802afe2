"""The live server: offers to upgrade, slow and vanishing clients, and how it ends."""

import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from starlette.types import Receive, Scope, Send

from stepstub.app import create_app
from stepstub.concurrency import EventLoopConcurrency
from stepstub.delegates import StepStart
from stepstub.gate import body
from stepstub.serving.server import listen, serve_in_thread, url_of
from stepstub.stub import Stub
from support import ROOT, TIMEOUT, Connection, chunked, head, post, processes

BODY = json.dumps({"processStepId": "claim-1-pending"}).encode()
PROBE = post(BODY)
OFFER = (
    "Connection: Upgrade, HTTP2-Settings",
    "HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA",
    "Upgrade: h2c",
)


def offering(body: bytes = BODY, *headers: str) -> bytes:
    """A request as the JDK's client sends it."""
    return post(body, *OFFER, *headers)


def app_of(*names: str) -> Stub:
    return create_app(processes(*names), concurrency=EventLoopConcurrency())


def check_pending(connection: Connection, request: bytes = PROBE) -> None:
    response = connection.ask(request)
    assert response.status == 412, response.body
    assert response.codes == {"processStepId": "STEP_PENDING"}


def test_an_offer_to_upgrade_is_declined_and_the_body_read(connection: Connection) -> None:
    check_pending(connection, offering())
    check_pending(connection)


def test_it_may_be_split_anywhere(connection: Connection) -> None:
    request = offering()
    for index in range(1, len(request)):
        response = connection.ask(request[:index], request[index:])
        assert response.codes == {"processStepId": "STEP_PENDING"}, request[:index]


def test_it_may_come_byte_by_byte(connection: Connection) -> None:
    request = offering()
    connection.send(*(request[index : index + 1] for index in range(len(request))))
    assert connection.response().codes == {"processStepId": "STEP_PENDING"}
    check_pending(connection)


@pytest.mark.parametrize(
    "text",
    ["Upgrade: h2c", "\\r\\n\\r\\nPOST / HTTP/1.1\\r\\nUpgrade: h2c\\r\\n\\r\\n", "PRI * HTTP/2.0"],
)
@pytest.mark.parametrize("split", [0, 1, 40])
def test_its_body_may_speak_of_upgrades(connection: Connection, text: str, split: int) -> None:
    body = f'{{"processStepId": "claim-1-pending", "params": {{"{text}": {{}}}}}}'.encode()
    request = offering(body)
    cut = len(request) - len(body) + split
    connection.send(request[:cut], request[cut:])
    assert connection.response().codes == {"processStepId": "STEP_PENDING"}
    check_pending(connection)


def test_a_body_that_is_a_request_itself_stays_a_body(connection: Connection) -> None:
    response = connection.ask(offering(offering()))
    assert response.codes == {"body": "INVALID_JSON"}
    check_pending(connection)


def test_many_offers_on_one_connection(connection: Connection) -> None:
    for _ in range(3):
        check_pending(connection, offering())


@pytest.mark.parametrize("number", [2, 500])
def test_offers_may_be_sent_without_waiting(connection: Connection, number: int) -> None:
    sender = threading.Thread(target=connection.send, args=(offering() * number,))
    sender.start()
    for _ in range(number):
        assert connection.response().codes == {"processStepId": "STEP_PENDING"}
    sender.join()
    connection.send(PROBE + offering() + PROBE)
    assert [connection.response().status for _ in range(3)] == [412] * 3


def test_so_many_short_offers_in_one_packet_get_responses(connection: Connection) -> None:
    number = 3000
    short = b"GET /nowhere HTTP/1.1\r\nHost:[::1]\r\nConnection:upgrade\r\nUpgrade:x\r\n\r\n"
    sender = threading.Thread(target=connection.send, args=(short * number,))
    sender.start()
    for _ in range(number):
        assert connection.response().status == 404
    sender.join()


@pytest.mark.parametrize(
    "headers",
    [
        ["Connection: upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"],
        ["Connection: Upgrade", "Upgrade: TLS/1.0"],
        ["Connection: keep-alive, Upgrade", "Upgrade: h2c"],
        ["Connection: Upgrade", "Connection: keep-alive", "Upgrade: h2c", "Upgrade: foo"],
        ["Upgrade: h2c"],
        ["Connection: Upgrade"],
    ],
    ids=str,
)
def test_any_other_offer_is_declined_too(connection: Connection, headers: list[str]) -> None:
    check_pending(connection, post(BODY, *headers))
    check_pending(connection)


def test_an_offer_goes_together_with_all_else(connection: Connection) -> None:
    request = head(*OFFER, "Transfer-Encoding: chunked") + chunked(BODY, 5)
    check_pending(connection, request)
    request = head(*OFFER, "Expect: 100-continue", f"Content-Length: {len(BODY)}")
    assert connection.ask(request).status == 100
    check_pending(connection, BODY)
    assert connection.ask(head(*OFFER, method="GET")).status == 405
    assert connection.ask(post(BODY, *OFFER, token=None)).status == 401
    assert connection.ask(post(b"x" * 1_048_577, *OFFER)).status == 413
    closing = post(BODY, "Connection: close, Upgrade", "Upgrade: h2c")
    check_pending(connection, closing)
    assert connection.is_closed()


@pytest.mark.skipif(shutil.which("java") is None, reason="there is no JDK on this machine")
def test_the_jdks_own_client() -> None:
    with serve_in_thread(app_of("two-steps")) as url:
        source = ROOT / "tests" / "jdk" / "CompleteStep.java"
        ran = subprocess.run(
            ["java", str(source), url, "order-1-approve", "order-1-approve", "order-1-ship"],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    first, second, third = ran.stdout.splitlines()
    assert first.startswith("200 HTTP_1_1 ")
    assert '"processStepId":"order-1-ship"' in first
    assert second.startswith("412 HTTP_1_1 ")
    assert "STEP_COMPLETED" in second
    assert third.startswith("200 HTTP_1_1 ")
    assert '"processStepId":null' in third


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server that gives a body 0.3 s to arrive."""
    monkeypatch.setattr(body, "BODY_TIMEOUT", 0.3)
    with serve_in_thread(app_of("every-status")) as url:
        yield url


@pytest.mark.parametrize(
    "request_",
    [
        head("Content-Length: 10"),
        head("Content-Length: 10") + b"{",
        head("Transfer-Encoding: chunked"),
        head("Transfer-Encoding: chunked") + b"1\r\n{\r\n",
    ],
    ids=["no body", "a part", "no chunk", "a chunk"],
)
def test_a_body_that_does_not_come_is_a_408(impatient: str, request_: bytes) -> None:
    with Connection(impatient) as connection:
        response = connection.ask(request_)
        assert response.status == 408
        assert response.json["message"] == "Request Timeout"
        assert "0.3 s" in response.data
    with Connection(impatient) as connection:
        check_pending(connection)


def test_a_body_that_trickles_is_a_408_too(impatient: str) -> None:
    """The deadline is the whole body's: it does not begin anew with every byte."""
    with Connection(impatient) as connection:
        connection.send(head("Content-Length: 1000"))
        responded = threading.Event()

        def trickle() -> None:
            while not responded.wait(0.05):
                with suppress(OSError):
                    connection.send(b" ")

        sender = threading.Thread(target=trickle)
        began = time.monotonic()
        sender.start()
        try:
            connection.socket.settimeout(2)
            assert connection.response().status == 408
        finally:
            responded.set()
            sender.join()
        assert time.monotonic() - began < 1.5


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("part", [head("Content-Length: 1000"), offering()[:-5], PROBE, b"POST /"])
def test_a_client_that_goes_away_leaves_the_server_well(url: str, part: bytes, reset: bool) -> None:
    for _ in range(20):
        connection = Connection(url)
        connection.send(part)
        if reset:
            linger = b"\x01\0\0\0\0\0\0\0"
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        connection.close()
    with Connection(url) as connection:
        check_pending(connection)


def test_a_step_that_a_vanished_client_completed_is_completed() -> None:
    app = app_of("two-steps")
    called = threading.Event()
    app.sandboxes.default.delegates.function = lambda _: called.set()
    with serve_in_thread(app) as url:
        with Connection(url) as connection:
            connection.send(post({"processStepId": "order-1-approve"}))
            assert called.wait(TIMEOUT)
        with Connection(url) as connection:
            response = connection.ask(post({"processStepId": "order-1-approve"}))
            assert response.codes == {"processStepId": "STEP_COMPLETED"}


def test_a_third_party_application_may_complete_from_inside_its_call() -> None:
    """Each delegate completes its own step over HTTP before it returns."""
    app = app_of("long-chain")
    statuses: list[int] = []
    with serve_in_thread(app) as url:

        def complete_it(start: StepStart) -> None:
            with Connection(url) as inner:
                response = inner.ask(post({"processStepId": start.process_step_id}))
                statuses.append(response.status)

        app.sandboxes.default.delegates.function = complete_it
        with Connection(url) as connection:
            response = connection.ask(post({"processStepId": "chain-1-01"}))
        assert response.data["processStepId"] == "chain-1-02"
    assert statuses == [200] * 19
    assert app.violations == 0


def test_a_port_in_use_is_an_error_at_once() -> None:
    with listen("127.0.0.1", 0) as listener, pytest.raises(OSError, match="in use"):
        listen("127.0.0.1", listener.getsockname()[1])


def ipv6() -> bool:
    try:
        listen("::1", 0).close()
    except OSError:
        return False
    return True


@pytest.mark.skipif(not ipv6(), reason="this machine has no IPv6 loopback")
def test_it_listens_on_ipv6() -> None:
    with serve_in_thread(app_of("every-status"), host="::1") as url, Connection(url) as connection:
        assert url.startswith("http://[::1]:")
        check_pending(connection)


def test_the_end_of_the_context_lets_requests_in_flight_finish_and_frees_the_port() -> None:
    app = app_of("two-steps")
    called, go_on = threading.Event(), threading.Event()

    def wait(_: StepStart) -> None:
        called.set()
        assert go_on.wait(TIMEOUT)

    app.sandboxes.default.delegates.function = wait
    server = serve_in_thread(app)
    url = server.__enter__()
    with Connection(url) as idle, Connection(url) as busy:
        idle.send(b"POST")
        busy.send(post({"processStepId": "order-1-approve"}))
        assert called.wait(TIMEOUT)
        stopper = threading.Thread(target=server.__exit__, args=(None, None, None))
        stopper.start()
        with suppress(ConnectionRefusedError):  # from then on it ends
            while True:
                with suppress(ConnectionResetError):
                    Connection(url).close()
        go_on.set()
        assert busy.response().status == 200
        stopper.join(TIMEOUT)
        assert not stopper.is_alive()
    listen("127.0.0.1", int(url.rpartition(":")[2])).close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_lets_requests_in_flight_finish_and_ends_with_0(
    number: signal.Signals, tmp_path: Path
) -> None:
    with listen("127.0.0.1", 0) as application:
        application.settimeout(TIMEOUT)
        scenario = tmp_path / "mine.yaml"
        steps = [{}, {"delegate": {"http": url_of(application)}}]
        scenario.write_text(json.dumps({"processes": [{"id": "p", "steps": steps}]}))
        command = ["serve", "--port", "0", "--scenario", str(scenario)]
        with subprocess.Popen(
            [sys.executable, "-c", "from stepstub.cli import main; main()", *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as server:
            try:
                assert server.stdout
                url = server.stdout.readline().split()[3]
                with Connection(url) as busy:
                    busy.send(post({"processStepId": "p-1"}))
                    call, _ = application.accept()
                    call.recv(65536)
                    server.send_signal(number)
                    call.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                    call.close()
                    assert busy.response().status == 200
                assert server.wait(TIMEOUT) == 0
                assert server.stderr
                assert "Traceback" not in server.stderr.read()
            finally:
                server.kill()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_application_that_does_not_start_is_an_error() -> None:
    class Broken:
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            raise ZeroDivisionError

        def refuse(self, status: int, detail: str) -> tuple[bytes, bytes]:
            return b"text/plain", b""

    with pytest.raises(RuntimeError, match="did not start"), serve_in_thread(Broken()):
        pass
