"""What `verify --learn` learns from a stub is what the stub was served with."""

from collections.abc import Iterator, Mapping

import pytest
from hypothesis import given

from any_readings import for_many_profiles, random_profiles
from stepstub import profiles
from stepstub.contract_tests.credentials import Credentials
from stepstub.contract_tests.examination import Examiner
from stepstub.contract_tests.expectations import Expectations
from stepstub.contract_tests.probes import learn
from stepstub.contract_tests.probes.learnt import Learnt
from stepstub.contract_tests.rendering import profile
from stepstub.contract_tests.server import Server
from stepstub.contract_tests.steps import StepPool
from stepstub.contract_tests.stub import RemoteStub
from stepstub.inprocess import InProcess
from stepstub.readings import (
    DEFAULT,
    Readings,
    as_mapping,
    differing,
    questions,
    single_alternatives,
    with_values,
)
from stepstub.settings import DEFAULT_TOKEN
from stepstub.variations import VaryChoice


@pytest.fixture(scope="module")
def stub() -> Iterator[InProcess]:
    with InProcess() as stub:
        yield stub


def learnt_from(
    stub: InProcess,
    readings: Readings,
    *,
    from_steps_alone: bool = False,
    vary: VaryChoice = None,
) -> Learnt:
    """Serve a stub with these readings and learn them.

    Its control API provides steps in every state; or else all that is known are the first steps of
    some processes, as of a foreign server.
    """
    sandbox = stub.default_sandbox()  # requests without a token meet its readings as well
    sandbox.reset(readings=readings, vary=vary)
    pool = StepPool(stub=RemoteStub(stub.url, DEFAULT_TOKEN))
    if from_steps_alone:
        pool = StepPool([sandbox.start_process([{}, {}, {}]).steps[0].id for _ in range(20)])
    credentials = Credentials(readings.credentials, readings.credentials_header)
    return learn(Server(stub.url, DEFAULT_TOKEN, Examiner(Expectations()), credentials), pool)


def hidden(readings: Readings, *, from_steps_alone: bool = False) -> Mapping[str, str]:
    """The readings that cannot be seen from outside under these, with the reason for each."""
    p = as_mapping(readings)
    given, alone = not from_steps_alone, from_steps_alone
    repeatable = {p["bad-body"], p["unknown-step"], p["completed-step"]}
    refusals = repeatable | ({p["pending-step"], p["failed-step"]} if given else set())
    at_the_end = p["last-step-params"] == "submitted"  # a 200 returns what was submitted
    everywhere = p["returned-params"] != "own"
    names_completed = p["named-step"] == "completed"
    returns_trials = everywhere or (given and at_the_end)
    returns_any = everywhere or (at_the_end and (given or not names_completed))
    # A value is only told from some timestamps, milliseconds from trimmed fractions by a trailing
    # zero. More than a few cost steps where no request without effect gets one.
    few_timestamps = (
        p["credentials"] == "none"
        and p["undocumented-form"] != "envelope"
        and not repeatable & {412, "repeat"}
    )
    rules: list[tuple[bool, str, *tuple[str, ...]]] = [
        (True, "only a delegate sees it", "next-step-started"),
        (True, "no request makes a delegate fail", "delegate-failure"),
        (p["credentials"] != "api-key", "no such header is looked at", "credentials-header"),
        (p["credentials"] == "none", "nobody gets 401", "challenge", "checked-first"),
        (p["bad-body"] == p["unknown-step"], "both values have one status", "empty-step-id"),
        (names_completed, "the last 200 is as any other", "last-step-id"),
        (412 not in refusals, "nothing gets 412", "refusal-data"),
        (not returns_any, "no 200 returns what was submitted", "unset-fields"),
        (
            not returns_trials and p["long-fraction"] != "refuse",
            "no 200 returns the number",
            "long-fraction",
        ),
        (
            not returns_trials and p["long-range"] != "int64",
            "no 200 returns the number",
            "long-range",
        ),
        (
            not returns_trials and p["type-agreement"] == "required" and p["type-names"] != "exact",
            "another type is refused because it names no value, and no 200 returns the type",
            "type-names",
        ),
        (few_timestamps, "few responses have a timestamp", "timestamp"),
        (alone, "no such step is known", "pending-step", "failed-step", "time-out"),
        (
            alone and names_completed,
            "any step may be the last one",
            "named-step",
            "returned-params",
            "last-step-params",
        ),
        (alone and everywhere, "the started step has no params of its own", "returned-params"),
    ]
    return {name: reason for holds, reason, *names in rules if holds for name in names}


def check(readings: Readings, learnt: Learnt, *, from_steps_alone: bool = False) -> None:
    expected = as_mapping(readings)
    reasons = hidden(readings, from_steps_alone=from_steps_alone)
    assert list(learnt.values) == list(questions())
    wrong = {
        name: (learnt.values[name], learnt.evidence[name], expected[name])
        for name in expected
        if learnt.values[name] != expected[name]
        and not (name in reasons and learnt.values[name] is None)
    }
    assert not wrong, str(differing(readings))
    seen = {name: value for name, value in learnt.values.items() if value is not None}
    text = profile.render(learnt, "http://127.0.0.1")
    assert profiles.parse(text, "learnt.yaml").readings == with_values(DEFAULT, seen)


@pytest.mark.proof
@for_many_profiles
@given(readings=random_profiles())
def test_what_is_learnt_is_what_was_served(stub: InProcess, readings: Readings) -> None:
    check(readings, learnt_from(stub, readings))
    learnt = learnt_from(stub, readings, from_steps_alone=True)
    check(readings, learnt, from_steps_alone=True)


@pytest.mark.parametrize(
    "readings",
    [DEFAULT, *single_alternatives()],
    ids=lambda readings: (
        "".join(f"{name}-{value}" for name, value in differing(readings).items()) or "default"
    ),
)
def test_each_single_alternative_is_learnt(stub: InProcess, readings: Readings) -> None:
    learnt = learnt_from(stub, readings)
    check(readings, learnt)
    for name, value in differing(readings).items():
        assert learnt.values[name] == (None if name in hidden(readings) else value)


@pytest.mark.parametrize("readings", [DEFAULT, *map(profiles.load, profiles.built_in()[1:])])
@pytest.mark.parametrize("seed", range(3))
def test_variations_leave_what_is_learnt_as_it_is(
    stub: InProcess, readings: Readings, seed: int
) -> None:
    check(readings, learnt_from(stub, readings, vary=seed))
