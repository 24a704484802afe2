"""A third-party application whose delegates are called, in threads of this process."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

STATUSES = {"/accept": 200, "/refuse": 409}

Called = Callable[[str, str], int | None]
"""What is told of a call: its path and its baggage; the status to respond with, or None."""


@contextmanager
def third_party(called: Called) -> Iterator[str]:
    """The URL of an application that asks `called` for its responses, or accepts and refuses."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            status = called(self.path, self.headers.get("baggage", ""))
            self.send_response(status or STATUSES[self.path])
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

        def handle(self) -> None:
            with suppress(OSError):  # the worker that called has been killed
                super().handle()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    serving.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        serving.join()
        server.server_close()
