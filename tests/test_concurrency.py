"""How waiting is done: blocking calls in threads, within limits, and waiting for a change."""

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import pytest

from stepstub import concurrency
from stepstub.concurrency import (
    CallLimit,
    Changes,
    Concurrency,
    EventLoopConcurrency,
    InlineConcurrency,
    run_inline,
)
from support import TIMEOUT, asking, in_time


def names_of_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if "stepstub" in thread.name]


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(TIMEOUT):
        while not holds():  # noqa: ASYNC110 - threads set no asyncio.Event
            await asyncio.sleep(0.001)


def test_a_call_runs_in_another_thread_and_inline_in_the_same() -> None:
    seen: list[threading.Thread] = []

    def note() -> None:
        seen.append(threading.current_thread())

    asyncio.run(EventLoopConcurrency().call(note))
    run_inline(InlineConcurrency().call(note, CallLimit(0)))
    assert seen[0] is not threading.current_thread()
    assert seen[0].daemon
    assert seen[1] is threading.current_thread()


def test_what_is_done_for_each_is_done_at_once_on_a_loop_and_inline_in_turn() -> None:
    seen: list[str] = []

    async def note(name: str) -> None:
        seen.append(f"{name} begins")
        await asyncio.sleep(0)
        seen.append(f"{name} ends")

    asyncio.run(EventLoopConcurrency().for_each("ab", note))
    assert seen == ["a begins", "b begins", "a ends", "b ends"]
    seen.clear()
    asyncio.run(InlineConcurrency().for_each("ab", note))
    assert seen == ["a begins", "a ends", "b begins", "b ends"]


def test_one_that_fails_stops_no_other_on_a_loop() -> None:
    seen: list[str] = []

    async def fail(name: str) -> None:
        if name == "a":
            raise ZeroDivisionError
        await asyncio.sleep(0)
        seen.append(name)

    with pytest.raises(ZeroDivisionError):
        asyncio.run(EventLoopConcurrency().for_each("abc", fail))
    assert seen == ["b", "c"]


@pytest.mark.parametrize("kind", [EventLoopConcurrency, InlineConcurrency])
def test_what_a_call_raises_is_raised(kind: Callable[[], Concurrency]) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    async def play() -> None:
        await kind().call(fail)

    with pytest.raises(ZeroDivisionError):
        asyncio.run(play())


def test_a_limit_holds_up_nobody_else() -> None:
    """1,100 silent calls of one sandbox, and one of another."""

    async def play() -> None:
        waiting, silent, other = EventLoopConcurrency(), CallLimit(20), CallLimit(20)
        respond = threading.Event()
        running = 0

        def block() -> None:
            nonlocal running
            running += 1
            respond.wait(TIMEOUT)

        calls = [asyncio.create_task(waiting.call(block, silent)) for _ in range(1100)]
        await until(lambda: running == 20)
        async with asyncio.timeout(TIMEOUT):
            await waiting.call(lambda: None, other)
            await waiting.call(lambda: None)
        assert running == 20
        respond.set()
        async with asyncio.timeout(TIMEOUT):
            await asyncio.gather(*calls)
        assert running == 1100

    asyncio.run(play())


def test_calls_wait_in_the_order_they_came() -> None:
    async def play() -> None:
        waiting, limit = EventLoopConcurrency(), CallLimit(1)
        order: list[int] = []
        calls = [waiting.call(partial(order.append, number), limit) for number in range(50)]
        await asyncio.gather(*calls)
        assert order == list(range(50))

    asyncio.run(play())


def test_a_cancelled_wait_gives_its_turn_to_the_next() -> None:
    async def play() -> None:
        limit = CallLimit(1)
        await limit.acquire()
        first, second = (asyncio.create_task(limit.acquire()) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        limit.release()
        async with asyncio.timeout(TIMEOUT):
            await second
        third = asyncio.create_task(limit.acquire())
        await asyncio.sleep(0)
        limit.release()
        third.cancel()  # after its turn has come
        await asyncio.gather(third, return_exceptions=True)
        async with asyncio.timeout(TIMEOUT):
            await limit.acquire()

    asyncio.run(play())


def test_a_cancelled_call_keeps_its_turn_until_its_thread_is_free() -> None:
    async def play() -> None:
        waiting, limit = EventLoopConcurrency(), CallLimit(1)
        entered, respond = threading.Event(), threading.Event()

        def block() -> None:
            entered.set()
            respond.wait(TIMEOUT)

        call = asyncio.create_task(waiting.call(block, limit))
        await until(entered.is_set)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        following = asyncio.create_task(waiting.call(lambda: None, limit))
        await asyncio.sleep(0.02)
        assert not following.done()
        respond.set()
        async with asyncio.timeout(TIMEOUT):
            await following

    asyncio.run(play())


def test_threads_are_used_again_and_end_when_closed() -> None:
    async def play() -> None:
        waiting = EventLoopConcurrency()
        before = len(names_of_threads())
        for _ in range(50):
            await waiting.call(lambda: None)
        # A thread that has just told its result may not be idle yet when the next call comes.
        assert len(names_of_threads()) - before < 25
        waiting.close()
        await until(lambda: len(names_of_threads()) <= before)

    asyncio.run(play())


def test_an_idle_thread_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concurrency, "_IDLE_TIMEOUT", 0.01)

    async def play() -> None:
        waiting = EventLoopConcurrency()
        before = len(names_of_threads())
        for _ in range(3):
            await waiting.call(lambda: None)
            await until(lambda: len(names_of_threads()) <= before)

    asyncio.run(play())


def test_a_thread_that_cannot_be_started_is_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        waiting = EventLoopConcurrency()
        respond, done = threading.Event(), threading.Event()

        def block() -> None:
            respond.wait(TIMEOUT)

        first = asyncio.create_task(waiting.call(block))
        await asyncio.sleep(0)

        def refuse(_: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(threading.Thread, "start", refuse)
        second = asyncio.create_task(waiting.call(done.set))
        await asyncio.sleep(0.02)
        assert not done.is_set()
        respond.set()
        async with asyncio.timeout(TIMEOUT):
            await asyncio.gather(first, second)
        with pytest.raises(RuntimeError, match="new thread"):
            await EventLoopConcurrency().call(lambda: None)

    asyncio.run(play())


def test_the_interpreter_does_not_wait_for_calls() -> None:
    code = """if True:
        import asyncio, time
        from stepstub.concurrency import EventLoopConcurrency
        async def play():
            call = asyncio.create_task(EventLoopConcurrency().call(lambda: time.sleep(60)))
            await asyncio.sleep(0.1)
            call.cancel()
        asyncio.run(play())
    """
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", code], check=True, timeout=TIMEOUT)
    assert time.monotonic() - began < TIMEOUT


def test_a_change_ends_a_wait_inline() -> None:
    changes, seen = Changes(), threading.Event()

    def change() -> None:
        seen.set()
        changes.notify()

    def play() -> bool:
        timer = threading.Timer(0.02, change)
        timer.start()
        try:
            return run_inline(
                InlineConcurrency().wait_for_change(changes, asking(seen.is_set), TIMEOUT)
            )
        finally:
            timer.join()

    assert in_time(play)


def test_a_change_ends_a_wait_on_a_loop_without_a_thread() -> None:
    async def play() -> None:
        waiting, changes, seen = EventLoopConcurrency(), Changes(), threading.Event()
        before = len(names_of_threads())
        waits = [
            asyncio.create_task(waiting.wait_for_change(changes, asking(seen.is_set), TIMEOUT))
            for _ in range(100)
        ]
        await asyncio.sleep(0.01)
        assert len(names_of_threads()) == before
        changes.notify()  # of something else
        await asyncio.sleep(0.01)
        assert not any(wait.done() for wait in waits)

        def change() -> None:
            seen.set()
            changes.notify()

        thread = threading.Thread(target=change)
        thread.start()
        async with asyncio.timeout(TIMEOUT / 2):  # woken, not timed out
            assert await asyncio.gather(*waits) == [True] * 100
        thread.join()

    asyncio.run(play())


@pytest.mark.parametrize("kind", [EventLoopConcurrency, InlineConcurrency])
def test_a_wait_ends_when_its_time_is_up(kind: Callable[[], Concurrency]) -> None:
    async def play() -> tuple[bool, bool]:
        waiting, changes = kind(), Changes()
        never = await waiting.wait_for_change(changes, asking(lambda: False), 0.02)
        already = await waiting.wait_for_change(changes, asking(lambda: True), 0.0)
        return never, already

    assert asyncio.run(play()) == (False, True)


def test_no_change_is_missed_between_looking_and_waiting() -> None:
    """Every change is announced once; a waiter that missed it would wait in vain."""

    async def play() -> None:
        changes = Changes()
        count = 0
        goes = threading.Semaphore(0)

        def work() -> None:
            nonlocal count
            for _ in range(2000):
                goes.acquire()
                count += 1
                changes.notify()

        thread = threading.Thread(target=work)
        thread.start()
        for number in range(2000):
            goes.release()

            def is_counted(number: int = number) -> bool:
                return count > number

            assert await changes.until(asking(is_counted), TIMEOUT)
        thread.join()

    asyncio.run(play())


def test_a_loop_that_is_gone_does_not_disturb_a_change() -> None:
    changes = Changes()
    loop = asyncio.new_event_loop()
    waiting = changes.until(asking(lambda: False), TIMEOUT)
    wait = loop.create_task(waiting)
    loop.run_until_complete(asyncio.sleep(0))
    wait.cancel()  # too late for the loop to see it
    loop.close()
    changes.notify()
    waiting.close()


def test_within_a_time_an_exception_comes_where_it_was_waited_for() -> None:
    async def recovers() -> str:
        waited_for = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(waited_for.set_exception, OSError())
        with suppress(OSError):
            await waited_for
        await asyncio.sleep(0)
        return "recovered"

    assert asyncio.run(EventLoopConcurrency().within(TIMEOUT, recovers())) == "recovered"
