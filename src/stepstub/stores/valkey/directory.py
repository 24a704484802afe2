"""Which sandboxes there are: the part of the state that no single sandbox owns."""

import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from hashlib import blake2b
from typing import Any

from msgspec import Struct, json
from valkey import Valkey

from stepstub.errors import WorldReplaced
from stepstub.model import Process
from stepstub.readings import Readings
from stepstub.stores.valkey.link import BUDGET, Argument, Link, Lost, repeated
from stepstub.stores.valkey.scripts import script
from stepstub.stores.valkey.store import DETACHED, OWED, ValkeyStore, digest_of, limit_arguments
from stepstub.tokens import Limit
from stepstub.variations import Vary

_KEY = "stepstub:key"
_ORDER = "stepstub:sandboxes"
_IDS = "stepstub:ids"
_NAMES = "stepstub:names"
_TOKENS = "stepstub:tokens"
_HEADERS = "stepstub:headers"
_USED = "stepstub:used"
_SESSIONS = "stepstub:sessions"

_BATCH = 20  # sandboxes that are deleted at a time
_MAX_OWING = 1000  # sandboxes whose calls are taken over at a time


class Description(Struct, frozen=True, kw_only=True):
    """What a sandbox is, apart from its state. `processes` are those it began with."""

    id: str
    name: str | None
    created_at: int
    readings: Readings
    vary: Vary | None
    processes: tuple[Process, ...]
    origin: str = ""
    """Which stub has made it, by what that was started with; of the default one alone."""


class Found(Struct, frozen=True):
    """A sandbox as it is now: its key, epoch and version, and whether its tokens have limits."""

    sandbox: str
    epoch: str
    version: str
    description: Description
    limits_tokens: bool


_encode = json.Encoder().encode
_decode = json.Decoder(Description).decode


def claim(client: Valkey, token: bytes, sandbox_id: str) -> bool | None:
    """Have an id be that of the sandbox of a token; None if it is another sandbox's.

    Whether there is that sandbox already.
    """
    client.set(_KEY, secrets.token_hex(32), nx=True)
    hash_key: Any = client.get(_KEY)
    key = _key_of(token, hash_key)
    client.hsetnx(_IDS, sandbox_id, key)
    owner: Any = client.hget(_IDS, sandbox_id)
    return bool(client.exists(key)) if owner == key.encode() else None


class Directory:
    """The sandboxes of a server, by keys that no token can be read from."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._hash_key: bytes | None = None

    async def key_of(self, token: bytes) -> str:
        """The key of the sandbox that has this token as its own."""
        if self._hash_key is None:
            await self.renew()
        return _key_of(token, self._hash_key or b"")

    async def renew(self) -> None:
        """Read what keys are hashed with: a server that has lost everything may have another."""
        found = await self._command("GET", _KEY)
        if found is None:
            await self._command("SET", _KEY, self._hash_key or secrets.token_hex(32), "NX")
            found = await self._command("GET", _KEY)
        self._hash_key = found

    async def find(self, sandbox: str) -> Found | None:
        """The sandbox of a key, if there is one."""
        epoch, version, description, limited = await self._command(
            "HMGET", sandbox, "epoch", "version", "description", "limited"
        )
        if epoch is None:
            return None
        described = _decode(description)
        return Found(sandbox, epoch.decode(), version.decode(), described, limited is not None)

    async def owner_of(self, token_key: str) -> str | None:
        """The key of the sandbox that has been given a further token."""
        return _text(await self._command("HGET", _TOKENS, token_key))

    async def by_id(self, sandbox_id: str) -> str | None:
        return _text(await self._command("HGET", _IDS, sandbox_id))

    async def by_name(self, name: str) -> str | None:
        return _text(await self._command("HGET", _NAMES, name))

    async def count(self) -> int:
        return int(await self._command("ZCARD", _ORDER))

    async def page(self, offset: int, limit: int) -> list[str]:
        if not limit:
            return []
        found = await self._command("ZRANGE", _ORDER, offset, offset + limit - 1)
        return [key.decode() for key in found]

    async def key_headers(self) -> frozenset[bytes]:
        return frozenset(await self._command("SMEMBERS", _HEADERS))

    async def detach(self, sandbox: str, epoch: str) -> None:
        """Note that an epoch is about to be filled, so that it goes if it is never entered."""
        now = round(self._link.server_time())
        await self._command("ZADD", DETACHED, now, f"{sandbox} {epoch}")

    async def detached(self, milliseconds: int) -> list[tuple[str, str]]:
        """Some epochs that have been no sandbox's for so long, and whose they would be."""
        since = round(self._link.server_time()) - milliseconds
        found = await self._command("ZRANGEBYSCORE", DETACHED, "-inf", since, "LIMIT", 0, _BATCH)
        return [_pair(each.decode()) for each in found]

    async def register(
        self,
        token: bytes,
        sandbox: str,
        epoch: str,
        description: Description,
        header: bytes,
        most: int | None,
    ) -> int:
        """Enter a sandbox: 1, or 2 where it is there already, or 3 where there are too many.

        Or 4 where its key is another one than it was, 5 where its id is another sandbox's, and 6
        where the epoch has been let go.
        """
        hash_key = self._hash_key or b""
        if sandbox != _key_of(token, hash_key):
            return 4
        reply = await self._run(
            "register",
            (sandbox, _ORDER, _IDS, _NAMES, _HEADERS, _USED, _KEY, DETACHED),
            epoch,
            "",
            "",
            _encode(description),
            description.id,
            description.name or "",
            header,
            "" if most is None else most,
            hash_key,
        )
        return int(reply[0])

    async def replace(
        self, sandbox: str, epoch: str, description: Description, header: bytes
    ) -> str | None:
        """Have a sandbox go on in another epoch; the one before, None where there is none.

        Raises `WorldReplaced` where the epoch has been let go.
        """
        keys = (sandbox, _TOKENS, _HEADERS, DETACHED)
        reply = await self._run("replace", keys, epoch, "", "", _encode(description), header)
        if reply[0] == 2:
            raise WorldReplaced
        return _text(reply[1]) if reply[0] else None

    async def remove(
        self, sandbox: str, description: Description, unused_since: int | None = None
    ) -> str | None:
        """Take a sandbox out; its epoch, None where it is gone or has been used since."""
        keys = (sandbox, _ORDER, _IDS, _NAMES, _TOKENS, _USED, OWED, DETACHED)
        since = "" if unused_since is None else unused_since
        reply = await self._run(
            "remove", keys, "", "", "", description.id, description.name or "", since
        )
        return _text(reply[1]) if reply[0] else None

    async def issue(self, store: ValkeyStore, token: bytes, limit: Limit, most: int) -> bool:
        """Give a sandbox a further token; False where it has too many.

        Raises `WorldReplaced` where the sandbox has been reset or deleted.
        """
        reply = await self._run(
            "issue",
            (store.sandbox, _TOKENS),
            store.world[0],
            "",
            "",
            await self.key_of(token),
            most,
            digest_of(token),
            *limit_arguments(limit),
        )
        if not reply[0]:
            raise WorldReplaced
        return bool(reply[0] == 1)

    async def use(self, sandbox: str) -> None:
        """Note that a sandbox is used."""
        await self._command("ZADD", _USED, "XX", round(self._link.server_time()), sandbox)

    async def check(self) -> None:
        """Raises `StoreUnavailable` where the server takes no write; this one changes nothing."""
        await self._command("ZADD", _USED, "XX", 0, "")

    async def add_session(self, digest: str, most: int) -> None:
        await self._command("ZADD", _SESSIONS, round(self._link.server_time()), digest)
        await self._command("ZREMRANGEBYRANK", _SESSIONS, 0, -most - 1)

    async def remove_session(self, digest: str) -> None:
        await self._command("ZREM", _SESSIONS, digest)

    async def has_session(self, digest: str) -> bool:
        return await self._command("ZSCORE", _SESSIONS, digest) is not None

    async def unused(self, milliseconds: int) -> tuple[list[str], int]:
        """Some sandboxes that nobody has used for so long, and since when."""
        since = round(self._link.server_time()) - milliseconds
        found = await self._command("ZRANGEBYSCORE", _USED, "-inf", since, "LIMIT", 0, _BATCH)
        return [key.decode() for key in found], since

    async def owing(self) -> list[str]:
        """Some sandboxes in which a delegate call may have to be taken over."""
        now = round(self._link.server_time())
        found = await self._command("ZRANGEBYSCORE", OWED, "-inf", now, "LIMIT", 0, _MAX_OWING)
        return [key.decode() for key in found]

    async def forget_owing(self, sandbox: str) -> None:
        """The sandbox is gone, and nobody is owed anything there."""
        await self._command("ZREM", OWED, sandbox)

    async def _command(self, *arguments: Argument) -> Any:
        """A command that does no harm twice."""
        return await self._again(lambda: self._link.command(*arguments))

    async def _run(self, name: str, keys: Sequence[str], *arguments: Argument) -> Any:
        return await self._again(lambda: self._link.run(script(name), keys, arguments))

    async def _again(self, attempt: Callable[[], Awaitable[Any]]) -> Any:
        gives_up = time.monotonic() + BUDGET
        try:
            return await attempt()
        except Lost:
            return await repeated(attempt, gives_up, self._link.address)


def _key_of(token: bytes, hash_key: bytes) -> str:
    """Its braces keep all that belongs to the sandbox together."""
    digest = blake2b(token, key=hash_key[:64], digest_size=16).hexdigest()
    return f"stepstub:{{{digest}}}"


def _pair(member: str) -> tuple[str, str]:
    sandbox, _, epoch = member.partition(" ")
    return sandbox, epoch


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()
