"""A proxy in front of a server, which limits, fails and drops some of the requests."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from urllib.parse import urlsplit

_PAGE = "<html>\r\n<head><title>{0}</title></head>\r\n<body>\r\n<center><h1>{0}</h1></center>\r\n"
_OF_THE_HOP = {"connection", "content-length", "date", "server", "transfer-encoding"}
_TIMEOUT = 10  # seconds


@dataclass(frozen=True)
class Trouble:
    """Which trouble occurs at every how many requests; 0 is never.

    `dropped` is a request that does not get through, `lost` a response that does not come back.
    """

    limited: int = 9
    failed: int = 13
    dropped: int = 17
    lost: int = 0
    retry_after: str = "0"


@contextmanager
def gateway(url: str, trouble: Trouble) -> Iterator[str]:
    """A proxy for the server at `url` while the context lasts; gives the proxy's URL."""
    with _Gateway(url, trouble) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class _Gateway(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a client may keep its connection
    request_queue_size = 128

    def __init__(self, url: str, trouble: Trouble) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.host = urlsplit(url).netloc
        self.trouble = trouble
        self.numbers = count(1)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that has gone is no error."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Gateway

    def do_POST(self) -> None:
        trouble, number = self.server.trouble, next(self.server.numbers)
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if _is_due(number, trouble.dropped):
            self.close_connection = True
        elif _is_due(number, trouble.limited):
            self._refuse(HTTPStatus.TOO_MANY_REQUESTS, {"Retry-After": trouble.retry_after})
        elif _is_due(number, trouble.failed):
            self._refuse(HTTPStatus.BAD_GATEWAY, {})
        else:
            self._forward(body, is_lost=_is_due(number, trouble.lost))

    do_GET = do_POST  # noqa: N815 - http.server's name

    def version_string(self) -> str:
        return "nginx"

    def log_message(self, *_: object) -> None:
        """Nothing is logged."""

    def _forward(self, body: bytes, *, is_lost: bool) -> None:
        connection = HTTPConnection(self.server.host, timeout=_TIMEOUT)
        try:
            connection.request(self.command, self.path, body, dict(self.headers.items()))
            response = connection.getresponse()
            received = response.read()
        finally:
            connection.close()
        if is_lost:
            self.close_connection = True
            return
        kept = {n: v for n, v in response.headers.items() if n.lower() not in _OF_THE_HOP}
        self._respond(response.status, kept, received)

    def _refuse(self, status: HTTPStatus, headers: dict[str, str]) -> None:
        page = _PAGE.format(f"{status.value} {status.phrase}").encode()
        self._respond(status, {"Content-Type": "text/html", **headers}, page)

    def _respond(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _is_due(number: int, every: int) -> bool:
    return bool(every) and number % every == 0
