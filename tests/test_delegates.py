"""What starting a step calls, and what counts as accepted."""

import http.server
import json
import socket
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from typing import ClassVar

import pytest
from msgspec.structs import replace

from stepstub.concurrency import InlineConcurrency, run_inline
from stepstub.delegates import Delegates, StepStart
from stepstub.errors import DelegateFailed
from stepstub.model import Delegate, Param, Step
from stepstub.serving.server import listen
from support import Clock

PARAMS = {"total": Param(long_value=3, str_value=None)}


def step(kind: str = "recorded", url: str | None = None) -> Step:
    return Step(
        id="s",
        process_id="p",
        position=1,
        delegate=Delegate(kind, url),  # type: ignore[arg-type]
        params=PARAMS,
    )


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
TRICKLES = {  # each would take two seconds and more, and end in a 200
    "drip": [OK[index : index + 1] for index in range(len(OK))],
    "continue": [b"HTTP/1.1 100 Continue\r\n\r\n"] * 40 + [OK],
}


class Application(http.server.BaseHTTPRequestHandler):
    """A third-party application that responds as the last part of the path says."""

    url: ClassVar[str]
    seen: ClassVar[list[tuple[str, str, bytes]]]
    credentials: ClassVar[list[str | None]]
    hold: ClassVar[threading.Event]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.seen.append((self.path, self.headers["Content-Type"], body))
        self.credentials.append(self.headers["Authorization"])
        what = self.path.rpartition("/")[2]
        if what == "hang":
            self.hold.wait(10)
            return
        if what in {"endless", "endless-redirect"}:
            self.send_response(200 if what == "endless" else 302)
            self.send_header("Location", "/elsewhere/200")
            self.send_header("Content-Length", str(10**12))
            self.end_headers()
            self.hold.wait(10)
            return
        if what in TRICKLES:
            for part in TRICKLES[what]:
                if self.hold.wait(0.05):
                    break
                self.wfile.write(part)
            return
        self.send_response(int(what))
        self.send_header("Location", "/elsewhere/200")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def application() -> Iterator[type[Application]]:
    class Fresh(Application):
        seen: ClassVar[list[tuple[str, str, bytes]]] = []
        credentials: ClassVar[list[str | None]] = []
        hold = threading.Event()

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Fresh)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    Fresh.url = f"http://127.0.0.1:{server.server_port}"
    yield Fresh
    Fresh.hold.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def delegates() -> Delegates:
    return Delegates(InlineConcurrency(), http_timeout=0.3)


def outcome(delegates: Delegates, started: Step) -> str:
    """Start a step; how the call that it made ended."""
    call = delegates.prepare(started, Clock().now(), 5)
    with suppress(DelegateFailed):
        run_inline(delegates.make(call, started))
    return call.outcome


def test_a_recorded_delegate_is_noted(delegates: Delegates) -> None:
    call = delegates.prepare(step(), Clock().now(), 5)
    assert call.outcome == "accepted"
    assert call.kind == "recorded"
    assert call.start == StepStart("p", "s", PARAMS)
    assert call.called_at == Clock().now()
    assert call.exchange_number == 5


def test_a_failing_delegate_fails(delegates: Delegates) -> None:
    assert outcome(delegates, step("failing")).startswith("failed: ")


@pytest.mark.parametrize("kind", ["recorded", "python"])
def test_a_registered_function_is_called(delegates: Delegates, kind: str) -> None:
    starts: list[StepStart] = []
    delegates.function = starts.append
    assert outcome(delegates, step(kind)) == "accepted"
    assert starts == [StepStart("p", "s", PARAMS)]


def test_a_python_delegate_needs_a_function(delegates: Delegates) -> None:
    delegates.function = lambda _: None
    delegates.function = None
    assert "no Python function" in outcome(delegates, step("python"))


def test_an_exception_of_the_function_is_a_failure(delegates: Delegates) -> None:
    def fail(_: StepStart) -> None:
        raise KeyError("secret")

    delegates.function = fail
    assert outcome(delegates, step()) == "failed: the Python function raised KeyError"


@pytest.mark.parametrize("status", [200, 202, 204])
def test_an_http_delegate_posts_what_is_started(
    delegates: Delegates, application: type[Application], status: int
) -> None:
    url = f"{application.url}/steps/{status}"
    assert outcome(delegates, step("http", url)) == "accepted"
    ((path, media_type, body),) = application.seen
    assert (path, media_type) == (f"/steps/{status}", "application/json")
    assert json.loads(body) == {
        "processId": "p",
        "processStepId": "s",
        "params": {"total": {"strValue": None, "longValue": 3}},
    }


@pytest.mark.parametrize("status", [301, 302, 307, 308, 400, 404, 500, 503])
def test_any_other_response_is_a_failure_and_no_redirect_is_followed(
    delegates: Delegates, application: type[Application], status: int
) -> None:
    url = f"{application.url}/{status}"
    assert outcome(delegates, step("http", url)).endswith(f"responded {status}")
    assert len(application.seen) == 1


def test_an_application_that_does_not_respond_in_time_is_a_failure(
    delegates: Delegates, application: type[Application]
) -> None:
    url = f"{application.url}/hang"
    assert outcome(delegates, step("http", url)).endswith("did not respond (ReadTimeout)")


@pytest.mark.parametrize("trickle", TRICKLES)
def test_the_time_is_for_the_whole_call_and_not_for_each_read(
    delegates: Delegates, application: type[Application], trickle: str
) -> None:
    began = time.monotonic()
    url = f"{application.url}/{trickle}"
    assert outcome(delegates, step("http", url)).endswith("did not respond (ReadTimeout)")
    assert time.monotonic() - began < 1.5


def test_the_time_is_for_all_addresses_of_a_host_together(
    delegates: Delegates, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as full, socket.socket() as first:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        first.connect(full.getsockname())  # nobody accepts it, so there is no room for another
        addresses = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", full.getsockname())] * 8
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: addresses)
        began = time.monotonic()
        failure = outcome(delegates, step("http", "http://many.test/200"))
    assert failure.endswith("did not respond (ConnectTimeout)")
    assert time.monotonic() - began < 1.5


def test_the_time_is_for_sending_as_well(delegates: Delegates) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()  # takes the connection, and then reads nothing
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        large = replace(step("http", url), params={"a": Param(str_value="x" * 10_000_000)})
        assert "did not respond" in outcome(delegates, large)


@pytest.mark.parametrize("host", ["a..b", "[::1", "x" * 64, "nowhere.invalid"])
def test_a_host_that_cannot_be_is_a_failure(delegates: Delegates, host: str) -> None:
    assert "did not respond" in outcome(delegates, step("http", f"http://{host}/"))


def test_the_body_of_a_redirect_is_not_waited_for_either(
    delegates: Delegates, application: type[Application]
) -> None:
    url = f"{application.url}/endless-redirect"
    assert outcome(delegates, step("http", url)).endswith("responded 302")


def test_credentials_in_the_url_are_sent(
    delegates: Delegates, application: type[Application]
) -> None:
    url = f"{application.url}/200".replace("//", "//user:secret@")
    assert outcome(delegates, step("http", url)) == "accepted"
    assert application.credentials == [f"Basic {b64encode(b'user:secret').decode()}"]


def test_the_body_of_a_response_is_not_waited_for(
    delegates: Delegates, application: type[Application]
) -> None:
    url = f"{application.url}/endless"
    assert outcome(delegates, step("http", url)) == "accepted"


def test_an_application_that_is_not_there_is_a_failure(delegates: Delegates) -> None:
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
    failure = outcome(delegates, step("http", f"http://127.0.0.1:{port}/"))
    assert failure.endswith("did not respond (ConnectionError)")


def test_the_machines_proxies_are_not_used(
    delegates: Delegates, application: type[Application], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    url = f"{application.url}/200"
    assert outcome(delegates, step("http", url)) == "accepted"
