"""Each wrong server is found out, for the one thing that is wrong with it."""

import pytest

from foreign import holes
from foreign.conftest import Judge
from foreign.judging import says, shown
from foreign.wrong import NOTE, WRONG, Wrong
from stepstub.contract_tests.results import Exit


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.name)
def test_a_wrong_server_is_found_out(
    judge: Judge, wrong: Wrong, seed: int, request: pytest.FixtureRequest
) -> None:
    if why := holes.WRONG.get(wrong.name):
        request.applymarker(pytest.mark.xfail(reason=why))
    report = judge(seed, change=wrong.change())
    named = [
        seen
        for seen in report.causes
        if seen.cause.severity is wrong.severity and says(seen, wrong.words)
    ]
    others = [
        seen
        for seen in report.causes
        if seen not in named and not (wrong.also and says(seen, wrong.also))
    ]
    assert not report.unfinished
    assert len(named) == 1, shown(report.causes)
    assert not others, shown(others)
    assert report.exit is (Exit.CONFORMS if _only_noted(wrong) else Exit.VIOLATES)


def _only_noted(wrong: Wrong) -> bool:
    return wrong.severity is NOTE and wrong.name != "a stack trace in a 500"
