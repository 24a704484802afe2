"""Hearing of what other processes change, for those who wait for a change."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from valkey.exceptions import ValkeyError

from stepstub.concurrency import Changes

_PAUSE = 0.2  # seconds between two attempts to subscribe


class Notices:
    """One connection for all that this process waits for, while it waits for anything.

    While it is lost, whoever waits looks again from time to time instead.
    """

    def __init__(self, make_client: Callable[[], Any]) -> None:
        self._make_client = make_client
        self._waiting: dict[str, Counter[Changes]] = {}
        self._listening: asyncio.Task[None] | None = None
        self._subscribed: dict[str, asyncio.Event] = {}
        self._pubsub: Any = None

    @asynccontextmanager
    async def about(self, sandbox: str, changes: Changes) -> AsyncIterator[None]:
        """While the context lasts, `changes` is notified of every change of a sandbox."""
        waiting = self._waiting.setdefault(sandbox, Counter())
        waiting[changes] += 1
        subscribed = self._subscribed.setdefault(sandbox, asyncio.Event())
        if self._listening is None:
            self._listening = asyncio.get_running_loop().create_task(self._listen())
        elif self._pubsub is not None and len(waiting) == 1:
            with suppress(ValkeyError, OSError):
                await self._pubsub.subscribe(sandbox)
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                await subscribed.wait()
        try:
            yield
        finally:
            waiting[changes] -= 1
            if not +waiting:
                self._waiting.pop(sandbox, None)
                self._subscribed.pop(sandbox, None)
                if self._pubsub is not None:
                    with suppress(ValkeyError, OSError):
                        await self._pubsub.unsubscribe(sandbox)

    async def close(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
            with suppress(asyncio.CancelledError):
                await self._listening

    async def _listen(self) -> None:
        while self._waiting:
            client = self._make_client()
            pubsub = client.pubsub()
            try:
                asked = tuple(self._waiting)
                await pubsub.subscribe(*asked)
                self._pubsub = pubsub
                if missed := [each for each in self._waiting if each not in asked]:
                    await pubsub.subscribe(*missed)
                while True:
                    message = await pubsub.get_message(timeout=None)
                    if message is not None:
                        self._heard(message)
            except (ValkeyError, OSError):
                pass
            finally:
                self._pubsub = None
                await pubsub.aclose()
                await client.aclose()
            # What was announced meanwhile has not been heard.
            for waiting in list(self._waiting.values()):
                for changes in list(waiting):
                    changes.notify()
            await asyncio.sleep(_PAUSE)
        self._listening = None

    def _heard(self, message: Any) -> None:
        sandbox = message["channel"].decode()
        if message["type"] == "subscribe" and sandbox in self._subscribed:
            self._subscribed[sandbox].set()
        for changes in list(self._waiting.get(sandbox, ())):
            changes.notify()
