"""The registry of sandboxes whose state is in a server of its own, for all who share it."""

import asyncio
import logging
import math
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from hashlib import blake2b

from msgspec import json

from stepstub.clock import SystemClock
from stepstub.concurrency import Concurrency
from stepstub.delegates import CallTracing, StepStart
from stepstub.errors import NeedsServer, StoreUnavailable, WorldReplaced
from stepstub.model import Process
from stepstub.readings import Readings
from stepstub.sandbox import DEFAULT_ID, Sandbox
from stepstub.sandboxes import (
    MAX_TOKENS,
    check_deletable,
    id_of,
    key_headers_of,
    new_token,
    too_many_sandboxes,
    too_many_tokens,
    unknown_token,
)
from stepstub.settings import Settings
from stepstub.stores.sessions import MAX_SESSIONS, KeptSessions
from stepstub.stores.valkey.directory import Description, Directory, Found
from stepstub.stores.valkey.link import Link
from stepstub.stores.valkey.notices import Notices
from stepstub.stores.valkey.store import Marks, ValkeyStore
from stepstub.tokens import Limit
from stepstub.variations import Vary

log = logging.getLogger("stepstub")

_TEND_EVERY = 1.0  # seconds
_MAX_TAKING_OVER = 100  # sandboxes whose calls one process takes over at a time
_NOTE_USE_EVERY = 60.0  # seconds; less where sandboxes expire so soon that this matters
_LET_GO_AFTER = 60.0  # seconds in which an epoch has to be filled and entered
_MAX_KNOWN = 10_000  # sandboxes that a process remembers having looked up


class _SharedSessions:
    """Who has logged in to the console of any of the stubs."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    async def add(self, digest: str) -> None:
        await self._directory.add_session(digest, MAX_SESSIONS)

    async def remove(self, digest: str) -> None:
        await self._directory.remove_session(digest)

    async def has(self, digest: str) -> bool:
        return await self._directory.has_session(digest)


class SharedSandboxes:
    """The sandboxes that many processes share.

    A process remembers those that it has looked up. Every exchange is begun in the epoch and
    version of that, so one that was reset, deleted or changed meanwhile is looked up again.
    """

    are_shared = True

    def __init__(
        self,
        processes: Sequence[Process],
        *,
        settings: Settings,
        link: Link,
        notices: Notices,
        concurrency: Concurrency,
        tracing: CallTracing | None = None,
    ) -> None:
        self.readings = settings.readings
        self.vary = settings.vary
        self.key_headers: frozenset[bytes] = frozenset()
        self._token = settings.token.encode()
        self._limits = settings.limits
        self._lease = settings.lease
        self._expires_after = settings.sandboxes_expire_after
        self._processes = tuple(processes)
        self._origin = _digest(settings, self._processes)
        self._link = link
        self._notices = notices
        self._directory = Directory(link)
        self.sessions: KeptSessions = _SharedSessions(self._directory)
        self._concurrency = concurrency
        self._tracing = tracing
        self._marks = Marks()
        self._clock = SystemClock()
        self._known: dict[bytes, Sandbox] = {}  # by their tokens
        self._noted: dict[str, float] = {}  # when the use of a sandbox was noted last, by its key
        self._note_use_every = min(_NOTE_USE_EVERY, self._expires_after / 4)
        self.last_count = 0
        self._tending: asyncio.Task[None] | None = None
        self._taking_over: dict[str, asyncio.Task[None]] = {}  # by the keys of the sandboxes
        self._turns = asyncio.Semaphore(_MAX_TAKING_OVER)
        # Of no epoch, so that whoever needs it looks it up.
        self.default = self._made(
            Found("stepstub:{}", "", "", self._described(), limits_tokens=False)
        )

    async def begin(self) -> None:
        # A worker that has been forked has its own marks.
        self._marks = Marks()
        self._tending = asyncio.get_running_loop().create_task(self._tend())

    async def end(self) -> None:
        if self._tending is not None:
            self._tending.cancel()
            with suppress(asyncio.CancelledError):
                await self._tending
        for task in self._taking_over.values():
            task.cancel()
        await self._notices.close()
        await self._link.close()

    async def check(self) -> None:
        await self._directory.check()

    async def count(self) -> int:
        self.last_count = await self._directory.count()
        return self.last_count

    async def page(self, offset: int, limit: int) -> list[Sandbox]:
        await self._default()
        found = [await self._found(key) for key in await self._directory.page(offset, limit)]
        return [sandbox for sandbox in found if sandbox is not None]

    async def by_token(self, token: bytes) -> Sandbox:
        known = self._known.get(token)
        if known is None:
            known = await self._look_up(token)
        await self._note_use(known)
        return known

    async def now_by_token(self, token: bytes) -> Sandbox:
        known = self._known.get(token)
        if known is not None:
            store = _store_of(known)
            found = await self._directory.find(store.sandbox)
            if found is None or (found.epoch, found.version) != store.world:
                self._known.pop(token, None)  # another request may have done so
        return await self.by_token(token)

    async def _note_use(self, sandbox: Sandbox) -> None:
        key, now = _store_of(sandbox).sandbox, time.monotonic()
        if now > self._noted.get(key, -math.inf) + self._note_use_every:
            self._noted[key] = now
            await self._directory.use(key)

    async def _look_up(self, token: bytes) -> Sandbox:
        if token == self._token:
            found: Sandbox | None = await self._default()
        else:
            key = await self._directory.key_of(token)
            found = await self._of_a_token(key)
            if found is None:
                await self._directory.renew()
                if (moved := await self._directory.key_of(token)) != key:
                    found = await self._of_a_token(moved)
            if found is not None and found.id == DEFAULT_ID:  # by a further token of it
                found = await self._default()
        if found is None:
            raise unknown_token()
        if len(self._known) >= _MAX_KNOWN:
            self._known.clear()
            self._noted.clear()
        self._known[token] = found
        return found

    async def _of_a_token(self, key: str) -> Sandbox | None:
        """The sandbox of this key, or of a further token that has it."""
        found = await self._found(key)
        if found is None and (owner := await self._directory.owner_of(key)):
            found = await self._found(owner)
        return found

    async def by_id(self, sandbox_id: str) -> Sandbox | None:
        if sandbox_id == DEFAULT_ID:
            return await self._default()
        return await self._used(await self._directory.by_id(sandbox_id))

    @property
    def may_have_names(self) -> bool:
        return True  # another process may have created one

    async def by_name(self, name: str) -> Sandbox | None:
        return await self._used(await self._directory.by_name(name))

    async def _used(self, key: str | None) -> Sandbox | None:
        """The sandbox of a key, which is being used."""
        found = None if key is None else await self._found(key)
        if found is not None:
            await self._note_use(found)
        return found

    async def renew(self, sandbox: Sandbox) -> None:
        self._known = {token: each for token, each in self._known.items() if each is not sandbox}
        if sandbox.id == DEFAULT_ID:
            await self._default()

    async def find_key_headers(self) -> frozenset[bytes]:
        self.key_headers = await self._directory.key_headers()
        return self.key_headers

    async def create(
        self,
        processes: Sequence[Process],
        readings: Readings | None = None,
        vary: Vary | None = None,
        name: str | None = None,
    ) -> tuple[Sandbox, str]:
        token = new_token()
        description = Description(
            id=id_of(token),
            name=name,
            created_at=self._clock.now(),
            readings=readings or self.readings,
            vary=vary,
            processes=tuple(processes),
        )
        # The default one counts as well, and is there once somebody has come by its token.
        key = await self._register(token.encode(), description, most=self._limits.sandboxes + 1)
        sandbox = await self._found(key)
        if sandbox is None:  # deleted by who cannot know its token: the console
            raise WorldReplaced
        return sandbox, token

    async def issue(self, sandbox: Sandbox, limit: Limit) -> str:
        token, store = new_token(), _store_of(sandbox)
        if not await self._directory.issue(store, token.encode(), limit, MAX_TOKENS):
            raise too_many_tokens()
        return token

    async def limit(self, sandbox: Sandbox, token: bytes, limit: Limit) -> None:
        await sandbox.store.limit_token(token, limit)

    async def reset(
        self,
        sandbox: Sandbox,
        processes: Sequence[Process] | None,
        readings: Readings | None = None,
        vary: Vary | None = None,
    ) -> Sandbox:
        description = Description(
            id=sandbox.id,
            name=sandbox.name,
            created_at=sandbox.created_at,
            readings=readings or sandbox.readings,
            vary=vary,
            processes=tuple(sandbox.scenario if processes is None else processes),
            origin=self._origin if sandbox.id == DEFAULT_ID else "",
        )
        key, epoch = _store_of(sandbox).sandbox, secrets.token_hex(8)
        await self._fill(key, epoch, description)
        before = await self._directory.replace(key, epoch, description, _header(description))
        await self._let_go(key, epoch if before is None else before)
        if before is None:
            raise unknown_token()
        await self.renew(sandbox)
        fresh = await self._found(key)
        if fresh is None:
            raise unknown_token()
        return fresh

    async def delete(self, sandbox: Sandbox) -> None:
        check_deletable(sandbox)
        await self._remove(_store_of(sandbox).sandbox)
        await self.renew(sandbox)

    def on_delegate(self, token: str, function: Callable[[StepStart], None] | None) -> None:
        raise NeedsServer("A function of one process cannot start the steps of a shared sandbox.")

    async def _default(self) -> Sandbox:
        """The sandbox of the stub's own token, which is made when it is first looked for."""
        key = await self._directory.key_of(self._token)
        found = await self._found(key)
        if found is None:
            key = await self._register(self._token, self._described(), most=None)
            found = await self._found(key)
            if found is None:
                raise WorldReplaced
        # The same object as long as it is the same sandbox: it is told from others by that.
        if _store_of(found).world != _store_of(self.default).world:
            self.default = found
        return self.default

    def _described(self) -> Description:
        """The default sandbox as this stub begins it."""
        return Description(
            id=DEFAULT_ID,
            name=None,
            created_at=self._clock.now(),
            readings=self.readings,
            vary=self.vary,
            processes=self._processes,
            origin=self._origin,
        )

    async def _register(self, token: bytes, description: Description, *, most: int | None) -> str:
        """Fill an epoch, and enter the sandbox of a token under it, unless it is there already.

        Returns its key. Raises `InConflict` when there are too many.
        """
        key, epoch = await self._directory.key_of(token), secrets.token_hex(8)
        await self._fill(key, epoch, description)
        header = _header(description)
        outcome = await self._directory.register(token, key, epoch, description, header, most)
        if outcome != _REGISTERED:
            await self._let_go(key, epoch)
        if outcome == _MOVED:
            await self._directory.renew()
        if outcome in (_MOVED, _TOO_LATE):
            return await self._register(token, description, most=most)
        if outcome == _TOO_MANY:
            raise too_many_sandboxes(self._limits)
        if outcome == _ANOTHERS:
            raise StoreUnavailable(
                f"The store at {self._link.address} has the state of stubs with another --token:"
                " start this one with the same, or on another database."
            )
        return key

    async def _fill(self, key: str, epoch: str, description: Description) -> None:
        await self._directory.detach(key, epoch)
        await self._store(key, epoch, filling=True).add(description.processes, description.readings)

    async def _remove(self, key: str, unused_since: int | None = None) -> None:
        found = await self._directory.find(key)
        if found is None:
            return
        epoch = await self._directory.remove(key, found.description, unused_since)
        if epoch is not None:
            await self._let_go(key, epoch)

    async def _let_go(self, key: str, epoch: str) -> None:
        """Let an epoch go that is no sandbox's."""
        await self._store(key, epoch, filling=True).retire()

    async def _found(self, key: str) -> Sandbox | None:
        found = await self._directory.find(key)
        return None if found is None else self._made(found)

    def _made(self, found: Found) -> Sandbox:
        described = found.description
        self.key_headers |= key_headers_of(described.readings)
        sandbox = Sandbox(
            described.processes,
            sandbox_id=described.id,
            store=self._store(found.sandbox, found.epoch, found.version),
            concurrency=self._concurrency,
            readings=described.readings,
            vary=described.vary,
            name=described.name,
            created_at=described.created_at,
            tracing=self._tracing,
        )
        sandbox.limits_tokens = found.limits_tokens
        if described.id == DEFAULT_ID and described.origin != self._origin:
            sandbox.scenario = self._processes
            sandbox.reset_readings, sandbox.reset_vary = self.readings, self.vary
        return sandbox

    def _store(
        self, key: str, epoch: str, version: str = "", *, filling: bool = False
    ) -> ValkeyStore:
        return ValkeyStore(
            self._link,
            key,
            epoch,
            marks=self._marks,
            version=version,
            notices=self._notices,
            bound=self._limits.journal,
            lease=self._lease,
            filling=filling,
        )

    async def _tend(self) -> None:
        """Take over what other processes have left, and let go of what nobody uses."""
        is_out_of_reach = False
        while True:
            try:
                await self._begin_to_take_over()
                await self._remove_unused()
                await self._let_go_of_what_others_left()
            except StoreUnavailable as error:
                if not is_out_of_reach:
                    log.warning("cannot look after the sandboxes: %s", error)
                is_out_of_reach = True
            except Exception:
                log.exception("cannot look after the sandboxes")
            else:
                if is_out_of_reach:
                    log.warning("the store at %s is within reach again", self._link.address)
                is_out_of_reach = False
            await asyncio.sleep(_TEND_EVERY)

    async def _begin_to_take_over(self) -> None:
        for key in await self._directory.owing():
            if key not in self._taking_over:
                task = asyncio.get_running_loop().create_task(self._take_over(key))
                self._taking_over[key] = task
                task.add_done_callback(partial(self._has_taken_over, key))

    async def _remove_unused(self) -> None:
        keys, since = await self._directory.unused(round(self._expires_after * 1000))
        own = await self._directory.key_of(self._token) if keys else ""
        for key in keys:
            if key != own:
                await self._remove(key, since)

    async def _let_go_of_what_others_left(self) -> None:
        for key, epoch in await self._directory.detached(round(_LET_GO_AFTER * 1000)):
            await self._let_go(key, epoch)

    async def _take_over(self, key: str) -> None:
        """Make the calls of a sandbox that others have left; it holds up no other sandbox."""
        try:
            async with self._turns:
                sandbox = await self._found(key)
                if sandbox is None:
                    await self._directory.forget_owing(key)
                else:
                    await sandbox.make_owed_calls()
        except WorldReplaced:
            pass
        except StoreUnavailable as error:
            log.warning("cannot take over the delegate calls of a sandbox: %s", error)
        except Exception:
            log.exception("cannot take over the delegate calls of a sandbox")

    def _has_taken_over(self, key: str, _: asyncio.Task[None]) -> None:
        del self._taking_over[key]


_REGISTERED, _TOO_MANY, _MOVED, _ANOTHERS, _TOO_LATE = 1, 3, 4, 5, 6


def _store_of(sandbox: Sandbox) -> ValkeyStore:
    if not isinstance(sandbox.store, ValkeyStore):
        raise TypeError("it is a sandbox of another registry")
    return sandbox.store


def _digest(settings: Settings, processes: Sequence[Process]) -> str:
    """Tells what a stub was started with from what others were, as far as it fills a sandbox."""
    started_with = json.encode((processes, settings.readings, settings.vary))
    return blake2b(started_with, digest_size=8).hexdigest()


def _header(description: Description) -> bytes:
    return next(iter(key_headers_of(description.readings)), b"")
