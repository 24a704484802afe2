"""The applier of overlays, and the effective contract of single readings and of random profiles."""

import copy
import random
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from openapi_spec_validator import validate

from stepstub import contract, overlay
from stepstub.readings import (
    DEFAULT,
    Readings,
    alternatives,
    differing,
    questions,
    single_alternatives,
    with_values,
)
from stepstub.schema import Schema

DOCUMENT: dict[str, Any] = {
    "a": {"b": {"c": 1, "list": [1, 2, 2**63]}, "text": "old"},
    "items": [{"kind": "x", "n": 1}, {"kind": "y", "n": 2}, {"kind": "x", "n": 3}],
}


def applied(*actions: dict[str, Any]) -> dict[str, Any]:
    document = copy.deepcopy(DOCUMENT)
    overlay.apply(document, {"overlay": "1.1.0", "actions": list(actions)})
    return document


@pytest.mark.parametrize(
    ("action", "place", "expected"),
    [
        ({"target": "$.a.b", "update": {"d": 2}}, ("a", "b", "d"), 2),
        ({"target": "$.a", "update": {"b": {"c": 5}}}, ("a", "b"), {"c": 5, "list": [1, 2, 2**63]}),
        ({"target": "$.a.b.list", "update": 4}, ("a", "b", "list"), [1, 2, 2**63, 4]),
        ({"target": "$.a", "update": {"b": {"list": [9]}}}, ("a", "b", "list"), [1, 2, 2**63, 9]),
        ({"target": "$.a.text", "update": "new"}, ("a", "text"), "new"),
        ({"target": "$.a.b", "remove": True}, ("a",), {"text": "old"}),
        ({"target": "$.a.b", "remove": False}, ("a",), DOCUMENT["a"]),
        ({"target": "$.a.b.list[?@ == 2]", "remove": True}, ("a", "b", "list"), [1, 2**63]),
        ({"target": "$.items[?@.kind == 'x']", "remove": True}, ("items",), [DOCUMENT["items"][1]]),
        ({"target": "$.nowhere.at.all", "update": {"d": 2}}, (), DOCUMENT),
        ({"target": "$.nowhere", "remove": True}, (), DOCUMENT),
        ({"target": "$", "update": {"new": True}}, ("new",), True),
    ],
    ids=lambda value: value["target"] if isinstance(value, dict) and "target" in value else None,
)
def test_an_action(action: dict[str, Any], place: tuple[str, ...], expected: Any) -> None:
    found: Any = applied(action)
    for part in place:
        found = found[part]
    assert found == expected


def test_an_update_of_several_targets_shares_nothing_between_them() -> None:
    document = applied({"target": "$.items[*]", "update": {"more": {"list": []}}})
    document["items"][0]["more"]["list"].append(1)
    assert document["items"][1]["more"]["list"] == []


def test_actions_are_applied_in_their_order() -> None:
    document = applied(
        {"target": "$.a.b", "remove": True}, {"target": "$.a", "update": {"b": {"fresh": 1}}}
    )
    assert document["a"]["b"] == {"fresh": 1}


def examples(document: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Each example with its place and the schema it has to meet."""
    for methods in document["paths"].values():
        for operation in methods.values():
            messages = {"request": operation["requestBody"], **operation["responses"]}
            for name, message in messages.items():
                for media_type, content in message.get("content", {}).items():
                    for title, example in content.get("examples", {}).items():
                        place = f"{name} {media_type} {title}"
                        yield place, example["value"], content["schema"]
    for name, schema in document["components"]["schemas"].items():
        yield from _schema_examples(name, schema)


def _schema_examples(name: str, schema: Any) -> Iterator[tuple[str, Any, Any]]:
    if "example" in schema:
        yield name, schema["example"], schema
    for member, inner in schema.get("properties", {}).items():
        yield from _schema_examples(f"{name}.{member}", inner)


def check(readings: Readings) -> None:
    """The effective contract is a valid document, and so is every example in it."""
    document = contract.effective(readings).document
    validate(document)
    components = contract.effective(readings).components
    for place, example, schema in examples(document):
        found = Schema(schema, components).violations(example)
        assert not found, (differing(readings), place, found)


@pytest.mark.parametrize("readings", list(single_alternatives()), ids=lambda r: str(differing(r)))
def test_the_contract_of_a_single_alternative_is_valid(readings: Readings) -> None:
    check(readings)


@pytest.mark.proof
def test_the_contracts_of_200_random_profiles_are_valid() -> None:
    chance = random.Random(1)
    for _ in range(200):
        check(random_profile(chance))


def random_profile(chance: random.Random) -> Readings:
    values = {name: chance.choice(alternatives(name)) for name in questions() if alternatives(name)}
    texts = {"success-message": "Done", "version": "7", "credentials-header": "X-Token"}
    values |= {
        name: chance.choice([text, getattr(DEFAULT, name.replace("-", "_"))])
        for name, text in texts.items()
    }
    return with_values(DEFAULT, values)


def test_the_default_contract_is_the_file_itself() -> None:
    assert contract.effective(DEFAULT) is contract.load()
    assert not list(contract.load().overlays())


def test_the_default_version_is_that_of_the_contract() -> None:
    assert DEFAULT.version == contract.load().version


def test_every_overlay_belongs_to_a_reading() -> None:
    used = (
        {f"{name}.{value}" for name in questions() for value in alternatives(name)}
        | set(questions())
        | {"undocumented-status", "undocumented-response"}
    )
    assert overlay.names() <= used


@pytest.mark.parametrize("name", sorted(overlay.names()))
def test_an_overlay_is_an_overlay_document(name: str) -> None:
    document = overlay.named(name)
    assert document["overlay"] == "1.1.0"
    assert set(document["info"]) == {"title", "version"}
    for action in document["actions"]:
        assert set(action) - {"description"} in ({"target", "update"}, {"target", "remove"})


@pytest.mark.parametrize(
    ("values", "accepted", "refused"),
    [
        ({}, [3, "12"], [3.5, "3.5", 2**63, "x"]),
        ({"long-fraction": "truncate"}, [3, "12", 3.5, "3.5"], [2**63, "x"]),
        ({"long-fraction": "keep"}, [3, "12", 3.5, "3.5"], [2**63, "x"]),
        ({"long-range": "unbounded"}, [3, "12", 2**63], [3.5, "3.5", "x"]),
        ({"long-range": "rounded"}, [3, "12", 2**63], [3.5, "3.5", "x"]),
        ({"null-fields": "refuse"}, [3, "12"], [None, 3.5]),
    ],
    ids=str,
)
def test_what_a_long_may_be_holds_where_texts_are_read_as_well(
    values: dict[str, str], accepted: list[Any], refused: list[Any]
) -> None:
    request = contract.effective(
        with_values(DEFAULT, {"text-for-number": "read", **values})
    ).request
    for value in (*accepted, *refused):
        body = {"processStepId": "x", "params": {"it": {"longValue": value}}}
        assert request.is_valid(body) == (value in accepted), value


def test_the_rendered_contract_reads_back_exactly() -> None:
    readings = with_values(DEFAULT, {"bad-body": 400, "long-fraction": "keep"})
    effective = contract.effective(readings)
    assert yaml.safe_load(effective.text) == effective.document
    assert "9223372036854775807" in effective.text
    assert "bad-body" in effective.document["info"]["description"]


def test_two_profiles_share_what_they_have_in_common() -> None:
    one = contract.effective(with_values(DEFAULT, {"bad-body": 400}))
    other = contract.effective(with_values(DEFAULT, {"bad-body": 422}))
    assert one is not other
    assert one.request is other.request is contract.load().request


def test_the_combined_overlay_leads_to_the_effective_contract() -> None:
    readings = random_profile(random.Random(7))
    effective = contract.effective(readings)
    document = copy.deepcopy(contract.load().document)
    overlay.apply(document, effective.combined_overlay())
    described = copy.deepcopy(effective.document)
    described["info"]["description"] = document["info"]["description"]
    assert document == described


RESPONSES = "paths /api/v1/processes/complete-step post responses"
LAST_STEP = f"{RESPONSES} 200 content application/json examples lastStep value data"
REFUSED = f"{RESPONSES} 412 content application/json examples completedBefore value data"
SCHEMAS = "components schemas"


@pytest.mark.parametrize(
    ("values", "place", "expected"),
    [
        ({}, f"{RESPONSES} 401 headers WWW-Authenticate schema type", "string"),
        ({"challenge": "absent"}, f"{RESPONSES} 401 headers", None),
        ({"credentials": "basic"}, "components securitySchemes bearer scheme", "basic"),
        ({"credentials": "api-key"}, "components securitySchemes bearer name", "X-API-Key"),
        (
            {"credentials": "api-key", "credentials-header": "X-Token"},
            "components securitySchemes bearer name",
            "X-Token",
        ),
        ({"credentials": "none"}, "components securitySchemes", None),
        (
            {"credentials": "none"},
            "paths /api/v1/processes/complete-step post security",
            [],
        ),
        ({"last-step-id": "completed"}, f"{LAST_STEP} processStepId", "order-1-archive"),
        ({"last-step-id": "empty"}, f"{LAST_STEP} processStepId", ""),
        (
            {"last-step-id": "empty"},
            f"{SCHEMAS} StartedStep properties processStepId nullable",
            False,
        ),
        (
            {"last-step-params": "submitted"},
            f"{LAST_STEP} params archivedBy strValue",
            "Ada",
        ),
        ({"long-range": "rounded"}, f"{SCHEMAS} SubmittedParam properties longValue format", None),
        (
            {"named-step": "completed"},
            f"{SCHEMAS} StartedStep properties processStepId nullable",
            False,
        ),
        ({"refusal-data": "empty"}, f"{SCHEMAS} Violations maxProperties", 0),
        ({"refusal-data": "empty"}, REFUSED, {}),
        ({"refusal-data": "message"}, f"{SCHEMAS} Violations required", ["error"]),
        (
            {"success-message": "Done"},
            f"{SCHEMAS} StepCompleted properties message example",
            "Done",
        ),
        ({"version": "2"}, f"{SCHEMAS} Version example", "2"),
        (
            {"timestamp": "seconds"},
            f"{SCHEMAS} Timestamp example",
            "2026-03-29T12:50:59Z",
        ),
        (
            {"bad-body": 400},
            f"{RESPONSES} 400 $ref",
            "#/components/responses/Undocumented",
        ),
    ],
    ids=str,
)
def test_the_contract_says_what_a_client_has_to_know(
    values: dict[str, Any], place: str, expected: Any
) -> None:
    found: Any = contract.effective(with_values(DEFAULT, values)).document
    for part in place.split():
        found = None if found is None else found.get(part)
    assert found == expected
