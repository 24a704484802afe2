"""Few steps, or none that is STARTED: less is covered, but a right server is not called wrong."""

import requests

from foreign import serving
from foreign.judging import judged, shown
from foreign.workflow import TOKEN
from stepstub.contract_tests.cases import ALL_CASES
from stepstub.contract_tests.results import Exit, Outcome, Report
from support import TIMEOUT

LONG_CASES = [case for case in ALL_CASES if case.name in ("overflow-long", "text-long")]


def started(url: str) -> str:
    (step_id, *_) = requests.post(f"{url}/seeds", timeout=TIMEOUT).json()["started"]
    return str(step_id)


def why(report: Report) -> dict[str, str]:
    return {
        result.case.name: result.why
        for result in report.results
        if report.outcome(result) is Outcome.NOT_COVERED
    }


def test_the_status_of_an_unknown_step_says_nothing_about_the_body() -> None:
    with serving.fastapi() as url:
        report = judged(url, TOKEN, LONG_CASES, started_steps=[started(url)], examples=1)
    assert "two-ways-bad-body" not in [seen.cause.key for seen in report.causes], shown(
        report.causes
    )
    assert why(report) == dict.fromkeys(
        ("text-long", "overflow-long"),
        "the step was refused, not the body: no STARTED step was left",
    )


def test_steps_that_were_never_started_are_no_fault_of_the_server() -> None:
    with serving.fastapi() as url:
        glued = started(url) + started(url)
        report = judged(url, TOKEN, seed_command=f"n=$(date +%s%N); echo {glued}$n")
    keys = {seen.cause.key for seen in report.causes if report.fails(seen)}
    assert report.steps == 0
    assert not keys & {"refused-but-changed", "status-a-started-step"}, shown(report.causes)


def test_a_wrong_path_ends_the_run_after_learning() -> None:
    with serving.fastapi() as url:
        report = judged(f"{url}/elsewhere", TOKEN, started_steps=[started(url)])
    assert report.exit is Exit.COULD_NOT_RUN
    assert report.unfinished == (
        "every request got 404; check the path of the URL:"
        f" {url}/elsewhere/api/v1/processes/complete-step"
    )
    assert not report.results


def test_generated_bodies_that_are_accepted_leave_steps_to_the_other_cases() -> None:
    with serving.flask() as url:
        steps = [started(url) for _ in range(30)]
        report = judged(url, TOKEN, started_steps=steps, examples=60)
    assert not [name for name, text in why(report).items() if "no STARTED step was left" in text]
