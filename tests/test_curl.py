"""A curl line sends in a shell exactly what was sent, with variables in place of secrets."""

import json
import shutil
import socket
import subprocess
import threading
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from stepstub.contract_tests.connection import Connection
from stepstub.contract_tests.credentials import Credentials
from stepstub.contract_tests.curl import curl_line

TOKEN = "token-that-nobody-may-read"
URL = "http://workflow.example/complete-step"
STEP = "order-1 'a' \\ ü"
BEARER = Credentials()

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")


def line(
    body: Any = None,
    headers: Mapping[str, str] | None = None,
    *,
    url: str = URL,
    token: str = TOKEN,
    credentials: Credentials = BEARER,
    connection: Connection | None = None,
    step: str = "",
) -> str:
    connection = connection or Connection()
    session = requests.Session()
    session.headers.update(connection.headers)
    sent = {"Content-Type": "application/json", **credentials.headers(token)}
    request = requests.Request("POST", url, sent if headers is None else headers, data=body)
    prepared = session.prepare_request(request)
    return curl_line(prepared, token, credentials, connection, step)


def arguments(curl: str, **variables: str) -> list[str]:
    """The arguments that a shell makes of a line, without curl itself."""
    printed = subprocess.run(
        ["bash", "-c", curl.replace("curl ", "printf '%s\\0' ", 1)],
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", **variables},
        capture_output=True,
        check=True,
    )
    return printed.stdout.decode(errors="surrogateescape").split("\0")[:-1]


def test_a_line_is_short_and_complete() -> None:
    assert line(b'{"processStepId": "a"}') == (
        f"curl -i -X POST {URL} -H 'Content-Type: application/json'"
        ' -H "Authorization: Bearer $TOKEN" --data-binary \'{"processStepId": "a"}\''
    )


def test_the_step_is_a_variable_where_it_has_to_be_a_fresh_one() -> None:
    body = b'{"processStepId": "a", "params": {"a": {"strValue": "a", "type": "STRING"}}}'
    assert line(body, step="a").endswith(
        """ --data-binary '{"processStepId": "'"$STEP"'", "params": {"a": {"strValue": "a","""
        """ "type": "STRING"}}}'"""
    )


@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("spaces", ["", "\n "])
def test_the_step_is_found_however_it_is_written(ascii_only: bool, spaces: str) -> None:
    step = json.dumps(STEP, ensure_ascii=ascii_only)
    body = f'{{"processStepId"{spaces}:{spaces}{step}, "processStepId": {step}}}'
    *_, sent = arguments(line(body.encode(), step=STEP), STEP="fresh")
    assert sent == f'{{"processStepId"{spaces}:{spaces}"fresh", "processStepId": "fresh"}}'


@pytest.mark.parametrize("body", [b'{"processStepId": "b"}', b'{"processStepId": "\\u"}', b"{"])
def test_another_id_stays_as_it_is(body: bytes) -> None:
    assert arguments(line(body, step="a"))[-1].encode() == body


@given(st.binary(min_size=1).filter(lambda body: b"\0" not in body), st.text(min_size=1))
@settings(max_examples=25, deadline=None)
def test_any_body_is_repeated_exactly(before: bytes, step: str) -> None:
    body = before + b'{"processStepId": ' + json.dumps(step).encode() + b"}"
    *_, sent = arguments(line(body, step=step), STEP=json.dumps(step)[1:-1])
    assert sent.encode(errors="surrogateescape") == body


@pytest.mark.parametrize(
    ("credentials", "name"),
    [
        (Credentials(), "Authorization"),
        (Credentials("basic"), "Authorization"),
        (Credentials("basic", user="alice"), "Authorization"),
        (Credentials("api-key", "X-Key"), "X-Key"),
    ],
)
@pytest.mark.parametrize("token", [TOKEN, "e", 'a"$(b)`\\'])
def test_credentials_are_those_that_were_sent_and_not_shown(
    credentials: Credentials, name: str, token: str
) -> None:
    curl = line(b"{}", credentials=credentials, token=token)
    sent = arguments(curl, TOKEN=token, BASIC_USER="alice")
    assert f"{name}: {credentials.headers(token)[name]}" in sent
    assert "alice" not in curl
    if len(token) > 1:
        assert token not in curl
        assert b64encode(token.encode()).decode()[:12] not in curl


@pytest.mark.parametrize(
    "value",
    [f"Bearer {TOKEN}x", f"{TOKEN}", f'Digest "$HOME" `id` {TOKEN}', "Bearer wrong", "Basic !", ""],
)
def test_wrong_credentials_are_those_that_were_sent(value: str) -> None:
    curl = line(b"{}", {"Authorization": value, "Content-Type": "text/plain"})
    expected = f"Authorization: {value}" if value else "Authorization;"
    assert expected in arguments(curl, TOKEN=TOKEN)
    assert TOKEN not in curl


def test_a_header_of_the_user_is_never_shown() -> None:
    connection = Connection(headers={"X-Env": "hidden value", "User-Agent": "hidden agent"})
    curl = line(b"{}", connection=connection)
    assert '-H "X-Env: $X_ENV"' in curl
    assert '-H "User-Agent: $USER_AGENT"' in curl
    assert "hidden" not in curl


def test_only_what_was_asked_for_is_sent() -> None:
    curl = line(None, {"X-Schemathesis-TestCaseId": "abc", "Accept-Language": "de"})
    assert curl == f"curl -i -X POST {URL} -H 'Accept-Language: de'"


def test_without_credentials_there_is_no_header() -> None:
    assert "Authorization" not in line(b"{}", credentials=Credentials("none"), token="")


def test_the_certificate_is_checked_as_it_was() -> None:
    ca = Connection(ca=Path("/etc/my ca.pem"))
    assert f"POST {URL} --cacert '/etc/my ca.pem' -H" in line(b"{}", connection=ca)
    assert f"POST {URL} -k -H" in line(b"{}", connection=Connection(insecure=True))


def test_a_token_in_the_url_or_the_body_is_a_variable_as_well() -> None:
    curl = line(json.dumps({"x": TOKEN}).encode(), url=f"{URL}/{TOKEN}/x")
    assert TOKEN not in curl
    sent = arguments(curl, TOKEN=TOKEN)
    assert f"{URL}/{TOKEN}/x" in sent
    assert json.dumps({"x": TOKEN}) in sent


def test_a_long_body_is_padded_by_the_shell() -> None:
    body = b'{"processStepId": "a"}'
    curl = line(body.ljust(2**20), step="a")
    assert len(curl) < 400
    printed = subprocess.run(
        ["bash", "-c", curl.partition(" | ")[0]],
        env={"STEP": "a", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        check=True,
    )
    assert printed.stdout == body.ljust(2**20)


@needs_curl
@pytest.mark.parametrize("content_type", [{}, {"Content-Type": "text/plain"}])
def test_curl_sends_no_content_type_of_its_own(content_type: dict[str, str]) -> None:
    seen = bytearray()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                while not seen.endswith(b"{}"):  # unread data would reset the connection
                    seen.extend(connection.recv(65536))
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        curl = line(b"{}", {"Authorization": "", **content_type}, url=url)
        subprocess.run(["bash", "-c", curl], check=True, capture_output=True, timeout=10)
        thread.join()
    assert (b"Content-Type: text/plain" in seen) is bool(content_type)
    assert (b"Content-Type" in seen) is bool(content_type)
    assert b"Authorization:\r\n" in seen
