"""The GitHub action: its shell steps are checked and run as a runner does, with their inputs."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from support import PATH, ROOT, TIMEOUT
from test_ci_docs import block, steps

ACTION = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
INSTALL, RUN = ACTION["runs"]["steps"]
BASH = ["bash", "--noprofile", "--norc", "-eo", "pipefail"]
BIN = Path(sys.executable).parent


class Runner:
    """What a runner offers to the steps, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "job"
        self.folder.mkdir()
        self.outputs_file = folder / "outputs"
        self.outputs_file.touch()
        self.temp = folder / "temp"
        self.temp.mkdir()

    def run(self, step: dict[str, Any], **inputs: str) -> subprocess.CompletedProcess[str]:
        """Run a step; inputs that are not given have their defaults."""
        defaults = {name: one["default"] for name, one in ACTION["inputs"].items()}
        values = defaults | {name.replace("_", "-"): value for name, value in inputs.items()}
        return subprocess.run(
            [*BASH, "-c", step["run"]],
            cwd=self.folder,
            env={
                **{name: text for name, text in os.environ.items() if "STEPSTUB" not in name},
                **{name: filled(text, values) for name, text in step["env"].items()},
                "GITHUB_ACTION_PATH": str(ROOT),
                "GITHUB_OUTPUT": str(self.outputs_file),
                "RUNNER_TEMP": str(self.temp),
            },
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    def outputs(self) -> dict[str, str]:
        return dict(line.split("=", 1) for line in self.outputs_file.read_text().splitlines())


def filled(text: str, inputs: dict[str, str]) -> str:
    """A value of the environment, with the input that it names."""
    (name,) = re.fullmatch(r"\$\{\{ inputs\.([\w-]+) \}\}", text).groups()  # type: ignore[union-attr]
    return inputs[name]


@pytest.fixture
def bare_runner(tmp_path: Path) -> Iterator[Runner]:
    """What still runs at the end is ended, as in a job."""
    job = Runner(tmp_path)
    yield job
    end(job)


@pytest.fixture
def runner(bare_runner: Runner) -> Runner:
    """One on which Stepstub is installed."""
    (bare_runner.temp / "stepstub").mkdir()
    (bare_runner.temp / "stepstub" / "bin").symlink_to(BIN)
    return bare_runner


def end(job: Runner) -> None:
    """End the servers that the job started: those whose log is in its folder."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            is_of_the_job = str(job.temp) in str((process / "fd" / "2").readlink())
        except OSError:  # it is another user's, or gone
            continue
        if is_of_the_job:
            os.kill(int(process.name), signal.SIGTERM)


def complete(url: str, token: str, step_id: str) -> int:
    return requests.post(
        url + PATH,
        json={"processStepId": step_id},
        headers={"Authorization": f"Bearer {token}"},
        timeout=TIMEOUT,
    ).status_code


def test_a_stub_is_ready_when_the_step_is_over_and_serves_on(runner: Runner) -> None:
    options = "--scenario\nevery-status\n\n--scenario\nlast-step\n"
    done = runner.run(RUN, port="0", token="a-b's", options=options)
    assert done.returncode == 0, done.stdout + done.stderr
    outputs = runner.outputs()
    assert outputs["token"] == "a-b's"
    for step_id in ("claim-1-started", "invoice-1-archive"):
        assert complete(outputs["url"], outputs["token"], step_id) == 200
    assert "listens on" in done.stdout


def test_a_stub_that_cannot_serve_fails_the_step_and_says_why(runner: Runner) -> None:
    done = runner.run(RUN, port="0", options="--scenario\nmissing")
    assert done.returncode == 1
    assert done.stdout.startswith("::error title=Stepstub does not serve::Error: ")
    assert "missing" in done.stdout


def test_a_command_that_there_is_not_fails_the_step(runner: Runner) -> None:
    done = runner.run(RUN, command="server")
    assert done.returncode == 2
    assert done.stdout.startswith("::error title=Stepstub has no command server::")


def test_a_server_is_verified_with_annotations_and_a_report(runner: Runner) -> None:
    assert runner.run(RUN, port="0").returncode == 0
    few = "--examples\n1\n"

    url = runner.outputs()["url"]
    good = runner.run(RUN, command="verify", url=url, report_dir="good", options=few)
    strict = f"{few}--reading\nunknown-step=404"
    bad = runner.run(RUN, command="verify", url=url, report_dir="bad reports", options=strict)

    assert good.returncode == 0, good.stdout + good.stderr
    assert bad.returncode == 1
    assert "::error" in bad.stdout
    assert "::error" not in good.stdout
    for folder in ("good", "bad reports"):
        reports = {path.name for path in (runner.folder / folder).iterdir()}
        assert reports == {"junit.xml", "report.html", "report.json"}


@pytest.mark.index
def test_it_installs_what_it_runs(bare_runner: Runner) -> None:
    for inputs in ({}, {"command": "verify"}):
        done = bare_runner.run(INSTALL, python=sys.executable, **inputs)
        assert done.returncode == 0, done.stdout + done.stderr
        served = bare_runner.run(RUN, port="0")
        assert served.returncode == 0, served.stdout + served.stderr
    url = bare_runner.outputs()["url"]
    verified = bare_runner.run(RUN, command="verify", url=url, options="--examples\n1")
    assert verified.returncode == 0, verified.stdout + verified.stderr


@pytest.mark.parametrize("step", [INSTALL, RUN], ids=lambda step: step["name"])
def test_shellcheck_has_nothing_to_say(step: dict[str, Any], tmp_path: Path) -> None:
    script = tmp_path / "step.sh"
    settings = "".join(f"export {name}=\n" for name in step["env"])
    script.write_text(f"#!/bin/bash\n{settings}{step['run']}", "utf-8")
    checked = subprocess.run(
        [BIN / "shellcheck", script], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("job", ["server", "client", "action-serve", "action-verify"])
def test_the_jobs_of_the_page_are_valid_and_give_inputs_that_there_are(
    job: str, tmp_path: Path
) -> None:
    workflow = tmp_path / "workflow.yaml"
    workflow.write_text(f"on: push\n{block(f'job: {job}')}", "utf-8")
    checked = subprocess.run(
        [BIN / "check-jsonschema", "--builtin-schema", "vendor.github-workflows", workflow],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout
    for step in steps(job):
        if step.get("uses") == "./stepstub":
            assert set(step.get("with", {})) <= set(ACTION["inputs"])


def test_each_input_and_output_is_on_the_page() -> None:
    page = (ROOT / "docs" / "ci.md").read_text("utf-8")
    for name, one in ACTION["inputs"].items():
        row = re.search(rf"^\| `{name}` \|[^|]*\| ([^|]+) \|", page, re.MULTILINE)
        assert row, name
        assert row[1] == (one["default"] or "none")
    assert set(ACTION["outputs"]) == {"url", "token"}
