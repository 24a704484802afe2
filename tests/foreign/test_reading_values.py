"""A server that reads the document in another way conforms to it, and its way is learnt."""

from collections.abc import Iterator

import pytest

from foreign.conftest import Judge
from foreign.judging import shown
from stepstub.contract_tests.results import Exit
from stepstub.readings import Readings, as_mapping, differing, single_alternatives, with_values

pytestmark = pytest.mark.proof

FROM_INSIDE = {"next-step-started", "delegate-failure"}
"""The readings that only a delegate can see."""

SHOWN_BY = {"empty-step-id": {"unknown-step": 404}}
"""What makes a reading visible that is hidden among the defaults."""

REMARKS = {"credentials=none": ["no-credentials-needed"]}
"""What is noted about a reading although it is as good as any."""


def _alternatives() -> Iterator[Readings]:
    for readings in single_alternatives():
        (name,) = differing(readings)
        if name not in FROM_INSIDE:
            yield with_values(readings, SHOWN_BY.get(name, {}))


def _name(readings: Readings) -> str:
    return ",".join(f"{name}={value}" for name, value in differing(readings).items())


@pytest.mark.parametrize("readings", list(_alternatives()), ids=_name)
def test_another_reading_is_learnt_and_is_no_mistake(
    judge: Judge, readings: Readings, seed: int
) -> None:
    report = judge(seed, readings=readings)
    assert report.learnt
    known = {name: value for name, value in report.learnt.values.items() if value is not None}
    served = as_mapping(readings)
    assert report.exit is Exit.CONFORMS, shown(report.causes)
    noted = [seen.cause.key for seen in report.causes]
    assert noted == REMARKS.get(_name(readings), []), shown(report.causes)
    assert known == {name: served[name] for name in known}
    assert differing(readings).keys() <= known.keys()


def test_a_stub_in_disguise_is_judged_as_any_server(judge: Judge, seed: int) -> None:
    report = judge(seed)
    assert report.exit is Exit.CONFORMS, shown(report.causes)
    assert not report.causes, shown(report.causes)
    assert not report.asked  # a stub would be held to its own readings
