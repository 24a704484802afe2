"""`openapi.yaml` against the source document, against itself, and against what the stub says."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from openapi_spec_validator import validate

from stepstub import contract, scenario
from stepstub.app import create_app
from stepstub.exchange import Exchange, Operation
from stepstub.model import Param, Params, Step
from stepstub.operations import OPERATIONS
from stepstub.schema import Schema
from stepstub.stores.protocol import Applied
from stepstub.transitions import Completion
from support import PATH, ROOT, Client, processes

DOCUMENT = contract.load().document
COMPONENTS = DOCUMENT["components"]
SCHEMAS = COMPONENTS["schemas"]
OPERATION = DOCUMENT["paths"][PATH]["post"]

# The source document as data. A dict is an object with these members, {"*": x} a dictionary with
# any names, a string the type of a value.
ANY_NAME = "*"
PARAM = {"strValue": "string", "longValue": "number", "doubleValue": "number", "type": "enum"}
PARAMS = {ANY_NAME: PARAM}
REQUEST = {"processStepId": "string", "params": PARAMS}


def envelope(data: Any) -> dict[str, Any]:
    return {"message": "string", "timestamp": "string", "data": data, "version": "string"}


RESPONSES = {
    "200": envelope({"processId": "string", "processStepId": "string", "params": PARAMS}),
    "401": envelope("string"),
    "412": envelope({ANY_NAME: {}}),
    "500": envelope("string"),
}
MESSAGES = {
    "401": "Unauthorized request",
    "412": "Precondition failed",
    "500": "Internal Server Error",
}


def body_schema(holder: dict[str, Any]) -> dict[str, Any]:
    assert list(holder["content"]) == ["application/json"]
    schema: dict[str, Any] = holder["content"]["application/json"]["schema"]
    return schema


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    return SCHEMAS[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


def tree(schema: dict[str, Any]) -> Any:
    """The field tree of a schema, in the form above."""
    schema = resolved(schema)
    if schema["type"] != "object":
        kind = {"integer": "number"}.get(schema["type"], schema["type"])
        return "enum" if "enum" in schema else kind
    if "properties" in schema:
        return {name: tree(member) for name, member in schema["properties"].items()}
    return {ANY_NAME: tree(schema["additionalProperties"])}


def test_the_one_operation_is_the_documents() -> None:
    assert list(DOCUMENT["paths"]) == ["/api/v1/processes/complete-step"]
    assert list(DOCUMENT["paths"][PATH]) == ["post"]
    assert OPERATION["operationId"] == "completeStep"
    assert OPERATION["summary"] == "Complete Step"


def test_the_request_has_the_documents_fields() -> None:
    schema = body_schema(OPERATION["requestBody"])
    assert tree(schema) == REQUEST
    assert resolved(schema)["required"] == ["processStepId"]
    assert OPERATION["requestBody"]["required"] is True


def test_the_responses_have_the_documents_statuses() -> None:
    assert list(OPERATION["responses"]) == list(RESPONSES)


@pytest.mark.parametrize("status", RESPONSES)
def test_a_response_has_the_documents_fields(status: str) -> None:
    schema = body_schema(OPERATION["responses"][status])
    response = tree(schema)
    if status == "412":  # the document shows an empty object, which the contract fills
        response["data"] = {ANY_NAME: {}}
    assert response == RESPONSES[status]
    assert resolved(schema)["required"] == list(RESPONSES[status])


@pytest.mark.parametrize("status", MESSAGES)
def test_a_responses_message_is_the_documents(status: str) -> None:
    schema = resolved(body_schema(OPERATION["responses"][status]))
    message = schema["properties"]["message"]
    assert message["example"] == MESSAGES[status]
    assert message["pattern"] == f"^{MESSAGES[status]}$"


def test_it_is_openapi() -> None:
    validate(DOCUMENT)
    assert DOCUMENT["openapi"] == "3.0.3"


def examples() -> Iterator[Any]:
    """Every example: (where it stands, schema, value)."""
    bodies = {"request": OPERATION["requestBody"], **OPERATION["responses"]}
    for place, holder in bodies.items():
        media_type = holder["content"]["application/json"]
        for name, example in media_type["examples"].items():
            yield pytest.param(media_type["schema"], example["value"], id=f"{place} {name}")
    for name, schema in SCHEMAS.items():
        if "example" in schema:
            yield pytest.param(schema, schema["example"], id=name)
        for member, inner in schema.get("properties", {}).items():
            if "example" in inner:
                yield pytest.param(inner, inner["example"], id=f"{name}.{member}")


@pytest.mark.parametrize(("schema", "value"), list(examples()))
def test_an_example_is_valid(schema: dict[str, Any], value: Any) -> None:
    assert Schema(schema, COMPONENTS).violations(value) == {}


def test_request_and_responses_have_examples_and_named_schemas() -> None:
    for holder in (OPERATION["requestBody"], *OPERATION["responses"].values()):
        assert list(body_schema(holder)) == ["$ref"]
        assert holder["content"]["application/json"]["examples"]


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_described_and_holds_no_unnamed_object(name: str) -> None:
    schema = SCHEMAS[name]
    assert schema["title"]
    assert schema["description"]
    for member in schema.get("properties", {}).values():
        assert "$ref" in member or (member["description"] and member["type"] != "object")
        assert "$ref" in member or "example" in member


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_schema_is_in_use(name: str) -> None:
    assert f'"#/components/schemas/{name}"' in json.dumps(DOCUMENT)


def descriptions(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("description"), str):
            yield node["description"]
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from descriptions(child)


READINGS = {
    "ParamType": "the members",
    "SubmittedParamType": "the members",
    "SubmittedParam.longValue": "counts as an integer",
    "Param.longValue": "64-bit integer",
    "Param.doubleValue": "finite",
    "SubmittedParam": "every field is optional",
    "Completion": "are ignored",
    "SubmittedParams": "null, it means the same",
    "Violations": "the key is the field",
    "Violation.code": "STEP_COMPLETED",
    "StepCompleted": "always present",
    "StartedStep": "always present",
    "Unauthorized": "always present",
    "PreconditionFailed": "never gets a 400 or 422",
    "InternalServerError": "nothing has changed",
    "StartedStep.processId": "both the completed and the started step",
    "StartedStep.processStepId": "null when",
    "StepCompleted.message": "Success",
    "Version": "info.version",
    "Explanation": "never a stack trace",
    "Timestamp": "three fractional digits",
}


@pytest.mark.parametrize("place", READINGS)
def test_a_reading_is_marked_as_inferred(place: str) -> None:
    name, _, member = place.partition(".")
    schema = SCHEMAS[name]["properties"][member] if member else SCHEMAS[name]
    paragraphs = schema["description"].split("\n\n")
    inferred = [paragraph for paragraph in paragraphs if paragraph.startswith("Inferred:")]
    assert any(READINGS[place] in " ".join(paragraph.split()) for paragraph in inferred)


def test_the_mark_is_always_at_the_beginning_of_a_paragraph() -> None:
    for description in descriptions({**DOCUMENT, "info": None}):
        for paragraph in description.split("\n\n"):
            assert paragraph.count("Inferred") == paragraph.startswith("Inferred: ")


def test_the_scenario_schemas_param_is_the_contracts() -> None:
    schema = json.loads((ROOT / "fixtures" / "scenario.schema.json").read_text("utf-8"))
    assert accepted(schema["$defs"]["param"]) == accepted(SCHEMAS["SubmittedParam"])


def accepted(param: dict[str, Any]) -> dict[str, Any]:
    """What a param may be, without the differences of the two dialects."""
    facts = {}
    for name, raw in param["properties"].items():
        member = resolved(raw)
        kinds = member.get("type", "string")
        nullable = member.get("nullable", False) or "null" in kinds or None in member["enum"]
        kind = kinds if isinstance(kinds, str) else kinds[0]
        limits = {key: member.get(key) for key in ("minimum", "maximum", "enum")}
        facts[name] = {"type": kind, "nullable": nullable, **limits}
    return facts


@pytest.mark.parametrize("name", scenario.built_in())
def test_what_a_shipped_scenario_responses_is_valid(name: str) -> None:
    """Every step of every scenario is completed; the responses are checked by the schemas alone."""
    loaded = scenario.load(name)
    client = Client(create_app(loaded.processes))
    for process in loaded.processes:
        for step in process.steps:
            response = client.complete(step.id)
            schema = body_schema(OPERATION["responses"][str(response.status)])
            assert Schema(schema, COMPONENTS).violations(response.json) == {}
    assert client.app.violations == 0


def completion(
    process_id: str | None = "p", params: Params | None = None
) -> tuple[Completion, Applied]:
    started = Step(id="s", process_id=process_id, position=1, params=params or {})  # type: ignore[arg-type]
    return Completion(started, started, {}, {}), Applied(0)


BROKEN = {
    "a long out of range": completion(params={"n": Param(long_value=2**63)}),
    "a double that is none": completion(params={"n": Param(double_value="1")}),  # type: ignore[arg-type]
    "no process": completion(None),
}


@pytest.mark.parametrize("completed", BROKEN.values(), ids=BROKEN)
def test_a_response_that_would_break_the_contract_becomes_the_documented_500(
    completed: tuple[Completion, Applied],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def broken(_: Exchange) -> tuple[Completion, Applied]:
        return completed

    row = Operation("completeStep", broken, faultable=True)
    monkeypatch.setitem(OPERATIONS, "completeStep", row)  # type: ignore[arg-type]
    client = Client(create_app(processes("two-steps")))
    with caplog.at_level(logging.ERROR, "stepstub"):
        response = client.complete("order-1-approve")
    assert response.status == 500
    assert Schema(body_schema(OPERATION["responses"]["500"]), COMPONENTS).is_valid(response.json)
    assert client.app.violations == 1
    assert "broke the contract" in caplog.text


def test_an_error_that_nobody_foresaw_is_the_documented_500_and_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(_: Exchange) -> tuple[Completion, Applied]:
        raise ZeroDivisionError("/etc/secret")

    row = Operation("completeStep", broken, faultable=True)
    monkeypatch.setitem(OPERATIONS, "completeStep", row)  # type: ignore[arg-type]
    client = Client(create_app(processes("two-steps")))
    with caplog.at_level(logging.ERROR, "stepstub"):
        response = client.complete("order-1-approve")
    assert response.status == 500
    assert "secret" not in response.data
    assert "Traceback" not in response.data
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("body", [b"", b"{", b'{"a":NaN}', b'{"a":1,"a":1}', b"[]", b"null"])
@pytest.mark.parametrize("status", [200, 401, 404, 412, 500])
def test_what_is_no_envelope_is_a_breach_whatever_the_status(status: int, body: bytes) -> None:
    assert contract.load().breach(status, b"application/json", body)


@pytest.mark.parametrize("status", [201, 204, 400, 403, 422, 502])
def test_a_status_that_nobody_documents_is_a_breach(status: int) -> None:
    body = {
        "message": "x",
        "timestamp": "2026-03-29T12:50:59.211Z",
        "data": "x",
        "version": "1.0.0",
    }
    assert contract.load().breach(status, b"application/json", json.dumps(body).encode())


@pytest.mark.parametrize("status", [401, 500, 404])
@pytest.mark.parametrize(
    ("stamp", "conforms"),
    [
        ("2026-03-29T12:50:59.211Z", True),
        ("2026-03-29T12:50:59.211000Z", False),
        ("2026-03-29T12:50:59Z", False),
        ("2026-03-29T12:50:59.211+00:00", False),
        ("2026-03-29T12:50:59.211Z\n", False),
    ],
)
def test_a_timestamp_is_held_to_its_exact_form(status: int, stamp: str, conforms: bool) -> None:
    message = MESSAGES.get(str(status), "Not Found")
    body = {"message": message, "timestamp": stamp, "data": "x", "version": "1.0.0"}
    breach = contract.load().breach(status, b"application/json", json.dumps(body).encode())
    assert (breach is None) is conforms


def test_no_schema_has_a_pattern_beside_a_format() -> None:
    for schema in SCHEMAS.values():
        assert not {"pattern", "format"} <= schema.keys()  # generated clients fail on both
