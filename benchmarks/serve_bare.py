"""The baseline: an ASGI application with a static response, on uvicorn's fastest configuration.

It neither reads nor checks requests, so it shows the cost of the server itself.
"""

import argparse
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn

from stepstub.serving.connection import Connection
from stepstub.serving.hosts import Hosts


def application(response: bytes) -> Any:
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(response)).encode()),
    ]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": response})

    return app


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--response", type=Path, required=True)
    parser.add_argument("--http1", action="store_true", help="with the stub's own HTTP protocol")
    options = parser.parse_args()
    uvicorn.run(
        application(options.response.read_bytes()),
        host="127.0.0.1",
        port=options.port,
        http=partial(
            Connection, refuse=lambda *_: (b"application/json", b"{}"), hosts=Hosts(loopback=True)
        )
        if options.http1
        else "httptools",
        loop="uvloop",
        ws="none",
        lifespan="off",
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )


if __name__ == "__main__":
    main()
