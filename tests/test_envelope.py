"""The one place that builds responses."""

import json

import pytest

from stepstub import contract
from stepstub.clock import timestamp
from stepstub.errors import (
    BodyRefused,
    DelegateFailed,
    HttpRefusal,
    Unauthorized,
    Violation,
)
from stepstub.model import Param, Status, Step
from stepstub.readings import Readings
from stepstub.responses.envelope import Envelope
from stepstub.responses.explanations import explain
from stepstub.transitions import Completion

NOW = 1_774_788_659_211
FAILED = "The delegate of the next step could not be called"
ENVELOPE = Envelope(contract.effective(Readings(version="1.2.3")))


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (NOW, "2026-03-29T12:50:59.211Z"),
        (NOW // 1000 * 1000, "2026-03-29T12:50:59.000Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_a_timestamp_always_has_three_fractional_digits(milliseconds: int, text: str) -> None:
    assert timestamp(milliseconds) == text


def test_a_success_bears_the_started_step_as_it_was_given() -> None:
    params = {"a": Param(long_value=3, str_value=None), "b": Param()}
    completed = Step(id="p1", process_id="p", position=0, status=Status.COMPLETED, params={})
    started = Step(id="p2", process_id="p", position=1, status=Status.STARTED, params=params)
    response = ENVELOPE.success(Completion(completed, started, {}, {}), 200, NOW)
    assert response.status == 200
    assert json.loads(response.body) == {
        "message": "Success",
        "timestamp": "2026-03-29T12:50:59.211Z",
        "data": {
            "processId": "p",
            "processStepId": "p2",
            "params": {"a": {"longValue": 3, "strValue": None}, "b": {}},
        },
        "version": "1.2.3",
    }


@pytest.mark.parametrize(
    ("error", "status", "message", "data", "headers"),
    [
        (
            BodyRefused({"x": Violation("CODE", "Expectations.")}),
            412,
            "Precondition failed",
            {"x": {"code": "CODE", "detail": "Expectations."}},
            {},
        ),
        (
            Unauthorized("No."),
            401,
            "Unauthorized request",
            "No.",
            {b"www-authenticate": b"Bearer"},
        ),
        (
            DelegateFailed("it is ill"),
            500,
            "Internal Server Error",
            f"{FAILED}: it is ill; both steps are as they were.",
            {},
        ),
        (
            HttpRefusal(405, "No.", allow="A"),
            405,
            "Method Not Allowed",
            "No.",
            {b"allow": b"A"},
        ),
        (HttpRefusal(404, "No."), 404, "Not Found", "No.", {}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_error_has_its_response(
    error: Exception, status: int, message: str, data: object, headers: dict[bytes, bytes]
) -> None:
    response = ENVELOPE.failure(explain(error), NOW, "/")
    assert response.status == status
    assert dict(response.headers) == headers
    assert response.content_type == b"application/json"
    envelope = json.loads(response.body)
    assert list(envelope) == ["message", "timestamp", "data", "version"]
    assert (envelope["message"], envelope["data"]) == (message, data)


def test_an_unforeseen_error_is_a_500_that_tells_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    response = ENVELOPE.failure(explain(KeyError("secret")), NOW, "/")
    assert response.status == 500
    assert b"secret" not in response.body
    assert "secret" in caplog.text
