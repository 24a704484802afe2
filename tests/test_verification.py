"""Verifications: they wait, they hold or not, and they say why in words."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import requests

import stepstub
from stepstub.delegates import StepStart
from support import in_time

STEP = "order-1-approve"


def post(sandbox: stepstub.Sandbox, step_id: str = STEP) -> int:
    return requests.post(
        sandbox.complete_step_url,
        json={"processStepId": step_id},
        headers=sandbox.headers,
        timeout=10,
    ).status_code


def unfulfilled(sandbox: stepstub.Sandbox, **expected: float) -> str:
    """Why it does not hold."""
    with pytest.raises(stepstub.NotCompletedAsExpected) as caught:
        sandbox.verify_completed(STEP, **expected)  # type: ignore[arg-type]
    return str(caught.value)


@contextmanager
def in_background(function: threading.Thread) -> Iterator[None]:
    function.start()
    try:
        yield
    finally:
        function.join(10)
        assert not function.is_alive()


def test_it_holds_at_once(sandbox: stepstub.Sandbox) -> None:
    post(sandbox)
    seen = sandbox.verify_completed(STEP)
    assert (seen.holds, seen.completed, seen.delegate_calls, seen.attempts) == (True, 1, 1, (1,))
    assert seen.explanation == (
        f"Step {STEP} was completed once, and should have been completed once;"
        " the next step's delegate was called once; 1 attempt. Exchange 1 completed it."
    )


def test_a_failure_is_an_assertion_for_pytest() -> None:
    assert issubclass(stepstub.NotCompletedAsExpected, AssertionError)


def test_it_says_who_won_and_what_refused_the_others(sandbox: stepstub.Sandbox) -> None:
    post(sandbox)
    post(sandbox)
    explanation = unfulfilled(sandbox, times=2)
    assert "completed once, and should have been completed twice" in explanation
    assert "2 attempts" in explanation
    assert "Exchange 1 completed it." in explanation
    assert "Exchange 2 got 412" in explanation
    assert f"Step {STEP} is COMPLETED; only a STARTED step can be completed." in explanation
    assert "Exchange 1 moved it there." in explanation


def test_it_says_that_nothing_came(sandbox: stepstub.Sandbox) -> None:
    explanation = unfulfilled(sandbox)
    assert "never completed" in explanation
    assert "0 attempts" in explanation
    with pytest.raises(AssertionError, match="no such step in this sandbox"):
        sandbox.verify_completed("nowhere")


def test_it_says_which_fault_was_in_the_way(sandbox: stepstub.Sandbox) -> None:
    sandbox.fault("before", status=503)
    post(sandbox)
    explanation = unfulfilled(sandbox)
    assert "Exchange 1 did not reach it (fault before: respond 503)" in explanation


def test_it_says_that_a_completion_was_rolled_back(sandbox: stepstub.Sandbox) -> None:
    step_id = sandbox.start_process([{}, {"delegate": "failing"}]).steps[0].id
    post(sandbox, step_id)
    with pytest.raises(AssertionError, match=r"got 500.*fails on purpose"):
        sandbox.verify_completed(step_id)


def test_never(sandbox: stepstub.Sandbox) -> None:
    assert sandbox.verify_completed(STEP, times=0).holds
    assert sandbox.verify_completed(STEP, times=0, within=0.05).holds
    post(sandbox)
    assert "should have been never completed" in unfulfilled(sandbox, times=0).replace("  ", " ")


def test_a_bound_journal_says_what_it_no_longer_has(sandbox: stepstub.Sandbox) -> None:
    post(sandbox)
    sandbox.call("DELETE", "journal", type(None))
    assert "no longer has the first 1 exchange" in unfulfilled(sandbox)


def test_it_waits_for_a_completion(sandbox: stepstub.Sandbox) -> None:
    go = threading.Event()

    def client() -> None:
        go.wait(10)
        post(sandbox)

    with in_background(threading.Thread(target=client)):
        threading.Timer(0.05, go.set).start()
        assert sandbox.verify_completed(STEP, within=10).completed == 1


def test_it_does_not_wait_longer_than_it_should(sandbox: stepstub.Sandbox) -> None:
    began = time.monotonic()
    unfulfilled(sandbox, within=0.1)
    assert 0.1 <= time.monotonic() - began < 5


def test_an_event_loop_goes_on_while_it_waits(sandbox: stepstub.Sandbox) -> None:
    async def use() -> None:
        verification = asyncio.create_task(sandbox.verify_completed_async(STEP, within=10))
        assert await asyncio.to_thread(post, sandbox) == 200
        assert (await verification).completed == 1
        assert (await sandbox.verify_completed_async(STEP)).holds
        never = sandbox.verify_completed_async("order-1-ship", times=0, within=0.4)
        began = time.monotonic()
        assert (await never).holds
        assert time.monotonic() - began >= 0.4
        with pytest.raises(stepstub.NotCompletedAsExpected, match="completed once, and should"):
            await sandbox.verify_completed_async(STEP, times=2, within=0.1)
        began = time.monotonic()
        with pytest.raises(stepstub.NotCompletedAsExpected):
            await sandbox.verify_completed_async(STEP, times=0, within=30)
        assert time.monotonic() - began < 10

    in_time(lambda: asyncio.run(use()))


def test_a_client_in_the_same_event_loop_is_waited_for(sandbox: stepstub.Sandbox) -> None:
    """The client sends only while the verification waits; one that blocked would never see it."""

    async def use() -> int:
        waiting = asyncio.create_task(sandbox.verify_completed_async(STEP, within=10))
        await asyncio.sleep(0)
        await asyncio.to_thread(post, sandbox)
        return (await waiting).completed

    assert in_time(lambda: asyncio.run(use())) == 1


def test_a_verification_can_be_cancelled(sandbox: stepstub.Sandbox) -> None:
    async def use() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await sandbox.verify_completed_async(STEP, within=60)

    in_time(lambda: asyncio.run(use()))


def test_blocking_an_event_loop_ends_and_is_told(sandbox: stepstub.Sandbox) -> None:
    async def use() -> str:
        client = asyncio.create_task(asyncio.to_thread(post, sandbox))
        try:
            return unfulfilled(sandbox, within=0.1)
        finally:
            await client

    assert "await verify_completed_async there" in in_time(lambda: asyncio.run(use()))
    assert "verify_completed_async" not in unfulfilled(sandbox, times=7, within=0.01)


def test_more_than_expected_ends_the_waiting(sandbox: stepstub.Sandbox) -> None:
    post(sandbox)
    began = time.monotonic()
    unfulfilled(sandbox, times=0, within=30)
    assert time.monotonic() - began < 10


def test_a_request_in_progress_is_told(stepstub_sandbox: stepstub.Sandbox) -> None:
    sandbox = stepstub_sandbox
    sandbox.start_process("two-steps")
    called, response = threading.Event(), threading.Event()

    def delegate(start: StepStart) -> None:
        called.set()
        response.wait(10)

    sandbox.on_delegate(delegate)
    with in_background(threading.Thread(target=post, args=(sandbox,))):
        try:
            assert called.wait(10)
            assert "still in progress" in unfulfilled(sandbox)
        finally:
            response.set()
    assert sandbox.verify_completed(STEP).completed == 1


def test_a_completion_counts_although_its_response_is_still_delayed(
    stepstub_sandbox: stepstub.Sandbox,
) -> None:
    sandbox = stepstub_sandbox
    sandbox.start_process("two-steps")
    sandbox.fault("after", "delay", seconds=2)
    began = time.monotonic()
    with in_background(threading.Thread(target=post, args=(sandbox,))):
        sandbox.verify_completed(STEP, within=10)
        assert time.monotonic() - began < 1.8
