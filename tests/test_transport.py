"""A server is reached with patience: trouble is sent again, noted, and no response."""

import shutil
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
import responses
import urllib3

from stepstub.contract_tests.connection import Connection
from stepstub.contract_tests.findings import ServerGone
from stepstub.contract_tests.transport import (
    MAX_BYTES,
    MAX_FAILURES,
    MAX_WAIT,
    NoResponse,
    Received,
    Transport,
    Trouble,
    TroubleKind,
)

URL = "http://workflow.example/base/complete-step"
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


class Time:
    """Time that passes only where somebody waits."""

    def __init__(self) -> None:
        self.now = 100.0
        self.waits: list[float] = []

    def clock(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def mocked() -> Iterator[responses.RequestsMock]:
    registry = responses.registries.OrderedRegistry
    with responses.RequestsMock(registry=registry) as mock:
        yield mock


def transport(time: Time, **connection: object) -> Transport:
    options = Connection(**connection)  # type: ignore[arg-type]
    return Transport(options, wait=time.wait, clock=time.clock)


def post(transport: Transport, url: str = URL, **headers: str) -> Received:
    return transport.send(
        lambda request: f"curl {request.url}", method="POST", url=url, data=b"{}", headers=headers
    )


def failed(transport: Transport, url: str = URL) -> tuple[NoResponse, Trouble]:
    """The exception that a request raises, and the trouble that was noted."""
    with pytest.raises(NoResponse) as raised:
        post(transport, url)
    (trouble,) = transport.trouble
    assert raised.value.trouble == trouble
    assert trouble.curl == f"curl {url}"
    assert not trouble.recovered
    return raised.value, trouble


Script = Callable[[socket.socket], None]
"""What becomes of a connection once it has sent a request."""


class Wire:
    """A server that treats each connection as the next script says, the last one for ever."""

    def __init__(self, listener: socket.socket, scripts: Sequence[Script]) -> None:
        self.seen: list[bytes] = []
        self._listener = listener
        self._scripts = list(scripts)

    def serve(self) -> None:
        with suppress(OSError):  # the listener is closed at the end
            while True:
                connection, _ = self._listener.accept()
                script = self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]
                # A client may leave whenever it likes.
                with connection, suppress(OSError):
                    self.seen.append(read_request(connection))
                    script(connection)


def read_request(connection: socket.socket) -> bytes:
    """A whole request: closing a connection with unread data would reset it."""
    request = b""
    while not request.endswith(b"{}") and (data := connection.recv(65536)):
        request += data
        if data.startswith(b"\x16"):  # the hello of TLS, to which the client awaits a response
            break
    return request


@contextmanager
def wire(*scripts: Script, context: ssl.SSLContext | None = None) -> Iterator[tuple[str, Wire]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/complete-step"
        serving = listener
        if context is not None:
            url = url.replace("http:", "https:").replace("127.0.0.1", "localhost")
            serving = context.wrap_socket(listener, server_side=True, do_handshake_on_connect=False)
        server = Wire(serving, scripts)
        thread = threading.Thread(target=server.serve)
        thread.start()
        try:
            yield url, server
        finally:
            with suppress(OSError):
                serving.shutdown(socket.SHUT_RDWR)
            serving.close()
            thread.join()


def sends(data: bytes) -> Script:
    return lambda connection: connection.sendall(data)


def close(connection: socket.socket) -> None:
    """End the connection without a word."""


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def dripping(before: bytes) -> Script:
    """Sends a beginning, and then a byte now and then until the client leaves."""

    def drip(connection: socket.socket) -> None:
        connection.sendall(before)
        connection.settimeout(0.02)
        while True:
            with suppress(TimeoutError):
                if not connection.recv(1):
                    return
            connection.sendall(b"x")

    return drip


def test_a_response_comes_through_as_it_is(time: Time, mocked: responses.RequestsMock) -> None:
    mocked.post(URL, status=500, body="{}")
    patient = transport(time)
    received = post(patient)
    assert (received.response.status_code, received.repeated) == (500, False)
    assert (patient.trouble, patient.sent, time.waits) == ([], 1, [])


@pytest.mark.parametrize(
    "drop",
    [close, reset, sends(OK[:-1]), sends(b"no HTTP at all\r\n\r\n")],
    ids=["closed", "reset", "mid-body", "no HTTP"],
)
def test_a_dropped_connection_is_tried_again(time: Time, drop: Script) -> None:
    patient = transport(time)
    with wire(drop, drop, sends(OK)) as (url, server):
        received = post(patient, url)
    assert received.response.content == b"{}"
    assert received.repeated
    assert len(server.seen) == 3
    assert time.waits == [0.5, 1]
    (trouble,) = patient.trouble
    assert trouble == Trouble(
        TroubleKind.DROPPED,
        "the connection was closed before the response was complete",
        attempts=3,
        recovered=True,
        curl=f"curl {url}",
    )


def test_a_refused_connection_was_certainly_not_processed(time: Time) -> None:
    with wire(close) as (url, _):
        pass
    error, trouble = failed(transport(time), url)
    assert str(error) == "no response (the connection was refused; tried 4 times)"
    assert not error.may_have_arrived
    assert (trouble.kind, trouble.attempts) == (TroubleKind.UNREACHABLE, 4)
    assert time.waits == [0.5, 1, 2]


def test_an_unknown_host_is_named_as_such(time: Time) -> None:
    error, _ = failed(transport(time, retries=0), "http://no-such-host.invalid/")
    assert str(error) == "no response (the name of the host is unknown)"


@pytest.mark.parametrize(
    "before",
    [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b"HTTP/1.1 200 OK\r\nX-Long: "],
    ids=["silent", "body", "head"],
)
def test_the_time_is_for_a_whole_response_and_not_for_each_read(time: Time, before: bytes) -> None:
    impatient = transport(time, timeout=0.1, retries=0)
    with wire(dripping(before)) as (url, _):
        error, trouble = failed(impatient, url)
    assert trouble.kind is TroubleKind.TIMED_OUT
    assert error.may_have_arrived


def test_the_time_begins_anew_with_every_attempt(time: Time) -> None:
    patient = transport(time, timeout=0.1)
    with wire(dripping(b""), dripping(b""), sends(OK)) as (url, _):
        received = post(patient, url)
    assert received.repeated
    assert patient.trouble[0].kind is TroubleKind.TIMED_OUT


def test_a_response_without_an_end_is_given_up(time: Time) -> None:
    def endless(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        connection.sendall(bytes(MAX_BYTES + 2**20))

    with wire(endless) as (url, _):
        _, trouble = failed(transport(time), url)
    assert (trouble.kind, trouble.attempts) == (TroubleKind.TOO_LONG, 1)


@pytest.mark.parametrize(
    ("status", "headers", "kind", "wait", "repeated"),
    [
        (429, {"Retry-After": "7"}, TroubleKind.RATE_LIMITED, 7, False),
        (429, {"Retry-After": "0"}, TroubleKind.RATE_LIMITED, 0.5, False),
        (429, {"Retry-After": "86400"}, TroubleKind.RATE_LIMITED, MAX_WAIT, False),
        (429, {"Retry-After": "9" * 5000}, TroubleKind.RATE_LIMITED, 0.5, False),
        (429, {"Retry-After": "soon"}, TroubleKind.RATE_LIMITED, 0.5, False),
        (429, {}, TroubleKind.RATE_LIMITED, 0.5, False),
        (503, {"Retry-After": "3"}, TroubleKind.UNAVAILABLE, 3, False),
        (503, {}, TroubleKind.UNAVAILABLE, 0.5, True),
        (502, {}, TroubleKind.UNAVAILABLE, 0.5, True),
        (504, {"Retry-After": "3"}, TroubleKind.UNAVAILABLE, 3, True),
    ],
)
def test_who_is_sent_away_comes_back_later(
    time: Time,
    mocked: responses.RequestsMock,
    status: int,
    headers: dict[str, str],
    kind: TroubleKind,
    wait: float,
    repeated: bool,
) -> None:
    mocked.post(URL, status=status, headers=headers)
    mocked.post(URL, body="{}")
    patient = transport(time)
    received = post(patient)
    assert received.response.status_code == 200
    assert received.repeated is repeated
    assert time.waits == [wait]
    (trouble,) = patient.trouble
    assert (trouble.kind, trouble.attempts, trouble.recovered) == (kind, 2, True)
    assert trouble.detail.startswith(f"the status was {status}")


def test_a_date_says_when_to_come_back_as_well(time: Time, mocked: responses.RequestsMock) -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    mocked.post(URL, status=429, headers={"Retry-After": later})
    mocked.post(URL, body="{}")
    post(transport(time))
    (wait,) = time.waits
    assert 20 < wait <= 30


def test_everybody_waits_when_one_is_sent_away(time: Time, mocked: responses.RequestsMock) -> None:
    mocked.post(URL, status=429, headers={"Retry-After": "20"})
    mocked.post(URL, body="{}")
    patient = transport(time, retries=0)
    failed(patient)
    assert time.waits == []
    with ThreadPoolExecutor(1) as another:
        another.submit(post, patient).result()
    assert time.waits == [20]


def test_a_request_that_is_never_let_through_is_given_up(
    time: Time, mocked: responses.RequestsMock
) -> None:
    for _ in range(3):
        mocked.post(URL, status=429, headers={"Retry-After": "1"})
    error, trouble = failed(transport(time, retries=2))
    assert str(error) == ("no response (the status was 429, Retry-After: 1; tried 3 times)")
    assert not error.may_have_arrived
    assert trouble.attempts == 3
    assert time.waits == [1, 1]


def test_a_redirect_is_neither_followed_nor_tried_again(
    time: Time, mocked: responses.RequestsMock
) -> None:
    mocked.post(URL, status=307, headers={"Location": "https://login.example/\tx"})
    error, trouble = failed(transport(time))
    assert (trouble.kind, trouble.attempts) == (TroubleKind.REDIRECTED, 1)
    assert "307 redirects to https://login.example/" in str(error)


def test_a_page_is_no_response_of_the_server(time: Time, mocked: responses.RequestsMock) -> None:
    mocked.post(URL, body="\n<!doctype html>", content_type="text/html; charset=utf-8")
    error, trouble = failed(transport(time))
    assert (trouble.kind, trouble.attempts) == (TroubleKind.NOT_THE_SERVER, 1)
    assert "200 with an HTML page" in str(error)


@pytest.mark.parametrize(
    ("status", "body"), [(200, "{}"), (404, "<html>"), (401, "<html>"), (500, "<html>")]
)
def test_what_the_server_itself_says_is_a_response_even_if_it_is_said_to_be_html(
    time: Time, mocked: responses.RequestsMock, status: int, body: str
) -> None:
    mocked.post(URL, status=status, body=body, content_type="text/html")
    patient = transport(time)
    assert post(patient).response.status_code == status
    assert patient.trouble == []


def test_a_server_that_is_gone_ends_the_run(time: Time, mocked: responses.RequestsMock) -> None:
    patient = transport(time, retries=0)
    for status in [503] * (MAX_FAILURES - 1) + [200] + [503] * MAX_FAILURES:
        mocked.post(URL, status=status)
    for _ in range(MAX_FAILURES - 1):
        with pytest.raises(NoResponse):
            post(patient)
    post(patient)  # it was not gone after all
    for _ in range(MAX_FAILURES - 1):
        with pytest.raises(NoResponse):
            post(patient)
    with pytest.raises(ServerGone, match=r"^5 requests in a row got no response, .*was 503$"):
        post(patient)
    assert len(patient.trouble) == 2 * MAX_FAILURES - 1


def test_a_server_that_sends_the_unauthorised_to_a_login_is_not_gone(
    time: Time, mocked: responses.RequestsMock
) -> None:
    patient = transport(time)
    for _ in range(MAX_FAILURES + 1):
        mocked.post(URL, status=302, headers={"Location": "/login"})
        with pytest.raises(NoResponse):
            post(patient)


def test_the_rate_is_for_all_threads_together(time: Time) -> None:
    with responses.RequestsMock() as mock:
        mock.post(URL, body="{}")
        slow = transport(time, rate=4)
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(lambda _: post(slow), range(9)))
    assert time.now == pytest.approx(100 + 8 / 4)


def test_trouble_of_all_threads_is_noted(time: Time) -> None:
    with responses.RequestsMock() as mock:
        mock.post(URL, status=307)
        patient = transport(time)

        def one(_: int) -> None:
            with pytest.raises(NoResponse):
                post(patient)
            patient.close()

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(one, range(40)))
    assert len(patient.trouble) == patient.sent == 40


def test_headers_of_the_connection_are_sent_with_every_request(
    time: Time, mocked: responses.RequestsMock
) -> None:
    mocked.post(URL, body="{}")
    mocked.post(URL, body="{}")
    own = transport(time, headers={"X-Env": "test", "X-Other": "theirs"})
    post(own)
    post(own, **{"X-Other": "ours"})
    sent = [
        (call.request.headers["X-Env"], call.request.headers["X-Other"]) for call in mocked.calls
    ]
    assert sent == [("test", "theirs"), ("test", "ours")]


def test_neither_a_cookie_nor_a_netrc_authorises_a_request(
    time: Time, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    sets_cookie = OK.replace(
        b"\r\n", b"\r\nSet-Cookie: session=1; Path=/\r\nConnection: close\r\n", 1
    )
    with wire(sends(sets_cookie)) as (url, server):
        patient = transport(time)
        post(patient, url)
        post(patient, url)
    for seen in server.seen:
        assert b"cookie" not in seen.lower()
        assert b"authorization" not in seen.lower()


def test_the_proxy_is_that_of_the_environment(time: Time, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with wire(sends(OK)) as (proxy, server):
        monkeypatch.setenv("http_proxy", proxy.replace("//", "//me:secret@"))
        post(transport(time))
    assert server.seen[0].startswith(f"POST {URL} HTTP/1.1\r\n".encode())
    error, _ = failed(transport(time, retries=0))
    assert str(error) == (
        "no response (the proxy that the environment names does not let it through)"
    )


def test_a_proxy_keeps_to_the_time_as_well(time: Time, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with wire(dripping(b"HTTP/1.1 200 OK\r\nX-Long: ")) as (proxy, _):
        monkeypatch.setenv("http_proxy", proxy)
        _, trouble = failed(transport(time, retries=0, timeout=0.1))
    assert trouble.kind is TroubleKind.TIMED_OUT


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for localhost, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl on this machine")
    file = tmp_path_factory.mktemp("tls") / "localhost.pem"
    key = file.with_suffix(".key")
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1"
        f" -subj /CN=localhost -addext subjectAltName=DNS:localhost -keyout {key} -out {file}"
    )
    subprocess.run(command.split(), check=True, capture_output=True)
    file.write_bytes(file.read_bytes() + key.read_bytes())
    return file


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def test_a_certificate_that_nobody_vouches_for_is_trouble_with_a_remedy(
    time: Time, tls: ssl.SSLContext
) -> None:
    with wire(sends(OK), context=tls) as (url, _):
        error, trouble = failed(transport(time), url)
    assert "give the CA's with --ca, or leave it unchecked with --insecure" in str(error)
    assert (trouble.kind, trouble.attempts) == (TroubleKind.UNREACHABLE, 1)
    assert not error.may_have_arrived


def test_a_ca_is_trusted_whatever_the_environment_says(
    time: Time, tls: ssl.SSLContext, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere")
    with wire(sends(OK), context=tls) as (url, _):
        assert post(transport(time, ca=certificate), url).response.content == b"{}"


def test_a_certificate_is_left_unchecked_where_that_is_asked_for(
    time: Time, tls: ssl.SSLContext
) -> None:
    expected = pytest.warns(urllib3.exceptions.InsecureRequestWarning)
    with wire(sends(OK), context=tls) as (url, _), expected:
        assert post(transport(time, insecure=True), url).response.content == b"{}"


def test_tls_to_a_server_without_it_says_so(time: Time) -> None:
    with wire(sends(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as (url, _):
        error, _ = failed(transport(time, retries=0), url.replace("http:", "https:"))
    assert "is it an http:// URL" in str(error)


@pytest.mark.parametrize("url", ["http://[", "http://", "http://h:99999/", "http://.example/"])
def test_what_cannot_be_sent_is_not_tried_again(time: Time, url: str) -> None:
    patient = transport(time)
    with pytest.raises(NoResponse, match="no response"):
        post(patient, url)
    assert len(patient.trouble) == 1
    assert time.waits == []
