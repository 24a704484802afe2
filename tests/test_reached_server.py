"""A server behind whatever stands before a real one: a path, a proxy that limits, a gateway."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import responses

from stepstub.contract_tests.connection import Connection
from stepstub.contract_tests.credentials import Credentials
from stepstub.contract_tests.examination import Examiner
from stepstub.contract_tests.expectations import Expectations
from stepstub.contract_tests.needs import Need
from stepstub.contract_tests.probes import learn
from stepstub.contract_tests.probes.prober import BASE, Prober
from stepstub.contract_tests.response import Response
from stepstub.contract_tests.server import Server
from stepstub.contract_tests.steps import StepPool
from stepstub.contract_tests.stub import RemoteStub
from stepstub.inprocess import InProcess
from stepstub.readings import DEFAULT, as_mapping
from stepstub.settings import DEFAULT_TOKEN

URL = "https://workflow.example/some/base"
OPERATION = URL + Expectations().path


def server(**options: Any) -> Server:
    return Server(f"{URL}/", DEFAULT_TOKEN, Examiner(Expectations()), **options)


@pytest.fixture
def mocked() -> Iterator[responses.RequestsMock]:
    registry = responses.registries.OrderedRegistry
    with responses.RequestsMock(registry=registry) as mock:
        yield mock


def test_a_path_before_that_of_the_operation_is_kept(mocked: responses.RequestsMock) -> None:
    mocked.post(OPERATION, json={})
    mocked.post(f"{OPERATION}/below", json={})
    reached = server()
    reached.complete("a")
    reached.post({}, below="/below")


def test_a_response_knows_its_request_and_whether_it_was_repeated(
    mocked: responses.RequestsMock,
) -> None:
    mocked.post(OPERATION, status=502)
    mocked.post(OPERATION, json={}, status=412)
    waits: list[float] = []
    connection = Connection(headers={"X-Env": "staging"})
    reached = server(connection=connection, wait=waits.append, clock=lambda: 0.0)
    response = reached.complete("a", step="a")
    assert response.repeated
    assert '"$STEP"' in response.curl
    assert '-H "X-Env: $X_ENV"' in response.curl
    (trouble,) = reached.trouble
    assert trouble.curl == response.curl
    assert trouble.recovered
    assert (len(waits), reached.sent) == (1, 1)


def test_without_credentials_no_header_is_sent(mocked: responses.RequestsMock) -> None:
    mocked.post(OPERATION, json={})
    response = server(credentials=Credentials("none")).complete("a")
    assert "Authorization" not in mocked.calls[0].request.headers
    assert "Authorization" not in response.curl


class Doubled(Server):
    """A server whose requests with some numbers arrive twice: the first response gets lost."""

    def __init__(self, url: str, doubled: Callable[[int], bool]) -> None:
        super().__init__(url, DEFAULT_TOKEN, Examiner(Expectations()))
        self._doubled = doubled
        self._number = -1

    def send(self, **request: Any) -> Response:
        self._number += 1
        if not self._doubled(self._number):
            return super().send(**request)
        super().send(**request)
        return replace(super().send(**request), repeated=True)


@pytest.fixture(scope="module")
def stub() -> Iterator[InProcess]:
    with InProcess() as stub:
        yield stub


def learnt(stub: InProcess, doubled: Callable[[int], bool]) -> dict[str, object]:
    pool = StepPool(stub=RemoteStub(stub.url, DEFAULT_TOKEN))
    return dict(learn(Doubled(stub.url, doubled), pool).values)


def test_one_request_that_was_processed_twice_makes_nothing_wrong(stub: InProcess) -> None:
    """A good completion that is sent again is refused, though it was accepted."""
    straight = learnt(stub, lambda number: False)
    for doubled in range(29):
        seen = learnt(stub, lambda number, doubled=doubled: number == doubled)  # type: ignore[misc]
        wrong = {name for name, value in seen.items() if value not in (None, straight[name])}
        lost = {name for name, value in seen.items() if value is None} - {
            name for name, value in straight.items() if value is None
        }
        assert not wrong, doubled
        assert len(lost) <= 1, (doubled, lost)


def test_requests_that_are_all_processed_twice_make_nothing_wrong(stub: InProcess) -> None:
    ours = as_mapping(DEFAULT)
    seen = learnt(stub, lambda number: True)
    assert {name for name, value in seen.items() if value not in (None, ours[name])} == set()


def test_a_trial_that_was_processed_twice_is_repeated_with_another_step(stub: InProcess) -> None:
    pool = StepPool(stub=RemoteStub(stub.url, DEFAULT_TOKEN))
    prober = Prober(Doubled(stub.url, lambda number: number == 0), pool)
    trial = prober.attempt("a completion", BASE)
    assert not trial.accepted
    assert trial.why == "an earlier attempt may have reached the server"
    prober.settle()
    assert trial.accepted


def test_a_step_whose_time_is_over_is_not_known_to_fail_if_it_may_have_been_completed(
    stub: InProcess,
) -> None:
    """The first of two completions may have been accepted, so that the second one is refused."""
    started = RemoteStub(stub.url, DEFAULT_TOKEN).start_process([{}])
    pool = StepPool(others={Need.TIME_IS_OVER: started})
    doubled = Doubled(stub.url, lambda number: True)
    assert learn(doubled, pool).values["time-out"] is None


def test_a_stub_that_needs_no_credentials_is_learnt_without_any() -> None:
    with InProcess(readings={"credentials": "none"}) as stub:
        pool = StepPool(stub=RemoteStub(stub.url, DEFAULT_TOKEN))
        reached = Server(stub.url, "", Examiner(Expectations()), Credentials("none"))
        assert learn(reached, pool).values["credentials"] == "none"


def test_a_curl_line_of_the_learning_asks_for_a_fresh_step(stub: InProcess) -> None:
    pool = StepPool(stub=RemoteStub(stub.url, DEFAULT_TOKEN))
    evidence = learn(Server(stub.url, DEFAULT_TOKEN, Examiner(Expectations())), pool).evidence
    assert '"$STEP"' in evidence["type-names"].curl
    assert '"$STEP"' not in evidence["unknown-step"].curl
    assert json.dumps("$STEP") not in evidence["completed-step"].curl
