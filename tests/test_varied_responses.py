"""Responses that vary: each kind is seen, repeated, journalled, valid, and tolerated by clients."""

import http.client
import json
import socket
from collections.abc import Iterator
from typing import Any, Self
from urllib.parse import urlsplit

import httpx
import msgspec
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from any_readings import for_many_profiles, random_profiles
from stepstub import InProcess, LiveServer, Sandbox
from stepstub.app import create_app
from stepstub.concurrency import run_inline
from stepstub.contract import effective, load
from stepstub.readings import DEFAULT, Readings, with_values
from stepstub.serving import connection as connection_module
from stepstub.settings import Settings
from stepstub.variations import KINDS, Vary
from stepstub.views import ExchangeView
from support import Client, Connection, Response, head, in_time, processes, until

ON_THE_WIRE = [name for name, kind in KINDS.items() if kind.on_the_wire]
WITHOUT_A_SOCKET = [name for name in KINDS if name not in ON_THE_WIRE]
FORM = ("member-order", "spacing", "escapes", "media-type", "extra-headers")
"""What changes the form of a response, and no name or value in it."""

SEEDS = range(12)
STEP = "order-1-approve"
PARAMS = {"ä/x": {"strValue": 'é\n\u0007😀\\/"', "longValue": 2**63 - 1, "type": "STRING"}}
LAST = "invoice-1-archive"
TIME = 4_102_444_800_000  # 2100-01-01, so that timestamps are the same


def stub(vary: Vary | None, readings: Readings = DEFAULT) -> Client:
    app = create_app(processes("two-steps", "last-step"), Settings(readings=readings, vary=vary))
    client = Client(app)
    client.freeze()
    client.advance((TIME - run_inline(client.store.clock()).now) / 1000)
    return client


def exchanges(client: Client) -> list[Response]:
    """A response of each status, and some that the document does not have."""
    return [
        client.complete(STEP, PARAMS),
        client.complete(STEP),
        client.complete("nowhere"),
        client.post({"params": {"a": 1, "b": {"longValue": "x"}}}),
        client.complete(LAST),
        client.post({}, {"authorization": "Bearer nobody"}),
        client.request("GET", "/nowhere"),
        client.post(b"<xml/>", {"content-type": "text/xml"}),
    ]


def only(name: str, seed: int = 1) -> dict[str, Any]:
    return {"seed": seed, "only": [name]}


# --- each kind is seen


def varied(name: str, index: int) -> Iterator[tuple[Response, Response]]:
    """A response without variations, and the same with one kind, for several seeds."""
    plain = exchanges(stub(None))[index]
    for seed in SEEDS:
        yield plain, exchanges(stub(Vary(seed=seed, only=(name,))))[index]


def order(value: Any) -> list[Any]:
    return [(name, order(each)) for name, each in value.items()] if isinstance(value, dict) else []


def test_members_are_in_another_order() -> None:
    for plain, other in varied("member-order", 0):
        assert other.json == plain.json
        assert order(other.json) != order(plain.json)


def test_a_completion_has_members_that_nobody_knows_in_envelope_data_and_params() -> None:
    for plain, other in varied("extra-members", 0):
        more = set(other.json) - set(plain.json)
        assert more
        assert set(other.data) == set(plain.data) | more
        assert set(other.data["params"]) == set(plain.data["params"])  # a param is data
        for name, param in other.data["params"].items():
            assert set(param) == set(plain.data["params"][name]) | more


def test_a_refusal_has_members_that_nobody_knows_in_envelope_and_entries() -> None:
    for plain, other in varied("extra-members", 1):
        more = set(other.json) - set(plain.json)
        assert more
        assert set(other.data) == {"processStepId"}
        entry, known = other.data["processStepId"], plain.data["processStepId"]
        assert entry == {**known, **{name: other.json[name] for name in more}}


def test_the_codes_of_a_refusal_are_unknown() -> None:
    for plain, other in varied("unknown-codes", 3):
        assert set(other.data) == set(plain.data)
        assert not set(other.codes.values()) & set(plain.codes.values())
        for name in plain.data:
            assert other.data[name] == {**plain.data[name], "code": other.codes[name]}


def test_a_refusal_has_further_entries() -> None:
    first = set()
    for plain, other in varied("more-entries", 1):
        assert len(other.data) > 1
        assert other.data["processStepId"] == plain.data["processStepId"]
        first.add(next(iter(other.data)) == "processStepId")
    assert first == {True, False}  # it need not be the first


@pytest.mark.parametrize("name", ["unknown-codes", "more-entries"])
@pytest.mark.parametrize("data", ["message", "empty"])
def test_the_data_of_a_refusal_without_codes_stays_as_it_is(name: str, data: str) -> None:
    readings = with_values(DEFAULT, {"refusal-data": data})
    for seed in SEEDS:
        changed = exchanges(stub(Vary(seed=seed, only=(name,)), readings))
        assert changed == exchanges(stub(None, readings))


def test_there_is_white_space_between_tokens() -> None:
    for plain, other in varied("spacing", 0):
        assert other.json == plain.json
        assert len(other.body) > len(plain.body)


def test_characters_are_escaped() -> None:
    for plain, other in varied("escapes", 0):
        assert other.json == plain.json
        assert b"\\u" in other.body
        assert b'"message"' not in other.body


def test_the_media_type_has_a_charset() -> None:
    seen = {other.headers["content-type"] for _, other in varied("media-type", 0)}
    assert seen == {"application/json; charset=utf-8", "application/json;charset=UTF-8"}


def test_there_are_headers_that_nobody_asked_for() -> None:
    for plain, other in varied("extra-headers", 0):
        assert other.body == plain.body
        assert plain.headers.items() < other.headers.items()


class Live:
    """Responses of a live server with one kind, as http.client sees them, on one connection."""

    def __init__(self, name: str, seed: int) -> None:
        self._server = LiveServer("two-steps", vary=only(name, seed))

    def __enter__(self) -> Self:
        sandbox = self.sandbox = self._server.__enter__().default_sandbox()
        self.connection = http.client.HTTPConnection(urlsplit(sandbox.url).netloc, timeout=10)
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()
        self._server.__exit__()

    def complete(self) -> tuple[http.client.HTTPResponse, bytes]:
        body = json.dumps({"processStepId": STEP, "params": PARAMS})
        headers = {**self.sandbox.headers, "Content-Type": "application/json"}
        self.connection.request("POST", "/api/v1/processes/complete-step", body, headers)
        response = self.connection.getresponse()
        return response, response.read()


@pytest.fixture(params=range(3))
def seed(request: pytest.FixtureRequest) -> int:
    given_seed: int = request.param
    return given_seed


def test_the_names_of_headers_are_in_another_case(seed: int) -> None:
    with Live("header-case", seed) as live:
        response, _ = live.complete()
    names = [name for name, _ in response.getheaders()]
    assert {name.lower() for name in names} == {"date", "server", "content-type", "content-length"}
    assert not any(name.islower() for name in names)


def test_the_headers_are_in_another_order(seed: int) -> None:
    with Live("header-order", seed) as live:
        response, _ = live.complete()
    names = [name for name, _ in response.getheaders()]
    assert sorted(names) in (names, names[::-1])


def test_a_body_is_sent_in_chunks_and_the_connection_stays(seed: int) -> None:
    with Live("chunked", seed) as live:
        response, body = live.complete()
        socket = live.connection.sock
        assert response.getheader("transfer-encoding") == "chunked"
        assert response.getheader("content-length") is None
        assert json.loads(body)["data"]["params"]["ä/x"] == PARAMS["ä/x"]
        response, _ = live.complete()
        assert response.status == 412
        assert live.connection.sock is socket is not None


def test_a_body_ends_with_the_connection(seed: int) -> None:
    with Live("until-close", seed) as live:
        response, body = live.complete()
        assert response.getheader("transfer-encoding") is None
        assert response.getheader("content-length") is None
        assert response.getheader("connection") == "close"
        assert json.loads(body)["data"]["params"]["ä/x"] == PARAMS["ä/x"]


def test_that_end_is_no_reset_where_the_body_of_the_request_comes_late(seed: int) -> None:
    """The token is refused before the body is read, which a client may still be sending."""
    body = b'{"processStepId": "x"}'
    with Live("until-close", seed) as live, Connection(live.sandbox.url) as connection:
        connection.send(head(f"Content-Length: {len(body)}", token="nobody"))
        assert connection.socket.recv(1, socket.MSG_PEEK)
        connection.send(body)
        response = connection.rest()
    assert response.startswith(b"HTTP/1.1 401 ")
    assert b"content-length" not in response.lower()
    assert json.loads(response.partition(b"\r\n\r\n")[2])["message"] == "Unauthorized request"


def test_such_a_connection_does_not_wait_for_a_body_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection_module, "STALL_TIMEOUT", 0.05)
    with Live("until-close", 1) as live, Connection(live.sandbox.url) as connection:
        connection.send(head("Content-Length: 9000", token="nobody"))
        assert connection.rest()
        until(lambda: is_reset(connection))


def is_reset(connection: Connection) -> bool:
    try:
        connection.send(b"x")
    except (ConnectionResetError, BrokenPipeError):
        return True
    return False


def test_the_connection_is_closed_after_a_response(seed: int) -> None:
    with Live("connection-close", seed) as live:
        response, body = live.complete()
        assert response.getheader("content-length") == str(len(body))
        assert response.getheader("connection") == "close"
        assert live.connection.sock is None  # http.client has seen it


def test_a_client_of_http_1_0_gets_no_chunks() -> None:
    with Live("chunked", 1) as live:
        live.connection._http_vsn_str = "HTTP/1.0"  # type: ignore[attr-defined]  # noqa: SLF001
        response, body = live.complete()
        assert response.getheader("transfer-encoding") is None
        assert json.loads(body)["message"] == "Success"
        assert live.sandbox.journal()[0].variations == ()


# --- repeated, and in the journal


@pytest.mark.parametrize("seed", SEEDS)
def test_the_same_requests_with_the_same_seed_get_the_same_responses(seed: int) -> None:
    vary = Vary(seed=seed)
    assert exchanges(stub(vary)) == exchanges(stub(vary))
    assert exchanges(stub(vary)) != exchanges(stub(Vary(seed=seed + 1)))


def test_a_reset_begins_the_variations_anew() -> None:
    with InProcess(vary=11) as sandbox:
        seen = []
        for _ in range(2):
            sandbox.reset("two-steps")
            sandbox.clock.freeze()
            for _ in range(5):
                post(sandbox)
            seen.append([exchange.variations for exchange in sandbox.journal()])
    assert seen[0] == seen[1]
    assert any(seen[0])


def post(sandbox: Sandbox) -> requests.Response:
    body = {"processStepId": STEP, "params": PARAMS}
    url = sandbox.complete_step_url
    return requests.post(url, json=body, headers=sandbox.headers, timeout=10)


@pytest.mark.parametrize("name", KINDS)
def test_the_journal_says_what_was_chosen_and_has_the_response_as_sent(name: str) -> None:
    with LiveServer(vary=only(name)) as server, server.sandbox("two-steps") as sandbox:
        responses = [post(sandbox), post(sandbox)]
        journal = sandbox.journal()

    in_a_412 = name in ("unknown-codes", "more-entries")
    for response, exchange in zip(responses, journal, strict=True):
        said = [variation.name for variation in exchange.variations]
        assert said == ([] if in_a_412 and response.status_code == 200 else [name])
        assert all(variation.choice for variation in exchange.variations)
        assert exchange.response == response.text


def test_a_sandbox_that_does_not_vary_says_so() -> None:
    with InProcess("two-steps") as sandbox:
        sandbox.reset("two-steps")
        response = post(sandbox)
        (exchange,) = sandbox.journal()
    assert exchange.variations == ()
    assert list(response.headers) == ["content-type"]


def test_sandboxes_vary_each_by_its_own_seed() -> None:
    with (
        LiveServer() as server,
        server.sandbox("two-steps", vary=only("spacing")) as spaced,
        server.sandbox("two-steps") as plain,
    ):
        post(spaced)
        post(plain)
        assert [each.name for each in spaced.journal()[0].variations] == ["spacing"]
        assert plain.journal()[0].variations == ()


def test_without_a_socket_headers_vary_and_framing_does_not() -> None:
    with InProcess(vary={"seed": 1, "only": ["header-case", "header-order", "chunked"]}) as sandbox:
        sandbox.start_process("two-steps")
        response = post(sandbox)
        (exchange,) = sandbox.journal()
        with httpx.Client(transport=sandbox.httpx_transport()) as client:
            raw = client.post(sandbox.complete_step_url, headers=sandbox.headers).headers.raw
    assert [each.name for each in exchange.variations] == ["header-case", "header-order"]
    assert response.headers["content-type"] == "application/json"
    assert not any(name.islower() for name, _ in raw)


def test_a_fault_that_breaks_the_json_keeps_it_broken() -> None:
    with LiveServer(vary=only("spacing")) as server, server.sandbox("two-steps") as sandbox:
        sandbox.fault("after", "malformed")
        with pytest.raises(requests.JSONDecodeError):
            post(sandbox).json()
        assert sandbox.journal()[0].variations == ()


def test_a_fault_that_breaks_the_connection_has_no_variations() -> None:
    with InProcess(vary=only("extra-headers")) as sandbox:
        sandbox.start_process("two-steps")
        sandbox.fault("after", "disconnect")
        with pytest.raises(requests.ConnectionError):
            post(sandbox)
        assert sandbox.journal()[0].variations == ()


# --- valid, whatever the seed and the readings


@for_many_profiles
@given(seed=st.integers(0, 2**63 - 1), readings=random_profiles())
def test_a_varied_response_is_valid(seed: int, readings: Readings) -> None:
    client = stub(Vary(seed=seed), readings)
    contract = effective(readings)

    for response in exchanges(client):
        media_type = response.headers["content-type"].encode()
        assert contract.breach(response.status, media_type, response.body) is None
    assert client.app.violations == 0


@for_many_profiles
@given(seed=st.integers(0, 2**63 - 1), readings=random_profiles())
def test_what_changes_the_form_changes_nothing_that_is_said(seed: int, readings: Readings) -> None:
    changed = exchanges(stub(Vary(seed=seed, only=FORM), readings))
    for plain, other in zip(exchanges(stub(None, readings)), changed, strict=True):
        assert other.status == plain.status
        if "json" in plain.headers["content-type"]:
            assert other.json == plain.json
        else:
            assert other.body == plain.body


# --- tolerated


def typed(schema: dict[str, Any], name: str = "Root") -> Any:
    """The type that a client generated from the contract has for a schema."""
    schemas = load().document["components"]["schemas"]
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return typed(schemas[name], name)
    kinds = {"string": str, "integer": int, "number": float}
    required = schema.get("required", [])
    if "properties" in schema:
        members = [
            (member, typed(each, f"{name}_{member}"))
            if member in required
            else (member, typed(each, f"{name}_{member}") | None, None)
            for member, each in schema["properties"].items()
        ]
        members.sort(key=len)
        type_: Any = msgspec.defstruct(name, members)
    elif schema["type"] == "object":
        type_ = dict[str, typed(schema["additionalProperties"])]  # type: ignore[misc]
    else:
        type_ = kinds[schema["type"]]
    return type_ | None if schema.get("nullable") else type_


def typed_responses() -> dict[int, Any]:
    (operation,) = load().document["paths"]["/api/v1/processes/complete-step"].values()
    return {
        int(status): typed(response["content"]["application/json"]["schema"])
        for status, response in operation["responses"].items()
    }


TYPED = typed_responses()


@pytest.mark.parametrize("seed", SEEDS)
def test_typed_clients_on_a_connection_tolerate_every_variation(seed: int) -> None:
    def complete() -> tuple[list[tuple[int, bytes]], list[ExchangeView]]:
        with (
            LiveServer(vary=seed) as server,
            server.sandbox("two-steps") as sandbox,
            requests.Session() as session,
            httpx.Client() as client,
        ):
            url, headers, got = sandbox.complete_step_url, sandbox.headers, []
            for step in (STEP, STEP, "nowhere", "order-1-ship", "order-1-ship", ""):
                body = {"processStepId": step, "params": PARAMS}
                by_requests = session.post(url, json=body, headers=headers, timeout=10)
                got.append((by_requests.status_code, by_requests.content))
                by_httpx = client.post(url, json=body, headers=headers)
                got.append((by_httpx.status_code, by_httpx.content))
            return got, sandbox.journal()

    got, journal = in_time(complete)
    for status, content in got:
        view = msgspec.json.decode(content, type=TYPED[status])
        assert view.version == "1.0.0"
        if status == 200:
            assert view.data.processId == "order-1"
            assert msgspec.to_builtins(view.data.params.get("ä/x")) in (
                None,
                {"doubleValue": None, **PARAMS["ä/x"]},
            )
    assert [status for status, _ in got] == [200] + [412] * 5 + [200] + [412] * 5
    assert sum(len(exchange.variations) for exchange in journal) > 12


@pytest.mark.parametrize("seed", SEEDS)
def test_clients_without_a_socket_tolerate_every_variation(seed: int) -> None:
    with InProcess(vary=seed) as sandbox:
        sandbox.start_process("two-steps")
        assert post(sandbox).json()["data"]["processStepId"] == "order-1-ship"
        with httpx.Client(transport=sandbox.httpx_transport()) as client:
            body = {"processStepId": "order-1-ship"}
            response = client.post(sandbox.complete_step_url, json=body, headers=sandbox.headers)
        assert response.json()["data"]["processStepId"] is None
        shown = msgspec.json.decode(response.content, type=TYPED[200])
        assert shown.data.processStepId is None
