"""The pytest plugin, in pytest runs of their own as its users have them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import stepstub

HEAVY = {
    *("connexion", "starlette", "uvicorn", "responses", "requests", "httpx", "yaml", "msgspec"),
    *("jsonschema_rs", "stepstub.client", "stepstub.inprocess", "stepstub.live", "stepstub.app"),
}


PYTEST = [sys.executable, "-m", "pytest", "--disable-plugin-autoload", "-p", "no:cacheprovider"]
PYTEST += ["-p", "xdist", "-p", "stepstub.pytest_plugin"]
"""Without the other plugins that are installed here, which cost seconds, and import a lot."""


class Suite:
    """A suite of tests in a directory of its own, as a user has it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def run(self, code: str, *options: str, ini: str = "", **wanted: int) -> str:
        """What pytest prints; `wanted` says how many tests have to be passed, failed, error."""
        (self.path / "test_it.py").write_text(code)
        (self.path / "pytest.ini").write_text(f"[pytest]\n{ini}\n")
        environment = {name: value for name, value in os.environ.items() if "PYTEST" not in name}
        run = subprocess.run(
            [*PYTEST, *options],
            cwd=self.path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        output = run.stdout + run.stderr
        counts = {what: int(n) for n, what in re.findall(r"(\d+) (passed|failed|error)", output)}
        assert counts == wanted, output
        return output


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
