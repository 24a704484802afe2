"""Whatever bytes a client sends, over real sockets: the right status, in the envelope, at once."""

import gzip
import json
import re
import time

import pytest
import yaml

from support import PATH, ROOT, Connection, Response, chunked, head, post

PENDING = "claim-1-pending"
BODY = json.dumps({"processStepId": PENDING}).encode()
PROBE = post(BODY)
"""A request that is whole and well, and moves nothing: 412, because the step is PENDING."""
MIB = 1024 * 1024


def with_param(raw: str) -> bytes:
    """A body with a param of raw JSON."""
    return f'{{"processStepId": "{PENDING}", "params": {{"a": {raw}}}}}'.encode()


def check(response: Response, status: int) -> None:
    """The response is in the envelope, with nothing of the inside in it."""
    assert response.status == status, response.body
    assert response.headers["content-type"] == "application/json"
    assert response.headers["server"] == "stepstub"
    envelope = response.json
    assert list(envelope) == ["message", "timestamp", "data", "version"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", envelope["timestamp"])
    assert isinstance(envelope["data"], dict if status in {200, 412} else str)
    for secret in (b"stub-token", b"Traceback", b".py"):
        assert secret not in response.body


def check_well(connection: Connection) -> None:
    """The connection is as good as new."""
    response = connection.ask(PROBE)
    check(response, 412)
    assert response.codes == {"processStepId": "STEP_PENDING"}


def check_closed(connection: Connection, response: Response) -> None:
    """The server has refused what is no HTTP, before the application, and hung up."""
    check(response, 400)
    assert response.headers["connection"] == "close"
    assert connection.is_closed()


BODIES = {
    "empty": b"",
    "blank": b" \r\n\t",
    "null": b"null",
    "array": b"[]",
    "string": b'"processStepId"',
    "truncated": BODY[:-1],
    "trailing text": BODY + b"x",
    "two values": BODY + BODY,
    "trailing comma": b'{"processStepId": "x",}',
    "comment": b'{"processStepId": "x" /* it */}',
    "single quotes": b"{'processStepId': 'x'}",
    "form": b"processStepId=x",
    "BOM": b"\xef\xbb\xbf" + BODY,
    "bad enum": with_param('{"type": "BOOLEAN"}'),
    "NaN": with_param('{"doubleValue": NaN}'),
    "NaN in an unknown member": with_param('{"x": NaN}'),
    "Infinity in an unknown member": with_param('{"x": [-Infinity]}'),
    "Infinity": with_param('{"doubleValue": Infinity}'),
    "-Infinity": with_param('{"doubleValue": -Infinity}'),
    "1e999": with_param('{"doubleValue": 1e999}'),
    "1e999 as a long": with_param('{"longValue": 1e999}'),
    "1e999 in an unknown member of a bad param": with_param('{"strValue": 1, "x": 1e999}'),
    "30-digit long": with_param('{"longValue": 123456789012345678901234567890}'),
    "int64 + 1": with_param('{"longValue": 9223372036854775808}'),
    "int64 - 1": with_param('{"longValue": -9223372036854775809}'),
    "int64 + 1 with a fraction of zero": with_param('{"longValue": 9223372036854775808.0}'),
    "fraction": with_param('{"longValue": 3.5}'),
    "leading zero": with_param('{"longValue": 03}'),
    "hexadecimal": with_param('{"longValue": 0x3}'),
    "5,000 digits": with_param('{"longValue": ' + "9" * 5000 + "}"),
    "5,000 digits as a double": with_param('{"doubleValue": ' + "9" * 5000 + "}"),
    "5,000 digits in an unknown member": with_param('{"x": ' + "9" * 5000 + "}"),
    "nesting": with_param('{"x": ' + "[" * 100_000 + "]" * 100_000 + "}"),
    "nesting of objects": b'{"a":' * 100_000,
    "lone surrogate": with_param(r'{"strValue": "\ud800"}'),
    "lone surrogate in a name": rb'{"processStepId": "x", "params": {"\udfff": 1}}',
    "control character": with_param('{"strValue": "\n"}'),
    "duplicate keys": b'{"processStepId": "x", "processStepId": "' + PENDING.encode() + b'"}',
    "duplicate keys, one escaped": rb'{"processStepId": "x", "processStep\u0049d": "y"}',
    "duplicate keys deep inside": with_param('{"x": {"y": 1, "y": 2}}'),
    "invalid UTF-8": with_param('{"strValue": "').replace(b'"a"', b'"\xff"') + b'\xc3\x28"}}}',
    "overlong UTF-8": b'{"processStepId": "\xc0\xaf"}',
    "latin-1": '{"processStepId": "é"}'.encode("latin-1"),
    "UTF-16": BODY.decode().encode("utf-16"),
    "UTF-32": BODY.decode().encode("utf-32"),
    "NUL bytes": b"\0" * 100,
    "step id null": b'{"processStepId": null}',
    "step id empty": b'{"processStepId": ""}',
    "step id a number": b'{"processStepId": 1}',
    "step id of a mebibyte": b'{"processStepId": "%b"}' % (b"x" * (MIB - 100)),
    "step id in other case": b'{"processStepId": "%b"}' % PENDING.upper().encode(),
    "step id with spaces": b'{"processStepId": " %b"}' % PENDING.encode(),
    "param with a number as its name": b'{"processStepId": "x", "params": {"0": 1}}',
    "params array": b'{"processStepId": "x", "params": []}',
    "params text": b'{"processStepId": "x", "params": "{}"}',
    "param null": with_param("null"),
    "many params that are wrong": json.dumps(
        {"processStepId": "x", "params": dict.fromkeys(map(str, range(60_000)), 1)}
    ).encode(),
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_body_that_is_not_what_the_operation_takes_is_refused(
    connection: Connection, body: bytes
) -> None:
    began = time.monotonic()
    response = connection.ask(post(body))
    check(response, 412)
    assert "STEP_PENDING" not in response.codes.values(), "it was not refused for the body"
    assert time.monotonic() - began < 3
    check_well(connection)


WELL = {
    "many params": json.dumps(
        {"processStepId": PENDING, "params": {str(number): {} for number in range(60_000)}}
    ).encode(),
    "30-digit double": with_param('{"doubleValue": 123456789012345678901234567890}'),
    "long 1.0": with_param('{"longValue": 1.0}'),
    "long 1e3": with_param('{"longValue": 1e3}'),
    "surrogate pair": with_param(r'{"strValue": "\ud83d\ude00"}'),
    "escaped NUL": with_param(r'{"strValue": "\u0000"}'),
    "template": with_param('{"strValue": "{% raw %} {{ 7 * 7 }}"}'),
    "unknown members": b'{"processStepId": "%b", "x": [1e5, null]}' % PENDING.encode(),
    "white space around": b"\r\n \t" + BODY + b"\n",
    "names that mean something elsewhere": (
        b'{"processStepId": "%b", "params": {"__proto__": {}, "": {}}}' % PENDING.encode()
    ),
}


@pytest.mark.parametrize("body", WELL.values(), ids=WELL)
def test_a_body_that_is_unusual_is_taken(connection: Connection, body: bytes) -> None:
    response = connection.ask(post(body))
    check(response, 412)
    assert response.codes == {"processStepId": "STEP_PENDING"}


@pytest.mark.parametrize(
    "header",
    [
        "X-None: there is no content type",
        "Content-Type: application/json",
        "Content-Type: Application/JSON",
        "Content-Type: application/json; charset=utf-8",
        'Content-Type: application/json;charset="UTF-8"',
        "Content-Type:\tapplication/json ; charset=UTF-8 ",
        "Content-Encoding: identity",
    ],
)
def test_a_media_type_that_is_json_is_taken(connection: Connection, header: str) -> None:
    response = connection.ask(head(header, f"Content-Length: {len(BODY)}") + BODY)
    check(response, 412)
    assert response.codes == {"processStepId": "STEP_PENDING"}


@pytest.mark.parametrize(
    "header",
    [
        "Content-Type: text/plain",
        "Content-Type: text/json",
        "Content-Type: application/jsonp",
        "Content-Type: application/xml",
        "Content-Type: application/x-www-form-urlencoded",
        "Content-Type: multipart/form-data; boundary=x",
        "Content-Type: application/json; charset=latin-1",
        "Content-Type: application/json; charset=utf-16",
        "Content-Type: application/json; charset=nobody-knows",
        "Content-Type: application/json, text/plain",
        "Content-Type: application",
        "Content-Type: /",
        "Content-Type: \xff\xfe",
        "Content-Type:",
        "Content-Type: application/json\r\nContent-Type: application/json",
        "Content-Encoding: gzip",
        "Content-Encoding: br",
        "Content-Encoding: gzip, gzip",
        "Content-Encoding: x" * 100,
    ],
)
def test_a_media_type_that_is_not_is_refused(connection: Connection, header: str) -> None:
    body = gzip.compress(BODY) if "gzip" in header else BODY
    check(connection.ask(head(header, f"Content-Length: {len(body)}") + body), 415)
    check_well(connection)


@pytest.mark.parametrize(
    "target",
    [
        "/nowhere",
        "/api/v1/processes/complete-step/",
        "/api/v1/processes/complete-step//",
        "/api/v1/processes%2fcomplete-step",
        "/api/v1/processes%2Fcomplete-step",
        "/api/v1/processes/complete-step%2f",
        "/api/v1/processes//complete-step",
        "//api/v1/processes/complete-step",
        "//stub/api/v1/processes/complete-step",
        "/api/v1/processes/./complete-step",
        "/api/v1/processes/x/../complete-step",
        "/API/v1/processes/complete-step",
        "/api/v1/processes/complete-step%00",
        "/api/v1/processes/complete-step%20",
        "/api/v1/processes/complete-step%0d%0aX-Injected:%20yes",
        "/api/v1/processes/complete-step;x=y",
        "/api/v1/processes",
        "/%ff%fe",
        "/%",
        "/%zz",
        "/" + "a" * 50_000,
        "/docs/assets/nowhere.js",
        "/docs/assets/../../../../../etc/passwd",
        "/docs/assets/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/docs/assets/%00",
        "/docs/assets/" + "a" * 5000,
        "/_nowhere",
    ],
    ids=lambda target: target[:60],
)
def test_an_unknown_path_is_a_404(connection: Connection, target: str) -> None:
    method = "GET" if "assets" in target else "POST"
    response = connection.ask(post(BODY, target=target, method=method))
    check(response, 404)
    assert "x-injected" not in response.headers
    check_well(connection)


@pytest.mark.parametrize("target", [f"{PATH}?x=y", f"{PATH}?", f"http://localhost{PATH}"])
def test_the_path_is_known_in_its_other_forms(connection: Connection, target: str) -> None:
    check(connection.ask(post(BODY, target=target)), 412)
    check_well(connection)


@pytest.mark.parametrize(
    "method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "QUERY"]
)
@pytest.mark.parametrize("token", ["", None], ids=["with token", "without"])
def test_another_method_is_a_405_with_allow(
    connection: Connection, method: str, token: str | None
) -> None:
    response = connection.ask(head(method=method, token=token), method=method)
    assert response.status == 405
    assert response.headers["allow"] == "POST"
    if method != "HEAD":
        check(response, 405)
    check_well(connection)


@pytest.mark.parametrize(
    "target", ["/", "/docs", "/docs/start.js", "/openapi.yaml", "/openapi.json"]
)
def test_a_page_takes_get_and_head(connection: Connection, target: str) -> None:
    for method in ("GET", "HEAD"):
        assert connection.ask(head(method=method, target=target), method=method).status < 400
    response = connection.ask(post(BODY, target=target))
    check(response, 405)
    assert set(response.headers["allow"].split(", ")) == {"GET", "HEAD"}


def test_a_file_of_a_page_takes_get_and_head(connection: Connection) -> None:
    target = "/docs/assets/swagger-ui.css"
    assert connection.ask(head(method="GET", target=target)).status == 200
    response = connection.ask(post(BODY, target=target))
    check(response, 405)
    assert set(response.headers["allow"].split(", ")) == {"GET", "HEAD"}


NO_HTTP = {
    "CONNECT": head(method="CONNECT", target="stub:443"),
    "CONNECT with a path": head(method="CONNECT"),
    "unknown method": head(method="FROBNICATE"),
    "method in small letters": head(method="post"),
    "no HTTP at all": b"hello\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "space in the path": head(target="/a b"),
    "control character in the path": head(target="/a\x01b"),
    "no path": b"POST HTTP/1.1\r\n\r\n",
    "bad version": b"POST / HTTP/1.x\r\n\r\n",
    "no version": b"POST / HTTP\r\n\r\n",
    "fragment": head(target="/#here"),
    "bad header name": head("Bad Name: x"),
    "no colon": head("Bad"),
    "NUL in a header": head("X: a\0b"),
    "bare LF in a header": head("X: a\nb"),
    "negative length": head("Content-Length: -1"),
    "length that is no number": head("Content-Length: ten"),
    "length in other digits": head("Content-Length: 0x10"),
    "length with a sign": head("Content-Length: +1"),
    "length of 5,000 digits": head("Content-Length: " + "9" * 5000),
    "two lengths": head("Content-Length: 1", "Content-Length: 2"),
    "two lengths in one": head("Content-Length: 1, 2"),
    "length and chunks": head("Content-Length: 5", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
    "chunked, but not at last": head("Transfer-Encoding: chunked, identity"),
}


@pytest.mark.parametrize("request_", NO_HTTP.values(), ids=NO_HTTP)
def test_what_is_no_http_is_refused_and_the_connection_closed(
    connection: Connection, url: str, request_: bytes
) -> None:
    check_closed(connection, connection.ask(request_))
    with Connection(url) as other:
        check_well(other)


@pytest.mark.parametrize(
    "chunks",
    [b"zz\r\n", b"-1\r\n", b"5\r\nab", b"ffffffffffffffffff\r\n", b"1\r\nab\r\n"],
    ids=["no number", "negative", "cut short", "too long a number", "longer than it says"],
)
def test_chunks_that_are_none_do_no_harm(connection: Connection, url: str, chunks: bytes) -> None:
    connection.send(head("Transfer-Encoding: chunked") + chunks)
    if chunks == b"5\r\nab":  # it could still go on
        connection.close()
    else:
        assert connection.response().status in {400, 412}
        assert connection.is_closed()
    with Connection(url) as other:
        check_well(other)


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([], "no Authorization header"),
        (["Authorization:"], "Bearer TOKEN"),
        (["Authorization: Bearer"], "Bearer TOKEN"),
        (["Authorization: Bearer "], "Bearer TOKEN"),
        (["Authorization: stub-token"], "Bearer TOKEN"),
        (["Authorization: Basic c3R1Yi10b2tlbg=="], "Bearer TOKEN"),
        (["Authorization: Bearer stub-token x"], "Bearer TOKEN"),
        (["Authorization: Bearer\tstub-token"], "Bearer TOKEN"),
        (["Authorization: Bearer stub-token", "Authorization: Bearer stub-token"], "Bearer TOKEN"),
        (["Authorization: Bearer other", "authorization: Bearer stub-token"], "Bearer TOKEN"),
        (["Authorization: Bearer other"], "not known"),
        (["Authorization: Bearer stub-token,"], "not known"),
        (["Authorization: Bearer STUB-TOKEN"], "not known"),
        (["Authorization: Bearer stub-tok\xe9n"], "not known"),
        (["Authorization: Bearer \xff\xfe"], "not known"),
        (["Authorization: Bearer " + "x" * 50_000], "not known"),
        (["Cookie: Authorization=Bearer stub-token"], "no Authorization header"),
        (["Proxy-Authorization: Bearer stub-token"], "no Authorization header"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_401_for_a_token_that_is_none(
    connection: Connection, lines: list[str], reason: str
) -> None:
    response = connection.ask(post(BODY, *lines, token=None))
    check(response, 401)
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.json["message"] == "Unauthorized request"
    assert reason in response.data
    check_well(connection)


@pytest.mark.parametrize(
    "line",
    ["Authorization: bearer stub-token", "AUTHORIZATION: BEARER  stub-token  "],
)
def test_the_scheme_and_the_header_are_taken_in_any_case(connection: Connection, line: str) -> None:
    check(connection.ask(post(BODY, line, token=None)), 412)


@pytest.mark.parametrize(
    "header", ["Content-Length: 1000000", "Transfer-Encoding: chunked", "Content-Length: 60000000"]
)
@pytest.mark.parametrize("token", [None, "other"])
def test_401_does_not_wait_for_the_body(
    connection: Connection, header: str, token: str | None
) -> None:
    check(connection.ask(head(header, "Content-Type: text/plain", token=token)), 401)


def test_a_body_that_comes_after_its_401_is_not_the_next_request(connection: Connection) -> None:
    body = post(BODY) * 3000
    check(connection.ask(head(f"Content-Length: {len(body)}", token=None)), 401)
    connection.send(body)
    check_well(connection)


def test_413_for_the_length_that_is_declared(connection: Connection) -> None:
    check(connection.ask(head(f"Content-Length: {MIB + 1}")), 413)


def test_413_for_the_size_that_arrives(connection: Connection, url: str) -> None:
    """Refused while it is read: the last chunk is never sent."""
    connection.send(head("Transfer-Encoding: chunked"))
    piece = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    connection.send(*[piece] * 17)
    check(connection.response(), 413)
    with Connection(url) as other:
        check_well(other)


def test_a_body_of_fifty_megabytes_is_refused_at_once(connection: Connection) -> None:
    began = time.monotonic()
    check(connection.ask(head("Content-Length: 50000000")), 413)
    assert time.monotonic() - began < 1
    connection.send(*[b"x" * 1_000_000] * 50)
    check_well(connection)


def test_a_body_as_large_as_allowed_is_taken(connection: Connection) -> None:
    check(connection.ask(post(BODY.ljust(MIB))), 412)
    check(connection.ask(post(BODY.ljust(MIB + 1))), 413)
    check_well(connection)


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_a_chunked_body_is_read(connection: Connection, size: int) -> None:
    request = head("Transfer-Encoding: chunked", "Content-Type: application/json")
    response = connection.ask(request + chunked(BODY, size))
    check(response, 412)
    assert response.codes == {"processStepId": "STEP_PENDING"}
    check_well(connection)


def test_chunks_may_have_extensions_and_trailers(connection: Connection) -> None:
    chunk = b"%x;name=value\r\n%b\r\n0\r\nTrailer: x\r\n\r\n" % (len(BODY), BODY)
    response = connection.ask(head("Transfer-Encoding: chunked") + chunk)
    check(response, 412)
    check_well(connection)


def test_a_request_may_arrive_byte_by_byte(connection: Connection) -> None:
    response = connection.ask(*(PROBE[index : index + 1] for index in range(len(PROBE))))
    check(response, 412)
    assert response.codes == {"processStepId": "STEP_PENDING"}
    check_well(connection)


def test_requests_may_be_sent_without_waiting_for_responses(connection: Connection) -> None:
    bodies = [json.dumps({"processStepId": f"unknown-{number}"}).encode() for number in range(50)]
    connection.send(b"".join(map(post, bodies)))
    for number in range(50):
        response = connection.response()
        check(response, 412)
        assert response.data["processStepId"]["actual"] == f"unknown-{number}"
    check_well(connection)


def test_pipelined_refusals_keep_their_order(connection: Connection) -> None:
    requests = {
        401: post(BODY, token=None),
        404: post(BODY, target="/nowhere"),
        405: head(method="GET"),
        412: PROBE,
        413: post(b"x" * (MIB + 1)),
        415: post(BODY, "Content-Type: text/plain"),
    }
    connection.send(b"".join(requests.values()))
    for status in requests:
        check(connection.response(), status)
    check_well(connection)


def test_expect_100_continue_gets_a_response_before_the_body(connection: Connection) -> None:
    request = head("Expect: 100-continue", f"Content-Length: {len(BODY)}")
    assert connection.ask(request).status == 100
    check(connection.ask(BODY), 412)
    check_well(connection)


@pytest.mark.parametrize(
    ("status", "request_"),
    [
        (401, head("Expect: 100-continue", "Content-Length: 10", token=None)),
        (413, head("Expect: 100-continue", "Content-Length: 10000000")),
        (415, head("Expect: 100-continue", "Content-Length: 10", "Content-Type: text/plain")),
        (404, head("Expect: 100-continue", "Content-Length: 10", target="/nowhere")),
    ],
)
def test_expect_100_continue_is_not_sent_when_the_body_is_not_wanted(
    connection: Connection, status: int, request_: bytes
) -> None:
    check(connection.ask(request_), status)


def test_http_1_0_gets_a_response_and_the_connection_closed(connection: Connection) -> None:
    check(connection.ask(PROBE.replace(b"HTTP/1.1", b"HTTP/1.0")), 412)
    assert connection.is_closed()


def test_connection_close_is_honoured(connection: Connection) -> None:
    response = connection.ask(post(BODY, "Connection: close"))
    check(response, 412)
    assert response.headers["connection"] == "close"
    assert connection.is_closed()


@pytest.mark.parametrize(
    "header",
    [
        "X-Forwarded-For: 1.2.3.4\r\nForwarded: for=1.2.3.4",
        "X-HTTP-Method-Override: GET",
        "X-Original-URL: /openapi.yaml",
        "Accept: text/xml",
        "Accept: */*;q=0",
        "Origin: http://elsewhere",
        "Range: bytes=0-1",
        "If-Match: *",
        "X: " + "x" * 60_000,
        "\r\n".join(f"X-{number}: {number}" for number in range(1000)),
    ],
    ids=lambda header: header[:30],
)
def test_other_headers_change_nothing(connection: Connection, header: str) -> None:
    response = connection.ask(post(BODY, header))
    check(response, 412)
    assert response.codes == {"processStepId": "STEP_PENDING"}


@pytest.mark.parametrize("text", ["a\r\nX-Injected: yes\r\n\r\n", "a\u2028b", "</script>"])
def test_what_a_client_sends_never_becomes_a_header(connection: Connection, text: str) -> None:
    response = connection.ask(post({"processStepId": text, "params": {text: {}}}))
    check(response, 412)
    assert "x-injected" not in response.headers
    assert response.data["processStepId"]["actual"] == text
    check_well(connection)


def test_the_end_of_a_head_that_never_comes_hurts_nobody_else(
    connection: Connection, url: str
) -> None:
    connection.send(head()[:-4])
    with Connection(url) as other:
        check_well(other)
    check(connection.ask(b"\r\nContent-Length: 2\r\n\r\n{}"), 412)


def test_the_page_needs_nothing_from_elsewhere(connection: Connection) -> None:
    page = connection.ask(head(method="GET", target="/docs"))
    assert page.status == 200
    links = re.findall(r'(?:src|href)="([^"]+)"', page.body.decode())
    assert links
    for link in links:
        assert link.startswith("/")
        assert connection.ask(head(method="GET", target=link)).status == 200


@pytest.mark.parametrize(
    "target",
    ["/", "/docs", "/docs/start.js", "/docs/assets/swagger-ui.css", "/openapi.yaml"],
)
def test_a_page_is_taken_for_what_it_is_and_shown_in_no_frame(
    connection: Connection, target: str
) -> None:
    headers = connection.ask(head(method="GET", target=target)).headers
    assert headers["x-content-type-options"] == "nosniff"
    policy = headers["content-security-policy"].split("; ")
    assert {"frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"} <= set(policy)


def test_the_page_leaves_no_token_in_the_browser(connection: Connection) -> None:
    start = connection.ask(head(method="GET", target="/docs/start.js")).body
    assert b"persistAuthorization: false" in start


def test_the_contract_is_served_as_it_was_written(connection: Connection) -> None:
    text = connection.ask(head(method="GET", target="/openapi.yaml")).body.decode()
    assert text == (ROOT / "openapi.yaml").read_text("utf-8")
    as_json = connection.ask(head(method="GET", target="/openapi.json")).json
    assert as_json == yaml.safe_load(text)
