"""Which values of a trial are to blame for what it broke."""

from stepstub.readings import Value
from stepstub.trying.explaining import Failure, explanations

Row = dict[str, Value]

EVERYTHING = frozenset({"version", "timestamp", "bad-body", "last-step-id", "undocumented-form"})


def explained(
    failed: list[Row], survived: list[Row], shaping: frozenset[str] = EVERYTHING
) -> list[tuple[str, ...]]:
    failures = [Failure(str(number), row, shaping) for number, row in enumerate(failed)]
    found = explanations(failures, survived)
    return [found[str(number)] for number in range(len(failed))]


def test_a_value_that_no_survived_trial_has_is_to_blame() -> None:
    failed: list[Row] = [{"version": "2", "last-step-id": "absent"}]
    assert explained(failed, [{"version": "2"}]) == [("last-step-id",)]


def test_several_values_of_one_reading_are_each_to_blame() -> None:
    failed: list[Row] = [
        {"last-step-id": "absent", "version": "2"},
        {"last-step-id": "empty", "timestamp": "seconds"},
        {"last-step-id": "empty", "version": "2"},
    ]
    survived: list[Row] = [{"version": "2"}, {"timestamp": "seconds"}]
    assert explained(failed, survived) == [("last-step-id",)] * 3


def test_two_values_are_to_blame_where_neither_is_alone() -> None:
    failed: list[Row] = [
        {"bad-body": 400, "undocumented-form": "html", "version": "2"},
        {"bad-body": 400, "undocumented-form": "html", "timestamp": "seconds"},
    ]
    survived: list[Row] = [
        {"bad-body": 400, "version": "2", "timestamp": "seconds"},
        {"undocumented-form": "html", "version": "2", "timestamp": "seconds"},
    ]
    assert explained(failed, survived) == [("bad-body", "undocumented-form")] * 2


def test_what_explains_more_failures_comes_first() -> None:
    failed: list[Row] = [
        {"last-step-id": "absent", "version": "2"},
        {"last-step-id": "absent", "version": "2"},
        {"last-step-id": "absent"},
    ]
    assert explained(failed, []) == [("last-step-id",)] * 3


def test_what_shaped_a_response_comes_first() -> None:
    failed: list[Row] = [{"last-step-id": "absent", "bad-body": 400}]
    assert explained(failed, [], frozenset({"bad-body"})) == [("bad-body",)]
    assert explained(failed, [], frozenset()) == [("last-step-id", "bad-body")]


def test_what_nothing_explains_has_all_that_shaped_a_response() -> None:
    failed: list[Row] = [{"version": "2", "bad-body": 400, "timestamp": "seconds"}]
    survived: list[Row] = [dict(failed[0])]
    assert explained(failed, survived, frozenset({"version", "timestamp"})) == [
        ("version", "timestamp")
    ]
    assert explained(failed, survived, frozenset()) == [("version", "bad-body", "timestamp")]
