"""The console as an ASGI application: threads run the pages, the event loop reads the bodies."""

import asyncio
import re
from urllib.parse import parse_qs

from a2wsgi import WSGIMiddleware
from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send
from werkzeug.http import parse_cookie

from stepstub.console.calling import Calling
from stepstub.console.rendered import RenderedPages
from stepstub.console.sessions import Sessions, cookie_name
from stepstub.console.site import site
from stepstub.exchange import Host, exchange_of
from stepstub.gate.body import read_body

MAX_FORM_BYTES = 1024 * 1024
"""Size of a form; a pasted scenario is the largest."""

_THREADS = 16
"""Few are busy at a time; but each waits as long as a delegate that a started process calls."""

_OPEN = re.compile(
    r"/_stub/console/sandboxes/([^/]+)(?:/(?P<live>live)|/exchanges/[0-9]+|/steps|/processes)?"
)
"""What stays up to date while it is open, so that many may ask for the same at once."""


class Mount:
    """The console of one stub."""

    def __init__(self, stub: Host) -> None:
        self._stub = stub
        self._calling = Calling(stub)
        self._sessions = Sessions(stub.settings.control_token, stub.sandboxes.sessions)
        self._rendered = RenderedPages()
        pages = site(self._calling, self._sessions)
        self._pages = WSGIMiddleware(pages, workers=_THREADS)  # type: ignore[arg-type]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._calling.loop = asyncio.get_running_loop()
        found = _OPEN.fullmatch(scope["path"]) if scope["method"] == "GET" else None
        if found is None or not await self._serve_open(scope, found, send):
            # A thread that read a body itself would wait for a slow client, and there are few.
            body = await read_body(exchange_of(scope), receive, MAX_FORM_BYTES)
            await self._run(scope, body, send)

    async def _run(self, scope: Scope, body: bytes, send: Send) -> None:
        unread = [body]

        async def receive_body() -> Message:
            return {"type": "http.request", "body": unread.pop() if unread else b""}

        await self._pages(scope, receive_body, send)  # type: ignore[arg-type]

    async def _serve_open(self, scope: Scope, found: re.Match[str], send: Send) -> bool:
        """Respond to who has a page open, without a thread where nothing has to be rendered.

        False: who asks may not see it, or there is no such sandbox.
        """
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        try:
            cookies = parse_cookie(headers.get("cookie", ""))
        except UnicodeError:  # other applications of this host set cookies as well
            return False
        if not await self._sessions.admit(host, cookies):
            return False
        sandbox = await self._stub.sandboxes.by_id(found[1])
        if sandbox is None:
            return False
        revision, query = await sandbox.store.revision(), scope["query_string"]
        if found["live"]:
            if parse_qs(query.decode("latin-1")).get("seen") == [revision]:
                await send({"type": "http.response.start", "status": 204, "headers": _UNCHANGED})
                await send({"type": "http.response.body", "body": b""})
                return True
            # What they have seen before makes no difference to what they get.
            query = b"&".join(each for each in query.split(b"&") if not each.startswith(b"seen="))
            scope = {**scope, "query_string": query}

        async def render() -> list[Message]:
            sent: list[Message] = []

            async def keep(message: Message) -> None:
                sent.append(message)

            await self._run(scope, b"", keep)
            return sent

        # The revision is older than the page, if anything: the page is never behind its key.
        of = (revision, sandbox.id, scope["path"], query)
        by = (scope["scheme"], host, scope["root_path"], cookies.get(cookie_name(host)))
        start, body = await self._rendered.page((of, by), render)
        await send(start)
        await send({"type": "http.response.body", "body": body})
        return True


_UNCHANGED = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]
