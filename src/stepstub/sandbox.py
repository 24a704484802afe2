"""One token's world: its processes, journal, delegates, clock and ids."""

import hmac
import secrets
from collections.abc import Sequence
from hashlib import blake2b

from stepstub.clock import Clock, SystemClock
from stepstub.delegates import Delegates
from stepstub.engine import Engine, StartedStep
from stepstub.errors import DelegateFailed, PreconditionFailed, Unauthorized
from stepstub.journal import Entry, Journal
from stepstub.model import Params, Process, Status
from stepstub.runtime import Runtime


class Sandbox:
    """Everything that belongs to one bearer token. Two sandboxes share nothing."""

    def __init__(
        self,
        token: str,
        processes: Sequence[Process],
        *,
        runtime: Runtime,
        clock: Clock | None = None,
        journal_bound: int = 1000,
    ) -> None:
        self.token = token
        self.clock = clock or SystemClock()
        self.journal = Journal(journal_bound)
        self.delegates = Delegates(self.clock, runtime)
        self.engine = Engine(self.clock, self.delegates)
        self.engine.add(processes)

    async def complete_step(self, step_id: str, params: Params, entry: Entry) -> StartedStep:
        """Complete a step for the exchange of `entry`, and note what became of it there.

        Raises `PreconditionFailed` and `DelegateFailed` as `Engine.complete` does.
        """
        entry.step_id = step_id
        try:
            started = await self.engine.complete(step_id, params, entry.number)
        except PreconditionFailed as refusal:
            entry.step_before = entry.step_after = refusal.violations["processStepId"].status
            raise
        except DelegateFailed:
            entry.step_before = entry.step_after = Status.STARTED
            raise
        entry.step_before, entry.step_after = Status.STARTED, Status.COMPLETED
        return started


class Sandboxes:
    """The sandboxes by their tokens.

    Tokens are looked up by a keyed digest and then compared in constant time, so how long a
    refusal takes tells nothing about the tokens there are.
    """

    def __init__(self, default: Sandbox) -> None:
        self._key = secrets.token_bytes(32)
        self.default = default
        self._by_digest = {self._digest(default.token.encode()): default}

    def owner_of(self, token: bytes) -> Sandbox:
        """The sandbox of a token. Raises `Unauthorized` when there is none."""
        sandbox = self._by_digest.get(self._digest(token))
        if sandbox is None or not hmac.compare_digest(sandbox.token.encode(), token):
            raise Unauthorized("The bearer token is not known to this server.")
        return sandbox

    def _digest(self, token: bytes) -> bytes:
        return blake2b(token, key=self._key, digest_size=16).digest()
