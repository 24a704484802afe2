"""The tests an integrator writes for `order_client`, with the fixture `stepstub`.

They pass under all readings: `pytest --stepstub-readings each`. The last one uses
`stepstub_sandbox`, because chunks and the like need a connection.
"""

from contextlib import suppress

import pytest
from order_client import Refused, Unsure, complete_step


def complete(stepstub, step_id, token=None, pause=lambda _: None, **options):
    complete_step(stepstub.url, token or stepstub.token, step_id, pause=pause, **options)


def test_the_next_step_is_started_with_our_params(stepstub):
    stepstub.start_process("two-steps")
    calls = []
    stepstub.on_delegate(calls.append)
    complete(stepstub, "order-1-approve", params={"total": {"longValue": 12, "type": "LONG"}})
    assert [call.process_step_id for call in calls] == ["order-1-ship"]


@pytest.mark.stepstub(readings={"returned-params": "merged"})
def test_the_next_step_is_called_with_our_params(stepstub):
    stepstub.start_process("two-steps")
    calls = []
    stepstub.on_delegate(calls.append)
    complete(stepstub, "order-1-approve", params={"total": {"longValue": 12, "type": "LONG"}})
    assert [call.params["total"].long_value for call in calls] == [12]


def test_a_wrong_token_is_not_retried(stepstub):
    with pytest.raises(Refused, match="401"):
        complete(stepstub, "order-1-approve", token="wrong")
    assert len(stepstub.default_sandbox().journal()) == 1


@pytest.mark.parametrize("step_id", ["claim-1-pending", "claim-2-failed", "claim-3-unknown"])
def test_only_a_started_step_is_completed(stepstub, step_id):
    stepstub.start_process("every-status")
    with pytest.raises(Refused):
        complete(stepstub, step_id)


def test_a_second_completion_changes_nothing(stepstub):
    stepstub.start_process("two-steps")
    complete(stepstub, "order-1-approve")
    with suppress(Refused):  # a server may send the same 200 again
        complete(stepstub, "order-1-approve")
    stepstub.verify_completed("order-1-approve", times=1)


def test_the_last_step_is_completed_without_params(stepstub):
    stepstub.start_process("last-step")
    complete(stepstub, "invoice-1-archive")
    stepstub.verify_completed("invoice-1-archive", times=1)


@pytest.mark.parametrize(
    "fault",
    [
        *({"action": action} for action in ["respond", "disconnect", "malformed"]),
        *({"status": status} for status in [204, 408, 425, 429]),
        *({"status": 200, "body": body} for body in ["[]", "{}", '"x"', '{"data": "x"}']),
        {"status": 302, "headers": {"Location": "/elsewhere"}},
    ],
    ids=lambda fault: " ".join(map(str, fault.values())),
)
@pytest.mark.parametrize("phase", ["before", "after"])
def test_a_lost_response_is_handled_and_the_step_is_completed_once(stepstub, phase, fault):
    stepstub.start_process("two-steps")
    stepstub.fault(phase, **fault)
    with suppress(Unsure):  # a server may refuse the second attempt without saying why
        complete(stepstub, "order-1-approve")
    seen = stepstub.verify_completed("order-1-approve", times=1)
    assert (len(seen.attempts), seen.delegate_calls) == (2, 1)


@pytest.mark.parametrize(
    ("asked", "pauses"), [("7", [7]), ("86400", [30]), ("0", [0.2]), ("tomorrow", [0.2])]
)
def test_it_waits_as_long_as_the_server_asks_within_limits(stepstub, asked, pauses):
    stepstub.start_process("two-steps")
    stepstub.fault("before", status=429, headers={"Retry-After": asked})
    seen = []
    complete(stepstub, "order-1-approve", pause=seen.append)
    assert seen == pauses


@pytest.mark.stepstub(vary=False)  # the code of the first response matters
def test_a_response_lost_after_a_refusal_leaves_the_outcome_open(stepstub):
    stepstub.start_process("two-steps")
    pending = '{"data": {"processStepId": {"code": "STEP_PENDING"}}}'
    stepstub.fault("before", status=412, body=pending)
    stepstub.fault("after", "disconnect")
    stepstub.fault("before", "disconnect", nth=3)
    with pytest.raises(TimeoutError):
        complete(stepstub, "order-1-approve")
    stepstub.verify_completed("order-1-approve", times=1)


def test_a_delegate_that_fails_is_not_retried_for_ever(stepstub):
    process = stepstub.start_process([{}, {"delegate": "failing"}])
    with suppress(Unsure, TimeoutError):
        complete(stepstub, process.steps[0].id)
    assert 1 <= len(stepstub.journal()) <= 3


@pytest.mark.stepstub(readings={"time-out": "fails"})
def test_a_step_that_takes_too_long_fails(stepstub):
    process = stepstub.start_process([{"timeOutInSeconds": 60}, {}])
    stepstub.clock.advance(61)
    with pytest.raises(Refused):
        complete(stepstub, process.steps[0].id)


def test_the_step_is_completed_over_a_connection(stepstub_sandbox):
    stepstub_sandbox.start_process("two-steps")
    complete(stepstub_sandbox, "order-1-approve")
    seen = stepstub_sandbox.verify_completed("order-1-approve", times=1)
    assert len(seen.attempts) == 1
