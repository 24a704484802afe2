"""What somebody changes on the pages: clock, faults, processes, a reset, a replay."""

import re
import threading
from typing import get_args

import pytest

import stepstub
from console_support import CONSOLE, DEFAULT, Visitor, complete, text_of
from stepstub.faults import Action, Phase
from stepstub.views import ClockView, SandboxList, SandboxView

STEP, NEXT = "order-1-approve", "order-1-ship"


def test_the_next_response_is_lost_by_one_button(
    visitor: Visitor, sandbox: stepstub.Sandbox
) -> None:
    form = re.search(
        r'<form method="post" action="([^"]+)">\s*((?:<input[^>]*>\s*)+)<button[^>]*>Lose the next',
        visitor.get(DEFAULT).text,
    )
    assert form
    fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', form[2]))
    back = visitor.post(form[1].removeprefix(CONSOLE), fields)
    assert back.url == f"{visitor.url}{CONSOLE}{DEFAULT}"
    assert complete(sandbox, STEP) is None
    assert complete(sandbox, STEP) == 412
    assert sandbox.step(STEP).status == "COMPLETED"


def test_a_fault_waits_where_it_can_be_seen_until_it_is_cleared(
    visitor: Visitor, sandbox: stepstub.Sandbox
) -> None:
    form = {"phase": "before", "action": "delay", "seconds": "0.5", "processStepId": STEP}
    visitor.post(f"{DEFAULT}/faults", {**form, "times": "3", "status": "", "nth": " "})
    text = visitor.read(f"{DEFAULT}/faults")
    assert f"before: delay of 0.5 s {STEP} 3 0 " in text
    visitor.post(f"{DEFAULT}/faults/clear")
    assert "None. The stub behaves." in visitor.read(f"{DEFAULT}/faults")


def test_the_form_offers_every_phase_and_every_action(visitor: Visitor) -> None:
    options = set(re.findall(r'<option value="([^"]+)"', visitor.get(f"{DEFAULT}/faults").text))
    assert options == {*get_args(Phase), *get_args(Action)}


@pytest.mark.parametrize(
    ("form", "reason"),
    [
        ({"phase": "before", "action": "delay", "status": "500"}, "status goes with the action"),
        ({"phase": "before", "action": "respond", "status": "99"}, "status must be"),
        ({"phase": "before", "times": "many"}, "times"),
        ({"phase": "during"}, "during"),
        ({}, "phase"),
    ],
)
def test_a_fault_without_meaning_is_refused_with_what_was_entered(
    visitor: Visitor, sandbox: stepstub.Sandbox, form: dict[str, str], reason: str
) -> None:
    response = visitor.post(f"{DEFAULT}/faults", {**form, "processStepId": "kept"})
    assert response.status_code == 400
    assert reason in text_of(response)
    assert 'value="kept"' in response.text
    assert visitor.get(f"{DEFAULT}/faults").text.count("<tbody>") == 0


def test_the_clock_is_frozen_resumed_and_advanced(
    visitor: Visitor, sandbox: stepstub.Sandbox
) -> None:
    def clock(**form: str) -> ClockView:
        page = visitor.post(f"{DEFAULT}/clock", form)
        assert page.status_code == 200
        assert ("Resume" in text_of(page)) == ("Freeze" not in text_of(page))
        return sandbox.call("GET", "clock", ClockView)

    frozen = clock(action="freeze")
    assert frozen.frozen
    advanced = clock(action="advance", seconds="60")
    assert (advanced.now - frozen.now).total_seconds() == 60
    assert not clock(action="resume").frozen
    assert visitor.post(f"{DEFAULT}/clock", {"action": "back"}).status_code == 400
    assert visitor.post(f"{DEFAULT}/clock", {"action": "time-out"}).status_code == 409


def test_the_clock_goes_to_the_next_time_out(visitor: Visitor, sandbox: stepstub.Sandbox) -> None:
    sandbox.clock.freeze()
    later = sandbox.start_process([{"timeOutInSeconds": 600}]).steps[0].id
    first = sandbox.start_process([{"timeOutInSeconds": 90.5}]).steps[0].id
    page = visitor.post(f"{DEFAULT}/clock", {"action": "time-out"})
    assert "✕" in text_of(page)
    assert sandbox.step(first).status == "FAILED"
    assert sandbox.step(later).status == "STARTED"


@pytest.mark.parametrize(
    "page",
    [
        "",
        "/live",
        "/exchanges/1",
        f"/steps?id={STEP}",
        "/processes",
        "/faults",
        "/readings",
        "/start",
        "/reset",
    ],
)
def test_the_clock_of_every_page_goes_to_the_next_time_out(
    visitor: Visitor, sandbox: stepstub.Sandbox, page: str
) -> None:
    complete(sandbox, "nowhere")
    assert "To time-out" not in visitor.read(DEFAULT + page)
    sandbox.start_process([{"timeOutInSeconds": 600}])
    assert "To time-out" in visitor.read(DEFAULT + page)


def test_a_process_is_started_from_a_scenario(visitor: Visitor, sandbox: stepstub.Sandbox) -> None:
    page = visitor.post(f"{DEFAULT}/start", {"scenario": "last-step"})
    assert page.url == f"{visitor.url}{CONSOLE}{DEFAULT}"
    assert [process.id for process in sandbox.processes()] == ["order-1", "invoice-1"]


def test_a_process_is_started_from_yaml(visitor: Visitor, sandbox: stepstub.Sandbox) -> None:
    yaml = "processes:\r\n- id: order-7\r\n  steps: [{id: a, timeOutInSeconds: 5}, {id: b}]\r\n"
    visitor.post(f"{DEFAULT}/start", {"yaml": yaml})
    assert sandbox.step("a").time_out_in_seconds == 5


def test_a_delegate_that_does_not_respond_does_not_hold_up_the_page(
    visitor: Visitor, sandbox: stepstub.Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stepstub.console.calling.TIMEOUT", 0.2)
    released = threading.Event()
    sandbox.on_delegate(lambda _: released.wait(10) and None)
    page = visitor.post(f"{DEFAULT}/start", {"scenario": "last-step"})
    released.set()
    assert page.status_code == 504
    assert "a delegate may not respond" in text_of(page)


@pytest.mark.parametrize(
    ("yaml", "mistakes"),
    [
        (
            "processes:\n- id: x\n  steps:\n  - delegate: fialing\n    timeoutInSeconds: 1\n",
            [
                "line 4: processes[0].steps[0].delegate: must be one of",
                "line 5: processes[0].steps[0].timeoutInSeconds: is not known here",
            ],
        ),
        ("processes: [", ["line 1"]),
        ("", ["the scenario"]),
        ("processes: [{id: order-9, steps: [{delegate: failing}]}]", ["could not be called"]),
    ],
)
def test_the_mistakes_of_pasted_yaml_are_told_in_place(
    visitor: Visitor, sandbox: stepstub.Sandbox, yaml: str, mistakes: list[str]
) -> None:
    response = visitor.post(f"{DEFAULT}/start", {"yaml": yaml})
    assert response.status_code in (400, 502)
    for mistake in mistakes:
        assert mistake in text_of(response)
    assert yaml.splitlines()[:1] == [] or yaml.splitlines()[0] in text_of(response)
    assert len(sandbox.processes()) == 1


def test_a_reset_is_asked_about_first(visitor: Visitor, sandbox: stepstub.Sandbox) -> None:
    complete(sandbox, STEP)
    assert "Reset default ?" in visitor.read(f"{DEFAULT}/reset")
    assert sandbox.journal()
    visitor.post(f"{DEFAULT}/reset", {"scenario": "last-step"})
    assert sandbox.journal() == []
    assert [process.id for process in sandbox.processes()] == ["invoice-1"]


def test_a_started_step_is_failed(visitor: Visitor, sandbox: stepstub.Sandbox) -> None:
    page = f"{CONSOLE}{DEFAULT}/steps?id={STEP}"
    assert visitor.post(f"{DEFAULT}/steps/fail", {"id": STEP, "back": page}).url.endswith(page)
    assert sandbox.step(STEP).status == "FAILED"
    again = visitor.post(f"{DEFAULT}/steps/fail", {"id": STEP})
    assert again.status_code == 409
    assert "only a STARTED step can be failed" in text_of(again)


# A replay


def listed(sandbox: stepstub.Sandbox) -> list[SandboxView]:
    return list(sandbox.call("GET", "sandboxes", SandboxList).sandboxes)


def test_a_replay_gets_the_same_in_a_sandbox_that_stands_as_it_stood(
    visitor: Visitor, sandbox: stepstub.Sandbox
) -> None:
    sandbox.reset(readings={"completed-step": 409})
    assert complete(sandbox, NEXT) == 412
    assert complete(sandbox, STEP, params={"a": {"strValue": "b", "type": "STRING"}}) == 200
    assert complete(sandbox, STEP) == 409
    assert complete(sandbox, "nowhere") == 412
    assert complete(sandbox, NEXT) == 200
    other = sandbox.start_process([{}]).steps[0].id
    sandbox.fault("before", status=503)
    assert complete(sandbox, other) == 503
    before = sandbox.journal()
    # Without the fault, the request gets what it would have got.
    for number, status in enumerate((412, 200, 409, 412, 200, 200), 1):
        page = visitor.post(f"{DEFAULT}/exchanges/{number}/replay")
        assert page.url.endswith("/exchanges/1")
        shown = text_of(page)
        assert f"{status} " in shown.partition("All exchanges")[2][:8], (number, shown)
    assert sandbox.journal() == before
    names = [each.name for each in listed(sandbox)[1:]]
    assert names == [f"replay of #{number} in default" for number in range(1, 7)]


def test_what_cannot_be_replayed_says_why(visitor: Visitor, sandbox: stepstub.Sandbox) -> None:
    complete(sandbox, "nowhere", note="x" * 20_000)
    visitor.session.get(f"{visitor.url}/nowhere", timeout=10)
    partial = visitor.post(f"{DEFAULT}/exchanges/1/replay")
    assert (partial.status_code, len(listed(sandbox))) == (409, 1)
    assert "does not have the whole body" in text_of(partial)
    nobody = visitor.post(f"{DEFAULT}/exchanges/2/replay")
    assert (nobody.status_code, len(listed(sandbox))) == (409, 1)
    assert "belongs to no sandbox" in text_of(nobody)
    assert visitor.post(f"{DEFAULT}/exchanges/99/replay").status_code == 404
