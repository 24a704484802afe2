"""Sends the cases of `rfc_cases` to a server of `Echo`, and judges what comes back."""

import http.client
import socket
from typing import BinaryIO
from urllib.parse import urlsplit

from rfc_cases import FOLLOW_UP, OK, Case
from starlette.types import Receive, Scope, Send

TIMEOUT = 2.0  # seconds; every response that conforms comes at once
_LARGE = 64 * 1024  # a refusal of more than this may be lost to a reset, as unread data remains


class Echo:
    """An ASGI application that responds with the body of the request."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            while (message := await receive())["type"] != "lifespan.shutdown":
                await send({"type": f"{message['type']}.complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": OK, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def refuse(self, status: int, detail: str) -> tuple[bytes, bytes]:
        return b"application/json", b"{}"


def judge(url: str, case: Case) -> str | None:
    """Why the server at `url` does not conform in `case`; None if it does."""
    address = urlsplit(url)
    assert address.hostname
    with (
        socket.create_connection((address.hostname, address.port), TIMEOUT) as connection,
        connection.makefile("rb") as reader,
    ):
        connection.settimeout(TIMEOUT)
        try:
            connection.sendall(case.sent + FOLLOW_UP)
            return _judge(reader, case)
        except TimeoutError:
            return "no response, and the connection stayed open"
        except (ConnectionResetError, BrokenPipeError):
            lost = len(case.sent) > _LARGE and OK not in case.accepted
            return None if lost else "the connection was reset"


def _judge(reader: BinaryIO, case: Case) -> str | None:
    first = _response(reader, has_body=not case.sent.startswith(b"HEAD"))
    if first is None:
        return "closed without a response"
    status, body = first
    if status not in case.accepted:
        return f"{status}"
    if status == OK and case.body is not None and body != case.body:
        return f"the application received {body[:40]!r}"
    second = _response(reader, has_body=True)
    if case.follows:
        return None if second == (OK, b"follow-up") else "no response to the next request"
    if second is None or (case.follows is None and second == (OK, b"follow-up")):
        return None
    if case.follows is None and second[0] != OK:
        return None  # it refused what came behind, and so closed
    return f"what follows got {second[0]} with {second[1][:40]!r}"


def _response(reader: BinaryIO, *, has_body: bool) -> tuple[int, bytes] | None:
    """The next final response; None at the end of the connection."""
    while line := reader.readline():
        headers = http.client.parse_headers(reader)
        status = int(line.split()[1])
        if status >= 200:
            length = headers["content-length"]
            if not has_body:
                return status, b""
            return status, reader.read(-1 if length is None else int(length))
    return None
