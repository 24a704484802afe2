"""What the suite expects of a server whose readings are known in part."""

from typing import Any

import pytest

from stepstub.contract_tests.expectations import Expectations
from stepstub.readings import Value

TEXT = {"strValue": "a", "type": "STRING"}


def body(**params: Any) -> dict[str, Any]:
    return {"processStepId": "s", "params": params}


@pytest.mark.parametrize(
    ("name", "accepting", "refusing", "sent"),
    [
        ("type-names", "any", "exact", body(p={"strValue": "a", "type": "BLOB"})),
        ("type-names", "any-case", "exact", body(p={"strValue": "a", "type": "string"})),
        ("long-fraction", "keep", "refuse", body(p={"longValue": 3.5, "type": "LONG"})),
        ("long-range", "unbounded", "int64", body(p={"longValue": 2**70, "type": "LONG"})),
        ("text-for-number", "read", "refuse", body(p={"longValue": "12", "type": "LONG"})),
        ("unknown-members", "ignore", "refuse", {**body(p=TEXT), "more": 1}),
        ("type-agreement", "free", "required", body(p={"strValue": "a"})),
        ("params-missing", "empty", "refuse", {"processStepId": "s"}),
        ("params-null", "empty", "refuse", {"processStepId": "s", "params": None}),
        ("null-fields", "accept", "refuse", body(p={**TEXT, "longValue": None})),
        ("null-param", "accept", "refuse", body(p=None)),
        ("empty-step-id", "unknown", "bad-body", {"processStepId": "", "params": {}}),
    ],
)
def test_a_body_is_judged_only_as_far_as_the_readings_are_known(
    name: str, accepting: Value, refusing: Value, sent: Any
) -> None:
    others = {"type-agreement": "free", "null-fields": "accept", "params-missing": "empty"}
    accepts, refuses = (Expectations({**others, name: each}) for each in (accepting, refusing))
    unknown = Expectations()
    assert not unknown.must_accept(sent)
    assert unknown.may_accept(sent)
    assert accepts.may_accept(sent)
    assert not refuses.may_accept(sent)
    assert refuses.reading_that_accepts(sent) == name


def test_what_every_reading_accepts_is_a_body_with_typed_params() -> None:
    unknown = Expectations()
    assert unknown.must_accept(body(p=TEXT, q={"longValue": 1, "type": "LONG"}))
    assert not unknown.may_accept(body(p={"strValue": 1, "type": "STRING"}))
    assert not unknown.may_accept([])
    assert not unknown.may_accept({"params": {}})


@pytest.mark.parametrize("number", [-(10**308) * 17976931348623157 // 10**16 - 1, 2**53 + 1])
def test_a_number_that_rounds_into_its_range_may_be_accepted(number: int) -> None:
    assert Expectations().may_accept(body(p={"doubleValue": number, "type": "DOUBLE"}))


def test_a_number_that_does_not_round_into_its_range_is_refused() -> None:
    huge = body(p={"doubleValue": 10**400, "type": "DOUBLE"})
    assert not Expectations().may_accept(huge)


@pytest.mark.parametrize(
    ("known", "sent", "promised"),
    [
        ({"long-range": "rounded"}, {"longValue": 2**53 + 1}, {"longValue": 2**53}),
        ({"long-fraction": "truncate"}, {"longValue": 3.5}, {"longValue": 3}),
        ({"text-for-number": "read"}, {"longValue": "12"}, {"longValue": 12}),
        ({"type-names": "any-case"}, {"type": "string"}, {"type": "STRING"}),
        ({}, {"strValue": " a "}, {"strValue": " a "}),
    ],
)
def test_params_are_promised_as_the_readings_hand_them_on(
    known: dict[str, Value | None], sent: dict[str, Any], promised: dict[str, Any]
) -> None:
    sent_body = body(p=sent)
    assert Expectations(known).promised(sent_body) == {"p": promised}


@pytest.mark.parametrize(
    ("timestamp", "documented"),
    [
        ("2024-03-29T12:50:59.211Z", True),
        ("2024-03-29T12:50:59.211000+00:00", True),
        ("2024-03-29t12:50:59+02:00", True),
        ("2024-03-29T12:50:59.211", False),
        ("Fri, 29 Mar 2024 12:50:59 GMT", False),
        (1711716659, False),
    ],
)
def test_any_rfc_3339_timestamp_is_documented(timestamp: object, documented: bool) -> None:
    value = {
        "message": "Unauthorized request",
        "timestamp": timestamp,
        "data": "no token",
        "version": "1",
    }
    assert (not Expectations().breaches(401, value)) is documented


@pytest.mark.parametrize("named", [{"processStepId": None}, {"processStepId": ""}, {}])
def test_the_form_of_a_last_step_is_no_violation(named: dict[str, Any]) -> None:
    data = {"processId": "p", "params": None, **named}
    value = {"message": "m", "timestamp": "2024-03-29T12:50:59Z", "data": data, "version": "1"}
    assert not Expectations().breaches(200, value)
    assert Expectations().breaches(200, {**value, "data": {"processStepId": "s", "params": {}}})


def test_a_text_that_a_reading_cannot_have_is_left_out() -> None:
    assert Expectations({"timestamp": "nanoseconds"}).value("timestamp") == "nanoseconds"
