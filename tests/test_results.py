"""What the results of a run add up to."""

from datetime import UTC, date, datetime

import pytest

from report_samples import case, report
from stepstub.contract_tests.causes import REFUSED_BUT_CHANGED, inconsistency, violation
from stepstub.contract_tests.findings import Cause, Finding, Severity
from stepstub.contract_tests.results import Drift, Exit, Report, Result
from stepstub.profiles import Accepted

SHAPE = violation("shape-401", "The 401 is of another shape", "The document says so.")
NOTE = Cause(Severity.NOTE, "allow", "A 405 without its Allow", "HTTP says so.")
TWO_WAYS = inconsistency("bad-body", 400)


def found(*causes: Cause) -> Result:
    return Result(case("a"), tuple(Finding(cause, "seen") for cause in causes))


def of(*results: Result, **members: object) -> Report:
    return report(results=list(results), **members)


def test_what_loses_work_goes_before_what_is_seen_more_often() -> None:
    causes = of(found(NOTE, TWO_WAYS, SHAPE, SHAPE, REFUSED_BUT_CHANGED)).causes
    assert [each.cause for each in causes] == [REFUSED_BUT_CHANGED, SHAPE, TWO_WAYS, NOTE]
    assert [each.exchanges for each in causes] == [1, 2, 1, 1]


def test_a_cause_is_one_entry_however_many_responses_show_it() -> None:
    (seen,) = of(found(SHAPE), Result(case("b"), (Finding(SHAPE, "otherwise"),))).causes
    assert seen.cases == ("a", "b")
    assert [one.message for one in seen.findings] == ["seen", "otherwise"]


@pytest.mark.parametrize(
    ("members", "causes", "expected"),
    [
        ({}, (), Exit.CONFORMS),
        ({}, (NOTE,), Exit.CONFORMS),
        ({}, (SHAPE,), Exit.VIOLATES),
        ({}, (TWO_WAYS,), Exit.VIOLATES),
        ({"require": (401,)}, (), Exit.VIOLATES),
        ({"unfinished": "the server is gone"}, (), Exit.COULD_NOT_RUN),
        ({"drift": [Drift("bad-body", 400, 422)]}, (), Exit.DRIFTED),
        ({"drift": [Drift("bad-body", 400, None)]}, (), Exit.CONFORMS),
        ({"drift": [Drift("bad-body", 400, 422)]}, (SHAPE,), Exit.VIOLATES),
    ],
)
def test_the_exit_status(
    members: dict[str, object], causes: tuple[Cause, ...], expected: Exit
) -> None:
    assert of(found(*causes), **members).exit is expected


@pytest.mark.parametrize(("day", "expected"), [(29, Exit.CONFORMS), (28, Exit.VIOLATES)])
def test_an_accepted_cause_fails_again_after_its_last_day(day: int, expected: Exit) -> None:
    accepted = [Accepted("shape-401", "known", date(2026, 3, day))]
    began = datetime(2026, 3, 29, 23, 59, tzinfo=UTC)
    assert of(found(SHAPE), accepted=accepted, began=began).exit is expected
