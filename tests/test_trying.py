"""`pytest --stepstub-readings`, in runs of pytest of its own, with clients that are known."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from planted_clients import PAIRS, PLANTED
from plugin_suite import Suite
from stepstub.readings import DEFAULT, questions
from stepstub.trying.choice import CONFIGURED, other_values
from support import ROOT

ONE_CLIENT = """
import pytest
from planted_clients import PAIRS, PLANTED

CLIENTS = {**PLANTED, **PAIRS}

@pytest.mark.parametrize("client", %s)
def test_client(stepstub, client):
    CLIENTS[client][0](stepstub)
"""

ROBUST = """
from contextlib import suppress

import pytest
from robust_clients import ROBUST

pytestmark = pytest.mark.parametrize("client", ROBUST)
TOTAL = {"total": {"longValue": 12, "type": "LONG"}}

def complete(client, sandbox, step_id, **headers):
    return client(sandbox.complete_step_url, {**sandbox.headers, **headers}, step_id, TOTAL)

def test_a_whole_process(stepstub_sandbox, client):
    for step in stepstub_sandbox.start_process("two-steps").steps:
        assert complete(client, stepstub_sandbox, step.id) == "completed"
        stepstub_sandbox.verify_completed(step.id)

@pytest.mark.parametrize("action", ["respond", "disconnect", "malformed"])
@pytest.mark.parametrize("phase", ["before", "after"])
def test_a_lost_response(stepstub_sandbox, client, phase, action):
    stepstub_sandbox.start_process("two-steps")
    stepstub_sandbox.fault(phase, action)
    assert complete(client, stepstub_sandbox, "order-1-approve") in ("completed", "unsure")
    stepstub_sandbox.verify_completed("order-1-approve")

@pytest.mark.parametrize("step", ["claim-1-pending", "claim-2-failed", "claim-3-unknown"])
def test_a_refusal(stepstub_sandbox, client, step):
    stepstub_sandbox.start_process("every-status")
    assert complete(client, stepstub_sandbox, step) == "refused"

def test_a_second_completion(stepstub_sandbox, client):
    stepstub_sandbox.start_process("two-steps")
    complete(client, stepstub_sandbox, "order-1-approve")
    complete(client, stepstub_sandbox, "order-1-approve")
    stepstub_sandbox.verify_completed("order-1-approve")

def test_a_wrong_token(stepstub_sandbox, client):
    assert complete(client, stepstub_sandbox, "x", Authorization="Bearer wrong") == "refused"

def test_a_delegate_that_fails(stepstub_sandbox, client):
    process = stepstub_sandbox.start_process([{}, {"delegate": "failing"}])
    with suppress(TimeoutError):
        assert complete(client, stepstub_sandbox, process.steps[0].id) != "refused"
"""


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    return Suite(tmp_path)


def tried(suite: Suite, code: str, choice: str, *options: str) -> dict[str, Any]:
    """The JSON of a run under other readings."""
    suite.run_any(
        code,
        *("--stepstub-readings", choice, "--stepstub-readings-json", "tried.json", *options),
        ini=f"pythonpath = {ROOT / 'tests'}",
    )
    found: dict[str, Any] = json.loads((suite.path / "tried.json").read_text())
    assert found["failedByDefault"] == []
    return found


def broken_by(found: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The trials that broke each client."""
    broken: dict[str, list[dict[str, Any]]] = {}
    for each in found["broken"]:
        for test in each["tests"]:
            broken.setdefault(re.findall(r"\[(\w+)\]", test["test"])[0], []).append(each)
    return broken


def test_each_planted_client_is_caught_with_its_reading_named(suite: Suite) -> None:
    found = tried(suite, ONE_CLIENT % list(PLANTED), "each", "--stepstub-time-limit", "1")
    broken = broken_by(found)
    # Of a thousand timestamps one ends in three zeros and has no fraction then.
    caught = {
        client: {each["trial"] for each in trials} - {"timestamp=trimmed"}
        for client, trials in broken.items()
    }
    assert caught == {name: values for name, (_, values) in PLANTED.items()}
    for each in found["broken"]:
        assert each["readings"] == list(each["values"])
        assert each["advice"]
        assert all(test["unexpected"] for test in each["tests"])


def test_every_reading_that_a_client_can_notice_breaks_one() -> None:
    planted = {value.partition("=")[0] for _, values in PLANTED.values() for value in values}
    assert planted == set(questions()) - set(CONFIGURED) == set(other_values(DEFAULT))


@pytest.mark.parametrize(
    ("choice", "clients"),
    [("each", "with"), ("pairs", "with_requests"), ("random:3:7", "with_httpx or with_urllib")],
)
def test_robust_clients_never_alarm(suite: Suite, choice: str, clients: str) -> None:
    found = tried(suite, ROBUST, choice, "-k", clients)
    assert [each["trial"] for each in found["broken"]] == []
    assert found["survived"]


def test_pairs_find_what_only_breaks_together(suite: Suite) -> None:
    assert tried(suite, ONE_CLIENT % list(PAIRS), "each")["broken"] == []
    broken = broken_by(tried(suite, ONE_CLIENT % list(PAIRS), "pairs"))
    assert set(broken) == set(PAIRS)
    for client, (_, values) in PAIRS.items():
        for each in broken[client]:
            assert values == {f"{name}={each['values'][name]}" for name in each["readings"]}
