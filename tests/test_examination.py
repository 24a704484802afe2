"""What the suite finds wrong with single responses, whatever they are responses to."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from stepstub.contract_tests.examination import Examiner
from stepstub.contract_tests.expectations import Expectations
from stepstub.contract_tests.findings import Finding, Severity
from stepstub.contract_tests.response import Response
from stepstub.readings import DEFAULT, as_mapping

NOW = datetime(2026, 3, 29, 12, 50, 59, tzinfo=UTC)
STAMP = "2026-03-29T12:50:59.210Z"
TOKEN = "a-token-nobody-may-read"
UNAUTHORISED: dict[str, Any] = {
    "message": "Unauthorized request",
    "timestamp": STAMP,
    "data": "No token was sent.",
    "version": "1.0.0",
}
COMPLETED: dict[str, Any] = {
    "message": "Success",
    "timestamp": STAMP,
    "data": {"processId": "p", "processStepId": "s", "params": {}},
    "version": "1.0.0",
}
JSON = {"Content-Type": "application/json"}


def response(status: int, value: object, headers: dict[str, str] | None = None) -> Response:
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    return Response(status, JSON if headers is None else headers, content, "curl")


def examined(response: Response, *, ours: bool = False, strict: bool = False) -> list[Finding]:
    """What is found; with `ours` the server is known to read everything as we do."""
    expectations = Expectations(as_mapping(DEFAULT) if ours else {}, strict=strict)
    return list(Examiner(expectations, TOKEN, lambda: NOW).examine(response))


def keys(found: list[Finding]) -> list[tuple[Severity, str]]:
    return [(one.cause.severity, one.cause.key) for one in found]


def violation(key: str) -> list[tuple[Severity, str]]:
    return [(Severity.VIOLATION, key)]


def test_nothing_is_wrong_with_documented_responses() -> None:
    assert not examined(response(401, UNAUTHORISED))
    assert not examined(response(200, COMPLETED))


@pytest.mark.parametrize(
    ("status", "value", "key", "message"),
    [
        (401, {"detail": "no"}, "shape-401", "lacks message, timestamp, data, version"),
        (401, b"", "shape-401", "an empty body"),
        (401, b"<html><title>Sorry</title>", "shape-401", "an HTML page: Sorry"),
        (401, b'{"a": 1, "a": 2}', "shape-401", "no strict JSON"),
        (401, [], "shape-401", "is not a JSON object"),
        (401, {**UNAUTHORISED, "data": {}}, "shape-401-data", "must be of type string"),
        (401, {**UNAUTHORISED, "message": "No"}, "shape-401-message", "Unauthorized request"),
        (401, {**UNAUTHORISED, "timestamp": 1}, "shape-timestamp", "must be of type string"),
        (401, {**UNAUTHORISED, "message": "No", "data": {}}, "shape-401", "message"),
        (200, {**COMPLETED, "data": {"params": {}}}, "shape-200-data-processid", "is required"),
        (
            200,
            {**COMPLETED, "data": {**COMPLETED["data"], "params": {"x": {"strValue": 1}}}},
            "shape-200-data-params",
            "must be of type string or null",
        ),
    ],
)
def test_what_contradicts_the_document_is_one_violation(
    status: int, value: object, key: str, message: str
) -> None:
    (found,) = examined(response(status, value))
    assert keys([found]) == violation(key)
    assert message in found.message


def test_the_timestamp_of_every_status_has_one_cause() -> None:
    found = [
        *examined(response(401, {**UNAUTHORISED, "timestamp": "today"})),
        *examined(response(200, {**COMPLETED, "timestamp": "today"})),
    ]
    assert keys(found) == 2 * violation("shape-timestamp")


def test_json_under_another_media_type_is_a_violation() -> None:
    found = examined(response(200, COMPLETED, {"Content-Type": "text/plain"}))
    assert keys(found) == violation("media-type")


@pytest.mark.parametrize(
    ("status", "value", "reading"),
    [
        (200, {**COMPLETED, "version": "2"}, "version"),
        (200, {**COMPLETED, "message": "OK"}, "success-message"),
        (200, {**COMPLETED, "timestamp": "2026-03-29T12:50:59Z"}, "timestamp"),
        (200, {**COMPLETED, "timestamp": "2026-03-29T12:50:59.210+00:00"}, "timestamp-zone"),
        (
            412,
            {**COMPLETED, "message": "Precondition failed", "data": {}},
            "refusal-data",
        ),
        (
            200,
            {**COMPLETED, "data": {**COMPLETED["data"], "params": {"x": {"type": "BLOB"}}}},
            "type-names",
        ),
    ],
)
def test_a_known_reading_that_a_response_has_in_another_way_is_an_inconsistency(
    status: int, value: object, reading: str
) -> None:
    headers = {**JSON, "WWW-Authenticate": "Bearer"}
    found = examined(response(status, value, headers), ours=True)
    assert keys(found) == [(Severity.INCONSISTENCY, f"two-ways-{reading}")]
    assert found[0].cause.reading == reading
    assert not examined(response(status, value, headers))


def test_a_challenge_is_expected_only_of_a_server_that_sends_one() -> None:
    found = examined(response(401, UNAUTHORISED), ours=True)
    assert keys(found) == [(Severity.INCONSISTENCY, "two-ways-challenge")]


@pytest.mark.parametrize(
    ("value", "key"),
    [
        ({**UNAUTHORISED, "data": f"{TOKEN} is wrong"}, "secret-repeated"),
        ({**UNAUTHORISED, "data": "Traceback (most recent call last): ..."}, "stack-trace"),
        ({**UNAUTHORISED, "timestamp": "1970-01-01T00:00:00Z"}, "timestamp-now"),
    ],
)
def test_what_no_document_names_is_noted_or_deviates_from_what_was_asked_for(
    value: object, key: str
) -> None:
    assert keys(examined(response(401, value))) == [(Severity.NOTE, key)]
    assert keys(examined(response(401, value), strict=True)) == [(Severity.DEVIATION, key)]


def test_a_token_that_was_a_params_value_may_be_returned() -> None:
    value = {**UNAUTHORISED, "data": f"{TOKEN} is wrong"}
    examiner = Examiner(Expectations(), TOKEN, lambda: NOW)
    assert list(examiner.examine(response(401, value)))
    assert not list(examiner.examine(response(401, value), sent=TOKEN.encode()))


def test_timestamps_run_forward_unless_a_response_is_repeated() -> None:
    examiner = Examiner(Expectations(), now=None)
    assert not list(examiner.examine(response(401, UNAUTHORISED)))
    earlier = {**UNAUTHORISED, "timestamp": "2026-03-29T12:50:58Z"}
    found = list(examiner.examine(response(401, earlier), examiner.latest))
    assert keys(found) == [(Severity.NOTE, "timestamp-order")]
    assert not list(examiner.examine(response(401, earlier), examiner.latest))


def test_another_form_of_an_undocumented_status_is_only_noted() -> None:
    page = response(404, b"<html></html>", {"Content-Type": "text/html"})
    assert keys(examined(page, ours=True)) == [(Severity.NOTE, "undocumented-forms")]
    assert not examined(page)


def test_a_message_shows_control_characters_escaped() -> None:
    (found,) = examined(response(401, b"\x1b[31m\x00"))
    assert found.message.isprintable()
    assert found.excerpt.isprintable()
