"""The tests an integrator writes for `order_client`, with the fixture `stepstub`."""

import pytest
from order_client import Refused, complete_step


def complete(stepstub, step_id, token=None, **options):
    return complete_step(
        stepstub.url, token or stepstub.token, step_id, pause=lambda _: None, **options
    )


def test_the_next_step_is_started_with_our_params(stepstub):
    stepstub.start_process("two-steps")
    calls = []
    stepstub.on_delegate(calls.append)
    started = complete(stepstub, "order-1-approve", params={"total": {"longValue": 12}})
    assert started["processStepId"] == "order-1-ship"
    assert [call.params["total"].long_value for call in calls] == [12]


def test_a_wrong_token_is_not_retried(stepstub):
    with pytest.raises(Refused, match="401"):
        complete(stepstub, "order-1-approve", token="wrong")
    assert len(stepstub.default_sandbox().journal()) == 1


@pytest.mark.parametrize("state", ["completed", "pending", "failed"])
def test_only_a_started_step_is_completed(stepstub, state):
    stepstub.start_process("every-status")
    step_id = {"failed": "claim-2-failed"}.get(state, f"claim-1-{state}")
    with pytest.raises(Refused, match=f"STEP_{state.upper()}"):
        complete(stepstub, step_id)


@pytest.mark.parametrize("action", ["respond", "disconnect", "malformed"])
@pytest.mark.parametrize("phase", ["before", "after"])
def test_a_lost_response_is_handled_and_the_step_is_completed_once(stepstub, phase, action):
    stepstub.start_process("two-steps")
    stepstub.fault(phase, action)
    try:
        complete(stepstub, "order-1-approve")
    except Refused:  # the 500 came after the completion, so the retry gets a 412
        assert (phase, action) == ("after", "respond")
    seen = stepstub.verify_completed("order-1-approve", times=1)
    assert (len(seen.attempts), seen.delegate_calls) == (2, 1)


def test_a_step_that_takes_too_long_fails(stepstub):
    process = stepstub.start_process([{"timeOutInSeconds": 60}, {}])
    stepstub.clock.advance(61)
    with pytest.raises(Refused, match="not completed within 60 s"):
        complete(stepstub, process.steps[0].id)
