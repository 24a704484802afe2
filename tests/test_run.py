"""A run whose cases go wrong: nothing that was found is lost."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from stepstub.contract_tests.cases import ALL_CASES
from stepstub.contract_tests.cases.case import Case, RunContext
from stepstub.contract_tests.cases.expect import Documented
from stepstub.contract_tests.cases.sequences import Race, StillStarted
from stepstub.contract_tests.cases.witness import Witness
from stepstub.contract_tests.causes import REFUSED_BUT_CHANGED, STARTED
from stepstub.contract_tests.examination import Examiner
from stepstub.contract_tests.expectations import Expectations
from stepstub.contract_tests.findings import CouldNotRun, Finding
from stepstub.contract_tests.response import Response
from stepstub.contract_tests.results import Outcome
from stepstub.contract_tests.run import Run
from stepstub.contract_tests.server import NoResponse, Server
from stepstub.contract_tests.steps import StepPool
from stepstub.contract_tests.stub import RemoteStub
from stepstub.live import LiveServer
from stepstub.settings import DEFAULT_TOKEN

_ANY: dict[str, Any] = {"topic": STARTED, "expect": Documented(), "status": 200}


@dataclass(frozen=True, kw_only=True)
class Ends(Case):
    """Finds something, and then the server is gone."""

    def run(self, context: RunContext) -> Iterator[Finding]:
        yield Finding(REFUSED_BUT_CHANGED, "found before the end")
        raise CouldNotRun(f"gone with {DEFAULT_TOKEN}")


def test_what_a_case_has_found_stays_when_the_run_ends_in_it() -> None:
    case = Ends(name="ends", situation="the end", **_ANY)
    with LiveServer() as stub, Run(stub.url, DEFAULT_TOKEN) as run:
        run.open()
        run.learn()
        with pytest.raises(CouldNotRun, match=r"^gone with \$TOKEN$"):
            run.execute(case)
        run.finish()
    assert run.report.unfinished == "gone with $TOKEN"
    assert [each.cause for each in run.report.to_fix] == [REFUSED_BUT_CHANGED]


def test_a_token_in_the_path_of_the_url_is_not_reported() -> None:
    run = Run(f"http://127.0.0.1:1/{DEFAULT_TOKEN}", DEFAULT_TOKEN)
    assert run.report.url == "http://127.0.0.1:1/$TOKEN"


def test_a_race_that_cannot_begin_is_not_covered() -> None:
    (race,) = (case for case in ALL_CASES if isinstance(case, Race))
    with LiveServer() as stub, Run(stub.url, DEFAULT_TOKEN) as run:
        run.open()
        run.learn()
        result = run.execute(replace(race, patience=0))
        assert run.report.outcome(result) is Outcome.NOT_COVERED
    assert result.why == "the requests of a race could not be sent at the same time"


def test_a_lost_connection_does_not_hide_that_a_refusal_changed_a_step() -> None:
    def dropped(server: Server, step_id: str) -> Response:
        raise NoResponse("no response")

    with LiveServer() as stub:
        server = Server(stub.url, DEFAULT_TOKEN, Examiner(Expectations()))
        pool = StepPool(stub=RemoteStub(stub.url, DEFAULT_TOKEN))
        witness = Witness(pool)
        completed = server.complete(witness.step())
        refused = server.complete("unknown")
        for situation in ("one request", "another request"):
            witness.note(situation, dropped, refused)
        context = RunContext(server, pool, witness, 1, 1, [(witness.step(), completed)])
        case = StillStarted(name="still", situation="a step", **_ANY)
        (found,) = case.run(context)
    assert found.cause == REFUSED_BUT_CHANGED
    assert "one request, another request were all refused, but the step" in found.message
