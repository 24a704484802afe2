"""The pytest plugin, in pytest runs of their own as its users have them."""

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import requests

import stepstub
from plugin_suite import Suite
from stepstub.views import SandboxList

HEAVY = {
    *("connexion", "starlette", "uvicorn", "responses", "requests", "httpx", "yaml", "msgspec"),
    *("jsonschema_rs", "stepstub.client", "stepstub.inprocess", "stepstub.live", "stepstub.app"),
}


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    return Suite(tmp_path)


CLIENT = """
import pytest
import requests

STEP = "order-1-approve"

def complete(sandbox, step_id=STEP):
    return requests.post(
        sandbox.url + "/api/v1/processes/complete-step",
        json={"processStepId": step_id},
        headers={"Authorization": f"Bearer {sandbox.token}"},
        timeout=10,
    ).status_code
"""


def test_the_fixtures_survive_errors_for_warnings(suite: Suite) -> None:
    code = f"""{CLIENT}
def test_in_process(stepstub):
    stepstub.start_process("two-steps")
    assert complete(stepstub) == 200
    stepstub.verify_completed(STEP)

def test_live(stepstub_sandbox):
    stepstub_sandbox.start_process("two-steps")
    assert complete(stepstub_sandbox) == 200
    assert complete(stepstub_sandbox) == 412

def test_a_fresh_one_each(stepstub, stepstub_sandbox):
    assert stepstub.processes() == stepstub_sandbox.processes() == []
    assert stepstub.journal() == stepstub_sandbox.journal() == []

def test_the_server(stepstub_server):
    with stepstub_server.sandbox("last-step") as sandbox:
        assert complete(sandbox, "invoice-1-archive") == 200
"""
    suite.run(code, "-W", "error", passed=4)


def test_a_suite_that_does_not_use_it_does_not_pay(suite: Suite) -> None:
    code = f"import sys\ndef test_nothing():\n    assert not set(sys.modules) & {HEAVY!r}\n"
    suite.run(code, "-W", "error", passed=1)


def test_it_is_there_without_being_asked_for(pytestconfig: pytest.Config) -> None:
    assert pytestconfig.pluginmanager.has_plugin("stepstub")


def test_the_report_of_a_failure_shows_the_journal(suite: Suite) -> None:
    code = f"""{CLIENT}
@pytest.fixture(params=["stepstub", "stepstub_sandbox"])
def sandbox(request):
    return request.getfixturevalue(request.param)

def test_that_fails(sandbox):
    sandbox.start_process("two-steps")
    complete(sandbox)
    assert complete(sandbox) == 200

def test_that_passes(sandbox):
    sandbox.start_process("last-step")
    assert complete(sandbox, "invoice-1-archive") == 200

def test_without():
    assert False
"""
    output = suite.run(code, passed=2, failed=3)
    assert len(re.findall(r"^-+ stepstub journal -+$", output, re.MULTILINE)) == 2
    assert output.count("#2 POST /api/v1/processes/complete-step -> 412") == 2
    assert output.count("why: Step order-1-approve is COMPLETED") == 2
    assert output.count("(moved there by #1)") == 2
    assert "invoice-1-archive" not in output


def test_a_failure_while_a_fixture_is_set_up_shows_it_too(suite: Suite) -> None:
    code = f"""{CLIENT}
@pytest.fixture
def completed(stepstub):
    assert complete(stepstub, "nowhere") == 200

def test_it(completed):
    pass
"""
    output = suite.run(code, error=1)
    assert "stepstub journal" in output


def test_a_journal_that_cannot_be_had_does_not_hide_the_failure(suite: Suite) -> None:
    code = """
def test_that_fails(stepstub_sandbox):
    stepstub_sandbox.call("DELETE", "sandboxes/current", type(None))
    assert 1 == 2, "the real reason"
"""
    output = suite.run(code, failed=1, error=1)
    assert "the real reason" in output
    assert "INTERNALERROR" not in output


@pytest.mark.parametrize("client", ["httpx.post(url)", "urllib3.request('POST', url, retries=0)"])
def test_a_client_that_the_fixture_does_not_take_is_told_of_another(
    suite: Suite, client: str
) -> None:
    code = f"""
import httpx
import urllib3

def test_it(stepstub):
    url = stepstub.complete_step_url
    {client}

def test_live(stepstub_sandbox):
    assert False
"""
    output = suite.run(code, failed=2)
    in_process, _, live = output.partition("_ test_live _")
    assert "Nothing has reached this stub. This fixture takes what requests" in in_process
    assert "need the fixture stepstub_sandbox" in in_process
    assert "Nothing has reached this stub. It is at http://127.0.0.1:" in live


def test_a_journal_that_was_cleared_is_not_called_unreached(suite: Suite) -> None:
    code = f"""{CLIENT}
def test_it(stepstub):
    complete(stepstub)
    stepstub.call("DELETE", "journal", type(None))
    assert False
"""
    output = suite.run(code, failed=1)
    assert "(no exchanges)" in output
    assert "Nothing has reached" not in output


@pytest.mark.parametrize("fixture", ["stepstub", "stepstub_sandbox"])
def test_requests_that_name_no_sandbox_are_shown_where_they_came(
    suite: Suite, fixture: str
) -> None:
    code = f"""{CLIENT}
def with_token(sandbox, token, path="/api/v1/processes/complete-step"):
    headers = {{"Authorization": f"Bearer {{token}}"}}
    requests.post(sandbox.url + path, json={{"processStepId": "x"}}, headers=headers, timeout=5)

def test_before({fixture}):
    with_token({fixture}, "wrong", "/before")

def test_it({fixture}):
    with_token({fixture}, "wrong")
    with_token({fixture}, "stub-token")  # it is that of the default sandbox, and known
    with_token({fixture}, {fixture}.token, "/nowhere")
    assert False
"""
    output = suite.run(code, passed=1, failed=1)
    journal, strays = output.split("stepstub requests that named no sandbox")
    assert "Nothing has reached" not in journal
    assert "POST /api/v1/processes/complete-step -> 401" in strays
    assert "POST /nowhere -> 404" in strays
    assert "-> 412" not in strays
    assert "/before" not in strays


FAULTS = f"""{CLIENT}
import pytest

@pytest.fixture(params=["stepstub", "stepstub_sandbox"])
def sandbox(request):
    made = request.getfixturevalue(request.param)
    made.start_process("two-steps")
    made.fault("after", "disconnect", step_id="order-1-aprove")
    return made

def test_misspelt(sandbox):
    sandbox.fault("before", status=503, times=2)  # strikes, if not as often as it could
    assert complete(sandbox) == 503

def test_cleared(sandbox):
    sandbox.clear_faults()

def test_reset(sandbox):
    sandbox.reset()
    sandbox.call("POST", "faults", dict, SameId("after", "disconnect"))

def test_failed(sandbox):
    sandbox.fault("before", "delay", seconds=9, step_id=STEP)
    assert False

from msgspec import Struct

class SameId(Struct):
    phase: str
    action: str
"""


def test_a_marker_adds_faults(suite: Suite) -> None:
    code = """
import pytest, requests

@pytest.mark.stepstub(faults=[
    {"phase": "before", "status": 503},
    {"phase": "after", "action": "gateway", "nth": 1},
])
@pytest.mark.parametrize("fixture", ["stepstub", "stepstub_sandbox"])
def test_it(request, fixture):
    sandbox = request.getfixturevalue(fixture)
    sandbox.start_process("two-steps")
    assert [
        requests.post(
            sandbox.complete_step_url,
            json={"processStepId": "order-1-approve"},
            headers=sandbox.headers,
            timeout=10,
        ).status_code
        for _ in range(3)
    ] == [503, 502, 412]
"""
    suite.run(code, passed=2)


def test_faults_that_never_struck_are_reported_with_a_failure(suite: Suite) -> None:
    output = suite.run(FAULTS, passed=6, failed=2)
    for line in (
        r"after: connection broken, for step order-1-aprove \(there is no such step\)",
        "before: delay of 9 s, for step order-1-approve",
    ):
        assert len(re.findall(f"^{line}$", output, re.MULTILINE)) == 2


@pytest.mark.parametrize("options", [(), ("-n2",)])
def test_a_test_that_passes_without_its_fault_is_named(
    suite: Suite, options: tuple[str, ...]
) -> None:
    output = suite.run(FAULTS, *options, passed=6, failed=2)
    for fixture in ("stepstub", "stepstub_sandbox"):
        named = f"test_it.py::test_misspelt[{fixture}]: after: connection broken, for step order-1"
        assert output.count(named) == 1


def test_faults_that_never_struck_may_fail_the_test(suite: Suite) -> None:
    output = suite.run(FAULTS, ini="stepstub_unused_faults = error", passed=4, failed=4)
    for name in ("misspelt", "failed"):
        assert f"FAILED test_it.py::test_{name}[stepstub]" in output
        assert f"FAILED test_it.py::test_{name}[stepstub_sandbox]" in output
    assert output.count("Faults that never struck:\nafter: connection broken, for step") == 2


def test_another_word_for_unused_faults_is_refused(suite: Suite) -> None:
    output = suite.run(FAULTS, ini="stepstub_unused_faults = fail")
    assert "stepstub_unused_faults is report or error, not 'fail'" in output


def test_a_verification_that_fails_reads_as_an_assertion(suite: Suite) -> None:
    code = f"""{CLIENT}
def test_it(stepstub):
    stepstub.start_process("two-steps")
    stepstub.fault("before", status=503)
    complete(stepstub)
    stepstub.verify_completed(STEP)
"""
    output = suite.run(code, failed=1)
    assert "never completed, and should have been completed once" in output
    assert "respond 503" in output


@pytest.mark.parametrize("url", ["https://workflow.example.test", "http://workflow.test:8080/"])
def test_the_address_is_configured_in_the_ini_file(suite: Suite, url: str) -> None:
    code = f"""{CLIENT}
def test_it(stepstub):
    assert stepstub.url == {url.rstrip("/")!r}
    stepstub.start_process("two-steps")
    assert complete(stepstub) == 200
"""
    suite.run(code, ini=f"stepstub_url = {url}", passed=1)


def test_four_workers_do_not_disturb_each_other(suite: Suite) -> None:
    code = f"""{CLIENT}
from concurrent.futures import ThreadPoolExecutor

@pytest.mark.parametrize("number", range(8))
def test_it(number, stepstub, stepstub_sandbox):
    for sandbox in (stepstub, stepstub_sandbox):
        sandbox.start_process("two-steps")
        with ThreadPoolExecutor(4) as threads:
            statuses = list(threads.map(lambda _: complete(sandbox), range(4)))
        assert sorted(statuses) == [200, 412, 412, 412]
        assert [exchange.number for exchange in sandbox.journal()] == [1, 2, 3, 4]
        assert sandbox.verify_completed(STEP).delegate_calls == 1
"""
    suite.run(code, "-n", "4", "-W", "error", passed=8)


def test_public_names_come_when_they_are_asked_for() -> None:
    code = (
        "import sys, stepstub; before = 'connexion' in sys.modules;"
        "print(before, [name for name in stepstub.__all__ if getattr(stepstub, name)])"
    )
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert run.stdout.strip() == f"False {sorted(stepstub.__all__)}"
    assert {"InProcess", "LiveServer", "Sandbox"} <= set(stepstub.__all__)


def test_what_a_test_gets_hold_of_can_be_annotated(stepstub_server: stepstub.LiveServer) -> None:
    made = stepstub_server.sandbox("two-steps")
    with made as sandbox:
        sandbox.fault("before", times=2)
        (process,) = sandbox.processes()
        values = [
            *(stepstub_server, made, sandbox, sandbox.clock, process, process.steps[0]),
            *(process.steps[0].delegate, sandbox.unused_faults()[0]),
            *(sandbox.verify_completed("order-1-approve", times=0), process.steps[0].status),
        ]
    public = {getattr(stepstub, name) for name in stepstub.__all__}
    assert {type(value) for value in values} <= public
    assert stepstub.__version__ == version("stepstub")


def test_connections_that_a_test_had_refused_are_accepted_after_it(suite: Suite) -> None:
    code = """
import requests

def test_one(stepstub_sandbox):
    stepstub_sandbox.refuse_connections(60)
    try:
        url, headers = stepstub_sandbox.complete_step_url, stepstub_sandbox.headers
        requests.post(url, json={"processStepId": "x"}, headers=headers)
    except requests.ConnectionError:
        return
    raise AssertionError

def test_two(stepstub_sandbox):
    assert stepstub_sandbox.journal() == []
"""
    suite.run(code, passed=2)


ON_A_SERVER = """
import requests

def complete(sandbox):
    step = sandbox.start_process([{}]).steps[0]
    body, headers = {"processStepId": step.id, "params": {}}, sandbox.headers
    return requests.post(sandbox.complete_step_url, json=body, headers=headers).status_code

def test_passing(stepstub, stepstub_sandbox, stepstub_server):
    assert stepstub.url == stepstub_sandbox.url == stepstub_server.url
    assert complete(stepstub) == complete(stepstub_sandbox) == 200

def test_failing(stepstub_sandbox):
    assert complete(stepstub_sandbox) == 412
"""


def test_a_stub_that_is_running_already_shows_what_a_failed_test_did(suite: Suite) -> None:
    with stepstub.LiveServer() as server:
        output = suite.run(ON_A_SERVER, "--stepstub-server", server.url, passed=1, failed=1)
        (link,) = re.findall(r"stepstub console -+\n(\S+)", output)
        page = requests.get(link, timeout=10)
        _, kept = server.default_sandbox().call("GET", "sandboxes", SandboxList).sandboxes
    assert kept.name == "test_it.py::test_failing"
    assert page.status_code == 200
    assert "process-1-1" in page.text


READINGS_OF_A_SERVER = """
import pytest

def test_as_it_reads(stepstub, stepstub_sandbox):
    for each in (stepstub, stepstub_sandbox):
        assert (each.readings.version, each.readings.bad_body) == ("2", 412)

@pytest.mark.stepstub(readings={"bad-body": 400})
def test_one_in_another_way(stepstub):
    assert (stepstub.readings.version, stepstub.readings.bad_body) == ("2", 400)

@pytest.mark.stepstub(readings="spring")
def test_all_in_another_way(stepstub):
    assert stepstub.readings.version == "1.0.0"
"""


def test_sandboxes_on_a_stub_that_is_running_read_as_it_does(suite: Suite) -> None:
    with stepstub.LiveServer(readings={"version": "2"}) as server:
        suite.run(READINGS_OF_A_SERVER, "--stepstub-server", server.url, passed=3)
        tried = ("--stepstub-readings", "timestamp=seconds", "--stepstub-server", server.url)
        suite.run(READINGS_OF_A_SERVER, *tried, passed=3)
        profile = "stepstub_readings = spring"
        suite.run(
            READINGS_OF_A_SERVER, "--stepstub-server", server.url, ini=profile, passed=1, failed=2
        )


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "https://example.org", "nonsense"])
def test_a_server_that_is_not_there_ends_the_run(suite: Suite, url: str) -> None:
    output = suite.run_any(ON_A_SERVER, "--stepstub-server", url)
    assert f"--stepstub-server {url}: " in output
    assert "passed" not in output
