"""Pages as they were rendered last: many people who look at one sandbox cost little more than one.

They all get the same page until something changes, so it is rendered once for each change.
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Hashable

from msgspec import Struct
from starlette.types import Message

LIFE = 1.0
"""Seconds for which a page is good: time passes without a change, and lets steps fail."""

MAX_PAGES = 64
MAX_BYTES = 8 * 1024 * 1024
"""Size of all pages together."""

_RUNNING_CLOCK = re.compile(rb' data-now="(\d+)" data-frozen="no"')
_TIME_OUT = re.compile(rb' data-until="(\d+)"')


class Page(Struct, frozen=True):
    """The response to one request, and when that came, in seconds of `time.monotonic`.

    `until` is when it is out of date at the latest.
    """

    start: Message
    body: bytes
    began: float
    until: float

    @classmethod
    def of(cls, sent: list[Message], began: float) -> "Page":
        """The page that these ASGI messages make up, which is old when a step on it times out."""
        body = b"".join(message.get("body", b"") for message in sent)
        life = LIFE
        if clock := _RUNNING_CLOCK.search(body):
            now = int(clock[1])
            times = [int(each) for each in _TIME_OUT.findall(body)]
            life = min([life, *((each - now) / 1000 for each in times if each > now)])
        return cls(sent[0], body, began, began + life)

    def at(self, now: float) -> bytes:
        """The body with the sandbox's clock as it is `now`, from which the script counts on."""
        clock = _RUNNING_CLOCK.search(self.body)
        if clock is None:
            return self.body
        passed = round((now - self.began) * 1000)
        digits = b"%d" % (int(clock[1]) + passed)
        # With as many digits as before, for the Content-Length; only in 2286 there is one more.
        return self.body[: clock.start(1)] + digits[-len(clock[1]) :] + self.body[clock.end(1) :]


class RenderedPages:
    """The pages that were rendered last, used from one event loop.

    A key names all that a page depends on but the time.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._pages: dict[Hashable, Page] = {}  # the oldest first
        self._coming: dict[Hashable, asyncio.Task[Page]] = {}

    async def page(
        self, key: Hashable, render: Callable[[], Awaitable[list[Message]]]
    ) -> tuple[Message, bytes]:
        """The start and the body of a response, from `render` where there is none to hand."""
        page = self._pages.get(key)
        if page is None or self._clock() >= page.until:
            task = self._coming.get(key)
            if task is None or task.get_loop() is not asyncio.get_running_loop():
                task = self._coming[key] = asyncio.create_task(self._render(key, render))
            # Others wait for it as well, whatever becomes of this connection.
            page = await asyncio.shield(task)
        return page.start, page.at(self._clock())

    async def _render(self, key: Hashable, render: Callable[[], Awaitable[list[Message]]]) -> Page:
        try:
            began = self._clock()
            page = Page.of(await render(), began)
            if page.start["status"] == 200:
                self._keep(key, page)
            return page
        finally:
            self._coming.pop(key, None)

    def _keep(self, key: Hashable, page: Page) -> None:
        self._pages.pop(key, None)
        self._pages[key] = page
        now, size = self._clock(), 0
        for each, kept in reversed(list(self._pages.items())):
            size += len(kept.body)
            if size > MAX_BYTES or now >= kept.until:
                del self._pages[each]
        while len(self._pages) > MAX_PAGES:
            del self._pages[next(iter(self._pages))]
