"""What a server is held to, and each way in which it differs from that or from what it was."""

from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from stepstub import profiles
from stepstub.contract_tests.asked import Asked, asked_for, deviations
from stepstub.contract_tests.drift import drift
from stepstub.contract_tests.examination import Examiner
from stepstub.contract_tests.expectations import Expectations
from stepstub.contract_tests.findings import Finding, Severity
from stepstub.contract_tests.probes import learn
from stepstub.contract_tests.probes.learnt import Learnt
from stepstub.contract_tests.rendering import profile
from stepstub.contract_tests.results import Drift
from stepstub.contract_tests.server import Server
from stepstub.contract_tests.steps import StepPool
from stepstub.contract_tests.stub import RemoteStub
from stepstub.errors import InvalidReadings, ProfileError
from stepstub.inprocess import InProcess
from stepstub.profiles import Accepted, Profile
from stepstub.readings import DEFAULT, as_mapping, with_values
from stepstub.settings import DEFAULT_TOKEN

INVISIBLE = ("next-step-started", "delegate-failure", "credentials-header")


@pytest.fixture(scope="module")
def stub() -> Iterator[InProcess]:
    with InProcess() as stub:
        yield stub


def learnt_from(stub: InProcess, **readings: Any) -> Learnt:
    values = {name.replace("_", "-"): value for name, value in readings.items()}
    stub.default_sandbox().reset(readings=with_values(DEFAULT, values))
    pool = StepPool(stub=RemoteStub(stub.url, DEFAULT_TOKEN))
    return learn(Server(stub.url, DEFAULT_TOKEN, Examiner(Expectations())), pool)


def by_reading(learnt: Learnt, asked: Asked) -> Mapping[str, Finding]:
    found = list(deviations(learnt, asked))
    assert {one.cause.severity for one in found} <= {Severity.DEVIATION}
    assert len(found) == len({one.cause.key for one in found})
    return {one.cause.reading: one for one in found}


def test_without_an_option_nothing_is_asked_for(stub: InProcess) -> None:
    asked = asked_for(None, {})
    assert asked == Asked("", {}, ())
    assert not by_reading(learnt_from(stub, bad_body=400, version="2"), asked)


def test_a_profile_asks_for_all_but_what_it_does_not_know(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        "readings: {bad-body: 400, version: unknown, named-step: completed}\n"
        "accepted: [{cause: shape-401-data, reason: known, until: 2027-03-31}]",
        "utf-8",
    )
    asked = asked_for(str(file), {})
    expected = {**as_mapping(DEFAULT), "bad-body": 400, "named-step": "completed"}
    without_effect = {"credentials-header", "last-step-id"}
    assert asked.values == {
        name: value for name, value in expected.items() if name not in {"version", *without_effect}
    }
    assert asked.accepted == (Accepted("shape-401-data", "known", date(2027, 3, 31)),)
    assert asked.name == str(file)


def test_single_readings_come_on_top_of_a_profile() -> None:
    assert asked_for(None, {"bad-body": "400"}) == Asked("bad-body=400", {"bad-body": 400})
    asked = asked_for("express", {"bad-body": "422", "empty-step-id": "bad-body"})
    assert asked.name == "express, bad-body=422, empty-step-id=bad-body"
    assert (asked.values["bad-body"], asked.values["empty-step-id"]) == (422, "bad-body")
    assert asked.values["long-fraction"] == "keep"


def test_what_cannot_be_asked_for_is_an_error(tmp_path: Path) -> None:
    for name, single in (("defalt", {}), (None, {"bad-bodies": 400}), (None, {"bad-body": 401})):
        with pytest.raises(InvalidReadings):
            asked_for(name, single)
    with pytest.raises(ProfileError, match="cannot be read"):
        asked_for(str(tmp_path / "nowhere.yaml"), {})


def test_each_difference_is_one_finding_with_its_evidence(stub: InProcess) -> None:
    learnt = learnt_from(stub, bad_body=422, last_step_id="absent", version="2.0")
    found = by_reading(learnt, asked_for("default", {}))
    assert set(found) == {"bad-body", "last-step-id", "version"}
    one = found["bad-body"]
    assert one.cause.key == "reading-bad-body"
    assert one.cause.title == "bad-body is 422, not 412"
    assert one.cause.rule == (
        "The document leaves this open: Which status does a bad body get?"
        " Asked for is 412 (Precondition Failed)."
    )
    assert one.message == "a body without processStepId got 422"
    assert one.curl.startswith("curl -i -X POST")
    assert '"version":"2.0"' in one.excerpt
    assert found["version"].cause.title == "version is 2.0, not 1.0.0"
    assert found["version"].cause.rule.endswith("every response? Asked for is 1.0.0.")


def test_what_is_not_seen_is_no_deviation(stub: InProcess) -> None:
    learnt = learnt_from(stub)
    assert learnt.values["delegate-failure"] is None
    assert not by_reading(learnt, asked_for(None, {"delegate-failure": "kept"}))


def test_what_was_learnt_can_be_asked_for(stub: InProcess) -> None:
    learnt = learnt_from(stub, bad_body=422, named_step="completed", undocumented_form="spring")
    asked = Asked("learnt", learnt.seen)
    assert not by_reading(learnt, asked)
    assert set(by_reading(learnt_from(stub), asked)) == {
        *("bad-body", "named-step", "undocumented-form")
    }


def test_drift_names_what_has_changed_appeared_and_vanished(stub: InProcess) -> None:
    learnt = learnt_from(stub, bad_body=422)
    earlier = Profile(
        "learnt.yaml",
        with_values(DEFAULT, {"version": "0.9"}),
        frozenset({"time-out", *INVISIBLE}) - {"delegate-failure"},
    )
    found = drift(learnt, earlier)
    assert found == [
        Drift("bad-body", 412, 422),
        Drift("delegate-failure", "undone", None),
        Drift("time-out", None, "fails"),
        Drift("version", "0.9", "1.0.0"),
    ]
    assert [each.reading for each in found if each.changed] == ["bad-body", "version"]


def test_a_server_has_not_drifted_from_what_was_just_learnt(stub: InProcess) -> None:
    learnt = learnt_from(stub, last_step_id="empty", version="1.10")
    again = profiles.parse(profile.render(learnt, stub.url), "learnt.yaml")
    assert drift(learnt, again) == []
