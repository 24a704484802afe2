"""Puts foreign servers on sockets of this machine."""

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp
from werkzeug.serving import WSGIRequestHandler, make_server

from foreign import fastapi_server, flask_server, spring_server
from foreign.workflow import TOKEN, Workflow
from npm_packages import install
from stepstub.serving.server import listen, url_of

HERE = Path(__file__).parent
BUILD = HERE.parent.parent / "build" / "express"
PARCEL = {"strValue": "Parcel Post", "type": "STRING"}

Served = AbstractContextManager[str]


@contextmanager
def asgi(app: ASGIApp) -> Iterator[str]:
    """An ASGI application on uvicorn while the context lasts; gives its URL."""
    listener = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, ws="none", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield url_of(listener)
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def flask() -> Iterator[str]:
    """The server with Flask, on Werkzeug's own server."""
    app = flask_server.create_app(Workflow({"carrier": PARCEL}))
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Quiet)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002
        """Nothing is logged."""


def fastapi() -> Served:
    """The server with FastAPI."""
    return asgi(fastapi_server.create_app(Workflow({"carrier": fastapi_server.Param(**PARCEL)})))


def spring() -> Served:
    """The server that does as Spring Boot does."""
    own = {"strValue": "Parcel Post", "longValue": None, "doubleValue": None, "type": "STRING"}
    return asgi(spring_server.create_app(Workflow({"carrier": own})))


@contextmanager
def express() -> Iterator[str]:
    """The server with Express, in a Node.js of its own; installs Express when that is needed."""
    install([HERE / "express" / name for name in ("package.json", "server.js")], BUILD)
    with subprocess.Popen(
        ["node", BUILD / "server.js"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TOKEN": TOKEN},
        text=True,
    ) as process:
        try:
            port = process.stdout.readline().strip() if process.stdout else ""
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


PYTHON: dict[str, Callable[[], Served]] = {"flask": flask, "fastapi": fastapi, "spring": spring}
