"""The connection to a store outside the process: one, on which many requests go at once."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeVar

from valkey.asyncio.connection import Connection
from valkey.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    NoScriptError,
    ReadOnlyError,
    ResponseError,
    ValkeyError,
)
from valkey.exceptions import ConnectionError as ConnectionFailed

from stepstub.errors import StoreUnavailable
from stepstub.stores.valkey.scripts import Script

BUDGET = 2.0
"""Seconds in which a call of the store has to be over, repetitions included."""

Argument = bytes | str | int

T = TypeVar("T")
# Replies after which the client library closes the connection, as if it had been lost.
_CLOSING = (AuthenticationError, BusyLoadingError)
_TOO_SHORT = 0.05  # seconds, in which no further attempt is made
_PAUSE = 0.01  # seconds between attempts, for a server that loses each of them at once


class Lost(Exception):
    """The reply did not come: whether the command was carried out is not known."""


async def repeated(attempt: Callable[[], Awaitable[T]], gives_up: float, address: str) -> T:
    """The result of `attempt`, whose first reply has been lost; it is made as often as it takes.

    Raises `StoreUnavailable` when there is none by `gives_up` (monotonic).
    """
    while (left := gives_up - time.monotonic()) > _TOO_SHORT:
        try:
            async with asyncio.timeout(left):
                return await attempt()
        except Lost:
            await asyncio.sleep(_PAUSE)
        except TimeoutError:
            break
    raise StoreUnavailable(f"The store at {address} did not reply within {BUDGET:g} s.")


class Link(Protocol):
    """Runs commands and scripts in the server."""

    address: str
    """What it is connected to, without user and password."""

    async def command(self, *arguments: Argument) -> Any:
        """The reply of a command. Raises `StoreUnavailable` and `Lost`."""

    async def run(
        self, script: Script, keys: Sequence[Argument], arguments: Sequence[Argument]
    ) -> Any:
        """The reply of a script. Raises as `command` does."""

    async def close(self) -> None:
        """Give it up; what is under way is lost."""

    def server_time(self) -> float:
        """The server's time in ms, rather too early than too late."""

    def keep_server_time(self, milliseconds: float) -> None:
        """The server has just told its time."""


class _Pending:
    """A command that has been sent. `expires` is when its connection is given up (monotonic)."""

    __slots__ = ("expires", "reply")

    def __init__(self, reply: asyncio.Future[Any], expires: float) -> None:
        self.reply = reply
        self.expires = expires


class Multiplexed:
    """One connection, used from one event loop.

    Commands are written as they come, and replies belong to them in their order. It connects when
    it is first used, and anew whenever the connection has been lost.
    """

    def __init__(self, make_connection: Any, address: str, *, budget: float = BUDGET) -> None:
        self.address = address
        self._make_connection = make_connection
        self._budget = budget
        self._connection: Connection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._reading: asyncio.Task[None] | None = None
        self._pending: deque[_Pending] = deque()
        self._unsent: list[bytes] = []
        self._flushing: asyncio.Task[None] | None = None
        self._watchdog: asyncio.TimerHandle | None = None
        self._offset = 0.0

    def server_time(self) -> float:
        return time.monotonic() * 1000 + self._offset

    def keep_server_time(self, milliseconds: float) -> None:
        # When its reply is here it is later, by how long that took on its way.
        self._offset = milliseconds - time.monotonic() * 1000

    async def command(self, *arguments: Argument) -> Any:
        return await self._sent(arguments)

    async def run(
        self, script: Script, keys: Sequence[Argument], arguments: Sequence[Argument]
    ) -> Any:
        try:
            return await self._sent((b"EVALSHA", script.digest, len(keys), *keys, *arguments))
        except NoScriptError:
            return await self._sent((b"EVAL", script.text, len(keys), *keys, *arguments))

    async def close(self) -> None:
        """Give the connection up."""
        connection, self._connection = self._connection, None
        if self._reading is not None:
            self._reading.cancel()
        self._fail_pending()
        if connection is not None:
            await connection.disconnect(nowait=True)

    async def _sent(self, arguments: Sequence[Argument]) -> Any:
        loop = asyncio.get_running_loop()
        expires = loop.time() + self._budget  # in which it is connected, if need be
        connection = self._connection
        if connection is None:
            connection = await self._connected()
        pending = _Pending(loop.create_future(), expires)
        self._unsent += connection.pack_command(*arguments)
        self._pending.append(pending)
        if self._flushing is None:
            self._flush_soon(connection)
        if self._watchdog is None:
            self._watchdog = loop.call_at(expires, self._watch)
        try:
            return await pending.reply
        except NoScriptError:
            raise
        except (ResponseError, *_CLOSING) as error:
            if isinstance(error, ReadOnlyError):  # its name may lead to another server by now
                self._break(connection)
            why = str(error).rstrip(".")
            raise StoreUnavailable(f"The store at {self.address} refused: {why}.") from error

    async def _flush(self, connection: Connection) -> None:
        try:
            while self._unsent and self._connection is connection:
                chunks, self._unsent = b"".join(self._unsent), []
                # It would connect anew by itself, and the replies would belong to nobody.
                if not connection.is_connected:
                    raise ConnectionFailed
                await connection.send_packed_command([chunks], check_health=False)
        except (ValkeyError, OSError):
            self._break(connection)
        finally:
            self._flushing = None
            if self._unsent and self._connection is not None:  # a new one, made meanwhile
                self._flush_soon(self._connection)

    def _flush_soon(self, connection: Connection) -> None:
        self._flushing = asyncio.get_running_loop().create_task(self._flush(connection))

    async def _connected(self) -> Connection:
        """A connection, made anew; all that wait for one share the attempt."""
        deadline = time.monotonic() + self._budget
        while True:
            if self._connecting is None:
                self._connecting = asyncio.get_running_loop().create_task(self._connect())
                self._connecting.add_done_callback(_retrieved)
            try:
                async with asyncio.timeout(deadline - time.monotonic()):
                    await asyncio.shield(self._connecting)
            except TimeoutError as error:
                raise self._unreachable(f"no response within {self._budget:g} s") from error
            except (ValkeyError, OSError) as error:
                raise self._unreachable(str(error) or type(error).__name__) from error
            if self._connection is not None:
                return self._connection

    def _unreachable(self, why: str) -> StoreUnavailable:
        return StoreUnavailable(
            f"The store at {self.address} cannot be reached: {why.rstrip('.')}."
        )

    async def _connect(self) -> None:
        try:
            connection = self._make_connection()
            try:
                async with asyncio.timeout(self._budget):
                    await connection.connect()
                    await connection.send_command("TIME", check_health=False)
                    seconds, microseconds = await connection.read_response()
            except BaseException:
                await connection.disconnect(nowait=True)
                raise
            self.keep_server_time(int(seconds) * 1000 + int(microseconds) / 1000)
            self._connection = connection
            self._reading = asyncio.get_running_loop().create_task(self._read(connection))
        finally:
            self._connecting = None

    async def _read(self, connection: Connection) -> None:
        """Hand every reply to who waits for it, until the connection is lost."""
        pending = self._pending
        while True:
            try:
                reply: Any = await connection.read_response()
            except (ResponseError, *_CLOSING) as error:
                reply = error
            except (ValkeyError, OSError, asyncio.IncompleteReadError):
                self._break(connection)
                return
            waiting = pending.popleft().reply
            if waiting.done():
                pass  # nobody waits for it any more
            elif isinstance(reply, Exception):
                waiting.set_exception(reply)
            else:
                waiting.set_result(reply)
            if isinstance(reply, _CLOSING):
                self._break(connection)
                return

    def _watch(self) -> None:
        """Give the connection up if its oldest command has waited for too long."""
        self._watchdog = None
        if not self._pending:
            return
        loop = asyncio.get_running_loop()
        expires = self._pending[0].expires
        if loop.time() < expires:
            self._watchdog = loop.call_at(expires, self._watch)
        elif self._connection is not None:
            self._break(self._connection)

    def _break(self, connection: Connection) -> None:
        if self._connection is not connection:
            return
        self._connection = None
        if self._reading is not None and self._reading is not asyncio.current_task():
            self._reading.cancel()
        self._fail_pending()
        # Not awaited: it waits for nothing but to be closed.
        closing = asyncio.get_running_loop().create_task(connection.disconnect(nowait=True))
        closing.add_done_callback(_retrieved)

    def _fail_pending(self) -> None:
        self._unsent.clear()
        while self._pending:
            waiting = self._pending.popleft().reply
            if not waiting.done():
                waiting.set_exception(Lost("the connection was lost"))


def _retrieved(task: "asyncio.Task[None]") -> None:
    """Have asyncio not complain where nobody waits for a task any more."""
    if not task.cancelled():
        task.exception()
