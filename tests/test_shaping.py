"""The journal names the readings that shaped a response."""

import json
from typing import Any

import pytest
import requests

import stepstub

STEP = "order-1-approve"


def shaped(sandbox: stepstub.Sandbox, body: Any, headers: dict[str, str] | None = None) -> set[str]:
    """The names of the readings that shaped the response to a body."""
    sandbox.start_process("two-steps")
    sandbox.start_process("last-step")
    sandbox.start_process("every-status")
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {**sandbox.headers, "Content-Type": "application/json", **(headers or {})}
    requests.post(sandbox.complete_step_url, data=raw, headers=headers, timeout=10)
    return {each.name for each in sandbox.journal()[-1].readings}


def param(**fields: object) -> dict[str, object]:
    return {"processStepId": STEP, "params": {"p": fields}}


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({"processStepId": STEP}, {"named-step", "returned-params"}),
        (
            {"processStepId": "invoice-1-archive"},
            {"named-step", "last-step-id", "last-step-params"},
        ),
        ({"processStepId": "nowhere"}, {"unknown-step", "refusal-data"}),
        ({"processStepId": ""}, {"unknown-step", "empty-step-id", "refusal-data"}),
        ({"processStepId": "claim-1-completed"}, {"completed-step", "refusal-data"}),
        ({"processStepId": "claim-1-pending"}, {"pending-step", "refusal-data"}),
        ({"processStepId": "claim-2-failed"}, {"failed-step", "refusal-data"}),
        (b"{", {"bad-body", "refusal-data"}),
        (b'{"processStepId": "a", "processStepId": "b"}', {"bad-body", "duplicate-names"}),
        ({"processStepId": STEP, "params": {"p": None}}, {"bad-body", "null-param"}),
        (param(longValue=3.5), {"bad-body", "long-fraction"}),
        (param(longValue=2**63), {"bad-body", "long-range"}),
        (param(longValue="12"), {"bad-body", "text-for-number"}),
        (param(doubleValue="12"), {"bad-body", "text-for-number"}),
        (param(type="long"), {"bad-body", "type-names"}),
    ],
)
def test_by_default(stepstub: stepstub.InProcess, body: Any, names: set[str]) -> None:
    found = shaped(stepstub, body)
    assert found == names | ({"refusal-data"} if "bad-body" in names else set())


@pytest.mark.parametrize(
    ("readings", "body", "names"),
    [
        ({"unknown-members": "refuse"}, {"processStepId": STEP, "x": 1}, {"unknown-members"}),
        ({"params-missing": "refuse"}, {"processStepId": STEP}, {"params-missing"}),
        ({"params-null": "refuse"}, {"processStepId": STEP, "params": None}, {"params-null"}),
        ({"null-fields": "refuse"}, param(strValue=None), {"null-fields"}),
        ({"type-agreement": "required"}, param(strValue="x"), {"type-agreement"}),
        ({"empty-step-id": "bad-body"}, {"processStepId": ""}, {"empty-step-id"}),
        ({"unknown-step": 404}, {"processStepId": "x"}, {"unknown-step", "undocumented-form"}),
        ({"version": "7"}, {"processStepId": STEP}, {"named-step", "version"}),
    ],
)
def test_under_other_readings(
    stepstub_server: stepstub.LiveServer, readings: Any, body: Any, names: set[str]
) -> None:
    with stepstub_server.sandbox(readings=readings) as sandbox:
        assert names <= shaped(sandbox, body)
        (use,) = (e for e in sandbox.journal()[-1].readings if e.name in readings)
        assert use.value == readings[use.name]
        assert use.number > 0


def test_a_delegate_that_fails(stepstub: stepstub.InProcess) -> None:
    process = stepstub.start_process([{}, {"delegate": "failing"}])
    assert shaped(stepstub, {"processStepId": process.steps[0].id}) == {"delegate-failure"}


def test_a_step_whose_time_is_over(stepstub: stepstub.InProcess) -> None:
    process = stepstub.start_process([{"timeOutInSeconds": 1}, {}])
    stepstub.clock.advance(2)
    found = shaped(stepstub, {"processStepId": process.steps[0].id})
    assert found == {"failed-step", "time-out", "refusal-data"}


def test_a_fault_is_no_reading(stepstub: stepstub.InProcess) -> None:
    stepstub.fault("before", status=503)
    assert shaped(stepstub, {"processStepId": STEP}) == set()


def test_the_section_of_a_failing_test_has_those_that_differ(
    stepstub_server: stepstub.LiveServer,
) -> None:
    from stepstub.client import render_journal

    with stepstub_server.sandbox(readings={"unknown-step": 404}) as sandbox:
        shaped(sandbox, {"processStepId": "x"})
        assert "readings: unknown-step: 404 (7)" in render_journal(sandbox.journal())
