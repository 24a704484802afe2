"""The console as an ASGI application: threads run the pages, the event loop reads the bodies."""

import asyncio
import re
from urllib.parse import parse_qs

from a2wsgi import WSGIMiddleware
from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send
from werkzeug.http import parse_cookie

from stepstub.console.calling import Calling
from stepstub.console.sessions import Sessions
from stepstub.console.site import site
from stepstub.exchange import Host, exchange_of
from stepstub.gate.body import read_body

MAX_FORM_BYTES = 1024 * 1024
"""Size of a form; a pasted scenario is the largest."""

_THREADS = 16
"""Few are busy at a time; but each waits as long as a delegate that a started process calls."""

_LIVE = re.compile(r"/_stub/console/sandboxes/([^/]+)/live")


class Mount:
    """The console of one stub."""

    def __init__(self, stub: Host) -> None:
        self._stub = stub
        self._calling = Calling(stub)
        self._sessions = Sessions(stub.settings.control_token, stub.sandboxes.sessions)
        pages = site(self._calling, self._sessions)
        self._pages = WSGIMiddleware(pages, workers=_THREADS)  # type: ignore[arg-type]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if await self._is_unchanged(scope):
            await send({"type": "http.response.start", "status": 204, "headers": _UNCHANGED})
            await send({"type": "http.response.body", "body": b""})
            return
        # A thread that read a body itself would wait for a slow client, and there are few threads.
        body = await read_body(exchange_of(scope), receive, MAX_FORM_BYTES)
        unread = [body]

        async def receive_body() -> Message:
            return {"type": "http.request", "body": unread.pop() if unread else b""}

        self._calling.loop = asyncio.get_running_loop()
        await self._pages(scope, receive_body, send)  # type: ignore[arg-type]

    async def _is_unchanged(self, scope: Scope) -> bool:
        """Whether an open page asks for news, and there are none.

        Most polls of most pages are this, so it takes no thread.
        """
        found = _LIVE.fullmatch(scope["path"])
        if found is None:
            return False
        headers = Headers(scope=scope)
        try:
            cookies = parse_cookie(headers.get("cookie", ""))
        except UnicodeError:  # other applications of this host set cookies as well
            return False
        if not await self._sessions.admit(headers.get("host", ""), cookies):
            return False
        seen = parse_qs(scope["query_string"].decode("latin-1")).get("seen")
        sandbox = await self._stub.sandboxes.by_id(found[1])
        return sandbox is not None and seen == [await sandbox.store.revision()]


_UNCHANGED = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]
