"""Servers that others could have written: what is learnt of each, and what is found.

A profile that was learnt, served by a stub, shows a client what the server itself shows.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from foreign import client_view, holes, serving
from foreign.gateway import Trouble, gateway
from foreign.judging import EXAMPLES, judged, says, shown
from foreign.workflow import TOKEN
from stepstub import profiles
from stepstub.contract_tests.cases import ALL_CASES
from stepstub.contract_tests.cases.case import Case
from stepstub.contract_tests.findings import Severity
from stepstub.contract_tests.needs import Need
from stepstub.contract_tests.rendering import profile
from stepstub.contract_tests.results import Exit, Report
from stepstub.contract_tests.stub import RemoteStub
from stepstub.live import LiveServer
from stepstub.readings import DEFAULT, Value, as_mapping
from support import TIMEOUT

VIOLATION, INCONSISTENCY = Severity.VIOLATION, Severity.INCONSISTENCY
UNSEEN: dict[str, Value | None] = {
    "next-step-started": None,
    "delegate-failure": None,
    "credentials-header": None,
}
"""What only a delegate can see, and a header that was not sent."""


@dataclass(frozen=True)
class Expected:
    """What is learnt where it is not our reading, and a pattern for each cause that is found.

    `also` is what a cause that is only found at times is about.
    """

    learnt: Mapping[str, Value | None]
    causes: Sequence[tuple[Severity, str]]
    also: str = "^$"


EXPECTED = {
    # Everything is used as it comes, and comes back the same way; what that cannot be done with
    # ends in an exception.
    "flask": Expected(
        {
            "type-names": "any",
            "long-fraction": "keep",
            "long-range": "unbounded",
            "text-for-number": None,
            "bad-body": 400,
            "duplicate-names": "last-wins",
            "refusal-data": None,
            "last-step-params": "submitted",
            "challenge": "absent",
            "success-message": "OK",
            "version": "1.0",
            "timestamp": "microseconds",
            "undocumented-form": "html",
            "null-param": "accept",
        },
        [
            (VIOLATION, "In the 412, data"),
            (VIOLATION, "200 is no strict JSON.*NaN"),
            (VIOLATION, "bad body gets 500"),
            (VIOLATION, "a string as params got 500, but"),
            (VIOLATION, "500 is no strict JSON.*HTML"),
            (INCONSISTENCY, "null as processStepId got 412"),
        ],
        also=r"data\.params",
    ),
    # Only the form of its 401 is not the document's, and a body that is not UTF-8 gets a status of
    # its own.
    "fastapi": Expected(
        {
            "long-range": "unbounded",
            "text-for-number": "read",
            "params-null": "refuse",
            "bad-body": 422,
            "duplicate-names": "last-wins",
            "refusal-data": "empty",
            "unknown-step": 404,
            "returned-params": "submitted",
            "checked-first": "body",
            "timestamp": "microseconds",
            "timestamp-zone": "offset",
            "undocumented-form": None,
            "unset-fields": "null",
        },
        [
            (VIOLATION, "the 401 lacks message"),
            (INCONSISTENCY, "not UTF-8 got 400"),
        ],
    ),
    "spring": Expected(
        {
            "long-fraction": "truncate",
            "text-for-number": "read",
            "bad-body": 400,
            "duplicate-names": "last-wins",
            "empty-step-id": "bad-body",
            "refusal-data": "message",
            "unknown-step": 404,
            "last-step-params": "null",
            "timestamp": "trimmed",
            "undocumented-form": "spring",
            "null-param": "accept",
            "unset-fields": "null",
        },
        [(VIOLATION, "401 is no strict JSON.*empty body")],
        also=r"data\.params",
    ),
    "express": Expected(
        {
            "type-names": "any",
            "long-fraction": "keep",
            "long-range": "rounded",
            "text-for-number": None,
            "bad-body": 400,
            "duplicate-names": "last-wins",
            "empty-step-id": "bad-body",
            "refusal-data": None,
            "unknown-step": 404,
            "last-step-id": "absent",
            "last-step-params": "submitted",
            "challenge": "absent",
            "checked-first": "body",
            "success-message": "Step completed",
            "undocumented-form": None,
            "null-param": "accept",
        },
        [
            (VIOLATION, "In the 412, data"),
            (VIOLATION, "text/plain gets 500"),
            (VIOLATION, "500 is no strict JSON.*HTML"),
        ],
        also=r"data\.params",
    ),
}

SERVERS = [
    *serving.PYTHON,
    pytest.param("express", marks=pytest.mark.node),
]


@dataclass
class Foreign:
    """A live server; `direct` is its URL, `url` that of whatever stands in front of it."""

    name: str
    direct: str
    url: str = ""

    def __post_init__(self) -> None:
        self.url = self.url or self.direct

    def seeds(self) -> dict[str, list[str]]:
        """Ids of steps of fresh processes, by what is known of them."""
        response = requests.post(f"{self.direct}/seeds", timeout=TIMEOUT)
        seeds: dict[str, list[str]] = response.json()
        return seeds

    def step(self, known: str) -> str:
        """The id of a fresh step of which that is known."""
        return self.seeds()[known][0]

    def judged(
        self, seed: int, cases: Sequence[Case] = ALL_CASES, *, examples: int = EXAMPLES
    ) -> Report:
        """What the suite reports, given steps in every state."""
        given = [self.seeds() for _ in range(15)]
        others = {
            Need.PENDING: "pending",
            Need.FAILED: "failed",
            Need.TIME_IS_OVER: "expired",
            Need.LAST: "last",
        }
        return judged(
            self.url,
            TOKEN,
            cases,
            started_steps=[step for seeds in given[1:] for step in seeds["started"]],
            other_steps={
                **{need: [seeds[known][0] for seeds in given] for need, known in others.items()},
                Need.NEXT_HAS_PARAMS: given[0]["started"],
            },
            seed=seed,
            examples=examples,
        )


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> Iterator[Foreign]:
    serve = {**serving.PYTHON, "express": serving.express}[request.param]
    with serve() as url:
        yield Foreign(request.param, url)


def learnt(expected: Expected) -> Mapping[str, Value | None]:
    return {**as_mapping(DEFAULT), **UNSEEN, **expected.learnt}


def check_causes(report: Report, expected: Expected) -> None:
    """Each expected cause is found once; what is found beside them is only noted."""
    failing = [seen for seen in report.causes if report.fails(seen)]
    for severity, pattern in expected.causes:
        found = [
            seen for seen in failing if seen.cause.severity is severity and says(seen, pattern)
        ]
        assert len(found) == 1, f"{pattern}: {shown(report.causes)}"
        failing.remove(found[0])
    others = [seen for seen in failing if not says(seen, expected.also)]
    assert not others, shown(others)
    assert report.exit is Exit.VIOLATES


@pytest.mark.proof
@pytest.mark.parametrize("name", ["fastapi", "spring"])
def test_the_verdict_does_not_depend_on_the_seed(name: str) -> None:
    verdicts = set()
    with serving.PYTHON[name]() as url:
        for seed in range(20):
            report = Foreign(name, url).judged(seed, examples=15)
            failing = (seen.cause.key for seen in report.causes if report.fails(seen))
            verdicts.add((report.exit, tuple(sorted(failing))))
    assert len(verdicts) == 1, verdicts


def test_a_foreign_server_is_learnt_and_judged(
    server: Foreign, seed: int, request: pytest.FixtureRequest
) -> None:
    if why := holes.SERVERS.get(server.name):
        request.applymarker(pytest.mark.xfail(reason=why))
    report, expected = server.judged(seed), EXPECTED[server.name]
    check_causes(report, expected)
    assert report.learnt
    assert report.learnt.values == learnt(expected)


@pytest.mark.parametrize("trouble", [Trouble(), Trouble(lost=23)], ids=["", "and-loses-responses"])
def test_a_gateway_in_front_changes_nothing(trouble: Trouble, seed: int) -> None:
    with serving.spring() as direct, gateway(direct, trouble) as url:
        report = Foreign("spring", direct, url).judged(seed)
    expected = EXPECTED["spring"]
    check_causes(report, expected)
    assert report.learnt
    # What is lost may leave a reading unknown, but never makes another value of it.
    seen = {name: value for name, value in report.learnt.values.items() if value is not None}
    assert seen == {name: learnt(expected)[name] for name in seen}
    assert len(seen) > 25
    assert all(each.recovered for each in report.trouble)
    assert report.trouble


def test_a_stub_with_the_learnt_profile_looks_the_same(server: Foreign) -> None:
    report = server.judged(1, cases=())
    assert report.learnt
    written = profile.render(report.learnt, server.url)
    readings = profiles.parse(written, "learnt.yaml").readings
    headers = {"Authorization": f"Bearer {TOKEN}"}
    seen = client_view.observe(server.url, headers, server.step)
    with LiveServer(readings=readings) as stub:
        control = RemoteStub(stub.url, stub.token)
        headers = {"Authorization": f"Bearer {stub.token}"}
        stubbed = client_view.observe(stub.url, headers, lambda known: _step(control, known))
    values = report.learnt.values
    assert client_view.compared(stubbed, values) == client_view.compared(seen, values)


PROCESSES: Mapping[str, tuple[list[dict[str, Any]], int]] = {
    "started": ([{}, {"params": {"carrier": serving.PARCEL}}, {}, {}], 0),
    "pending": ([{}, {}], 1),
    "failed": ([{"status": "FAILED"}], 0),
    "expired": ([{"timeOutInSeconds": 0.0001}], 0),
    "last": ([{}], 0),
}


def _step(control: RemoteStub, known: str) -> str:
    steps, position = PROCESSES[known]
    return control.start_process(steps)[position]
