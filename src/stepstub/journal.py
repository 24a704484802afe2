"""The exchanges a sandbox has seen, the last of them, in the order they came."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from copy import copy
from itertools import islice

from msgspec import Struct

from stepstub.errors import Violation
from stepstub.model import Status
from stepstub.variations import Variation

MAX_JOURNALED_BODY = 16 * 1024
"""Bytes of a request's and of a response's body that are kept."""

_FEW = 8

_SECRET = {
    b"authorization",
    b"proxy-authorization",
    b"cookie",
    b"x-api-key",
    b"x-auth-token",
    b"x-stepstub-control-token",
}


_AND = "; "  # between two faults of one exchange


class Entry(Struct, kw_only=True, gc=False):
    """One exchange. It is filled as the exchange goes on; `status` is None until it has ended.

    `received_at` is the sandbox's clock, `wall_clock` the machine's, both in milliseconds;
    `duration` is in seconds. Bodies are cut at `MAX_JOURNALED_BODY`; the sizes are the whole ones.
    `moved_by` is the number of the exchange that put the step where this one was refused.
    `response` is as it was sent, with the `variations` of it. `span` is the trace context of the
    exchange's own span, as headers, where exchanges are traced.
    """

    method: str
    path: str
    headers: tuple[tuple[bytes, bytes], ...]
    wall_clock: int
    received_at: int = 0
    number: int = 0
    operation: str | None = None
    body: bytes = b""
    body_size: int = 0
    status: int | None = None
    response: bytes = b""
    duration: float = 0.0
    step_id: str | None = None
    step_before: Status | None = None
    step_after: Status | None = None
    reason: str | None = None
    violations: Mapping[str, Violation] | None = None
    moved_by: int | None = None
    fault: str | None = None
    variations: tuple[Variation, ...] = ()
    span: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def completed_step(self) -> bool:
        """Whether this exchange completed its step."""
        return self.step_before is Status.STARTED and self.step_after is Status.COMPLETED

    def note_fault(self, description: str) -> None:
        """Note a fault that has struck this exchange, perhaps not the first."""
        self.fault = f"{self.fault}{_AND}{description}" if self.fault else description

    @property
    def fault_phases(self) -> list[str]:
        """The phases of the faults that have struck it."""
        faults = self.fault.split(_AND) if self.fault else ()
        return [fault.partition(":")[0] for fault in faults]


def redacted(
    headers: list[tuple[bytes, bytes]], key_headers: frozenset[bytes] = frozenset()
) -> tuple[tuple[bytes, bytes], ...]:
    """The headers without the values that are secrets; `key_headers` bear tokens as well."""
    secret = _SECRET | key_headers if key_headers else _SECRET
    return tuple([(name, b"(redacted)" if name in secret else value) for name, value in headers])


class ExchangeQuery(Struct, frozen=True):
    """Which exchanges are wanted; None is any. `limit` None is all of them.

    `refused` are those with a reason, or those without one. `text` is looked for in whatever there
    is to read of an exchange, in upper or lower case; bodies are cut at `MAX_JOURNALED_BODY`.
    """

    step_id: str | None = None
    status: int | None = None
    operation: str | None = None
    refused: bool | None = None
    text: str | None = None
    after: int = 0
    before: int | None = None
    newest_first: bool = False
    limit: int | None = None

    def matches(self, entry: Entry) -> bool:
        return (
            entry.number > self.after
            and (self.before is None or entry.number < self.before)
            and self.step_id in (None, entry.step_id)
            and self.status in (None, entry.status)
            and self.operation in (None, entry.operation)
            and self.refused in (None, entry.reason is not None)
            and (self.text is None or _mentions(entry, self.text))
        )

    def among(self, entries: Iterable[Entry]) -> list[Entry]:
        """The entries that match, at most `limit` of them, oldest first as `entries` are.

        With `newest_first` the other way round.
        """
        if self.newest_first:
            entries = reversed(list(entries))
        return list(islice(filter(self.matches, entries), self.limit))


def _mentions(entry: Entry, text: str) -> bool:
    sought = text.casefold()
    words = (entry.step_id, entry.reason, entry.fault, entry.path, entry.method)
    return any(word is not None and sought in word.casefold() for word in words) or any(
        sought in body.decode("utf-8", "replace").casefold()
        for body in (entry.body, entry.response)
    )


ALL = ExchangeQuery()


class Journal:
    """The last `bound` exchanges, numbered from 1; numbers are never used again.

    `append` is not safe to call from two threads at once; reading is, at any time.
    """

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._entries: deque[Entry] = deque()
        # Most steps have one exchange, some have a few, and a deque takes as much room as 90.
        self._by_step: dict[str, Entry | tuple[Entry, ...] | deque[Entry]] = {}
        self._last = 0

    def append(self, entry: Entry) -> None:
        """Number an exchange that has just come in, and keep it. Its `step_id` is settled."""
        entry.number = self._last = self._last + 1
        entries = self._entries
        if len(entries) == self._bound:
            self._forget(entries.popleft())
        entries.append(entry)
        step_id = entry.step_id
        if step_id is not None:
            known = self._by_step.setdefault(step_id, entry)
            if known is not entry:
                self._by_step[step_id] = _with(known, entry)

    def _forget(self, oldest: Entry) -> None:
        step_id = oldest.step_id
        if step_id is not None:
            known = self._by_step[step_id]
            if known is oldest or not (rest := _without_first(known)):
                del self._by_step[step_id]
            else:
                self._by_step[step_id] = rest

    def clear(self) -> None:
        """Forget the exchanges; the numbers continue."""
        self._entries.clear()
        self._by_step.clear()

    def candidates(self, query: ExchangeQuery) -> Iterable[Entry]:
        """The exchanges among which those that match are, as they are at this moment."""
        if query.step_id is None:
            # Numbers have no gaps, so only those between `after` and `before` need be looked at.
            entries = self._entries.copy()
            first = entries[0].number if entries else 0
            end = None if query.before is None else max(0, query.before - first)
            return islice(entries, max(0, query.after + 1 - first), end)
        known = self._by_step.get(query.step_id, ())
        return (known,) if isinstance(known, Entry) else copy(known)

    @property
    def dropped(self) -> int:
        """How many exchanges the bound has pushed out, or `clear` removed."""
        entries = self._entries
        return entries[0].number - 1 if entries else self._last

    def __iter__(self) -> Iterator[Entry]:
        """Oldest first, as they are at this moment."""
        return iter(self._entries.copy())

    def __len__(self) -> int:
        return len(self._entries)


def _with(
    known: Entry | tuple[Entry, ...] | deque[Entry], entry: Entry
) -> tuple[Entry, ...] | deque[Entry]:
    if isinstance(known, Entry):
        return (known, entry)
    if isinstance(known, deque):
        known.append(entry)
        return known
    return (*known, entry) if len(known) < _FEW else deque((*known, entry))


def _without_first(
    known: Entry | tuple[Entry, ...] | deque[Entry],
) -> tuple[Entry, ...] | deque[Entry]:
    if isinstance(known, deque):
        known.popleft()
        return known
    return () if isinstance(known, Entry) else known[1:]
