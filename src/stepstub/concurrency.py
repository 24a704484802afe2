"""How waiting is done.

On a server many requests share one event loop, so whatever blocks goes to a thread. In-process a
request has the caller's thread to itself, nothing needs to suspend, and no loop is running.
"""

import asyncio
import time
import types
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

# Delegates may nest: an application that completes the next step from inside its call holds its
# thread until the whole rest of the chain has been started.
_THREADS = 1000


class Concurrency(Protocol):
    """The ways a request can wait."""

    async def call(self, function: Callable[[], None]) -> None:
        """Run a function that blocks."""

    async def sleep(self, seconds: float) -> None:
        """Let time pass; real time, whatever a sandbox's clock says."""

    async def within(self, seconds: float, coroutine: Coroutine[Any, Any, T]) -> T:
        """The result of `coroutine`. Raises TimeoutError when it takes longer."""


class InlineConcurrency:
    """For a caller that has a thread of its own: blocks it."""

    async def call(self, function: Callable[[], None]) -> None:
        function()

    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251 - there is no event loop to hold up

    async def within(self, seconds: float, coroutine: Coroutine[Any, Any, T]) -> T:
        return await coroutine


class EventLoopConcurrency:
    """For a server: blocking work goes to threads."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="stepstub-delegate")

    def close(self) -> None:
        """Let the threads end when their calls have."""
        self._threads.shutdown(wait=False)

    async def call(self, function: Callable[[], None]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._threads, function)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def within(self, seconds: float, coroutine: Coroutine[Any, Any, T]) -> T:
        # A timer costs a tenth of a whole request, and mostly there is nothing to wait for.
        try:
            waits_for = coroutine.send(None)
        except StopIteration as stop:
            result: T = stop.value
            return result
        async with asyncio.timeout(seconds):
            return await _resumed(coroutine, waits_for)


@types.coroutine
def _resumed(coroutine: Coroutine[Any, Any, T], waits_for: Any) -> Generator[Any, Any, T]:
    """Await a coroutine that has been begun, and now waits for something."""
    try:
        yield waits_for
    except BaseException:
        coroutine.close()
        raise
    result: T = yield from coroutine
    return result


def run_inline(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in which nothing suspends, without an event loop."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    coroutine.close()
    raise RuntimeError("something suspended in a coroutine that is run inline")
