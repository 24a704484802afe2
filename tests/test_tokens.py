"""Tokens that expire, are replaced, or are revoked while a client tries again."""

import pytest
import requests

import stepstub
from stepstub.concurrency import run_inline

STEP = "order-1-approve"
NEXT = "order-1-ship"


def post(sandbox: stepstub.Sandbox, step_id: str = STEP) -> int:
    return requests.post(
        sandbox.complete_step_url,
        json={"processStepId": step_id},
        headers=sandbox.headers,
        timeout=5,
    ).status_code


def test_a_further_token_is_for_the_same_sandbox(sandbox: stepstub.Sandbox) -> None:
    other = sandbox.new_token()
    assert other.token != sandbox.token
    assert [post(sandbox), post(other, NEXT)] == [200, 200]
    assert len(sandbox.journal()) == len(other.journal()) == 2


def test_a_token_expires_by_the_sandboxs_clock(sandbox: stepstub.Sandbox) -> None:
    sandbox.clock.freeze()
    sandbox.limit_token(expires_in=60)
    sandbox.clock.advance(59.999)
    assert post(sandbox) == 200
    sandbox.clock.advance(0.001)
    assert post(sandbox, NEXT) == 401
    assert sandbox.journal()[-1].reason == "The token has expired."
    assert post(sandbox.new_token(expires_in=1), NEXT) == 200


def test_a_rotated_token_is_refused_and_the_new_one_is_not(sandbox: stepstub.Sandbox) -> None:
    renewed = sandbox.rotate_token()
    assert post(sandbox) == 401
    assert sandbox.journal()[-1].reason == "The token has been revoked."
    assert post(renewed) == 200
    renewed.verify_completed(STEP, times=1)


def test_a_token_is_revoked_in_the_middle_of_a_retry(sandbox: stepstub.Sandbox) -> None:
    sandbox.fault("after", "disconnect")
    sandbox.limit_token(requests=1)
    with pytest.raises(requests.ConnectionError):
        post(sandbox)
    assert post(sandbox) == 401
    sandbox.verify_completed(STEP, times=1)
    sandbox.limit_token()
    assert post(sandbox) == 412


def test_a_refused_token_changes_nothing(sandbox: stepstub.Sandbox) -> None:
    sandbox.limit_token(requests=0)
    assert [post(sandbox), post(sandbox)] == [401, 401]
    sandbox.verify_completed(STEP, times=0)


@pytest.mark.parametrize("credentials", ["bearer", "basic", "api-key"])
def test_it_is_the_same_in_every_form_of_credentials(
    sandbox: stepstub.Sandbox, credentials: str
) -> None:
    sandbox.reset("two-steps", readings={"credentials": credentials})
    other = sandbox.new_token(requests=1)
    assert [post(other), post(other, NEXT), post(sandbox, NEXT)] == [200, 401, 200]


def test_a_reset_leaves_one_token_without_limits(sandbox: stepstub.Sandbox) -> None:
    sandbox.limit_token(requests=0)
    other = sandbox.new_token()
    assert other.headers
    sandbox.reset("two-steps")
    assert [post(sandbox), post(other)] == [200, 401]
    with pytest.raises(stepstub.ControlFailed, match="not known"):
        other.journal()


def test_a_deleted_sandbox_has_no_token() -> None:
    with stepstub.LiveServer() as server:
        with server.sandbox("two-steps") as sandbox:
            other = sandbox.new_token()
            assert other.headers
        assert post(other) == 401


def test_further_tokens_are_no_further_sandboxes(stepstub: stepstub.InProcess) -> None:
    before = run_inline(stepstub.app.sandboxes.count())
    stepstub.new_token()
    assert run_inline(stepstub.app.sandboxes.count()) == before
