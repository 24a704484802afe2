"""Which cases a run has."""

import pytest

from stepstub.contract_tests.cases import ALL_CASES
from stepstub.contract_tests.cases.generated import Generated
from stepstub.contract_tests.selection import UnknownCase, select, table
from stepstub.readings import questions

NAMES = [case.name for case in ALL_CASES]


def selected(only: tuple[str, ...] = (), exclude: tuple[str, ...] = ()) -> list[str]:
    return [case.name for case in select(ALL_CASES, only, exclude)]


def test_without_patterns_every_case_is_selected() -> None:
    assert selected() == NAMES


@pytest.mark.parametrize(
    ("only", "exclude", "names"),
    [
        (("race",), (), ["race"]),
        (("race", "no-token"), (), ["no-token", "race"]),  # in their own order
        (("*-token", "race"), ("no-*", "wrong-token"), ["empty-token", "bare-token", "race"]),
        (("r[ab]ce",), (), ["race"]),
    ],
)
def test_patterns_choose_and_leave_out(
    only: tuple[str, ...], exclude: tuple[str, ...], names: list[str]
) -> None:
    assert selected(only, exclude) == names


def test_what_is_left_out_is_all_that_is_missing() -> None:
    generated = [case.name for case in ALL_CASES if isinstance(case, Generated)]
    assert selected(exclude=("generated-*",)) == [name for name in NAMES if name not in generated]


@pytest.mark.parametrize(
    ("only", "exclude", "message"),
    [
        (("rase",), (), "--case rase: no case has such a name; did you mean race"),
        (("Race",), (), "--case Race: no case has such a name; did you mean race"),
        ((), ("no-tokens",), "--exclude no-tokens: no case has such a name; did you mean no-token"),
        (("zzz-*",), (), "--case zzz-*: no case has such a name; --list prints them all"),
        (("race",), ("r*",), "--exclude leaves no case"),
    ],
)
def test_a_pattern_that_matches_nothing_is_an_error(
    only: tuple[str, ...], exclude: tuple[str, ...], message: str
) -> None:
    with pytest.raises(UnknownCase) as caught:
        selected(only, exclude)
    assert message in str(caught.value)


def test_the_table_has_a_line_for_each_case_and_what_decides_it() -> None:
    heading, *lines = table(ALL_CASES, 50)
    assert heading.split() == ["case", "status", "situation", "decided", "by", "steps"]
    rows = {line.split()[0]: line for line in lines}
    assert list(rows) == NAMES
    assert rows["second-completion"].split("  ")[0] == "second-completion"
    assert " 412 " in rows["second-completion"]
    assert "a second completion of a step" in rows["second-completion"]
    assert rows["second-completion"].split()[-2:] == ["completed-step", "0"]
    assert rows["next-step"].split()[-3:] == ["the", "document", "1"]
    assert rows["generated-completions"].split()[-1] == "50"
    decided_by = {line.split()[-2] for line in lines}
    assert decided_by <= {*questions(), "document"}
