"""The stub without a socket: requests' calls, by `responses`, and httpx's are handed to it.

Nothing in an application that runs inline suspends, so a call is the ASGI coroutine driven once,
in the caller's own thread.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from stepstub import profiles, scenario, variations
from stepstub.app import create_app
from stepstub.client import ReadingsChoice, Sandbox
from stepstub.concurrency import InlineConcurrency, run_inline
from stepstub.errors import InvalidVariations
from stepstub.interception import Carried, Interception
from stepstub.settings import DEFAULT_TOKEN, Settings
from stepstub.socketless import Call, WireWithoutSocket
from stepstub.variations import VaryChoice

if TYPE_CHECKING:
    from requests import PreparedRequest

    from stepstub.httpx_transport import HttpxTransport

DEFAULT_URL = "http://stepstub.test"


class _Patience(InlineConcurrency):
    """Counts what delays would have taken, instead of letting the time pass."""

    def __init__(self) -> None:
        self._local = threading.local()

    @contextmanager
    def counting(self) -> Iterator[list[float]]:
        """The delays of this thread from here on; a call within a call has its own."""
        outer = getattr(self._local, "delays", [])
        delays: list[float] = []
        self._local.delays = delays
        try:
            yield delays
        finally:
            self._local.delays = outer

    async def sleep(self, seconds: float) -> None:
        self._local.delays.append(seconds)


class InProcess(Sandbox):
    """A sandbox on a stub of its own in this process: `with InProcess("two-steps") as sandbox: ...`

    `scenarios`, names or paths of files, are what it begins with; `readings` a profile, by name or
    path, or single values in place of the defaults. `vary` is a seed, or a seed and kinds, by which
    responses vary in what every correct client tolerates.

    While the context lasts, what requests sends to `url` goes to the stub, and everything else
    where it would go anyway. `responses` is the `RequestsMock` that does it, for a test that
    intercepts other addresses as well.
    """

    def __init__(
        self,
        *scenarios: str | Path,
        url: str = DEFAULT_URL,
        readings: ReadingsChoice = None,
        vary: VaryChoice = None,
    ) -> None:
        processes = scenario.merge([scenario.load(each) for each in scenarios])
        self._patience = _Patience()
        varying = variations.chosen(vary)
        if varying and not varying.without_a_connection:
            raise InvalidVariations(
                f"Without a socket nothing varies in {', '.join(varying.only)}: use a LiveServer,"
                " or the fixture stepstub_sandbox."
            )
        settings = Settings(readings=profiles.chosen(readings), vary=varying)
        self.app = create_app(settings=settings, concurrency=self._patience)
        # Not the default sandbox, so that what its journal has is what it would have on a server.
        _, token = run_inline(self.app.sandboxes.create(processes, vary=settings.vary))
        super().__init__(url, token, transport=self._carry, register=self.app.sandboxes.on_delegate)
        self.responses = Interception(self.url, self._on_request)

    def __enter__(self) -> Self:
        self.responses.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.responses.stop(allow_assert=False)

    def default_sandbox(self) -> Sandbox:
        """The sandbox whose journal has the requests that named none.

        That is, those with an unknown token and those to an unknown path.
        """
        return self._sibling(DEFAULT_TOKEN)

    def httpx_transport(self) -> "HttpxTransport":
        """A transport for `httpx.Client` and `httpx.AsyncClient`; every host leads to the stub."""
        from stepstub.httpx_transport import HttpxTransport

        return HttpxTransport(self.exchange)

    def exchange(
        self,
        method: str,
        target: bytes,
        headers: Iterable[tuple[bytes, bytes]],
        body: bytes,
        timeout: float | None = None,
    ) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        """One request: status, headers and body of its response.

        `target` is path and query as on the wire, `timeout` how many seconds the client would
        wait. Raises `Disconnected` and `TimedOut`; a delay takes no time here.
        """
        call = Call(method, target, headers, body)
        with self._patience.counting() as delays:
            wire = WireWithoutSocket(call.sent, delays, timeout)
            call.scope["extensions"]["stepstub.wire"] = wire
            try:
                run_inline(self.app(call.scope, call.receive, call.send))
            finally:
                wire.check_delays()
        return call.response

    def _carry(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, bytes]:
        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        status, _, response = self.exchange(method, path.encode(), raw, body)
        return status, response

    def _on_request(self, request: "PreparedRequest") -> Carried:
        parts = urlsplit(request.url or "")
        path = parts.path.removeprefix(urlsplit(self.url).path) or "/"
        target = f"{path}?{parts.query}" if parts.query else path
        status, headers, response = self.exchange(
            request.method or "GET",
            target.encode(),
            [(_bytes(name), _bytes(value)) for name, value in request.headers.items()],
            _body(request.body),
            _read_timeout(getattr(request, "req_kwargs", {}).get("timeout")),
        )
        # responses counts the length itself.
        kept = {
            n.decode(): value.decode() for n, value in headers if n.lower() != b"content-length"
        }
        return status, kept, response


def _body(body: Any) -> bytes:
    """The body of a prepared request, which may be text, bytes, a file or an iterator."""
    if body is None:
        return b""
    if isinstance(body, str):
        return body.encode()
    if isinstance(body, bytes | bytearray):
        return bytes(body)
    if hasattr(body, "read"):
        return _body(body.read())
    return b"".join(_body(part) for part in body)


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("latin-1")


def _read_timeout(timeout: Any) -> float | None:
    """Requests takes one time-out for all, or one to connect and one to read."""
    read = timeout[1] if isinstance(timeout, tuple) else timeout
    return read if isinstance(read, int | float) else None
