"""The registry of all sandboxes: which token leads to which."""

import gc
import secrets
from collections.abc import Callable, Sequence
from hashlib import blake2b
from itertools import islice
from threading import Lock
from typing import Protocol

from stepstub.clock import SystemClock
from stepstub.concurrency import Concurrency, run_inline
from stepstub.delegates import CallTracing, StepStart
from stepstub.errors import InConflict, Unauthorized
from stepstub.model import Process
from stepstub.readings import DEFAULT, Readings
from stepstub.sandbox import DEFAULT_ID, Sandbox
from stepstub.settings import Limits
from stepstub.stores.memory import MemoryStore
from stepstub.stores.sessions import KeptSessions, MemorySessions
from stepstub.tokens import Limit
from stepstub.variations import Vary

MAX_TOKENS = 100
"""Tokens of a sandbox besides its own."""

_MANY_STEPS = 10_000  # from here on their memory is worth a full collection in the end


class Sandboxes(Protocol):
    """The sandboxes by their tokens; `default` is that of the token the stub was started with.

    `readings` and `vary` are those of a new sandbox that asks for no other, `key_headers` the names
    of all headers in which any sandbox expects its token, in lower case.
    """

    readings: Readings
    vary: Vary | None
    key_headers: frozenset[bytes]
    default: Sandbox
    are_shared: bool
    """Whether other processes may change them."""
    sessions: KeptSessions
    """Who has logged in to the console, for all who share the sandboxes."""

    @property
    def last_count(self) -> int:
        """How many there were when they were counted last."""

    async def begin(self) -> None:
        """The event loop that they are used on is running now."""

    async def end(self) -> None:
        """It is about to end."""

    async def renew(self, sandbox: Sandbox) -> None:
        """Look a sandbox up anew: another process has reset, deleted or changed it."""

    async def find_key_headers(self) -> frozenset[bytes]:
        """`key_headers`, with those of sandboxes that this process has not come across."""

    async def check(self) -> None:
        """Raises `StoreUnavailable` where nothing can be changed at present."""

    async def count(self) -> int:
        """How many there are."""

    async def page(self, offset: int, limit: int) -> list[Sandbox]:
        """At most `limit` sandboxes after the first `offset`, in the order they were created."""

    async def by_token(self, token: bytes) -> Sandbox:
        """The sandbox of a token. Raises `Unauthorized` when there is none."""

    async def now_by_token(self, token: bytes) -> Sandbox:
        """The same, with the readings that it has by now, whatever other processes have done."""

    async def by_id(self, sandbox_id: str) -> Sandbox | None:
        """The sandbox of an id, if there is one."""

    @property
    def may_have_names(self) -> bool:
        """False only where no sandbox has a name."""

    async def by_name(self, name: str) -> Sandbox | None:
        """The newest sandbox of a name, if there is one."""

    async def create(
        self,
        processes: Sequence[Process],
        readings: Readings | None = None,
        vary: Vary | None = None,
        name: str | None = None,
    ) -> tuple[Sandbox, str]:
        """A new sandbox and its token. Raises `InConflict` when there are too many."""

    async def issue(self, sandbox: Sandbox, limit: Limit) -> str:
        """A further token for a sandbox, until that is reset. Raises `InConflict` beyond 100."""

    async def limit(self, sandbox: Sandbox, token: bytes, limit: Limit) -> None:
        """Have a token of a sandbox be good no longer than that, from now on."""

    async def reset(
        self,
        sandbox: Sandbox,
        processes: Sequence[Process] | None,
        readings: Readings | None = None,
        vary: Vary | None = None,
    ) -> Sandbox:
        """A new sandbox under the same token; None is what the sandbox began with.

        But for `vary`, of which None is that responses do not vary.
        """

    async def delete(self, sandbox: Sandbox) -> None:
        """Forget a sandbox and its token. Raises `InConflict` for the default one."""

    def on_delegate(self, token: str, function: Callable[[StepStart], None] | None) -> None:
        """Have `function` start the steps of this token's sandbox that are recorded or python."""


class MemorySandboxes:
    """The sandboxes of one process.

    Tokens are kept and looked up as keyed digests, so how long a refusal takes tells nothing about
    the tokens there are.
    """

    are_shared = False

    def __init__(
        self,
        token: str,
        processes: Sequence[Process],
        *,
        concurrency: Concurrency,
        limits: Limits,
        readings: Readings = DEFAULT,
        vary: Vary | None = None,
        tracing: CallTracing | None = None,
    ) -> None:
        self.readings = readings
        self.vary = vary
        self.key_headers: frozenset[bytes] = frozenset()
        self.sessions: KeptSessions = MemorySessions()
        self._keyed = blake2b(key=secrets.token_bytes(32), digest_size=16)
        self._lock = Lock()
        self._concurrency = concurrency
        self._limits = limits
        self._tracing = tracing
        self._clock = SystemClock()
        self._by_digest: dict[bytes, Sandbox] = {}
        self._by_id: dict[str, Sandbox] = {}
        self._by_name: dict[str, Sandbox] = {}  # of those with the same name the newest
        self._digests: dict[str, bytes] = {}  # of the sandboxes' own tokens, by the ids
        self._further: dict[bytes, Sandbox] = {}  # by the digests of tokens that were issued later
        self.default = run_inline(self._filled(DEFAULT_ID, processes, readings, vary))
        self._put(self.default, self._digest(token.encode()))

    async def begin(self) -> None:
        pass  # nothing of them belongs to a loop

    async def end(self) -> None:
        pass

    async def renew(self, sandbox: Sandbox) -> None:
        pass  # there is no other process

    async def find_key_headers(self) -> frozenset[bytes]:
        return self.key_headers

    @property
    def last_count(self) -> int:
        return len(self._by_digest)

    async def check(self) -> None:
        pass  # it is the memory of this process

    async def count(self) -> int:
        return len(self._by_digest)

    async def page(self, offset: int, limit: int) -> list[Sandbox]:
        with self._lock:
            offset = min(offset, len(self._by_digest))
            return list(islice(self._by_digest.values(), offset, offset + limit))

    async def by_token(self, token: bytes) -> Sandbox:
        digest = self._digest(token)
        sandbox = self._by_digest.get(digest) or self._further.get(digest)
        if sandbox is None:
            raise unknown_token()
        return sandbox

    async def now_by_token(self, token: bytes) -> Sandbox:
        return await self.by_token(token)

    async def by_id(self, sandbox_id: str) -> Sandbox | None:
        return self._by_id.get(sandbox_id)

    @property
    def may_have_names(self) -> bool:
        return bool(self._by_name)

    async def by_name(self, name: str) -> Sandbox | None:
        return self._by_name.get(name)

    async def create(
        self,
        processes: Sequence[Process],
        readings: Readings | None = None,
        vary: Vary | None = None,
        name: str | None = None,
    ) -> tuple[Sandbox, str]:
        token = new_token()
        sandbox = await self._filled(id_of(token), processes, readings or self.readings, vary)
        sandbox.name = name
        with self._lock:
            if len(self._by_digest) > self._limits.sandboxes:
                raise too_many_sandboxes(self._limits)
            self._put(sandbox, self._digest(token.encode()))
        return sandbox, token

    async def issue(self, sandbox: Sandbox, limit: Limit) -> str:
        token = new_token()
        with self._lock:
            if sum(owner is sandbox for owner in self._further.values()) >= MAX_TOKENS:
                raise too_many_tokens()
        await self.limit(sandbox, token.encode(), limit)
        with self._lock:
            # One that was reset or deleted meanwhile has no tokens any more.
            if self._by_id.get(sandbox.id) is sandbox:
                self._further[self._digest(token.encode())] = sandbox
        return token

    async def limit(self, sandbox: Sandbox, token: bytes, limit: Limit) -> None:
        await sandbox.store.limit_token(token, limit)
        sandbox.limits_tokens = True

    async def reset(
        self,
        sandbox: Sandbox,
        processes: Sequence[Process] | None,
        readings: Readings | None = None,
        vary: Vary | None = None,
    ) -> Sandbox:
        fresh = await self._filled(
            sandbox.id,
            sandbox.scenario if processes is None else processes,
            readings or sandbox.readings,
            vary,
        )
        with self._lock:
            # One that was deleted, or reset by somebody else, meanwhile is no longer the owner.
            replaced = self._by_id.get(sandbox.id)
            if replaced is None:
                raise unknown_token()
            fresh.delegates.function = replaced.delegates.function
            fresh.name, fresh.created_at = replaced.name, replaced.created_at
            self._withdraw(replaced)
            self._put(fresh, self._digests[sandbox.id])
            if fresh.id == DEFAULT_ID:
                self.default = fresh
        await _let_go(replaced)
        return fresh

    def on_delegate(self, token: str, function: Callable[[StepStart], None] | None) -> None:
        run_inline(self.by_token(token.encode())).delegates.function = function

    async def delete(self, sandbox: Sandbox) -> None:
        check_deletable(sandbox)
        with self._lock:
            deleted = self._by_id.pop(sandbox.id, sandbox)
            self._by_digest.pop(self._digests.pop(sandbox.id, b""), None)
            self._withdraw(deleted)
            if self._by_name.get(deleted.name or "") is deleted:
                del self._by_name[deleted.name or ""]
        await _let_go(deleted)

    async def _filled(
        self,
        sandbox_id: str,
        processes: Sequence[Process],
        readings: Readings,
        vary: Vary | None,
    ) -> Sandbox:
        store = MemoryStore(bound=self._limits.journal)
        await store.add(processes, readings)
        return Sandbox(
            processes,
            sandbox_id=sandbox_id,
            store=store,
            concurrency=self._concurrency,
            readings=readings,
            vary=vary,
            created_at=self._clock.now(),
            tracing=self._tracing,
        )

    def _put(self, sandbox: Sandbox, digest: bytes) -> None:
        self.key_headers |= key_headers_of(sandbox.readings)
        self._by_digest[digest] = sandbox
        self._by_id[sandbox.id] = sandbox
        self._digests[sandbox.id] = digest
        if sandbox.name:
            self._by_name[sandbox.name] = sandbox

    def _withdraw(self, sandbox: Sandbox) -> None:
        if sandbox.limits_tokens:
            for digest in [each for each, owner in self._further.items() if owner is sandbox]:
                del self._further[digest]

    def _digest(self, token: bytes) -> bytes:
        keyed = self._keyed.copy()  # to set a key up anew takes longer
        keyed.update(token)
        return keyed.digest()


def new_token() -> str:
    """The token of a new sandbox."""
    return f"sandbox-{secrets.token_urlsafe(16)}"


def id_of(token: str) -> str:
    """What names a sandbox where its token must not be: a hash of that.

    Not for the token that the stub was started with, which may be a word that a hash gives away.
    """
    return blake2b(token.encode(), digest_size=6).hexdigest()


def key_headers_of(readings: Readings) -> frozenset[bytes]:
    """The header in which these readings expect the token, if it is one of its own."""
    if readings.credentials != "api-key":
        return frozenset()
    return frozenset({readings.credentials_header.lower().encode()})


def check_deletable(sandbox: Sandbox) -> None:
    """Raises `InConflict` for the default sandbox."""
    if sandbox.id == DEFAULT_ID:
        raise InConflict("The default sandbox cannot be deleted; reset it instead.")


def unknown_token() -> Unauthorized:
    return Unauthorized("The bearer token is not known to this server.")


def too_many_sandboxes(limits: Limits) -> InConflict:
    return InConflict(
        f"There are {limits.sandboxes} sandboxes already;"
        " delete some, or start the stub with a larger --max-sandboxes."
    )


def too_many_tokens() -> InConflict:
    return InConflict(f"There are {MAX_TOKENS} further tokens already; a reset takes them away.")


async def _let_go(sandbox: Sandbox) -> None:
    if await sandbox.store.retire() > _MANY_STEPS:
        # CPython keeps some freed objects for later use, and a single one is enough to hold on to
        # a megabyte around it. A full collection lets go of them.
        gc.collect()
