"""A server is judged by its own readings: whatever they are, nothing is wrong with it."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given, settings

from any_readings import PROFILES, for_many_profiles, random_profiles
from stepstub import profiles
from stepstub.client import Sandbox
from stepstub.contract_tests.asked import asked_for
from stepstub.contract_tests.cases import ALL_CASES
from stepstub.contract_tests.credentials import Credentials
from stepstub.contract_tests.results import Exit, Report
from stepstub.contract_tests.run import Run
from stepstub.live import LiveServer
from stepstub.readings import DEFAULT, Readings, differing, single_alternatives
from stepstub.settings import DEFAULT_TOKEN


@pytest.fixture(scope="module")
def stub() -> Iterator[LiveServer]:
    with LiveServer() as stub:
        yield stub


def verified(stub: LiveServer, readings: Readings, **options: Any) -> Report:
    """The report about a stub that is served with these readings."""
    Sandbox(stub.url, DEFAULT_TOKEN).reset(readings=readings)
    credentials = Credentials(readings.credentials, readings.credentials_header)
    options = {"seed": 1, "examples": 5, "credentials": credentials, **options}
    with Run(stub.url, DEFAULT_TOKEN, **options) as run:
        run.open()
        run.learn()
        for case in ALL_CASES:
            run.execute(case)
        run.finish()
    return run.report


def name(readings: Readings) -> str:
    return ", ".join(f"{name}: {value}" for name, value in differing(readings).items()) or "default"


def found(report: Report) -> Mapping[str, list[str]]:
    return {each.cause.key: [one.message for one in each.findings] for each in report.causes}


PRESETS = [profiles.load(preset) for preset in profiles.built_in()]


@pytest.mark.parametrize("readings", PRESETS, ids=profiles.built_in())
def test_nothing_is_wrong_with_a_preset(stub: LiveServer, readings: Readings) -> None:
    report = verified(stub, readings)
    assert not found(report)
    assert report.exit is Exit.CONFORMS


@pytest.mark.proof
@pytest.mark.parametrize("readings", [*single_alternatives()], ids=name)
def test_nothing_is_wrong_with_any_single_alternative(stub: LiveServer, readings: Readings) -> None:
    assert not found(verified(stub, readings))


@pytest.mark.proof
@settings(for_many_profiles, max_examples=PROFILES // 3)
@given(readings=random_profiles())
def test_nothing_is_wrong_with_any_profile(stub: LiveServer, readings: Readings) -> None:
    assert not found(verified(stub, readings))


def test_what_was_not_asked_for_is_what_the_cases_find(stub: LiveServer) -> None:
    report = verified(stub, DEFAULT, asked=asked_for("default", {"delegate-failure": "hidden"}))
    assert "status-a-delegate-s-failure" in found(report)
    assert report.exit is Exit.VIOLATES
