"""`pytest --stepstub-readings`, in runs of pytest of its own, with clients that are known."""

import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from planted_clients import PAIRS, PLANTED, VARIED
from plugin_suite import Suite
from stepstub.readings import DEFAULT, questions
from stepstub.trying.choice import CONFIGURED, other_values
from stepstub.variations import KINDS
from support import ROOT

ONE_CLIENT = """
import pytest
from planted_clients import PAIRS, PLANTED, VARIED

CLIENTS = {**PLANTED, **VARIED, **PAIRS}

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
    found = tried(suite, ONE_CLIENT % list(PLANTED), "each", "--stepstub-time-limit", "3")
    broken = broken_by(found)
    # Of a thousand timestamps one ends in three zeros and has no fraction then.
    caught = {
        client: {each["trial"] for each in trials if "variation" not in each["values"]}
        - {"timestamp=trimmed"}
        for client, trials in broken.items()
    }
    assert caught == {name: values for name, (_, values) in PLANTED.items()}
    for each in found["broken"]:
        assert each["readings"] == list(each["values"])
        assert each["advice"]
        assert all(test["unexpected"] for test in each["tests"])


@pytest.mark.parametrize("fixture", ["stepstub", "stepstub_sandbox"])
def test_each_planted_client_is_caught_with_its_variation_named(suite: Suite, fixture: str) -> None:
    # Without a socket some kinds cannot be.
    possible = {f"variation={name}" for name in KINDS if fixture != "stepstub" or wireless(name)}
    wanted = {name: kinds for name, (_, kinds) in VARIED.items() if kinds <= possible}
    code = (ONE_CLIENT % list(wanted)).replace("stepstub, client", f"{fixture}, client")
    found = tried(suite, code.replace("(stepstub)", f"({fixture})"), "each")
    varied = {each["trial"]: each for each in found["broken"] if "variation" in each["values"]}
    caught = {
        client: {each["trial"] for each in trials} & set(varied)
        for client, trials in broken_by(found).items()
    }
    assert caught == wanted
    for each in varied.values():
        assert each["advice"] == [KINDS[each["values"]["variation"]].to_be_safe]
        assert all(test["unexpected"]["variations"] for test in each["tests"])


def wireless(kind: str) -> bool:
    return not KINDS[kind].on_the_wire


def test_everything_that_a_client_can_notice_breaks_one() -> None:
    planted = {value.partition("=")[0] for _, values in PLANTED.values() for value in values}
    assert planted == set(questions()) - set(CONFIGURED) == set(other_values(DEFAULT))
    assert {kind for _, kinds in VARIED.values() for kind in kinds} == {
        f"variation={name}" for name in KINDS
    }


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
            assert values <= {f"{name}={each['values'][name]}" for name in each["readings"]}
            assert len(each["readings"]) < len(each["values"]) / 2


RETRY = """
import pytest
import requests

def test_retry(stepstub):
    step = stepstub.start_process([{}]).steps[0]
    body = {"processStepId": step.id, "params": {}}
    response = requests.post(stepstub.complete_step_url, json=body, headers=stepstub.headers)
    assert response.json()["data"]["processStepId"] is None

def test_nothing():
    pass
"""


def test_the_section_says_what_broke_and_how_to_repeat_and_survive_it(suite: Suite) -> None:
    output = suite.run(RETRY, "--stepstub-readings", "last-step-id=absent", passed=2, failed=1)
    section = output.partition("stepstub: other readings")[2]
    assert "1 broke a test:\n\nlast-step-id=absent\n  11. What is the processStepId" in section
    assert "test_it.py::test_retry\n    KeyError: 'processStepId'" in section
    assert 'it sent      POST /api/v1/processes/complete-step {"processStepId"' in section
    assert 'and received 200 {"message":"Success"' in section
    assert "To be safe: take null, an absent field, an empty string and the id" in section
    repeat = re.findall(r"Repeat: pytest (\S+) (\S+) '(.+)'", section)
    assert repeat == [
        (
            "--stepstub-readings",
            "last-step-id=absent",
            "test_it.py::test_retry[stepstub: last-step-id=absent]",
        )
    ]
    repeated = suite.run(RETRY, *repeat[0], failed=1)
    assert "1 broke a test:" in repeated


@pytest.mark.parametrize("pin", ["", '@pytest.mark.stepstub(readings={"bad-body": 412})\n'])
def test_a_profile_is_repeated_as_one(suite: Suite, pin: str) -> None:
    (suite.path / "odd.yaml").write_text(
        'readings: {last-step-id: absent, bad-body: 400, success-message: "All, is=good"}'
    )
    code = RETRY.replace("def test_retry", f"{pin}def test_retry")
    section = suite.run(code, "--stepstub-readings", "odd.yaml", passed=2, failed=1)
    (repeat,) = re.findall(r"Repeat: pytest (.+)", section)
    assert "1 broke a test:" in suite.run(code, *shlex.split(repeat), failed=1)


def test_a_repeat_runs_where_the_run_was_started(suite: Suite) -> None:
    suite.run(RETRY, passed=2)
    below = Suite(suite.path / "below")
    below.path.mkdir()
    (below.path / "test_it.py").write_text(RETRY)
    options = (f"--rootdir={suite.path}", "--stepstub-readings", "last-step-id=absent")
    section = below.run(RETRY, *options, passed=2, failed=1)
    assert "Repeat: pytest --stepstub-readings last-step-id=absent 'test_it.py::" in section


def test_a_test_keeps_its_id_under_the_readings_it_has_anyway(suite: Suite) -> None:
    output = suite.run(RETRY, "--stepstub-readings", "spring", "-v", passed=3)
    assert "test_it.py::test_retry PASSED" in output
    assert "test_it.py::test_retry[stepstub: spring]" in output
    assert "test_it.py::test_nothing PASSED" in output


def test_a_variation_that_needs_a_connection_names_the_fixture_that_has_one(suite: Suite) -> None:
    choice = ("--stepstub-readings", "variation=chunked")
    output = suite.run(RETRY, *choice, "-rs", passed=2)
    assert "variation=chunked needs a connection: use the fixture stepstub_sandbox" in output
    live = RETRY.replace("stepstub)", "stepstub_sandbox)").replace("stepstub.", "stepstub_sandbox.")
    output = suite.run(live, *choice, "-v", passed=3)
    assert "test_retry[stepstub: variation=chunked] PASSED" in output


def test_the_section_says_how_the_response_varied(suite: Suite) -> None:
    code = RETRY.replace('["processStepId"] is None', "is None or len(response.json()) == 4")
    output = suite.run(code, "--stepstub-readings", "variation=extra-members", passed=2, failed=1)
    section = output.partition("stepstub: other readings")[2]
    assert "\nvariation=extra-members\n  A variation: the envelope, the data" in section
    assert "varied in    extra-members (_links, owner)" in section
    assert "To be safe: Ignore what you do not know" in section


def test_a_marker_pins_how_responses_vary(suite: Suite) -> None:
    pinned = RETRY.replace("def test_retry", "@pytest.mark.stepstub(vary=False)\ndef test_retry")
    suite.run(pinned, "--stepstub-readings", "variation=spacing", passed=2)


def test_a_marker_pins_readings(suite: Suite) -> None:
    pinned = RETRY.replace(
        "def test_retry", '@pytest.mark.stepstub(readings={"last-step-id": "null"})\ndef test_retry'
    )
    choice = ("--stepstub-readings", "last-step-id=absent,version=2", "-v")
    assert "test_retry[stepstub: version=2] PASSED" in suite.run(pinned, *choice, passed=3)
    all_of_them = RETRY.replace(
        "def test_retry", '@pytest.mark.stepstub(readings="default")\ndef test_retry'
    )
    suite.run(all_of_them, *choice, passed=2)


def test_markers_of_a_test_and_of_its_module_go_together(suite: Suite) -> None:
    code = RETRY.replace("def test_retry", "@pytest.mark.stepstub(vary=1)\ndef test_retry").replace(
        "import pytest\n",
        "import pytest\n"
        'pytestmark = pytest.mark.stepstub(readings={"last-step-id": "null"}, vary=False)\n',
        1,
    )
    assert "decides that by its marker" in suite.run(
        code, "--stepstub-readings", "last-step-id=absent", passed=2
    )


def test_a_test_is_skipped_that_can_notice_nothing_or_fails_anyway(suite: Suite) -> None:
    output = suite.run(RETRY, "--stepstub-readings", "bad-body=400", "-rs", passed=2)
    assert "nothing in this test depends on bad-body" in output
    failing = RETRY.replace("is None", "== 7")
    output = suite.run(failing, "--stepstub-readings", "version=2", "-rs", passed=1, failed=1)
    assert "the test does not pass under its usual readings" in output
    assert "Failed under the default readings already" in output


def test_the_exchange_that_is_shown_is_the_last_that_the_reading_shaped(suite: Suite) -> None:
    code = """
import requests

def test_it(stepstub):
    for step in stepstub.start_process("two-steps").steps:
        body = {"processStepId": step.id, "params": {}}
        headers = stepstub.headers
        response = requests.post(stepstub.complete_step_url, json=body, headers=headers)
    assert response.headers["Content-Type"] == "application/json"
"""
    output = suite.run(code, "--stepstub-readings", "variation=media-type", passed=1, failed=1)
    assert 'it sent      POST /api/v1/processes/complete-step {"processStepId": "order-1-ship"' in (
        output
    )


def test_a_client_that_is_not_told_of_other_credentials_is_broken_by_them(suite: Suite) -> None:
    code = RETRY.replace("stepstub.headers", '{"Authorization": f"Bearer {stepstub.token}"}')
    output = suite.run(code, "--stepstub-readings", "credentials=api-key", passed=2, failed=1)
    assert "and received 401" in output
    suite.run(RETRY, "--stepstub-readings", "credentials=api-key", passed=3)


def test_a_test_with_both_stubs_is_tried_with_what_needs_a_connection(suite: Suite) -> None:
    code = RETRY.replace("(stepstub)", "(stepstub, stepstub_sandbox)")
    suite.run(code, "--stepstub-readings", "variation=until-close", passed=3)


def test_where_a_result_cannot_be_written_nothing_is_run(suite: Suite) -> None:
    options = ("--stepstub-readings-json", "nowhere/tried.json")
    output = suite.run(RETRY, "--stepstub-readings", "version=2", *options)
    assert "--stepstub-readings-json: There is no folder nowhere." in output
    assert "goes with --stepstub-readings" in suite.run(RETRY, *options)


def test_when_every_test_decides_by_itself_the_section_says_so(suite: Suite) -> None:
    pinned = RETRY.replace(
        "def test_retry", '@pytest.mark.stepstub(readings="default")\ndef test_retry'
    )
    output = suite.run(pinned, "--stepstub-readings", "version=2", passed=2)
    assert "nothing to try: each test decides that by its marker" in output


STUBBORN = """
import time

import requests

def test_it(stepstub):
    stepstub.start_process("every-status")
    body = {"processStepId": "claim-1-completed", "params": {}}
    while True:
        try:
            url, headers = stepstub.complete_step_url, stepstub.headers
            if requests.post(url, json=body, headers=headers).status_code == 412:
                return
        except BaseException:
            time.sleep(0.01)
"""


def test_a_client_that_catches_everything_is_interrupted_all_the_same(suite: Suite) -> None:
    options = ("--stepstub-readings", "completed-step=409", "--stepstub-time-limit", "0.5")
    output = suite.run(STUBBORN, *options, passed=1, failed=1)
    assert "The test did not end within 0.5 s (--stepstub-time-limit)" in output


def test_an_interruption_between_two_lines_is_shown(suite: Suite) -> None:
    # The jump at the end of such a loop has no line in CPython 3.11, and nearly every strike comes
    # there.
    counting = """
from itertools import count

import requests

def test_it(stepstub):
    stepstub.start_process("every-status")
    body = {"processStepId": "claim-1-completed", "params": {}}
    url, headers = stepstub.complete_step_url, stepstub.headers
    if requests.post(url, json=body, headers=headers).status_code == 412:
        return
    for number in count():
        if number < 0:
            len("")
"""
    options = ("--stepstub-readings", "completed-step=409", "--stepstub-time-limit", "3")
    output = suite.run(counting, *options, passed=1, failed=1)
    assert "The test did not end within 3 s (--stepstub-time-limit)" in output


def test_a_client_that_no_interruption_ends_ends_the_process(suite: Suite) -> None:
    hopeless = """
def test_it(stepstub):
    while stepstub.readings.version != "1.0.0":
        try:
            for _ in range(10**6):
                pass
        except BaseException:
            try:
                for _ in range(10**6):
                    pass
            except BaseException:
                pass
"""
    options = ("test_it.py::test_it[stepstub: version=2]", "--stepstub-readings", "version=2")
    output = suite.run_any(hopeless, *options, "--stepstub-time-limit", "2")
    assert "a test did not end within 2 s and caught 60 interruptions" in output
    assert 'test_it.py", line' in output


def test_what_comes_after_a_test_is_interrupted_too(suite: Suite) -> None:
    looping = """
import pytest

@pytest.fixture
def closing(stepstub):
    yield
    while stepstub.readings.version == "2":
        pass

def test_it(stepstub, closing):
    stepstub.start_process("two-steps")
"""
    options = ("test_it.py::test_it[stepstub: version=2]", "--stepstub-readings", "version=2")
    output = suite.run_any(looping, *options, "--stepstub-time-limit", "1")
    assert "The test did not end within 1 s" in output


def test_it_works_under_xdist(suite: Suite) -> None:
    output = suite.run(
        RETRY, "--stepstub-readings", "last-step-id=absent", "-n2", passed=2, failed=1
    )
    assert "1 broke a test:" in output


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ("sprin", "There is no profile 'sprin': did you mean spring"),
        ("random:x", "'random:x' is not of the form random:N or random:N:SEED"),
        ("last-step-id=absnt", "did you mean absent?"),
        ("variation=chuncked", "did you mean chunked"),
        ("last-step-id", "last-step-id is a reading: give it a value, as in last-step-id=absent"),
        ("version=2,version=3", "version is given twice"),
        ("last-step-id=null", "last-step-id is null anyway, so there is nothing to try"),
        ("default", "changes nothing"),
        ("", "There is no profile ''"),
        ("random:0", "'random:0' is not of the form random:N or random:N:SEED"),
        ("random:99999", "random:N takes 10000 sets at most, not 99999"),
    ],
)
def test_a_choice_that_cannot_be_tried_is_explained(suite: Suite, choice: str, said: str) -> None:
    assert said in suite.run(RETRY, "--stepstub-readings", choice)
