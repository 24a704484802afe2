"""One token's world, and the registry of all of them."""

import gc
import hmac
import re
import secrets
from collections.abc import Callable, Sequence
from hashlib import blake2b
from threading import Lock

from msgspec import Struct
from msgspec.structs import replace

from stepstub.clock import SandboxClock, SystemClock
from stepstub.concurrency import Concurrency
from stepstub.delegates import Delegates, StepStart
from stepstub.engine import Engine, StartedStep
from stepstub.errors import Conflict, DelegateFailed, PreconditionFailed, Unauthorized
from stepstub.faults import Faults
from stepstub.ids import Ids
from stepstub.journal import Entry, Journal
from stepstub.model import Params, Process, Status

_MANY_STEPS = 10_000  # from here on their memory is worth a full collection in the end
_NUMBERED = re.compile(r"-\d+$")


class Limits(Struct, frozen=True):
    """How much the stub keeps."""

    journal: int = 1000
    """Exchanges, and delegate calls, a sandbox remembers."""
    sandboxes: int = 1000
    """Sandboxes there may be beside the default one."""


class Verification(Struct, frozen=True, rename="camel"):
    """Whether a step was completed as often as it should, and in words why (not).

    `attempts` are the numbers of the exchanges about the step; `delegate_calls` counts the calls
    of the next step's delegate that they caused.
    """

    holds: bool
    completed: int
    delegate_calls: int
    attempts: tuple[int, ...]
    explanation: str


class Sandbox:
    """Everything that belongs to one bearer token. Two sandboxes share nothing.

    A reset makes a new one under the same token, so requests in flight end in the old world and
    cannot touch the new one.
    """

    def __init__(
        self, token: str, processes: Sequence[Process], *, concurrency: Concurrency, limits: Limits
    ) -> None:
        self.token = token
        self.scenario = processes
        self.concurrency = concurrency
        self.ids = Ids()
        self.clock = SandboxClock(SystemClock())
        self.journal = Journal(limits.journal)
        self.faults = Faults()
        self.delegates = Delegates(self.clock, concurrency, bound=limits.journal)
        self.engine = Engine(self.clock, self.delegates)
        self.engine.add(processes)

    def __del__(self) -> None:
        # CPython keeps some freed objects for later use, and a single one is enough to hold on to
        # a megabyte around it. A full collection lets go of them.
        if self.engine.number_of_steps > _MANY_STEPS:
            del self.engine, self.delegates, self.journal
            gc.collect()

    async def complete_step(self, step_id: str, params: Params, entry: Entry) -> StartedStep:
        """Complete a step for the exchange of `entry`, and note what became of it there.

        Raises `PreconditionFailed` and `DelegateFailed` as `Engine.complete` does.
        """
        try:
            started = await self.engine.complete(step_id, params, entry.number)
        except PreconditionFailed as refusal:
            entry.step_before = entry.step_after = refusal.violations["processStepId"].status
            raise
        except DelegateFailed:
            entry.step_before = entry.step_after = Status.STARTED
            raise
        entry.step_before, entry.step_after = Status.STARTED, Status.COMPLETED
        self.journal.notify()
        return started

    async def start_scenario(self, processes: Sequence[Process]) -> list[Process]:
        """Start the processes of a scenario, under free ids where theirs are in use.

        Raises as `start_process` does.
        """
        return [await self.start_process(self._with_free_ids(process)) for process in processes]

    async def start_process(self, process: Process) -> Process:
        """Start a process, and return it as it is then.

        Raises `Conflict` for ids in use, and `DelegateFailed` when the delegate of the first step
        does not take the call.
        """
        try:
            await self.engine.start(process)
        except ValueError as error:
            raise Conflict(f"{error}; leave ids out and free ones are chosen.") from error
        return self.engine.process(process.id) or process

    def _with_free_ids(self, process: Process) -> Process:
        used = self.engine.in_use
        if not used(process.id) and not any(used(step.id) for step in process.steps):
            return process
        process_id = self.free_id(_NUMBERED.sub("", process.id))
        return Process(
            process_id,
            tuple(
                replace(
                    step,
                    process_id=process_id,
                    id=process_id + step.id.removeprefix(process.id)
                    if step.id.startswith(process.id)
                    else f"{process_id}-{step.position + 1}",
                )
                for step in process.steps
            ),
        )

    def free_id(self, prefix: str) -> str:
        """`prefix-N` with the first N that no process or step uses."""
        while self.engine.in_use(identifier := self.ids.next(prefix)):
            pass
        return identifier

    def fail_step(self, step_id: str) -> None:
        """Let a STARTED step fail. Raises `PreconditionFailed`."""
        self.engine.fail(step_id, "a test let it fail")

    async def verify(self, step_id: str, times: int, within: float) -> Verification:
        """Whether the step was completed `times` times; waits up to `within` seconds for it."""

        def settled() -> bool:
            completed = sum(entry.completed_step for entry in self._attempts(step_id))
            return completed > times or (completed == times > 0)

        if within and not settled():
            await self.concurrency.call(lambda: self.journal.wait_until(settled, within))
        return self._verification(step_id, times)

    def _attempts(self, step_id: str) -> list[Entry]:
        return [entry for entry in self.journal if entry.step_id == step_id]

    def _verification(self, step_id: str, times: int) -> Verification:
        attempts = self._attempts(step_id)
        completed = sum(entry.completed_step for entry in attempts)
        numbers = {entry.number for entry in attempts}
        delegate_calls = sum(call.exchange in numbers for call in self.delegates)
        words = [
            (
                f"Step {step_id} was {_times('completed', completed)},"
                f" and should have been {_times('completed', times)};"
                f" the next step's delegate was {_times('called', delegate_calls)};"
                f" {len(attempts)} attempt{'' if len(attempts) == 1 else 's'}."
            )
        ]
        words += [_account(entry) for entry in attempts]
        if not attempts and not self.engine.in_use(step_id):
            words.append("There is no such step in this sandbox.")
        if self.journal.dropped:
            words.append(f"The journal no longer has the first {self.journal.dropped} exchanges.")
        return Verification(
            holds=completed == times,
            completed=completed,
            delegate_calls=delegate_calls,
            attempts=tuple(entry.number for entry in attempts),
            explanation=" ".join(words),
        )


class Sandboxes:
    """The sandboxes by their tokens; `default` is that of the token the stub was started with.

    Tokens are looked up by a keyed digest and then compared in constant time, so how long a
    refusal takes tells nothing about the tokens there are.
    """

    def __init__(
        self, token: str, processes: Sequence[Process], *, concurrency: Concurrency, limits: Limits
    ) -> None:
        self._key = secrets.token_bytes(32)
        self._lock = Lock()
        self._concurrency = concurrency
        self._limits = limits
        self._by_digest: dict[bytes, Sandbox] = {}
        self.default = self._put(token, processes)

    def __len__(self) -> int:
        return len(self._by_digest)

    def by_token(self, token: bytes) -> Sandbox:
        """The sandbox of a token. Raises `Unauthorized` when there is none."""
        sandbox = self._by_digest.get(self._digest(token))
        if sandbox is None or not hmac.compare_digest(sandbox.token.encode(), token):
            raise Unauthorized("The bearer token is not known to this server.")
        return sandbox

    def create(self, processes: Sequence[Process]) -> Sandbox:
        """A new sandbox with a token of its own. Raises `Conflict` when there are too many."""
        with self._lock:
            if len(self) > self._limits.sandboxes:
                raise Conflict(
                    f"There are {self._limits.sandboxes} sandboxes already;"
                    " delete some, or start the stub with a larger --max-sandboxes."
                )
            return self._put(f"sandbox-{secrets.token_urlsafe(16)}", processes)

    def reset(self, sandbox: Sandbox, processes: Sequence[Process] | None) -> Sandbox:
        """A new sandbox under the same token; None brings the processes it began with."""
        with self._lock:
            # One that was deleted, or reset by somebody else, meanwhile is no longer the owner.
            self.by_token(sandbox.token.encode())
            fresh = self._put(sandbox.token, sandbox.scenario if processes is None else processes)
            fresh.delegates.function = sandbox.delegates.function
            if fresh.token == self.default.token:
                self.default = fresh
            return fresh

    def on_delegate(self, token: str, function: Callable[[StepStart], None] | None) -> None:
        """Have `function` start the steps of this token's sandbox that are recorded or python."""
        self.by_token(token.encode()).delegates.function = function

    def delete(self, sandbox: Sandbox) -> None:
        """Forget a sandbox and its token. Raises `Conflict` for the default one."""
        if sandbox.token == self.default.token:
            raise Conflict("The default sandbox cannot be deleted; reset it instead.")
        with self._lock:
            self._by_digest.pop(self._digest(sandbox.token.encode()), None)

    def _put(self, token: str, processes: Sequence[Process]) -> Sandbox:
        sandbox = Sandbox(token, processes, concurrency=self._concurrency, limits=self._limits)
        self._by_digest[self._digest(token.encode())] = sandbox
        return sandbox

    def _digest(self, token: bytes) -> bytes:
        return blake2b(token, key=self._key, digest_size=16).digest()


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
