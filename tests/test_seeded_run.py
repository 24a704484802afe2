"""Runs against a server that nobody can drive, with steps from a seed command that prints JSON."""

import json
from pathlib import Path
from typing import Any

import pytest

from stepstub import scenario
from stepstub.contract_tests.cases import ALL_CASES
from stepstub.contract_tests.results import Outcome, Report
from stepstub.contract_tests.run import Run
from stepstub.contract_tests.selection import select
from stepstub.contract_tests.steps import OWN_PARAMS
from stepstub.model import Process
from stepstub.serving.server import serve_in_thread
from support import live_app

TOKEN = "a-token-of-the-test"
CALLS = 60
IN_A_STATE = ("pending-step", "failed-step", "late-completion", "last-step", "own-params")


def processes() -> tuple[list[Process], list[dict[str, str]]]:
    """Processes of a server, and the ids of their steps by state, a mapping for each call."""
    kinds: dict[str, tuple[list[dict[str, Any]], int]] = {
        "started": ([{}, {}, {}], 0),
        "pending": ([{}, {}], 1),
        "failed": ([{"status": "FAILED"}], 0),
        "expired": ([{"timeOutInSeconds": 0.0001}], 0),
        "last": ([{}], 0),
        "before-params": ([{}, {"params": OWN_PARAMS}], 0),
    }
    made, calls = [], []
    for number in range(CALLS):
        ids = {}
        for state, (steps, position) in kinds.items():
            process = Process(f"{state}-{number}", scenario.steps(steps, f"{state}-{number}"))
            ids[state] = process.steps[position].id
            made.append(process)
        calls.append(ids)
    return made, calls


def verified(tmp_path: Path, command: str, cases: tuple[str, ...]) -> Report:
    """A run with a seed command, in which FILE has the output of each call on a line."""
    made, calls = processes()
    file = tmp_path / "calls"
    file.write_text("".join(f"{json.dumps(ids)}\n" for ids in calls), "utf-8")
    seed_command = command.replace("FILE", str(file))
    with (
        serve_in_thread(live_app(made, token=TOKEN, with_control=False)) as url,
        Run(url, TOKEN, seed_command=seed_command) as run,
    ):
        run.open()
        run.learn()
        for case in select(ALL_CASES, cases, []):
            run.execute(case)
        run.finish()
    return run.report


def outcomes(report: Report) -> dict[str, Outcome]:
    return {result.case.name: report.outcome(result) for result in report.results}


def test_steps_in_every_state_can_be_covered_on_any_server(tmp_path: Path) -> None:
    report = verified(tmp_path, "head -n 1 FILE; sed -i 1d FILE", IN_A_STATE)
    assert outcomes(report) == dict.fromkeys(IN_A_STATE, Outcome.COVERED)
    assert report.learnt is not None
    learnt = report.learnt.values
    assert [learnt[each] for each in ("pending-step", "failed-step", "time-out")] == [
        412,
        412,
        "fails",
    ]


@pytest.mark.parametrize("last", ["true", "echo the database is gone >&2; exit 1"])
def test_a_command_that_runs_dry_costs_only_the_cases_that_come_later(
    tmp_path: Path, last: str
) -> None:
    enough = 14
    command = f"sed -i '{enough + 1},$d' FILE; if [ -s FILE ]; then head -n 1 FILE; sed -i 1d FILE"
    cases = ("no-token", "next-step", "no-params", "null-params", "race", "unknown-step")
    report = verified(tmp_path, f"{command}; else {last}; fi", cases)
    became = outcomes(report)
    assert became["next-step"] is became["no-token"] is Outcome.COVERED
    assert became["unknown-step"] is Outcome.COVERED
    assert (tmp_path / "calls").read_text("utf-8") == ""
    assert not report.causes
    assert not report.unfinished
