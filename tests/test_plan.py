"""What a plan says a run will use, held to what runs use."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from stepstub import LiveServer
from stepstub.cli import main
from stepstub.contract_tests.cases import ALL_CASES
from stepstub.contract_tests.needs import STATES, Need, option
from stepstub.contract_tests.plan import (
    LEARNING_REQUESTS,
    LEARNING_STEPS,
    MIN_EXAMPLES,
    Plan,
    examples_within,
    plan,
)
from stepstub.contract_tests.run import Run
from stepstub.contract_tests.selection import select
from stepstub.contract_tests.steps import StepPool
from stepstub.contract_tests.stub import RemoteStub

SLOW = 0.3  # seconds a response
ONLY_A_STUB = {"delegate-fails", "generated-delegate-failures", "inside-the-call", "late-next-step"}
GIVEN = {"pending-step", "failed-step", "late-completion", "own-params"}


def planned(examples: int = 100, **given: Any) -> Plan:
    return plan(ALL_CASES, StepPool(**given), examples)


def uncovered(of: Plan) -> set[str]:
    return {each.case.name for each in of.cases if each.lack and not each.perhaps}


def doubtful(of: Plan) -> set[str]:
    return {each.case.name for each in of.cases if each.perhaps}


def verify(*arguments: str | Path, env: Mapping[str, str] | None = None) -> Result:
    return CliRunner().invoke(main, ["verify", *map(str, arguments)], env=env)


def test_runs_take_what_the_plan_says() -> None:
    # Milliseconds may take more requests, until one of them ends with a zero.
    with (
        LiveServer(readings={"timestamp": "seconds"}) as server,
        Run(server.url, server.token) as run,
    ):
        run.open()
        run.learn()
        learnt = run.report.learnt
        assert learnt is not None
        assert (learnt.requests, learnt.steps) == (LEARNING_REQUESTS, LEARNING_STEPS)
        cases = select(ALL_CASES, [], ["generated-*"])
        for case in cases:
            run.execute(case)
        run.finish()
    of = plan(cases, StepPool(stub=RemoteStub(server.url, server.token)), 100)
    assert 0.7 * of.steps < run.report.steps <= of.steps
    assert run.report.requests == pytest.approx(of.requests, rel=0.1)


def test_the_documentation_says_what_learning_takes() -> None:
    page = (Path(__file__).parent.parent / "docs" / "verify.md").read_text("utf-8")
    assert f"sends {LEARNING_REQUESTS} requests and completes {LEARNING_STEPS} steps" in page


def test_a_plan_adds_up_what_learning_and_the_cases_take() -> None:
    cases = select(ALL_CASES, ["race", "no-token", "generated-completions"], [])
    of = plan(cases, StepPool(["a"], "x"), 40)
    assert of.steps == LEARNING_STEPS + 5 + 0 + 40
    assert of.requests == LEARNING_REQUESTS + cases[1].requests + 1 + 40
    assert of.summary == f"Uses up to {of.steps} STARTED steps and about {of.requests} requests"


def test_cases_that_certainly_lack_a_step_are_not_counted() -> None:
    some = {Need.NEXT_HAS_PARAMS: ["n", "m"]}
    assert planned(given=["a"], others=some).steps == planned(given=["a"]).steps + 1


def test_where_nothing_is_given_it_is_a_stub_that_is_verified() -> None:
    on_a_stub = planned(stub=RemoteStub("http://127.0.0.1:9", "token"))
    assert planned().summary == on_a_stub.summary
    assert planned().steps > planned(seed_command="x").steps
    assert uncovered(on_a_stub) == doubtful(on_a_stub) == set()


def test_with_a_seed_command_only_what_its_json_may_give_is_in_doubt() -> None:
    of = planned(seed_command="x")
    assert doubtful(of) == GIVEN
    assert uncovered(of) <= ONLY_A_STUB


def test_nothing_is_in_doubt_where_every_state_is_given() -> None:
    others = {need: ["1", "2"] for need in STATES.values() if need is not Need.STARTED}
    others = {need: [f"{need}-{each}" for each in ids] for need, ids in others.items()}
    of = planned(given=[str(number) for number in range(200)], others=others)
    assert doubtful(of) == set()
    assert uncovered(of) <= ONLY_A_STUB


def test_with_few_ids_it_is_the_later_cases_that_are_in_doubt() -> None:
    ids = [str(number) for number in range(LEARNING_STEPS + 2)]
    one, some = planned(given=ids[:1]), planned(given=ids)
    assert "next-step" in doubtful(one) > doubtful(some)
    assert "next-step" not in doubtful(some)
    assert "race" in doubtful(some)
    refused = {each.case.name for each in one.cases if each.case.need is Need.STARTED} - {
        each.case.name for each in one.cases if each.cost.steps
    }
    assert "empty-body" in refused
    assert not refused & (doubtful(one) | uncovered(one))  # they share a step


def test_without_any_step_only_refusals_are_covered() -> None:
    of = planned()
    assert {"next-step", "second-completion", "race", "last-step"} <= uncovered(of)
    assert not {"no-token", "empty-body", "unknown-step"} & uncovered(of)


def test_of_a_kind_that_learning_completes_two_are_needed() -> None:
    one = planned(given=["a"], others={Need.NEXT_HAS_PARAMS: ["n"]})
    two = planned(given=["a"], others={Need.NEXT_HAS_PARAMS: ["n", "m"]})
    assert "own-params" in uncovered(one) - uncovered(two)
    assert "learning completes the one that is given" in "\n".join(one.lines())


def test_the_lines_name_each_lack_once_with_what_covers_it() -> None:
    text = "\n".join(planned(given=["a"]).lines())
    for state in ("started", "pending", "failed", "expired", "before-params"):
        assert text.count(f'({option(state)} ID, or "{state}" in the JSON of a seed command)') == 1
    assert text.count("the documented operation cannot make a server fail") == 1
    assert "Steps come from: 1 id given, then the steps that 200s name as started." in text


@pytest.mark.parametrize(
    ("latency", "examples", "expected"),
    [(0, 100, 100), (0.001, 100, 100), (30, 100, MIN_EXAMPLES), (30, 3, 3)],
)
def test_fewer_bodies_are_generated_for_a_slow_server(
    latency: float, examples: int, expected: int
) -> None:
    assert examples_within(latency, examples) == expected


def test_a_slow_server_takes_less_than_three_minutes() -> None:
    examples = examples_within(SLOW, 100)
    assert 5 < examples < 100
    assert planned(examples, seed_command="x").requests * SLOW < 180


def test_a_dry_run_sends_nothing_and_calls_no_command(tmp_path: Path) -> None:
    called = tmp_path / "called"
    result = verify("http://127.0.0.1:9", "--seed-command", f"touch {called}", "--dry-run")
    assert result.exit_code == 0, result.output
    assert "Uses up to " in result.output
    assert "Steps come from: the seed command." in result.output
    assert not called.exists()


def test_a_dry_run_is_about_the_selected_cases_and_examples() -> None:
    options = ("--case", "generated-completions", "--examples", "7", "--started-step", "a")
    result = verify("--dry-run", *options)
    rows = [line.split() for line in result.output.split("\n\n")[0].splitlines()[1:]]
    learning = ["learning", str(LEARNING_STEPS), str(LEARNING_REQUESTS)]
    assert rows == [learning, ["generated-completions", "7", "7"]]


@pytest.mark.parametrize("state", STATES)
def test_every_state_has_an_option(state: str) -> None:
    given = verify("--dry-run", option(state), "a", option(state), "b").output
    assert given != verify("--dry-run").output or state == "last"


def test_the_cases_are_listed_without_a_url_or_a_token() -> None:
    result = verify("--list", "--case", "r*", env={"STEPSTUB_TOKEN": ""})
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.output.splitlines()] == [
        "case",
        *(case.name for case in ALL_CASES if case.name.startswith("r")),
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--list", "--case", "rase"], "--case rase: no case has such a name; did you mean race"),
        ([], "Missing argument 'URL'."),
        (["--examples", "0"], "'--examples': 0 is not in the range"),
    ],
)
def test_wrong_usage_is_refused(arguments: list[str], message: str) -> None:
    result = verify(*arguments)
    assert result.exit_code == 2
    assert message in result.output
