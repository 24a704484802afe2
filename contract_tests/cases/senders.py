"""How the requests of the cases differ from a plain completion; each sender is a `Send`."""

import json
from typing import Any

from stepstub.contract_tests.cases.case import Send
from stepstub.contract_tests.server import Response, Server

MAX_BODY_BYTES = 1024 * 1024
"""The longest body that a stub accepts by default."""


def body(template: str | bytes) -> Send:
    """Sends a body in which ID stands for the step's id as a JSON string."""
    raw = template if isinstance(template, bytes) else template.encode()
    return lambda server, step_id: server.post(raw.replace(b"ID", json.dumps(step_id).encode()))


def param(value: str) -> Send:
    """Sends one param, whose value is given as JSON."""
    return body(f'{{"processStepId": ID, "params": {{"p": {value}}}}}')


def params(value: dict[str, Any]) -> Send:
    """Sends params."""
    return lambda server, step_id: server.complete(step_id, value)


def authorization(value: str | None, raw: bytes | None = None) -> Send:
    """Sends a different Authorization header, in which TOKEN stands for the token, or none.

    `raw` replaces the body.
    """

    def send(server: Server, step_id: str) -> Response:
        headers = {} if value is None else {"Authorization": value.replace("TOKEN", server.token)}
        return server.post({"processStepId": step_id} if raw is None else raw, headers)

    return send


def to_unknown_path(server: Server, step_id: str) -> Response:
    """Sends a completion to a path below the operation's."""
    return server.post({"processStepId": step_id}, below=f"/{step_id}")


def by_get(server: Server, step_id: str) -> Response:
    """Sends GET to the operation's path."""
    response, _ = server.send(
        method="GET", url=server.url + server.expectations.path, headers=server.authorization
    )
    return response


def as_text(server: Server, step_id: str) -> Response:
    """Sends a completion as text/plain."""
    headers = {**server.authorization, "Content-Type": "text/plain"}
    return server.post({"processStepId": step_id}, headers)


def oversized(server: Server, step_id: str) -> Response:
    """Sends a completion padded with blanks to one byte more than `MAX_BODY_BYTES`."""
    raw = json.dumps({"processStepId": step_id}).encode()
    return server.post(raw.ljust(MAX_BODY_BYTES + 1))
