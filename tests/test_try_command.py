"""`stepstub try`, with commands that are small Python programs."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from stepstub.cli import main

CLIENT = """
import json, os, sys, urllib.request

def post(path, body, token):
    headers = {"Authorization": "Bearer " + token, "Content-Type": "application/json"}
    url, content = os.environ["STEPSTUB_URL"] + path, json.dumps(body).encode()
    request = urllib.request.Request(url, content, headers)
    return json.load(urllib.request.urlopen(request))

token = os.environ["STEPSTUB_TOKEN"]
"""

ITS_OWN_SANDBOX = """
token = post("/_stub/sandboxes", {"scenario": "last-step"}, token)["token"]
body = {"processStepId": "invoice-1-archive", "params": {}}
done = post("/api/v1/processes/complete-step", body, token)
print("seen", os.environ["STEPSTUB_READING"], done["data"])
assert done["data"]["processStepId"] is None
"""


@pytest.fixture
def client(tmp_path: Path) -> Path:
    return tmp_path / "client.py"


def tried(client: Path, code: str, *options: str) -> Result:
    client.write_text(CLIENT + code)
    return CliRunner().invoke(main, ["try", *options, "--", sys.executable, str(client)])


def test_a_command_is_run_under_the_default_and_each_reading_it_can_notice(
    client: Path, tmp_path: Path
) -> None:
    result = tried(client, ITS_OWN_SANDBOX, "--json", str(tmp_path / "tried.json"))
    assert result.exit_code == 1, result.output
    found = json.loads((tmp_path / "tried.json").read_text())
    assert {each["trial"] for each in found["broken"]} == {
        *("last-step-id=absent", "last-step-id=empty", "last-step-id=completed"),
        "named-step=completed",
    }
    assert "version=2" in found["survived"]
    assert "bad-body=400" in found["unnoticed"]
    assert "seen last-step-id=absent {" in result.output
    assert "To be safe: take null, an absent field" in result.output
    assert (
        f"Repeat: stepstub try --readings last-step-id=absent -- {sys.executable}" in result.output
    )


def test_a_command_is_run_with_a_variation(client: Path) -> None:
    code = """
sandbox = post("/_stub/sandboxes", {"scenario": "last-step"}, token)["token"]
body = {"processStepId": "invoice-1-archive", "params": {}}
done = post("/api/v1/processes/complete-step", body, sandbox)
assert len(done) == 4, os.environ["STEPSTUB_VARY_ONLY"]
"""
    result = tried(client, code, "--readings", "variation=extra-members")
    assert result.exit_code == 1, result.output
    assert "AssertionError: extra-members" in result.output
    assert "A variation: the envelope" in result.output
    assert "Repeat: stepstub try --readings variation=extra-members -- " in result.output


def test_a_command_that_survives_is_a_success(client: Path) -> None:
    result = tried(client, ITS_OWN_SANDBOX, "--readings", "timestamp=seconds,last-step-params=null")
    assert result.exit_code == 0, result.output
    assert "1 survived" in result.output


def test_a_command_that_fails_anyway_is_not_tried(client: Path) -> None:
    result = tried(client, "print('no luck'); sys.exit(3)")
    assert result.exit_code == 2
    assert "under the default readings: exit status 3\nno luck" in result.output
    assert "fails under the default readings" in result.output


def test_a_command_that_does_not_end_is_killed(client: Path) -> None:
    code = """
url = "/api/v1/processes/complete-step"
body = {"processStepId": "order-1-approve", "params": {}}
done = post(url, body, token)
while done["version"] != "1.0.0":
    pass
"""
    result = tried(client, code, "--readings", "version=2", "--time-limit", "2")
    assert result.exit_code == 1, result.output
    assert "it did not end within 2 s" in result.output


def test_what_cannot_be_run_or_tried_is_explained(client: Path) -> None:
    runner = CliRunner()
    result = runner.invoke(main, ["try", "--", "no-such-command"])
    assert (result.exit_code, "Cannot run no-such-command" in result.output) == (2, True)
    for options, said in (
        (("--readings", "sprin"), "did you mean spring"),
        (("--scenario", "two-step"), "did you mean two-steps"),
        (("--json", "nowhere/tried.json"), "There is no folder nowhere"),
        ((), "The command passed without a request to the stub"),
    ):
        result = tried(client, "", *options)
        assert (result.exit_code, said in result.output) == (2, True), result.output


def test_a_text_with_spaces_reaches_a_stub_that_the_command_starts(client: Path) -> None:
    code = ITS_OWN_SANDBOX + (
        "import subprocess\n"
        'printed = subprocess.run([sys.executable, "-m", "stepstub", "spec"], capture_output=True,'
        " text=True, check=True).stdout\n"
        'assert "All done" not in printed, "it has reached the command"\n'
    )
    result = tried(client, code, "--readings", "success-message=All done")
    assert "it has reached the command" in result.output, result.output


def test_a_run_is_repeated_with_its_options(client: Path) -> None:
    options = ("--scenario", "last-step", "--time-limit", "30", "--readings", "last-step-id=absent")
    code = ITS_OWN_SANDBOX.replace('token = post("/_stub/sandboxes"', 'post("/_stub/sandboxes"')
    code = code.replace(', token)["token"]', ", token)")
    result = tried(client, code, *options)
    assert (
        "Repeat: stepstub try --scenario last-step --time-limit 30 --readings last-step-id=absent"
        " -- "
    ) in result.output


def test_each_run_is_reported_while_the_others_are_still_to_come(client: Path) -> None:
    result = tried(client, ITS_OWN_SANDBOX, "--readings", "last-step-id=empty")
    assert "1 of 1: last-step-id=empty failed\n" in result.stderr


def test_what_was_found_before_an_interruption_is_kept(client: Path, tmp_path: Path) -> None:
    code = f"""
import signal
with open({str(tmp_path / "runs")!r}, "a+") as runs:
    runs.write("run ")
    runs.seek(0)
    if len(runs.read().split()) == 3:
        os.kill(os.getppid(), signal.SIGINT)
        signal.pause()
"""
    client.write_text(CLIENT + code + ITS_OWN_SANDBOX)
    # In a process of its own, whose main thread gets the signal; and not ignored, as it is in what
    # a shell has put into the background.
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    code += "from stepstub.cli import main; main()"
    options = ["--readings", "random:5:1", "--json", str(tmp_path / "tried.json")]
    ended = subprocess.run(
        [sys.executable, "-c", code, "try", *options, "--", sys.executable, str(client)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 130, ended.stderr
    assert "Interrupted: the rest was not tried.\n" in ended.stdout
    found = json.loads((tmp_path / "tried.json").read_text())
    assert found["interrupted"]
    ((test,),) = (each["tests"] for each in found["broken"])
    assert test["output"].endswith("AssertionError")


def test_the_result_is_a_page_too_and_what_was_sent_is_escaped(
    client: Path, tmp_path: Path
) -> None:
    code = ITS_OWN_SANDBOX.replace('"params": {}', '"params": {"<b>\\u202e": {"strValue": "x"}}')
    page = tmp_path / "tried.html"
    result = tried(client, code, "--readings", "last-step-id=absent", "--html", str(page))
    assert result.exit_code == 1
    text = page.read_text("utf-8")
    assert "<strong>1 of 1 trials broke a command.</strong>" in text
    assert "Take null, an absent field" in text
    assert "&lt;b&gt;" in text
    assert "<b>" not in text
    assert "\u202e" not in text
    assert not re.search(r"<script|<link|https?://(?!127)", text)
