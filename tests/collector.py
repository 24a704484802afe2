"""Programs at the other ends of a trace: one that takes spans by OTLP, one that is called."""

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Queue

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from support import TIMEOUT


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status = self.server.taken(self.path, dict(self.headers), body)  # type: ignore[attr-defined]
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class _Server(http.server.ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Collector(_Server):
    """Takes spans at /v1/traces. `raw` is all that has come, as it was on the wire."""

    def __init__(self) -> None:
        super().__init__()
        self.raw = b""
        self.requests: Queue[ExportTraceServiceRequest] = Queue()

    def taken(self, path: str, _: dict[str, str], body: bytes) -> int:
        if path != "/v1/traces":
            return 404
        self.raw += body
        self.requests.put(ExportTraceServiceRequest.FromString(body))
        return 200

    def resource(self) -> dict[str, str]:
        """What the next request says of the process that sends it."""
        (of_one,) = self.requests.get(timeout=TIMEOUT).resource_spans
        return {each.key: each.value.string_value for each in of_one.resource.attributes}

    def spans(self) -> list[Span]:
        """The spans that have come since this was last asked, and one at least."""
        requests = [self.requests.get(timeout=TIMEOUT)]
        while not self.requests.empty():
            requests.append(self.requests.get())
        return [
            span
            for request in requests
            for of_one in request.resource_spans
            for scope in of_one.scope_spans
            for span in scope.spans
        ]


class Application(_Server):
    """A third-party application, which responds as the path says; `seen` are the headers."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Queue[dict[str, str]] = Queue()

    def taken(self, path: str, headers: dict[str, str], _: bytes) -> int:
        self.seen.put({name.lower(): value for name, value in headers.items()})
        return int(path.partition("?")[0][1:])


@contextmanager
def running(server: _Server) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
