"""One test for each reading of what the document leaves open; see docs/readings.md."""

import json
import re
from typing import Any

import msgspec
import pytest

from stepstub import contract
from stepstub.app import create_app
from stepstub.delegates import StepStart
from stepstub.model import Param
from stepstub.settings import Settings
from support import PATH, Client, in_time, processes

STEP = "order-1-approve"
NEXT = "order-1-ship"
OWN = {"carrier": {"strValue": "Parcel Post", "type": "STRING"}}
ENVELOPE = {"message", "timestamp", "data", "version"}


def echoed(client: Client, param: Any) -> Any:
    """The param that the 200 brings back for the one that was submitted."""
    response = client.complete(STEP, {"it": param})
    assert response.status == 200, response.body
    return response.data["params"]["it"]


def refusal(client: Client, body: Any) -> dict[str, str]:
    """Field -> code of the 412, after which nothing has changed."""
    response = client.post(body)
    assert response.status == 412, response.body
    assert client.status(STEP) == "STARTED"
    return response.codes


def bad_param(client: Client, raw: str) -> dict[str, str]:
    body = f'{{"processStepId": "{STEP}", "params": {{"it": {raw}}}}}'
    return refusal(client, body.encode())


@pytest.mark.parametrize("member", ["STRING", "LONG", "DOUBLE"])
def test_reading_01_members_of_type(client: Client, member: str) -> None:
    assert echoed(client, {"type": member}) == {"type": member}


@pytest.mark.parametrize("other", ['"string"', '"INTEGER"', '""', "1"])
def test_reading_01_members_of_type_and_no_others(client: Client, other: str) -> None:
    assert list(bad_param(client, f'{{"type": {other}}}')) == ["params.it.type"]


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("3", 3),
        ("3.0", 3),
        ("3e2", 300),
        ("-0.0", 0),
        (str(2**63 - 1), 2**63 - 1),
        (str(-(2**63)), -(2**63)),
        ("9007199254740993", 9007199254740993),
    ],
)
def test_reading_02_numbers_long(client: Client, sent: str, kept: int) -> None:
    body = f'{{"processStepId": "{STEP}", "params": {{"it": {{"longValue": {sent}}}}}}}'
    response = client.post(body.encode())
    assert response.status == 200
    assert f'"longValue":{kept}}}'.encode() in response.body


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ("3.5", "WRONG_TYPE"),
        ('"3"', "WRONG_TYPE"),
        ("true", "WRONG_TYPE"),
        (str(2**63), "OUT_OF_RANGE"),
        (str(-(2**63) - 1), "OUT_OF_RANGE"),
        ("9223372036854775808.0", "OUT_OF_RANGE"),
        ("1e300", "OUT_OF_RANGE"),
        ("1" * 30, "OUT_OF_RANGE"),
    ],
)
def test_reading_02_numbers_long_refused(client: Client, sent: str, code: str) -> None:
    assert bad_param(client, f'{{"longValue": {sent}}}') == {"params.it.longValue": code}


@pytest.mark.parametrize(
    "sent", ["0.97", "3", "-1e-300", "1.7976931348623157e308", "5e-324", "1" * 30, "0.1"]
)
def test_reading_02_numbers_double(client: Client, sent: str) -> None:
    body = f'{{"processStepId": "{STEP}", "params": {{"it": {{"doubleValue": {sent}}}}}}}'
    response = client.post(body.encode())
    assert response.status == 200
    assert response.data["params"]["it"]["doubleValue"] == float(sent)


@pytest.mark.parametrize("sent", ["1e999", "-1e999", "1" * 400, '"1"', "false", "[]"])
def test_reading_02_numbers_double_refused(client: Client, sent: str) -> None:
    assert list(bad_param(client, f'{{"doubleValue": {sent}}}')) == ["params.it.doubleValue"]


@pytest.mark.parametrize(
    "param",
    [
        {},
        {"strValue": "x", "type": "LONG"},
        {"longValue": 1, "type": "STRING"},
        {"doubleValue": 0.5, "type": "LONG"},
        {"type": "DOUBLE"},
        {"strValue": "x", "longValue": 1, "doubleValue": 0.5, "type": "STRING"},
        {"strValue": ""},
        {"strValue": "ä \u0000 \U0001f600 {% x %} </script>"},
    ],
    ids=json.dumps,
)
def test_reading_03_value_and_type(client: Client, param: dict[str, Any]) -> None:
    assert echoed(client, param) == param


def test_reading_03_value_and_type_unknown_members_are_ignored(client: Client) -> None:
    response = client.post(
        {
            "processStepId": STEP,
            "params": {"it": {"longValue": 3.0, "unit": "kg", "deep": [{"a": None}]}},
            "comment": {"by": "me"},
        }
    )
    assert response.status == 200
    assert response.data["params"]["it"] == {"longValue": 3}


@pytest.mark.parametrize("body", [{}, {"params": None}, {"params": {}}], ids=json.dumps)
def test_reading_04_params_missing_or_null(client: Client, body: dict[str, Any]) -> None:
    response = client.post({"processStepId": STEP, **body})
    assert response.status == 200
    assert response.data["params"] == OWN


@pytest.mark.parametrize(
    ("body", "codes"),
    [
        (b"", {"body": "INVALID_JSON"}),
        (b"{", {"body": "INVALID_JSON"}),
        (b"[]", {"body": "WRONG_TYPE"}),
        (b"null", {"body": "WRONG_TYPE"}),
        (b"{}", {"processStepId": "REQUIRED"}),
        (b'{"processStepId": null}', {"processStepId": "WRONG_TYPE"}),
        (b'{"processStepId": 5}', {"processStepId": "WRONG_TYPE"}),
        (b'{"processStepId": "x", "params": []}', {"params": "WRONG_TYPE"}),
        (b'{"processStepId": "x", "params": {"a": null}}', {"params.a": "WRONG_TYPE"}),
        (b'{"processStepId": "x", "params": {"a b": 1}}', {'params["a b"]': "WRONG_TYPE"}),
        (
            b'{"params": {"a": {"strValue": 1, "type": "X"}}}',
            {
                "processStepId": "REQUIRED",
                "params.a.strValue": "WRONG_TYPE",
                "params.a.type": "NOT_ALLOWED",
            },
        ),
    ],
)
def test_reading_05_bad_body(client: Client, body: bytes, codes: dict[str, str]) -> None:
    assert refusal(client, body) == codes


def test_reading_06_violations(client: Client) -> None:
    client.complete(STEP)
    response = client.complete(STEP)
    assert response.json["message"] == "Precondition failed"
    assert response.data == {
        "processStepId": {
            "code": "STEP_COMPLETED",
            "detail": f"Step {STEP} is COMPLETED; only a STARTED step can be completed.",
            "status": "COMPLETED",
            "expected": "STARTED",
            "actual": "COMPLETED",
        }
    }


def test_reading_06_violations_are_short_whatever_was_sent(client: Client) -> None:
    text = "x" * 10_000
    for body in (
        {"processStepId": text},
        {"processStepId": STEP, "params": {text: {"type": text}}},
        {"processStepId": STEP, "params": {str(number): 1 for number in range(10_000)}},
    ):
        response = client.post(body)
        assert response.status == 412
        assert len(response.body) < 10_000
        for violation in response.data.values():
            assert len(violation.get("actual", "")) <= 100


def test_reading_07_unknown_step(client: Client) -> None:
    response = client.complete("nobody")
    assert response.status == 412
    assert response.codes == {"processStepId": "UNKNOWN_STEP"}
    assert response.data["processStepId"]["actual"] == "nobody"


@pytest.mark.parametrize(
    ("step", "status"),
    [
        ("claim-1-pending", "PENDING"),
        ("claim-1-completed", "COMPLETED"),
        ("claim-2-failed", "FAILED"),
    ],
)
def test_reading_08_step_not_started(client: Client, step: str, status: str) -> None:
    response = client.complete(step)
    assert response.status == 412
    violation = response.data["processStepId"]
    assert violation["code"] == f"STEP_{status}"
    assert violation["status"] == status
    assert client.status(step) == status


def test_reading_08_step_not_started_second_completion(client: Client) -> None:
    assert client.complete(STEP, {"a": {"longValue": 1}}).status == 200
    before = client.process("order-1")
    second = client.complete(STEP, {"a": {"longValue": 2}})
    assert second.status == 412
    assert second.codes == {"processStepId": "STEP_COMPLETED"}
    assert client.process("order-1") == before
    assert len(client.calls) == 1


def test_reading_09_ids_of_the_started_step(client: Client) -> None:
    response = client.complete(STEP)
    assert response.data["processId"] == "order-1"
    assert response.data["processStepId"] == NEXT
    assert client.status(NEXT) == "STARTED"


def test_reading_10_params_of_the_started_step(client: Client) -> None:
    response = client.complete(
        STEP, {"carrier": {"strValue": "Bicycle"}, "amount": {"longValue": 3}}
    )
    assert response.data["params"] == {
        "carrier": {"strValue": "Bicycle"},
        "amount": {"longValue": 3},
    }
    (call,) = client.calls
    assert call.start == StepStart(
        "order-1", NEXT, {"carrier": Param(str_value="Bicycle"), "amount": Param(long_value=3)}
    )


def test_reading_11_last_step(client: Client) -> None:
    response = client.complete("invoice-1-archive", {"a": {"longValue": 1}})
    assert response.status == 200
    assert response.data == {"processId": "invoice-1", "processStepId": None, "params": {}}
    assert client.status("invoice-1-archive") == "COMPLETED"


def test_reading_12_started_before_the_delegate_is_called(client: Client) -> None:
    responses = []

    def complete_it(start: StepStart) -> None:
        responses.append(client.complete(start.process_step_id))

    client.delegates.function = complete_it
    assert in_time(lambda: client.complete(STEP)).data["processStepId"] == NEXT
    assert [response.status for response in responses] == [200]
    assert client.status(NEXT) == "COMPLETED"


def test_reading_13_delegate_fails(client: Client) -> None:
    def fail(_: StepStart) -> None:
        raise OSError("/var/run/secret")

    before = client.process("order-1")
    client.delegates.function = fail
    response = client.complete(STEP, {"a": {"longValue": 1}})
    assert response.status == 500
    assert response.json["message"] == "Internal Server Error"
    assert "delegate" in response.data
    assert "secret" not in response.data
    assert client.process("order-1") == before
    client.delegates.function = None
    assert client.complete(STEP).status == 200


def test_reading_13_delegate_fails_after_it_completed_the_step(client: Client) -> None:
    def complete_then_fail(start: StepStart) -> None:
        client.complete(start.process_step_id)
        raise OSError

    client.delegates.function = complete_then_fail
    assert in_time(lambda: client.complete(STEP)).status == 200
    assert (client.status(STEP), client.status(NEXT)) == ("COMPLETED", "COMPLETED")


def test_reading_14_time_out(client: Client) -> None:
    client.advance(3600)
    response = client.complete("chain-1-01")
    assert response.status == 412
    assert response.codes == {"processStepId": "STEP_FAILED"}
    assert "within 3600 s" in response.data["processStepId"]["detail"]
    assert client.complete(STEP).status == 200, "a step without a time-out waits for ever"


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "stub-token",
        "Basic c3R1Yg==",
        "Bearer other",
        "Bearer stub-token2",
        "Bearer stub-toke",
        "Bearer Stub-Token",
        "Bearerstub-token",
        "Bearer stub-token stub-token",
        "Bearer stub-token, Bearer x",
        "Bearer \xe9\xff",
    ],
)
def test_reading_15_authorisation(client: Client, authorization: str | None) -> None:
    headers = {"content-type": "application/json"}
    if authorization is not None:
        headers["authorization"] = authorization
    body = json.dumps({"processStepId": STEP}).encode()
    response = client.request("POST", PATH, body, headers)
    assert response.status == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.json["message"] == "Unauthorized request"
    assert client.status(STEP) == "STARTED"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_reading_15_authorisation_scheme_in_any_case(client: Client, scheme: str) -> None:
    headers = {"authorization": f"{scheme} stub-token"}
    assert client.post({"processStepId": STEP}, headers).status == 200


def test_reading_15_authorisation_before_body_and_media_type(client: Client) -> None:
    headers = {"content-type": "text/plain", "content-encoding": "gzip"}
    assert client.request("POST", PATH, b"{", headers).status == 401


def test_reading_16_message_and_version(client: Client) -> None:
    response = client.complete(STEP).json
    assert response["message"] == "Success"
    assert response["version"] == contract.load().document["info"]["version"]


def test_reading_17_explanations(client: Client) -> None:
    def fail(_: StepStart) -> None:
        raise OSError("/etc/passwd")

    client.delegates.function = fail
    for response in (
        client.complete(STEP),
        client.request("POST", PATH, b"", {"authorization": "Bearer a-secret"}),
    ):
        assert response.status in {401, 500}
        assert re.fullmatch(r"[A-Z][^/\n]*\.", response.data)
        for secret in ("a-secret", "stub-token", "passwd", "Traceback"):
            assert secret not in response.data


def test_reading_18_timestamps(client: Client) -> None:
    client.freeze()
    first = client.complete("nobody").json["timestamp"]
    assert re.fullmatch(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z", first)
    client.advance(86_400)
    assert client.complete("nobody").json["timestamp"] > first
    assert client.complete("nobody").json["timestamp"][10:] == first[10:], "a day later"


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "status", "message"),
    [
        ("POST", "/nowhere", {}, b"", 404, "Not Found"),
        ("GET", PATH, {}, b"", 405, "Method Not Allowed"),
        ("POST", PATH, {}, b"x" * 1025, 413, None),
        ("POST", PATH, {"content-type": "text/plain"}, b"{}", 415, "Unsupported Media Type"),
    ],
)
def test_reading_19_outside_the_document(
    method: str, path: str, headers: dict[str, str], body: bytes, status: int, message: str | None
) -> None:
    client = Client(create_app(processes("two-steps"), Settings(max_body_bytes=1024)))
    headers = {"authorization": "Bearer stub-token", **headers}
    response = client.request(method, path, body, headers)
    assert response.status == status
    assert response.headers["content-type"] == "application/json"
    assert set(response.json) == ENVELOPE
    assert isinstance(response.data, str)
    assert response.headers.get("allow") == ("POST" if status == 405 else None)
    if message:
        assert response.json["message"] == message


def test_reading_19_outside_the_document_one_mebibyte_by_default(client: Client) -> None:
    body = json.dumps({"processStepId": STEP}).encode()
    assert client.post(body.ljust(1024 * 1024 + 1)).status == 413
    assert client.post(body.ljust(1024 * 1024)).status == 200


@pytest.mark.parametrize("field", ["strValue", "longValue", "doubleValue", "type"])
def test_reading_20_null_fields(client: Client, field: str) -> None:
    assert echoed(client, {field: None}) == {field: None}
    (call,) = client.calls
    assert msgspec.to_builtins(call.start)["params"]["it"] == {field: None}, "what is posted"


@pytest.mark.parametrize(
    ("step", "token", "status"),
    [
        (STEP, "stub-token", 200),
        ("invoice-1-archive", "stub-token", 200),
        (STEP, "wrong", 401),
        ("claim-1-completed", "stub-token", 412),
        (STEP, "stub-token", 500),
    ],
)
def test_reading_21_members_of_a_response(
    client: Client, step: str, token: str, status: int
) -> None:
    def fail(_: StepStart) -> None:
        raise OSError

    client.delegates.function = fail if status == 500 else None
    response = client.post({"processStepId": step}, {"authorization": f"Bearer {token}"})
    assert response.status == status
    assert set(response.json) == ENVELOPE
    if status == 200:
        assert set(response.data) == {"processId", "processStepId", "params"}
