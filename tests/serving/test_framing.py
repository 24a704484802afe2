"""What is sent beside a body is bounded to the byte, however the stream is split."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from stepstub.serving.framing import MAX_HEAD_BYTES, FramedParser, TooLarge
from stepstub.serving.head import RequestHead
from support import PATH, Connection, head, post

PROBE = post({"processStepId": "claim-1-pending"})


class Target:
    """Notes what a parser reports."""

    def __init__(self) -> None:
        self.head = RequestHead()
        self.accepting = True
        self.bodies: list[bytes] = []
        self.messages: list[tuple[bytes, bytes]] = []

    def on_request_line(self) -> None:
        pass

    def on_headers_complete(self) -> None:
        self.head.complete = True
        self.bodies.clear()

    def on_body(self, part: bytes) -> None:
        self.bodies.append(part)

    def on_message_complete(self) -> None:
        self.messages.append((self.head.url, b"".join(self.bodies)))


def parse(stream: bytes, cuts: Iterable[int]) -> tuple[list[tuple[bytes, bytes]], str]:
    """The messages found when `stream` arrives cut there, and how it ended."""
    target = Target()
    parser = FramedParser(target)
    start = 0
    try:
        for cut in [*cuts, len(stream)]:
            parser.feed_data(stream[start:cut])
            start = cut
    except TooLarge as error:
        return target.messages, f"{error.status}"
    except Exception as error:  # noqa: BLE001 - which one is what the test compares
        return target.messages, type(error).__name__
    return target.messages, "within" if parser.in_message else "between"


def every(size: int) -> Callable[[bytes], Iterable[int]]:
    return lambda stream: range(size, len(stream), size)


SPLITS: list[Callable[[bytes], Iterable[int]]] = [
    lambda _: [],
    every(1),
    every(2),
    every(3),
    every(7),
    every(1000),
    every(65535),
    every(65536),
    every(65537),
]
LINE = b"GET / HTTP/1.1\r\n"


def get(size: int, field: bytes = b"X: ", end: bytes = b"") -> bytes:
    """A head of exactly `size` bytes, most of them one field."""
    fixed = LINE + field + end + b"\r\n\r\n"
    return LINE + field + b"x" * (size - len(fixed)) + end + b"\r\n\r\n"


CHUNKED = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"

STREAMS: dict[str, tuple[bytes, int, str]] = {
    "as large as allowed": (get(MAX_HEAD_BYTES), 1, "between"),
    "a byte more": (get(MAX_HEAD_BYTES + 1), 0, "431"),
    "far more": (get(200_000), 0, "431"),
    "padding counts": (get(MAX_HEAD_BYTES + 1, b"X:" + b" " * 60_000), 0, "431"),
    "padding at the end counts": (get(MAX_HEAD_BYTES + 1, end=b" " * 60_000), 0, "431"),
    "many fields": (LINE + b"X: x\r\n" * 10_919 + b"\r\n", 1, "between"),
    "one field too many": (LINE + b"X: x\r\n" * 10_920 + b"\r\n", 0, "431"),
    "behind others": ((get(100) * 3 + get(MAX_HEAD_BYTES + 1)), 3, "431"),
    "large ones in a row": (get(MAX_HEAD_BYTES) * 3, 3, "between"),
    "no end": (LINE + b"X: " + b"x" * 200_000, 0, "431"),
    "no end of a request line": (b"GET /" + b"x" * 200_000, 0, "414"),
    "a target too long": (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n", 0, "414"),
    "a target that leaves no room": (
        b"GET /" + b"x" * 65_500 + b" HTTP/1.1\r\n" + b"X: x\r\n" * 9,
        0,
        "431",
    ),
    "empty lines": (b"\r\n" * 5 + get(100), 1, "between"),
    "empty lines count": (b"\r\n" * 5 + get(MAX_HEAD_BYTES - 9), 0, "431"),
    "empty lines only": (b"\r\n" * 40_000, 0, "431"),
    "malformed within the bound": (LINE + b"\x01: " + b"x" * 200_000, 0, "HttpParserError"),
    "a bare CR before a request": (b"\r\n\r" + get(100), 0, "HttpParserError"),
    "length": (
        b"POST / HTTP/1.1\r\nContent-Length: 200000\r\n\r\n" + b"\r\n" * 100_000 + get(99),
        2,
        "between",
    ),
    "chunks": (CHUNKED + b"2;a=b\r\n\r\n\r\n1\r\nx\r\n0\r\n\r\n" + get(99), 2, "between"),
    "leading zeros": (CHUNKED + b"0" * 60_000 + b"1\r\nx\r\n0\r\n\r\n" + get(99), 2, "between"),
    "a large chunk": (CHUNKED + b"186a0\r\n" + b"\n" * 100_000 + b"\r\n0\r\n\r\n", 1, "between"),
    "trailers": (CHUNKED + b"0\r\nA: b\r\nC: d\r\n\r\n" + get(99), 2, "between"),
    "trailers as large as allowed": (
        CHUNKED + b"0\r\nX: " + b"x" * (MAX_HEAD_BYTES - 7) + b"\r\n\r\n",
        1,
        "between",
    ),
    "trailers a byte larger": (
        CHUNKED + b"0\r\nX: " + b"x" * (MAX_HEAD_BYTES - 6) + b"\r\n\r\n",
        0,
        "431",
    ),
    "a chunk extension": (
        CHUNKED + b"1;" + b"a" * MAX_HEAD_BYTES + b"\r\nx\r\n0\r\n\r\n",
        0,
        "431",
    ),
    "incomplete": (LINE + b"X: x", 0, "within"),
    "a body cut short": (b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nabc", 0, "within"),
}


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize(
    "split", SPLITS, ids=["whole", *"123", "7", "1000", "65535", "65536", "+1"]
)
def test_the_outcome_does_not_depend_on_segments(
    name: str, split: Callable[[bytes], Iterable[int]]
) -> None:
    stream, messages, ending = STREAMS[name]
    found, ended = parse(stream, split(stream))
    assert (len(found), ended) == (messages, ending)
    assert found == parse(stream, [])[0]


def test_a_split_at_any_byte_changes_nothing() -> None:
    stream = b"\r\n" + PROBE + CHUNKED + b"5;a=b\r\nhello\r\n0\r\nT: x\r\n\r\n" + get(60) + PROBE
    whole = parse(stream, [])
    assert len(whole[0]) == 4
    for cut in range(1, len(stream)):
        assert parse(stream, [cut]) == whole, stream[:cut]


@pytest.mark.parametrize("split", [1, 2], ids=["in one write", "in two"])
def test_over_a_socket(connection: Connection, split: int) -> None:
    request = head("X: " + "x" * 200_000)
    half = len(request) // split
    try:
        connection.send(request[:half], request[half:])
        response = connection.response()
    except (ConnectionResetError, BrokenPipeError):
        return  # the response was lost, since there was more to read
    assert response.status == 431
    assert response.json["message"] == "Request Header Fields Too Large"


def test_a_target_too_long_is_a_414(connection: Connection) -> None:
    try:
        response = connection.ask(head(target="/" + "a" * 70_000))
    except (ConnectionResetError, BrokenPipeError):
        return
    assert response.status == 414
    assert response.json["message"] in {"Request-URI Too Long", "URI Too Long"}
    assert "65536 bytes" in response.data
    assert connection.is_closed()


@pytest.mark.parametrize(
    "line", [b"GET /\r\n", b"GET / HTTP/2.0\r\n", b"GET / HTTP/0.9\r\n", b"POST / HTTP/9.9\r\n"]
)
@pytest.mark.parametrize("rest", [b"", b"Host: localhost\r\n\r\n"])
def test_another_major_version_is_a_505(connection: Connection, line: bytes, rest: bytes) -> None:
    response = connection.ask(line + rest)
    assert response.status == 505
    assert response.headers["connection"] == "close"
    assert response.json["message"] == "HTTP Version Not Supported"
    assert connection.is_closed()


def test_a_higher_minor_version_is_taken_for_1_1(connection: Connection) -> None:
    response = connection.ask(PROBE.replace(b"HTTP/1.1", b"HTTP/1.2"))
    assert response.codes == {"processStepId": "STEP_PENDING"}
    assert "connection" not in response.headers


@pytest.mark.parametrize("space", ["\t", " \t", "\t \t "])
def test_white_space_around_a_value_is_no_part_of_it(connection: Connection, space: str) -> None:
    line = f"Authorization:{space}Bearer stub-token{space}"
    request = post({"processStepId": "claim-1-pending"}, line, token=None)
    assert connection.ask(request).codes == {"processStepId": "STEP_PENDING"}


@pytest.mark.parametrize("rest", [b"rubbish\r\n\r\n", PROBE, b"\r\n\r\n\x16\x03"])
@pytest.mark.parametrize("ends", [False, True], ids=["open", "half-closed"])
def test_nothing_behind_a_last_request_gets_a_response(
    connection: Connection, rest: bytes, ends: bool
) -> None:
    """HTTP/1.0 with keep-alive, which this server does not offer."""
    line = PROBE.replace(b"HTTP/1.1\r\n", b"HTTP/1.0\r\nConnection: keep-alive\r\n")
    connection.send(PROBE + line + rest)
    if ends:
        connection.socket.shutdown(1)
    assert "connection" not in connection.response().headers
    last = connection.response()
    assert last.status == 412
    assert last.headers["connection"] == "close"
    assert connection.is_closed()


@pytest.mark.parametrize(
    ("coding", "status"),
    [("gzip, chunked", 501), ("gzip", 400), ("identity", 400), (", Chunked", 412)],
)
def test_only_the_chunked_coding_is_implemented(
    connection: Connection, coding: str, status: int
) -> None:
    request: Any = head(f"Transfer-Encoding: {coding}", target=PATH) + b"2\r\n{}\r\n0\r\n\r\n"
    assert connection.ask(request).status == status
