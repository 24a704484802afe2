"""How waiting is done.

On a server many requests share one event loop, so whatever blocks goes to a thread. In-process a
request has the caller's thread to itself, nothing needs to suspend, and no loop is running.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

# Delegates may nest: an application that completes the next step from inside its call holds its
# thread until the whole rest of the chain has been started.
_THREADS = 1000


class Runtime(Protocol):
    """The ways a request can wait."""

    async def call(self, function: Callable[[], None]) -> None:
        """Run a function that blocks."""

    async def sleep(self, seconds: float) -> None:
        """Let time pass; real time, whatever a sandbox's clock says."""

    async def within(self, seconds: float, awaitable: Awaitable[T]) -> T:
        """The result of `awaitable`. Raises TimeoutError when it takes longer."""


class InlineRuntime:
    """For a caller that has a thread of its own: blocks it."""

    async def call(self, function: Callable[[], None]) -> None:
        function()

    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251 - there is no event loop to hold up

    async def within(self, seconds: float, awaitable: Awaitable[T]) -> T:
        return await awaitable


class EventLoopRuntime:
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

    async def within(self, seconds: float, awaitable: Awaitable[T]) -> T:
        async with asyncio.timeout(seconds):
            return await awaitable


def run_inline(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in which nothing suspends, without an event loop."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    coroutine.close()
    raise RuntimeError("something suspended in a coroutine that is run inline")
