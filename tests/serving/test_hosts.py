"""Host: what is valid, and which hosts a stub on the loopback interface is there for."""

from collections.abc import Iterator

import pytest

from stepstub import LiveServer
from stepstub.app import create_app
from stepstub.concurrency import EventLoopConcurrency
from stepstub.readings import DEFAULT, with_values
from stepstub.serving.hosts import Hosts, is_host_name
from stepstub.serving.server import serve_in_thread
from support import PATH, Connection, chunked, live_app, post, processes

PENDING: dict[str, object] = {"processStepId": "claim-1-pending"}


def request(host: str | None, target: str = PATH, version: str = "HTTP/1.1") -> bytes:
    """A request that gets 412 with STEP_PENDING, unless its host is refused."""
    line = "" if host is None else f"Host: {host}\r\n"
    raw = post(PENDING, target=target).replace(b"Host: localhost\r\n", line.encode("latin-1"))
    return raw.replace(b"HTTP/1.1", version.encode())


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LocalHost:8080",
        "localhost:",
        "127.0.0.1",
        "127.1.2.3:1",
        "[::1]",
        "[::1]:65535",
        "[0:0:0:0:0:0:0:1]",
        " \tlocalhost \t",
    ],
)
def test_a_stub_on_the_loopback_interface_accepts_its_names(
    connection: Connection, host: str
) -> None:
    assert connection.ask(request(host)).codes == {"processStepId": "STEP_PENDING"}


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8080",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "10.0.0.1",
        "127.1",
        "[::2]",
        "0.0.0.0",
        "",
        "%6cocalhost",
    ],
)
def test_and_no_other(connection: Connection, host: str) -> None:
    response = connection.ask(request(host))
    assert response.status == 421
    assert response.json["message"] == "Misdirected Request"
    assert "--allow-host" in response.data
    assert connection.ask(request("localhost")).status == 412  # the body was not taken for one


def test_the_refusal_names_the_remedy(connection: Connection) -> None:
    response = connection.ask(request("stub.test:80"))
    assert response.data == (
        "This stub does not serve the host 'stub.test'."
        " Start it with --allow-host stub.test if it should."
    )


def test_a_refusal_keeps_its_place_and_discards_a_body_that_comes_late(
    connection: Connection,
) -> None:
    whole = request("evil.example")
    connection.send(request("localhost") + whole[:-5])
    assert [connection.response().status for _ in range(2)] == [412, 421]
    connection.send(whole[-5:] + request("localhost"))
    assert connection.response().status == 412
    chunks = request("evil.example").partition(b"Content-Length")[0]
    chunks += b"Transfer-Encoding: chunked\r\n\r\n" + chunked(b"x" * 50, 7)
    assert connection.ask(chunks).status == 421
    assert connection.ask(request("localhost")).status == 412


@pytest.mark.parametrize(
    "host",
    [
        None,
        "localhost\r\nHost: localhost",
        "localhost\r\nHost: other",
        "local host",
        "localhost:80:80",
        "localhost:eighty",
        "localhost/path",
        "user@localhost",
        "::1",
        "[::1",
        "[::1]x",
        "[1.2.3.4]",
        "[:::]",
        "lo\xe9",
        "a%zz",
        "localhost, localhost",
        "http://localhost",
    ],
)
def test_a_host_that_is_none_is_a_400(connection: Connection, host: str | None) -> None:
    response = connection.ask(request(host))
    assert response.status == 400
    assert "Host" in response.data
    assert connection.ask(request("localhost")).status == 412


@pytest.mark.parametrize("host", [None, "localhost"])
def test_http_1_0_needs_no_host(connection: Connection, host: str | None) -> None:
    assert connection.ask(request(host, version="HTTP/1.0")).status == 412


def test_http_1_0_may_name_one(connection: Connection) -> None:
    assert connection.ask(request("evil.example", version="HTTP/1.0")).status == 421


@pytest.mark.parametrize(
    ("target", "host", "status"),
    [
        (f"http://localhost{PATH}", "evil.example", 412),
        (f"http://127.0.0.1:8080{PATH}", "", 412),
        (f"HTTP://LOCALHOST{PATH}", "localhost", 412),
        (f"http://evil.example{PATH}", "localhost", 421),
        (f"http://evil.example:80{PATH}?x=http://localhost", "localhost", 421),
        (f"http://localhost{PATH}", None, 400),
        (f"http://localhost{PATH}", "two hosts", 400),
        (f"http://user@localhost{PATH}", "localhost", 400),
        (f"ftp://localhost{PATH}", "localhost", 400),
    ],
)
def test_the_authority_of_an_absolute_target_replaces_host(
    connection: Connection, target: str, host: str | None, status: int
) -> None:
    assert connection.ask(request(host, target)).status == status


@pytest.fixture
def named() -> Iterator[str]:
    app = create_app(processes("every-status"), concurrency=EventLoopConcurrency())
    with serve_in_thread(app, allow_hosts=["Stub.test", "[::2]"]) as url:
        yield url


def test_allowed_hosts_come_in_addition(named: str) -> None:
    with Connection(named) as connection:
        for host in ("stub.TEST", "stub.test:80", "[::2]:1", "localhost", "127.0.0.1"):
            assert connection.ask(request(host)).status == 412
        assert connection.ask(request("other.test")).status == 421


def test_elsewhere_every_host_is_accepted_unless_some_are_named() -> None:
    anywhere = Hosts(loopback=False)
    assert anywhere.check(b"stub.test:80") is None
    assert anywhere.check(b"") is None
    assert anywhere.check(b"a b") is not None
    some = Hosts(loopback=False, allowed=["stub.test"])
    assert some.check(b"stub.test") is None
    assert some.check(b"127.0.0.1") is None  # a health check within the container
    assert some.check(b"other.test") is not None


def test_the_live_server_takes_names() -> None:
    server = LiveServer("every-status", allow_hosts=["stub.test"])
    with server, Connection(server.url) as connection:
        assert connection.ask(request("stub.test")).status == 412
        assert connection.ask(request("other.test")).status == 421


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.b", True),
        ("[::1]", True),
        ("a:80", False),
        ("", False),
        ("http://a", False),
        ("é", False),
    ],
)
def test_a_name_is_a_host_without_a_port(text: str, expected: bool) -> None:
    assert is_host_name(text) is expected


@pytest.mark.parametrize(
    ("form", "media_type"),
    [
        ("envelope", "application/json"),
        ("problem", "application/problem+json"),
        ("html", "text/html; charset=utf-8"),
        ("plain", "text/plain; charset=utf-8"),
    ],
)
@pytest.mark.parametrize(
    "sent", [b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", b"nonsense\r\n\r\n"]
)
def test_a_refusal_has_the_form_of_the_readings(form: str, media_type: str, sent: bytes) -> None:
    readings = with_values(DEFAULT, {"undocumented-form": form})
    with serve_in_thread(live_app(readings=readings)) as url, Connection(url) as connection:
        response = connection.ask(sent, method="GET")
        assert response.status in (400, 421)
        assert response.headers["content-type"] == media_type
