"""What a store promises: everything a sandbox keeps, behind one asynchronous protocol.

A completion asks a store twice. `load` numbers the exchange, takes a before-fault and returns the
records to decide on; `apply` writes the decision where those records still stand. A third call,
`confirm`, is needed only where a delegate is really called. All other methods are one step each.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from msgspec import Struct

from stepstub.concurrency import Changes
from stepstub.delegates import DelegateCall
from stepstub.faults import Fault
from stepstub.journal import ALL, Entry, ExchangeQuery
from stepstub.model import Process, Step
from stepstub.readings import DEFAULT, Readings
from stepstub.tokens import Limit
from stepstub.transitions import Change


class Loaded(Struct, frozen=True):
    """A step, the one after it, and the sandbox's time (ms), all at one instant.

    `fault` is a before-fault that applies to the exchange; it has been counted down.
    """

    now: int
    step: Step | None
    next_step: Step | None
    fault: Fault | None = None


class Applied(Struct, frozen=True):
    """The change has been written. `fault` is a fault that strikes now, counted down.

    It is one of the delegate call that the change owes, or else an after-fault.
    """

    now: int
    fault: Fault | None = None


class Conflict(Struct, frozen=True):
    """Nothing was written: a replaced record no longer stands, or the change's time is over.

    `fresh` has the records that do, in the order of the change's `replaces`, None where one is
    gone. A decision that hangs on these steps alone is made again on them; which step comes after
    one is to be loaded again.
    """

    now: int
    fresh: tuple[Step | None, ...]


class Gone(Struct, frozen=True):
    """Nothing was written: the sandbox was reset or deleted since the exchange was loaded."""


class ClockState(Struct, frozen=True):
    """The sandbox's time in milliseconds since the epoch, and whether it stands still."""

    now: int
    frozen: bool


def id_in_use(kind: str, identifier: str) -> ValueError:
    """What `Store.add` raises."""
    return ValueError(f"{kind} id {identifier!r} is in use")


class Owed(Struct, frozen=True):
    """A delegate call that is still to be made, and what had been written for it.

    `due` is when, in milliseconds on the sandbox's clock. `responded` is whether the client of the
    completion has its response, which cannot be undone any more then.
    """

    written: Change
    call: DelegateCall
    due: int
    responded: bool = True


class Store(Protocol):
    """The state of one sandbox. Every method may be called from any thread.

    A method that says so raises; all others always succeed, where the state is within reach.
    `changes` announces every change of a step and every end of an exchange, after it has been
    written: those of this process, and while they are watched those of all others.
    """

    changes: Changes

    def watched(self) -> AbstractAsyncContextManager[None]:
        """While the context lasts, `changes` announces what other processes change as well."""

    # --- one exchange

    async def open(self, entry: Entry) -> int:
        """Number an exchange and keep it in the journal; returns the time. Once per exchange."""

    async def load(self, step_id: str, entry: Entry) -> Loaded:
        """Open the exchange (unless it is open), and load what a completion decides on.

        An exchange takes one before-fault at most, when it is opened.
        """

    async def apply(
        self, change: Change, entry: Entry | None = None, call: DelegateCall | None = None
    ) -> Applied | Conflict | Gone:
        """Write a change, or undo one, if the records it replaces still stand.

        `call` is the delegate call that the change owes or undoes, and is kept with it. For the
        exchange of `entry` a fault of delegate calls is taken while that call is in progress, none
        where it failed, and an after-fault otherwise.
        """

    async def confirm(self, entry: Entry | None, call: DelegateCall) -> Applied | Conflict:
        """The change stands, for the delegate call has ended or has been put off.

        An after-fault is taken for the exchange of `entry`. The call's outcome is kept. It is a
        conflict, without records, where a call was accepted but another process, which had taken it
        over, was faster to end it and it failed there.
        """

    async def close(self, entry: Entry) -> None:
        """The exchange has ended; whoever waits for `changes` looks again."""

    # --- delegate calls that are put off

    async def put_off(self, owed: Owed) -> None:
        """Keep a call until its time has come. It is one that `apply` has kept already."""

    async def take_owed(self) -> tuple[Sequence[Owed], int | None]:
        """The calls whose time has come, each handed out once, in the order they are due.

        And in how many milliseconds the next one is, if there is one and the time runs.
        """

    # --- processes

    async def add(
        self,
        processes: Iterable[Process],
        readings: Readings = DEFAULT,
        call: DelegateCall | None = None,
    ) -> tuple[Process, ...]:
        """Put processes in place as they are, with deadlines counted from now; returns them.

        `call` is the delegate call that starts a step of theirs, now, and is kept with them. Raises
        ValueError for ids in use, and then adds none of them.
        """

    async def step(self, step_id: str) -> Loaded:
        """A step, the one after it and the time, without an exchange."""

    async def process(self, process_id: str) -> Process | None:
        """The process as it is now, all its steps at one instant."""

    async def page(self, offset: int, limit: int) -> tuple[list[Process], int]:
        """At most `limit` processes after the first `offset`, in the order they came; the total."""

    async def in_use(self, identifier: str) -> bool:
        """Whether a process or a step has this id."""

    async def next_id(self, prefix: str) -> str:
        """`prefix-1`, `prefix-2`, ...; ids in use are not skipped."""

    # --- the journal

    async def exchanges(self, query: ExchangeQuery = ALL) -> tuple[list[Entry], int]:
        """The exchanges that match, oldest first, and how many the bound has pushed out."""

    async def clear_journal(self) -> None:
        """Forget exchanges and delegate calls; numbers continue."""

    async def calls(self) -> Sequence[DelegateCall]:
        """The delegate calls, oldest first."""

    async def calls_of(self, exchange_numbers: Iterable[int]) -> Mapping[int, DelegateCall]:
        """The delegate calls that these exchanges caused, by the number of the exchange."""

    # --- faults and the clock

    async def faults(self) -> Sequence[Fault]:
        """The faults that are still to strike, in the order they are tried."""

    async def add_fault(self, fault: Fault) -> Fault:
        """Add a fault, and return it with its id. Raises `InConflict` when there are too many."""

    async def clear_faults(self) -> None:
        """Remove all faults."""

    async def clock(self) -> ClockState:
        """The sandbox's time."""

    async def revision(self) -> str:
        """What is another whenever something has changed, and in every other store.

        Time that passes changes nothing, even where it fails a step.
        """

    async def change_clock(self, advance: float, frozen: bool | None) -> ClockState:
        """Move the time forward by seconds, then freeze or resume it (None: neither).

        Raises ValueError for a time backwards or beyond the year 9000; nothing changes then.
        """

    # --- the tokens of the sandbox

    async def limit_token(self, token: bytes, limit: Limit) -> None:
        """Put a new limit on a token, counted from now."""

    async def use_token(self, token: bytes) -> str | None:
        """Count a request with a token; why it is not good any more, or None."""

    # --- its end

    async def retire(self) -> int:
        """The sandbox is reset or deleted: let everything go, and refuse what is in flight.

        Returns how many steps there were.
        """
