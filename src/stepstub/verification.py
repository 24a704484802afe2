"""Whether a step was completed as often as it should, and in words why (not)."""

from collections.abc import Sequence

from msgspec import Struct

from stepstub.journal import Entry, ExchangeQuery
from stepstub.sandbox import Sandbox


class Verification(Struct, frozen=True, rename="camel"):
    """The outcome of a verification.

    `attempts` are the numbers of the exchanges about the step; `delegate_calls` counts the calls
    of the next step's delegate that they caused.
    """

    holds: bool
    completed: int
    delegate_calls: int
    attempts: tuple[int, ...]
    explanation: str


async def verify(sandbox: Sandbox, step_id: str, times: int, within: float) -> Verification:
    """Whether the step was completed `times` times; waits up to `within` seconds for it."""
    entries, dropped = await _settled(sandbox, step_id, times, within)
    calls = await sandbox.store.calls_of(entry.number for entry in entries)
    unknown = not entries and not await sandbox.store.in_use(step_id)
    called = sum(call.times for call in calls.values())
    return _verification(step_id, times, entries, called, dropped, unknown=unknown)


def settles(completed: int, times: int) -> bool:
    """Whether there is nothing left to wait for: as many completions as expected, or more."""
    return completed > times or completed == times > 0


async def _settled(
    sandbox: Sandbox, step_id: str, times: int, within: float
) -> tuple[list[Entry], int]:
    """The exchanges about a step, once they settle the question or the time is over."""
    store, query = sandbox.store, ExchangeQuery(step_id=step_id)

    async def is_settled() -> bool:
        entries, _ = await store.exchanges(query)
        return settles(_completions(entries), times)

    if within:
        async with store.watched():  # first, so that no change slips in before the first look
            await sandbox.concurrency.wait_for_change(store.changes, is_settled, within)
    return await store.exchanges(query)


def _completions(entries: Sequence[Entry]) -> int:
    return sum(entry.completed_step for entry in entries)


def _verification(
    step_id: str,
    times: int,
    attempts: Sequence[Entry],
    delegate_calls: int,
    dropped: int,
    *,
    unknown: bool,
) -> Verification:
    completed = _completions(attempts)
    sentences = [
        (
            f"Step {step_id} was {_times('completed', completed)},"
            f" and should have been {_times('completed', times)};"
            f" the next step's delegate was {_times('called', delegate_calls)};"
            f" {len(attempts)} attempt{'' if len(attempts) == 1 else 's'}."
        )
    ]
    sentences += [_account(entry) for entry in attempts]
    if unknown:
        sentences.append("There is no such step in this sandbox.")
    if dropped:
        sentences.append(f"The journal no longer has the first {dropped} exchanges.")
    return Verification(
        holds=completed == times,
        completed=completed,
        delegate_calls=delegate_calls,
        attempts=tuple(entry.number for entry in attempts),
        explanation=" ".join(sentences),
    )


def _times(done: str, number: int) -> str:
    if number == 0:
        return f"never {done}"
    return f"{done} {({1: 'once', 2: 'twice'}).get(number, f'{number} times')}"


def _account(entry: Entry) -> str:
    """What became of one attempt, in words."""
    lost = f" (fault {entry.fault})" if entry.fault else ""
    if entry.status is None and not entry.fault:
        return f"Exchange {entry.number}: {entry.reason or 'it is still in progress.'}"
    if entry.completed_step:
        return f"Exchange {entry.number} completed it{lost}."
    if entry.fault and entry.step_before is None:
        return f"Exchange {entry.number} did not reach it{lost}."
    by = f" Exchange {entry.moved_by} moved it there." if entry.moved_by else ""
    return f"Exchange {entry.number} got {entry.status}{lost}: {entry.reason}{by}"
