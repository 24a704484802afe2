"""What many see of one sandbox at once could have happened one thing after the other.

A completion that calls a delegate is two operations here, `complete` up to the call and `settle`
after it, and not one. Between the two everybody can see the next step STARTED, and complete it; so
a completion that is undone has been seen to take effect, and taking it for a refusal without effect
would be a promise that nobody makes. What is promised, and checked, is that either half takes place
at one instant, and that the second undoes the first wholly, or not at all where somebody has built
on it.

Histories come from threads, and from tasks that a seeded scheduler interleaves at every call of the
store: those find the same again, so that stores that are broken on purpose are found for certain.
"""

import random
import sys
import threading
import types
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context, ContextVar, copy_context
from itertools import count
from typing import Any

import pytest
from msgspec.structs import replace

from linearizability import NEVER, UNKNOWN, Operation, linearization
from process_model import is_linearizable
from stepstub.concurrency import CallLimit, InlineConcurrency
from stepstub.delegates import StepStart
from stepstub.errors import DelegateFailed, StepRefused
from stepstub.model import Process
from stepstub.sandbox import Sandbox
from stepstub.stores.protocol import Applied, Conflict, Store
from stepstub.transitions import Change
from store_support import PENDING, STARTED, Backend, Memory, entry_about, process
from support import TIMEOUT, Clock

HISTORIES = 400
THREAD_HISTORIES = 1500  # in one of six of them threads do meet

# --- the checker, on histories made by hand


def register(state: int, operation: Operation) -> int | None:
    """A model: one number, which is written and read."""
    if operation.name == "write":
        (value,) = operation.arguments
        return int(str(value))
    return state if operation.result == state else None


def history(*rows: tuple[str, int, int, int]) -> list[Operation]:
    """Rows of a name, a value, a start and an end; the result of what has no end is unknown."""
    return [
        Operation(index, name, (value,), UNKNOWN if end == NEVER else value, start, end)
        for index, (name, value, start, end) in enumerate(rows)
    ]


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [("write", 1, 0, 1), ("read", 1, 2, 3)],
        [("write", 1, 0, 5), ("read", 0, 1, 2), ("read", 1, 3, 4)],
        [("write", 1, 0, 5), ("write", 2, 1, 6), ("read", 2, 7, 8)],
        [("write", 1, 0, 5), ("write", 2, 1, 6), ("read", 1, 7, 8)],
        [("read", 2, 0, 9), ("write", 1, 1, 2), ("write", 2, 3, 4), ("write", 3, 5, 6)],
        [("write", 1, 0, NEVER), ("read", 0, 1, 2), ("read", 1, 3, 4)],
        [("write", 1, 0, NEVER), ("read", 0, 1, 2)],
    ],
)
def test_a_history_is_explained(rows: list[tuple[str, int, int, int]]) -> None:
    made = history(*rows)
    order = linearization(made, 0, register)
    assert order is not None
    left_out = [each for each in made if each not in order]
    assert all(each.result == UNKNOWN for each in left_out)
    assert sorted(order, key=made.index) == [each for each in made if each not in left_out]
    state = 0
    for place, operation in enumerate(order):
        assert all(later.end > operation.start for later in order[place:])
        after = register(state, operation)
        assert after is not None
        state = after


@pytest.mark.parametrize(
    "rows",
    [
        [("read", 1, 0, 1)],
        [("write", 1, 0, 1), ("read", 0, 2, 3)],
        [("write", 1, 0, 5), ("read", 1, 1, 2), ("read", 0, 3, 4)],
        [("write", 1, 0, 1), ("write", 2, 2, 3), ("read", 1, 4, 5)],
        [("write", 1, 0, 5), ("write", 2, 1, 6), ("read", 2, 7, 8), ("read", 1, 9, 10)],
        [("read", 2, 0, 2), ("write", 1, 1, 4), ("write", 2, 3, 5)],
        [("read", 1, 0, 1), ("write", 1, 2, NEVER)],
        [("write", 1, 0, NEVER), ("read", 1, 1, 2), ("read", 0, 3, 4)],
    ],
)
def test_a_history_is_not_explained(rows: list[tuple[str, int, int, int]]) -> None:
    assert linearization(history(*rows), 0, register) is None


def test_the_same_is_not_looked_at_twice() -> None:
    """Twelve writes at once have 479,001,600 orders, but only 4,096 subsets."""
    tried = 0

    def counted(state: int, operation: Operation) -> int | None:
        nonlocal tried
        tried += 1
        return register(state, operation)

    rows = [("write", 1, index, 100 + index) for index in range(12)]
    assert linearization(history(*rows, ("read", 2, 200, 201)), 0, counted) is None
    assert tried <= 12 * 2**12


# --- recording


current: ContextVar[Any] = ContextVar("current")


class Recorder:
    """A sandbox with two processes of three steps, and what is done to it."""

    def __init__(self, store: Store, concurrency: Any) -> None:
        self.store = store
        self.sandbox = Sandbox((), store=store, concurrency=concurrency)
        self.sandbox.delegates.function = self.delegate
        self.ticks = count()
        self.operations: list[Operation] = []
        self.accepts: dict[tuple[str, int], bool] = {}
        self.began: dict[tuple[str, int], int] = {}

    def delegate(self, start: StepStart) -> None:
        act = current.get()
        act.end(self, "done")
        if not act.accepts:
            act.start(self, "settle")
            raise OSError

    async def look(self, thread: int, name: str) -> None:
        began = next(self.ticks)
        seen = await self.store.process(name)
        assert seen
        letters = "".join(step.status[0] for step in seen.steps)
        self.operations.append(Operation(thread, "look", (name,), letters, began, next(self.ticks)))


class Act:
    """A completion or a failing of a step, as one operation after the other."""

    def __init__(self, thread: int, what: str, name: str, index: int, accepts: bool) -> None:
        self.thread, self.what, self.name, self.index = thread, what, name, index
        self.accepts = accepts
        self.open: tuple[str, int] | None = None

    def start(self, recorder: Recorder, operation: str) -> None:
        self.open = operation, next(recorder.ticks)

    def end(self, recorder: Recorder, result: str) -> None:
        if self.open is not None:
            operation, began = self.open
            self.open = None
            arguments = (self.name, self.index, id(self))
            recorder.operations.append(
                Operation(self.thread, operation, arguments, result, began, next(recorder.ticks))
            )

    async def run(self, recorder: Recorder) -> None:
        if self.what == "look":
            await recorder.look(self.thread, self.name)
            return
        current.set(self)
        step_id = f"{self.name}{self.index + 1}"
        self.start(recorder, self.what)
        try:
            if self.what == "fail":
                await recorder.sandbox.fail_step(step_id)
            else:
                entry = entry_about(step_id)
                loaded = await recorder.store.load(step_id, entry)
                await recorder.sandbox.complete({}, loaded, entry)
        except StepRefused as refused:
            self.end(recorder, str(refused.refusal.status)[0])
        except DelegateFailed as failed:
            self.end(recorder, "stands" if failed.stands else "undone")
        else:
            settling = self.open is not None and self.open[0] == "settle"
            self.end(recorder, "completed" if settling else "done")


def plan(chance: random.Random, threads: int, length: int) -> list[list[Act]]:
    """What each thread does. Everybody begins at the beginning, so that they meet."""
    return [
        [
            Act(
                thread,
                chance.choices(["complete", "look", "fail"], [6, 3, 1])[0],
                chance.choice("ppq"),
                min(chance.randrange(turn + 1), 2),
                chance.random() < 0.4,
            )
            for turn in range(length)
        ]
        for thread in range(threads)
    ]


def new(backend: Backend) -> Store:
    store = backend.make_store(Clock())
    steps = [STARTED, PENDING, PENDING]
    backend.run(store.add([process(*steps), process(*steps, process_id="q")]))
    return store


# --- histories of threads


@pytest.mark.proof
def test_what_threads_see_is_linearizable(backend: Backend) -> None:
    number, length = 3, 4
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(number) as threads:
            for seed in range(THREAD_HISTORIES):
                recorder = Recorder(new(backend), InlineConcurrency())
                barrier = threading.Barrier(number)

                def work(
                    acts: list[Act],
                    recorder: Recorder = recorder,
                    barrier: threading.Barrier = barrier,
                ) -> None:
                    barrier.wait(TIMEOUT)
                    for act in acts:
                        backend.run(act.run(recorder))

                list(threads.map(work, plan(random.Random(seed), number, length)))
                assert is_linearizable(recorder.operations), recorder.operations
    finally:
        sys.setswitchinterval(interval)


# --- histories of a scheduler


@types.coroutine
def pause() -> Generator[None, None, None]:
    """Let another task have its turn."""
    yield


class Paused:
    """A store before and after each call of which another task may have its turn."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.changes = store.changes

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        async def paused(*arguments: Any, **options: Any) -> Any:
            await pause()
            outcome = await method(*arguments, **options)
            await pause()
            return outcome

        return paused


class PausedConcurrency(InlineConcurrency):
    """Delegates during whose calls others have their turns."""

    async def call(self, function: Callable[[], None], limit: CallLimit | None = None) -> None:
        await pause()
        try:
            function()
        finally:
            await pause()


def scheduled(seed: int, store: Any) -> list[Operation]:
    """The history of three tasks that take turns by chance; the same one for the same seed."""
    chance = random.Random(seed)
    recorder = Recorder(Paused(store), PausedConcurrency())

    async def work(acts: list[Act]) -> None:
        for act in acts:
            await act.run(recorder)

    tasks: list[tuple[Coroutine[Any, Any, None], Context]] = [
        (work(acts), copy_context()) for acts in plan(chance, 3, 5)
    ]
    while tasks:
        task, context = chance.choice(tasks)
        try:
            context.run(task.send, None)
        except StopIteration:
            tasks.remove((task, context))
    return recorder.operations


@pytest.mark.proof
def test_what_interleaved_tasks_see_is_linearizable(backend: Backend) -> None:
    for seed in range(HISTORIES):
        operations = scheduled(seed, new(backend))
        assert is_linearizable(operations), (seed, operations)


def test_the_histories_have_everything_in_them() -> None:
    seen = {
        (each.name, each.result)
        for seed in range(HISTORIES)
        for each in scheduled(seed, new(Memory()))
        if each.name != "look"
    }
    assert seen == {
        *(("complete", result) for result in ["done", "P", "C", "F"]),
        *(("fail", result) for result in ["done", "P", "C", "F"]),
        *(("settle", result) for result in ["undone", "stands", "completed"]),
    }


# --- stores that are broken on purpose


class Broken:
    """A store as it should be, but for what a subclass does otherwise."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    async def overwrite(self, change: Change, *also: Any) -> Any:
        """Apply a change whatever stands there."""
        outcome = await self.store.apply(change, *also)
        while isinstance(outcome, Conflict):
            fresh = tuple(step for step in outcome.fresh if step)
            outcome = await self.store.apply(Change(fresh, change.writes), *also)
        return outcome


def undoes(call: Any) -> bool:
    return call is not None and call.outcome.startswith("failed")


class ComparesNothing(Broken):
    async def apply(self, change: Change, entry: Any = None, call: Any = None) -> Any:
        return await self.overwrite(change, entry, call)


class ComparesTooEarly(Broken):
    async def apply(self, change: Change, entry: Any = None, call: Any = None) -> Any:
        fresh = tuple([(await self.store.step(step.id)).step for step in change.replaces])
        if fresh != change.replaces:
            return Conflict(0, fresh)
        await pause()
        return await self.overwrite(change, entry, call)


class WritesOneByOne(Broken):
    async def apply(self, change: Change, entry: Any = None, call: Any = None) -> Any:
        if len(change.writes) == 2:
            first, second = zip(change.replaces, change.writes, strict=True)
            outcome = await self.store.apply(Change((first[0],), (first[1],)))
            if isinstance(outcome, Conflict):
                fresh = [(await self.store.step(step.id)).step for step in change.replaces]
                return Conflict(outcome.now, tuple(fresh))
            await pause()
            change = Change((second[0],), (second[1],))
        return await self.store.apply(change, entry, call)


class UndoesBlindly(Broken):
    async def apply(self, change: Change, entry: Any = None, call: Any = None) -> Any:
        if undoes(call):
            return await self.overwrite(change, entry, call)
        return await self.store.apply(change, entry, call)


class UndoesByNewRecords(Broken):
    """They say the same, but an undo further out does not know them."""

    async def apply(self, change: Change, entry: Any = None, call: Any = None) -> Any:
        if undoes(call):
            change = Change(change.replaces, tuple(replace(step) for step in change.writes))
        return await self.store.apply(change, entry, call)


class UndoesHalf(Broken):
    async def apply(self, change: Change, entry: Any = None, call: Any = None) -> Any:
        if undoes(call):
            change = Change(change.replaces, (change.writes[0], change.replaces[1]))
        return await self.store.apply(change, entry, call)


class UndoesNothing(Broken):
    async def apply(self, change: Change, entry: Any = None, call: Any = None) -> Any:
        return Applied(0) if undoes(call) else await self.store.apply(change, entry, call)


class LooksStepByStep(Broken):
    async def process(self, process_id: str) -> Process:
        found = []
        for place in (1, 2, 3):
            found.append((await self.store.step(f"{process_id}{place}")).step)
            await pause()
        return Process(process_id, tuple(step for step in found if step))


class LoadsWhatItLoadedBefore(Broken):
    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.loaded: dict[str, Any] = {}

    async def load(self, step_id: str, entry: Any) -> Any:
        loaded = await self.store.load(step_id, entry)
        return self.loaded.setdefault(step_id, loaded)


@pytest.mark.proof
@pytest.mark.parametrize("broken", Broken.__subclasses__(), ids=lambda each: each.__name__)
def test_a_broken_store_is_found_out(broken: type[Broken]) -> None:
    for seed in range(HISTORIES):
        if not is_linearizable(scheduled(seed, broken(new(Memory())))):
            return
    pytest.fail(f"{HISTORIES} histories of a store that {broken.__name__} look right")
