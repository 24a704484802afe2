"""Delegate calls that a fault puts off, until their time on the sandbox's clock has come."""

from collections.abc import Awaitable, Callable
from threading import Lock

from msgspec import Struct

from stepstub.concurrency import Concurrency
from stepstub.stores.protocol import Store


class _LateCall(Struct, frozen=True):
    """A call and when it is due, in milliseconds on the sandbox's clock."""

    due: int
    make: Callable[[], Awaitable[None]]


class LateCalls:
    """The delegate calls that are still to be made. May be used from any thread."""

    def __init__(self, store: Store, concurrency: Concurrency) -> None:
        self._store = store
        self._concurrency = concurrency
        self._lock = Lock()
        self._waiting: list[_LateCall] = []

    def put_off(self, due: int, now: int, make: Callable[[], Awaitable[None]]) -> None:
        """Have `make` awaited at the time `due`; it must not raise."""
        with self._lock:
            self._waiting.append(_LateCall(due, make))
        self._wake_in(due - now)

    async def make_due(self) -> None:
        """Make the calls whose time has come, in the order they were to be made."""
        clock = await self._store.clock()
        with self._lock:
            due = [call for call in self._waiting if call.due <= clock.now]
            self._waiting = [call for call in self._waiting if call.due > clock.now]
            next_due = min((call.due for call in self._waiting), default=None)
        for call in sorted(due, key=lambda call: call.due):
            await call.make()
        if next_due is not None and not clock.frozen:
            self._wake_in(next_due - clock.now)

    def drop(self) -> None:
        """The sandbox is reset or deleted: no call is made any more."""
        with self._lock:
            self._waiting = []

    def _wake_in(self, milliseconds: int) -> None:
        self._concurrency.later(milliseconds / 1000, self.make_due)
