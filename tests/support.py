"""What the tests share: a clock that jumps, an in-process client, a raw connection."""

import http.client
import io
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

from hypothesis import HealthCheck, settings

from stepstub import scenario
from stepstub.app import create_app
from stepstub.concurrency import EventLoopConcurrency, Holds, run_inline
from stepstub.delegates import DelegateCall
from stepstub.model import Process
from stepstub.settings import DEFAULT_TOKEN, Settings
from stepstub.stub import Stub

ROOT = Path(__file__).parent.parent
PATH = "/api/v1/processes/complete-step"
T = TypeVar("T")

TIMEOUT = 10  # seconds; a healthy server has long responded by then


def asking(holds: Callable[[], bool]) -> Holds:
    """What `Changes` asks, where the answer is at hand."""

    async def ask() -> bool:
        return holds()

    return ask


def until(holds: Callable[[], T], seconds: float = TIMEOUT) -> T:
    """Wait for what no event tells of; what `holds` returns, once that is true of it."""
    give_up, never = time.monotonic() + seconds, threading.Event()
    while not (found := holds()):
        assert time.monotonic() < give_up, f"not within {seconds:g} s"
        never.wait(0.01)
    return found


def in_time(function: Callable[[], T]) -> T:
    """Call `function` in a thread of its own: a deadlock fails the test instead of hanging it."""
    outcome: Future[T] = Future()

    def call() -> None:
        try:
            outcome.set_result(function())
        except BaseException as error:  # noqa: BLE001 - it is raised again where it is waited for
            outcome.set_exception(error)

    threading.Thread(target=call, daemon=True).start()
    return outcome.result(TIMEOUT)


def random_runs(examples: int, *, steps: int) -> settings:
    """How a state machine runs: the same examples each time, or STEPSTUB_EXAMPLES new ones."""
    wanted = int(os.environ.get("STEPSTUB_EXAMPLES", "0"))
    return settings(
        max_examples=wanted or examples,
        stateful_step_count=steps,
        derandomize=not wanted,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


class Clock:
    """A clock that stands still until it is told to jump."""

    def __init__(self) -> None:
        self.time = 1_774_788_659_211  # 2026-03-29T12:50:59.211Z

    def now(self) -> int:
        return self.time

    def jump(self, seconds: float) -> None:
        self.time += round(seconds * 1000)


@dataclass(frozen=True)
class Response:
    """A response; header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def data(self) -> Any:
        return self.json["data"]

    @property
    def codes(self) -> dict[str, str]:
        """Of a 412: the field at fault -> the code."""
        return {field: violation["code"] for field, violation in self.data.items()}


def asgi_call(
    app: Stub,
    method: str,
    path: str,
    body: bytes,
    headers: Sequence[tuple[bytes, bytes]],
    query: bytes = b"",
) -> Response:
    """One request by ASGI, without a server or an event loop; header names are in lower case."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query,
        "headers": headers,
    }
    run_inline(app(scope, receive, send))  # type: ignore[arg-type]
    start, end = sent
    received = {name.decode(): value.decode() for name, value in start["headers"]}
    return Response(start["status"], received, end["body"])


class Client:
    """Calls a stub in-process, without a server or an event loop."""

    def __init__(self, app: Stub) -> None:
        self.app = app
        sandbox = app.sandboxes.default
        self.sandbox, self.store, self.delegates = sandbox, sandbox.store, sandbox.delegates

    def status(self, step_id: str) -> str:
        return run_inline(self.sandbox.step(step_id)).status

    def process(self, process_id: str) -> Process | None:
        return run_inline(self.store.process(process_id))

    @property
    def calls(self) -> Sequence[DelegateCall]:
        """The calls of delegates."""
        return run_inline(self.store.calls())

    def freeze(self) -> None:
        """Have the sandbox's time stand still."""
        run_inline(self.store.change_clock(0, frozen=True))

    def advance(self, seconds: float) -> None:
        """Move the sandbox's clock forward."""
        run_inline(self.store.change_clock(seconds, None))

    def complete(self, step_id: str, params: Any = None) -> Response:
        return self.post({"processStepId": step_id, "params": params})

    def post(self, body: bytes | dict[str, Any], headers: dict[str, str] | None = None) -> Response:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.request(
            "POST",
            PATH,
            raw,
            {
                "content-type": "application/json",
                "authorization": f"Bearer {DEFAULT_TOKEN}",
                **(headers or {}),
            },
        )

    def request(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> Response:
        raw = [(n.encode(), v.encode("latin-1")) for n, v in (headers or {}).items()]
        return asgi_call(self.app, method, path, body, raw)


class Connection:
    """A TCP connection on which a test says every byte itself."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        assert address.hostname
        self.socket = socket.create_connection((address.hostname, address.port), TIMEOUT)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = self.socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._reader.close()
        self.socket.close()

    def send(self, *segments: bytes) -> None:
        """Send each segment in a packet of its own."""
        for segment in segments:
            self.socket.sendall(segment)

    def response(self, method: str = "POST") -> Response:
        """The next response, interim ones included. Raises TimeoutError when none comes."""
        line = self._reader.readline()
        if not line:
            raise ConnectionError("closed without a response")
        headers = {
            name.lower(): value for name, value in http.client.parse_headers(self._reader).items()
        }
        status = int(line.split()[1])
        length = 0 if method == "HEAD" or status == 100 else int(headers["content-length"])
        return Response(status, headers, self._reader.read(length))

    def ask(self, *segments: bytes, method: str = "POST") -> Response:
        self.send(*segments)
        return self.response(method)

    def rest(self) -> bytes:
        """Everything until the server closes it. Raises ConnectionResetError when it resets it."""
        return self._reader.read()

    def is_closed(self) -> bool:
        """Whether the server has closed it, with nothing left to read."""
        try:
            return self._reader.read(1) == b""
        except ConnectionResetError:
            return True


def head(*headers: str, method: str = "POST", target: str = PATH, token: str | None = "") -> bytes:
    """A request's head. `token` "" is the right one, None none at all."""
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost", *headers]
    if token is not None:
        lines.append(f"Authorization: Bearer {token or DEFAULT_TOKEN}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def post(body: bytes | dict[str, Any], *headers: str, **options: Any) -> bytes:
    """A whole request; the content type is JSON unless `headers` name one."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    if not any(header.lower().startswith("content-type") for header in headers):
        headers = (*headers, "Content-Type: application/json")
    return head(*headers, f"Content-Length: {len(raw)}", **options) + raw


def chunked(body: bytes, size: int) -> bytes:
    """A body in chunks of `size` bytes."""
    source = io.BytesIO(body)
    chunks = (b"%x\r\n%b\r\n" % (len(part), part) for part in iter(lambda: source.read(size), b""))
    return b"".join(chunks) + b"0\r\n\r\n"


def live_app(processes: Sequence[Any] = (), **settings: Any) -> Stub:
    """A stub to serve from an event loop, with these settings."""
    return create_app(processes, Settings(**settings), concurrency=EventLoopConcurrency())


def processes(*names: str) -> Sequence[Any]:
    """The processes of built-in scenarios."""
    return scenario.merge([scenario.load(name) for name in names])
