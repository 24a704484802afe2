"""How the requests of the cases differ from a plain completion; each sender is a `Send`."""

import json
from typing import Any

from stepstub.contract_tests.cases.case import Send
from stepstub.contract_tests.credentials import Credentials
from stepstub.contract_tests.response import Response
from stepstub.contract_tests.server import Server
from stepstub.contract_tests.unknown import known

MAX_BODY_BYTES = 1024 * 1024
"""The longest body that a stub accepts by default."""

WRONG_TOKEN = "wrong-token-of-the-conformance-suite"

PLAIN = {"conformance": {"strValue": "conformance", "type": "STRING"}}
"""Params that are accepted under every reading."""


def body(template: str | bytes) -> Send:
    """Sends a body in which ID stands for the step's id as a JSON string."""
    raw = template if isinstance(template, bytes) else template.encode()

    def send(server: Server, step_id: str) -> Response:
        content = raw.replace(b"ID", json.dumps(step_id).encode())
        return server.post(content, step=known(step_id))

    return send


def param(value: str | bytes) -> Send:
    """Sends one param, whose value is given as JSON."""
    raw = value if isinstance(value, bytes) else value.encode()
    return body(b'{"processStepId": ID, "params": {"p": %s}}' % raw)


def params(value: dict[str, Any]) -> Send:
    """Sends params."""
    return lambda server, step_id: server.complete(step_id, value, step=known(step_id))


def to_this_step(value: dict[str, Any]) -> Send:
    """Sends params about a step whose state is not that of any STARTED one."""
    return lambda server, step_id: server.complete(step_id, value)


def complete(server: Server, step_id: str) -> Response:
    """Sends a body that every server accepts for a STARTED step."""
    return server.complete(step_id, PLAIN, step=known(step_id))


def without_credentials(server: Server, step_id: str) -> Response:
    """Sends no credentials at all."""
    return server.post(_plain(step_id), {}, step=known(step_id))


def without_credentials_and_body(server: Server, step_id: str) -> Response:
    """Sends no credentials, and a body that is no JSON."""
    return server.post(b"{", {})


def with_token(token: str) -> Send:
    """Sends another token, in the form that the server expects."""

    def send(server: Server, step_id: str) -> Response:
        return server.post(_plain(step_id), server.credentials.headers(token), step=known(step_id))

    return send


def in_another_form(server: Server, step_id: str) -> Response:
    """Sends the token as basic credentials; as a bearer token where those are expected."""
    other = Credentials("bearer" if server.credentials.form == "basic" else "basic")
    return server.post(_plain(step_id), other.headers(server.token), step=known(step_id))


def authorization(value: str) -> Send:
    """Sends another Authorization header, in which TOKEN stands for the token."""

    def send(server: Server, step_id: str) -> Response:
        headers = {"Authorization": value.replace("TOKEN", server.token)}
        return server.post(_plain(step_id), headers, step=known(step_id))

    return send


def to_unknown_path(server: Server, step_id: str) -> Response:
    """Sends a completion to a path below the operation's."""
    return server.post(_plain(step_id), below=f"/{step_id}")


def by_get(server: Server, step_id: str) -> Response:
    """Sends GET to the operation's path."""
    return server.send(
        method="GET", url=server.url + server.expectations.path, headers=server.authorization
    )


def as_text(server: Server, step_id: str) -> Response:
    """Sends a completion as text/plain."""
    headers = {**server.authorization, "Content-Type": "text/plain"}
    return server.post(_plain(step_id), headers)


def oversized(server: Server, step_id: str) -> Response:
    """Sends a completion padded with blanks to one byte more than `MAX_BODY_BYTES`."""
    raw = json.dumps(_plain(step_id)).encode()
    return server.post(raw.ljust(MAX_BODY_BYTES + 1))


def _plain(step_id: str) -> dict[str, Any]:
    return {"processStepId": step_id, "params": PLAIN}
