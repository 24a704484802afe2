"""How waiting is done.

On a server many requests share one event loop, so whatever blocks goes to a thread. In-process a
request has the caller's thread to itself, nothing needs to suspend, and no loop is running.
"""

import asyncio
import threading
import time
import types
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterable
from contextlib import suppress
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

Holds = Callable[[], Coroutine[Any, Any, bool]]
"""Whether what somebody waits for is so."""

MAX_CALLS = 1000
"""Blocking calls at a time within one `CallLimit`. Delegates may nest: an application that
completes the next step from inside its call holds its thread until the rest of the chain has been
started."""

_IDLE_TIMEOUT = 10.0  # seconds after which a thread without work ends


class CallLimit:
    """How many blocking calls may run at a time; further ones wait, first come first served.

    Give each sandbox its own, so that one whose delegates do not respond holds up nobody else.
    Used from one event loop at a time, and not thread-safe.
    """

    def __init__(self, limit: int = MAX_CALLS) -> None:
        self._free = limit
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def acquire(self) -> None:
        """Wait for a turn; `release` has to follow."""
        if self._free > 0:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._waiting.remove(turn)
            else:  # cancelled after its turn had come
                self.release()
            raise

    def release(self) -> None:
        """Pass the turn on."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


class Changes:
    """Announces that something has changed, to waiters in threads and on event loops.

    `notify` may be called from any thread, and costs next to nothing while nobody waits. Change
    first, notify then: a waiter that has not seen the change is woken.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._waiters: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()
        self._blocked = 0

    def notify(self) -> None:
        """Have every waiter look again."""
        if self._blocked:
            with self._condition:
                self._condition.notify_all()
        if self._waiters:
            with self._condition:
                waiters = list(self._waiters)
            for loop, event in waiters:
                with suppress(RuntimeError):  # the loop has been closed
                    loop.call_soon_threadsafe(event.set)

    def block_until(self, holds: Holds, seconds: float) -> bool:
        """Block until `holds`, looked at again after every change; False if time is up first."""
        with self._condition:
            self._blocked += 1
            try:
                return self._condition.wait_for(lambda: run_inline(holds()), seconds)
            finally:
                self._blocked -= 1

    async def until(self, holds: Holds, seconds: float) -> bool:
        """The same on the running event loop, without a thread."""
        event = asyncio.Event()
        waiter = (asyncio.get_running_loop(), event)
        with self._condition:
            self._waiters.add(waiter)
        try:
            async with asyncio.timeout(seconds):
                # Registered before the first look, so no change can slip in between.
                while not await holds():
                    await event.wait()
                    event.clear()
        except TimeoutError:
            return await holds()
        finally:
            with self._condition:
                self._waiters.discard(waiter)
        return True


class Concurrency(Protocol):
    """The ways a request can wait."""

    is_event_loop: bool
    """Whether there is an event loop, on which a thread can have a request handled."""

    async def call(self, function: Callable[[], None], limit: CallLimit | None = None) -> None:
        """Run a function that blocks, within `limit`, or else within one that all share."""

    async def wait_for_change(self, changes: Changes, holds: Holds, seconds: float) -> bool:
        """Wait until `holds`, looked at again after every change; False if time is up first."""

    async def for_each(
        self, items: Iterable[T], function: Callable[[T], Coroutine[Any, Any, None]]
    ) -> None:
        """Call `function` for each item, at once where that can be, each begun in its turn.

        All come to their ends; then it raises what the first of those raised that failed.
        """

    async def sleep(self, seconds: float) -> None:
        """Let time pass; real time, whatever a sandbox's clock says."""

    async def within(self, seconds: float, coroutine: Coroutine[Any, Any, T]) -> T:
        """The result of `coroutine`. Raises TimeoutError when it takes longer."""

    def later(self, seconds: float, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Call `function` after so much real time, where time passes by itself."""


class InlineConcurrency:
    """For a caller that has a thread of its own: blocks it."""

    is_event_loop = False

    async def call(self, function: Callable[[], None], limit: CallLimit | None = None) -> None:
        function()

    async def wait_for_change(self, changes: Changes, holds: Holds, seconds: float) -> bool:
        return changes.block_until(holds, seconds)

    async def for_each(
        self, items: Iterable[T], function: Callable[[T], Coroutine[Any, Any, None]]
    ) -> None:
        for item in items:
            await function(item)

    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251 - there is no event loop to hold up

    def within(self, seconds: float, coroutine: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]:
        return coroutine

    def later(self, seconds: float, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Not at all: nothing happens here but what a caller asks for."""


class EventLoopConcurrency:
    """For a server: blocking work goes to threads."""

    is_event_loop = True

    def __init__(self) -> None:
        self._threads = _DaemonThreads("stepstub-delegate")
        self._limit = CallLimit()
        self._tasks: set[asyncio.Task[None]] = set()  # a loop keeps none alive by itself

    def close(self) -> None:
        """Let idle threads end at once, and the others when their calls have."""
        self._threads.close()

    async def call(self, function: Callable[[], None], limit: CallLimit | None = None) -> None:
        limit = limit or self._limit
        await limit.acquire()
        loop = asyncio.get_running_loop()
        done = loop.create_future()

        def finish(error: BaseException | None) -> None:
            # The turn is over when the thread is free, even if nobody awaits it any more.
            limit.release()
            if not done.done():
                if error is None:
                    done.set_result(None)
                else:
                    done.set_exception(error)

        def work() -> None:
            error: BaseException | None = None
            try:
                function()
            except BaseException as raised:  # noqa: BLE001 - it is raised where it is awaited
                error = raised
            with suppress(RuntimeError):  # the loop has been closed
                loop.call_soon_threadsafe(finish, error)

        try:
            self._threads.submit(work)
        except BaseException:
            limit.release()
            raise
        await done

    async def wait_for_change(self, changes: Changes, holds: Holds, seconds: float) -> bool:
        return await changes.until(holds, seconds)

    async def for_each(
        self, items: Iterable[T], function: Callable[[T], Coroutine[Any, Any, None]]
    ) -> None:
        for outcome in await asyncio.gather(*map(function, items), return_exceptions=True):
            if outcome is not None:
                raise outcome

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

    def later(self, seconds: float, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        asyncio.get_running_loop().call_later(seconds, self._begin, function)

    def _begin(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        task = asyncio.get_running_loop().create_task(function())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _DaemonThreads:
    """Runs functions in daemon threads, which are kept for reuse.

    The interpreter joins the threads of a ThreadPoolExecutor before it exits, so that a delegate
    that does not respond would keep a process that has been told to end.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []
        self._backlog: deque[Callable[[], None]] = deque()
        self._running = 0
        self._closed = False

    def submit(self, function: Callable[[], None]) -> None:
        """Run `function` soon: later than now only if the system has no more threads to give."""
        with self._lock:
            if self._idle:
                self._idle.pop().give(function)
                return
            self._running += 1
        worker = _Worker(self, function)
        try:
            threading.Thread(target=worker.run, name=self._name, daemon=True).start()
        except RuntimeError:
            with self._lock:
                self._running -= 1
                if not self._running:
                    raise
                self._backlog.append(function)

    def close(self) -> None:
        """End idle threads."""
        with self._lock:
            self._closed = True
            for worker in self._idle:
                worker.give(None)
            self._running -= len(self._idle)
            self._idle.clear()

    def next_for(self, worker: "_Worker") -> Callable[[], None] | None:
        """What `worker` does next; None if it is to end."""
        with self._lock:
            if self._backlog:
                return self._backlog.popleft()
            if self._closed:
                self._running -= 1
                return None
            self._idle.append(worker)
        if worker.given.acquire(timeout=_IDLE_TIMEOUT):
            return worker.take()
        with self._lock:
            if worker in self._idle:
                self._idle.remove(worker)
                self._running -= 1
                return None
        # Work was given at the very moment the time was up.
        worker.given.acquire()
        return worker.take()


class _Worker:
    """One thread."""

    def __init__(self, threads: _DaemonThreads, function: Callable[[], None]) -> None:
        self.given = threading.Lock()  # a lock can be waited for with a time-out
        self.given.acquire()
        self._threads = threads
        self._function: Callable[[], None] | None = function

    def give(self, function: Callable[[], None] | None) -> None:
        self._function = function
        self.given.release()

    def take(self) -> Callable[[], None] | None:
        function, self._function = self._function, None
        return function

    def run(self) -> None:
        function = self.take()
        while function is not None:
            function()
            function = None  # an idle thread keeps nothing alive
            function = self._threads.next_for(self)


@types.coroutine
def _resumed(coroutine: Coroutine[Any, Any, T], waits_for: Any) -> Generator[Any, Any, T]:
    """Await a coroutine that has been begun, and now waits for something."""
    while True:
        try:
            yield waits_for
        except BaseException as error:  # noqa: BLE001 - it is the coroutine's to deal with
            try:
                waits_for = coroutine.throw(error)
            except StopIteration as stop:
                returned: T = stop.value
                return returned
        else:
            break
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
