"""Where a run's steps come from, and that no two cases get the same one."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from stepstub.contract_tests.findings import CouldNotRun, NotCovered
from stepstub.contract_tests.needs import STATES, Need
from stepstub.contract_tests.steps import StepPool
from stepstub.inprocess import InProcess


class Stub:
    """A stub of this process, driven without HTTP."""

    def __init__(self, stub: InProcess) -> None:
        self._stub = stub

    def start_process(self, steps: Sequence[dict[str, Any]]) -> list[str]:
        return [step.id for step in self._stub.start_process(list(steps)).steps]


@pytest.fixture
def stub() -> Iterator[Stub]:
    with InProcess() as stub:
        yield Stub(stub)


def counting(calls: Path, command: str) -> str:
    """A seed command whose $n is the number of the call."""
    return f"echo >>{calls}; n=$(wc -l <{calls}); {command}"


def how_often(calls: Path) -> int:
    return calls.read_text("utf-8").count("\n") if calls.exists() else 0


def lacking(pool: StepPool, need: Need) -> str:
    with pytest.raises(NotCovered) as caught:
        pool.take(need)
    return str(caught.value)


def complete(pool: StepPool, named: str | None = None) -> str:
    step_id = pool.take(Need.STARTED)
    pool.completed(step_id, named)
    return step_id


def test_given_steps_are_used_before_those_that_200s_name() -> None:
    pool = StepPool(["a", "b"])
    assert [complete(pool, "a2"), complete(pool, "b2")] == ["a", "b"]
    assert [complete(pool, "a3"), complete(pool), complete(pool)] == ["a2", "b2", "a3"]
    assert lacking(pool, Need.STARTED) == (
        "no STARTED step was left; give more, or a --seed-command"
    )
    assert pool.used == 5


def test_a_step_is_handed_out_once_however_often_it_is_given_printed_or_named() -> None:
    pool = StepPool(["a", "a", "b"], 'printf "b\\na\\nc\\n"', others={Need.LAST: ["b", "l"]})
    assert pool.take(Need.LAST) == "b"
    assert [complete(pool, "a"), complete(pool, "l")] == ["a", "c"]
    assert "only ids that it has printed before" in lacking(pool, Need.STARTED)


def test_with_a_seed_command_every_case_has_a_process_of_its_own(tmp_path: Path) -> None:
    pool = StepPool(["given"], counting(tmp_path / "calls", "echo id-$n"))
    assert complete(pool, "named") == "given"
    refused = pool.take(Need.STARTED)
    pool.give_back(refused)
    assert [refused, complete(pool), complete(pool)] == ["id-1", "id-2", "id-3"]


def test_on_a_stub_every_case_has_a_process_of_its_own(stub: Stub) -> None:
    pool = StepPool(["given"], stub=stub)
    taken = [complete(pool, "named") for _ in range(3)]
    pool.give_back(pool.take(Need.STARTED))
    taken.append(pool.take(Need.STARTED))
    assert taken[0] == "given"
    assert len(set(taken)) == 4
    assert "named" not in taken


def test_without_either_requests_that_are_refused_share_a_step() -> None:
    pool = StepPool(["a", "b"])
    for _ in range(3):
        step_id = pool.take(Need.STARTED)
        assert step_id == "a"
        pool.give_back(step_id)
    assert [complete(pool), complete(pool)] == ["a", "b"]


def test_one_id_is_enough_for_a_chain() -> None:
    pool = StepPool(["a"])
    assert complete(pool, "a2") == "a"
    assert pool.next_of("a") == "a2"
    assert pool.next_of("a") is None
    pool.completed("a2", None)
    assert lacking(pool, Need.NAMED) == "no 200 of this run has named a next step that is not used"
    assert pool.take(Need.COMPLETED) == "a"
    assert pool.used == 2


def test_a_chain_is_followed_whatever_other_cases_do() -> None:
    pool = StepPool(["a", "b", "c"])
    complete(pool, "a2")
    complete(pool, "b2")
    assert pool.next_of("a") == "a2"
    complete(pool, "c2")
    pool.completed("a2", "a3")
    assert pool.next_of("a2") == "a3"
    assert pool.take(Need.NAMED) == "c2"  # the latest


def test_a_200_that_names_the_completed_step_names_no_next_one() -> None:
    pool = StepPool(["a"])
    complete(pool, "a")
    assert "no STARTED step was left" in lacking(pool, Need.STARTED)


def test_used_counts_each_completed_step_once() -> None:
    pool = StepPool(["a", "b"])
    step_id = complete(pool)
    pool.completed(step_id, None)  # another winner of a race
    pool.give_back(pool.take(Need.STARTED))
    assert pool.used == 1


OTHERS = {state: need for state, need in STATES.items() if need is not Need.STARTED}


@pytest.mark.parametrize("state", OTHERS)
def test_the_command_is_called_for_states_that_its_json_has_given_before(
    state: str, tmp_path: Path
) -> None:
    calls = tmp_path / "calls"
    command = counting(calls, f'printf \'{{"started": "s%d", "{state}": "o%d"}}\' $n $n')
    pool = StepPool(seed_command=command)
    assert [pool.take(Need.STARTED), pool.take(OTHERS[state])] == ["s1", "o1"]
    assert pool.take(OTHERS[state]) == "o2"
    assert [pool.take(Need.STARTED), how_often(calls)] == ["s2", 2]


def test_a_command_that_was_not_called_yet_is_tried_once_for_any_state(tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    pool = StepPool(["a"], counting(calls, "echo id-$n"))
    for _ in range(3):
        assert lacking(pool, Need.PENDING) == (
            "the documented operation does not reveal the id of a PENDING step"
            ' (--pending-step ID, or "pending" in the JSON of a seed command)'
        )
    lacking(pool, Need.FAILED)
    assert how_often(calls) == 1
    assert [pool.take(Need.STARTED), pool.take(Need.STARTED)] == ["a", "id-1"]


def test_a_command_that_prints_no_started_steps_is_not_called_for_them_again(
    tmp_path: Path,
) -> None:
    calls = tmp_path / "calls"
    pool = StepPool(["a"], counting(calls, 'printf \'{"failed": "f%d"}\' $n'))
    complete(pool)
    for _ in range(3):
        assert "printed no id of a STARTED step" in lacking(pool, Need.STARTED)
    assert how_often(calls) == 1
    assert [pool.take(Need.FAILED), pool.take(Need.FAILED)] == ["f1", "f2"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "no started step: give one with --started-step, or a --seed-command; a hint"),
        ({"seed_command": "echo no database >&2; exit 3"}, "ended with status 3: no database"),
        ({"seed_command": 'echo \'{"last": "l"}\''}, "printed no id of a STARTED step"),
    ],
)
def test_a_run_without_any_started_step_cannot_begin(
    options: Mapping[str, Any], message: str
) -> None:
    with pytest.raises(CouldNotRun) as caught:
        StepPool(**options, hint="a hint").require_started()
    assert message in str(caught.value)


def test_the_step_that_a_run_begins_with_is_still_there(tmp_path: Path, stub: Stub) -> None:
    command = counting(tmp_path / "calls", "echo id-$n")
    for pool in (StepPool(["a"]), StepPool(seed_command=command), StepPool(stub=stub)):
        pool.require_started()
        pool.require_started()
        complete(pool)
        assert pool.used == 1
    assert how_often(tmp_path / "calls") == 1


def test_a_seed_command_that_fails_later_costs_the_cases_and_not_the_run(tmp_path: Path) -> None:
    once = 'if [ $n = 1 ]; then echo a; else echo "token: secret" >&2; exit 5; fi'
    command = counting(tmp_path / "calls", once)
    pool = StepPool(seed_command=command, redact=lambda text: text.replace("secret", "$TOKEN"))
    pool.require_started()
    complete(pool, "a2")
    assert complete(pool) == "a2"  # better than nothing
    reason = "the seed command ended with status 5: token: $TOKEN"
    assert lacking(pool, Need.STARTED) == f"no STARTED step was left: {reason}"
    assert "no STARTED step was left" in lacking(pool, Need.LAST)
    for _ in range(5):
        lacking(pool, Need.STARTED)
    assert how_often(tmp_path / "calls") == 4
    assert pool.seed_failure == reason


def test_a_stub_provides_steps_in_every_state(stub: Stub) -> None:
    pool = StepPool(stub=stub)
    pool.completed(pool.take(Need.STARTED), "named")
    pairs = (Need.NOTHING, Need.NEXT_CALLS, Need.NEXT_IS_LATE)
    needs = [each for each in Need if each not in pairs]
    assert len({pool.take(need) for need in needs}) == len(needs)
    assert pool.before_call("http://127.0.0.1:9")
    assert len(set(pool.before_late())) == 2
    assert all(pool.has_certain(need) for need in OTHERS.values())


def test_what_only_a_stub_provides_is_said_with_the_hint() -> None:
    pool = StepPool(["a"], hint="use --control-token")
    assert lacking(pool, Need.NEXT_FAILS) == (
        "the documented operation cannot make a server fail; use --control-token"
    )
    with pytest.raises(NotCovered, match=r"what a delegate calls; use --control-token$"):
        pool.before_call("http://127.0.0.1:9")


def test_a_step_of_another_state_goes_back_to_its_own_kind() -> None:
    pool = StepPool(["a"], others={Need.PENDING: ["p", "q"]})
    for _ in range(2):
        step_id = pool.take(Need.PENDING)
        pool.give_back(step_id)
        assert step_id == "p"
    assert [pool.take(Need.PENDING), pool.take(Need.PENDING)] == ["p", "q"]
    assert pool.take(Need.STARTED) == "a"


@pytest.mark.parametrize("need", [Need.PENDING, Need.FAILED, Need.TIME_IS_OVER])
def test_one_step_whose_completions_are_refused_does_for_many_requests(need: Need) -> None:
    pool = StepPool(others={need: ["o"]})
    assert [pool.take(need), pool.take(need)] == ["o", "o"]
    pool.completed("o", None)  # a server that completes it anyway
    assert "the documented operation does not" in lacking(pool, need)


def test_one_step_that_can_be_completed_does_for_one_case() -> None:
    pool = StepPool(others={Need.NEXT_HAS_PARAMS: ["o"]})
    pool.take(Need.NEXT_HAS_PARAMS)
    assert "--step-before-params" in lacking(pool, Need.NEXT_HAS_PARAMS)


def test_the_last_step_of_a_process_is_any_started_one_where_none_is_known() -> None:
    assert StepPool(["a"]).take(Need.LAST) == "a"
    assert StepPool(["a"], others={Need.LAST: ["l"]}).take(Need.LAST) == "l"


@pytest.mark.parametrize(
    ("options", "supply"),
    [
        ({}, "nowhere, unless the server is a Stepstub"),
        ({"given": ["a"]}, "1 id given, then the steps that 200s name as started"),
        ({"given": ["a", "b"], "seed_command": "x"}, "2 ids given, then the seed command"),
        ({"seed_command": "x"}, "the seed command"),
    ],
)
def test_the_supply_is_said_in_words(options: Mapping[str, Any], supply: str) -> None:
    assert StepPool(**options).supply == supply


def test_the_supply_of_a_stub(stub: Stub) -> None:
    assert StepPool(stub=stub).supply == "the control API of the stub"


def test_steps_last_as_long_as_there_is_a_source(tmp_path: Path, stub: Stub) -> None:
    command = counting(tmp_path / "calls", "echo id-$n")
    pools = [StepPool(["a"]), StepPool(seed_command=command), StepPool(stub=stub)]
    assert [pool.is_endless for pool in pools] == [False, True, True]
    for pool in pools[1:]:
        taken = list(islice(iter(lambda pool=pool: pool.take(Need.STARTED), ""), 20))
        assert len(set(taken)) == 20


def test_a_pending_step_that_a_200_names_is_pending_no_more() -> None:
    pool = StepPool(["a1", "b1"], others={Need.PENDING: ["a2", "b2", "c2"]})
    asked_about = pool.take(Need.PENDING)
    pool.give_back(asked_about)
    assert [complete(pool, "a2"), complete(pool, "b2")] == ["a1", "b1"]
    assert [pool.take(Need.PENDING), pool.take(Need.PENDING)] == ["c2", "c2"]
    assert sorted(pool.take(Need.NAMED) for _ in range(2)) == ["a2", "b2"]


def test_a_pending_step_that_was_asked_about_is_not_handed_out_again_once_it_is_started() -> None:
    pool = StepPool(["a1"], others={Need.PENDING: ["a2"]})
    assert pool.take(Need.PENDING) == "a2"
    complete(pool, "a2")
    assert "does not reveal the id of a PENDING step" in lacking(pool, Need.PENDING)
    assert pool.take(Need.NAMED) == "a2"
