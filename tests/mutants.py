"""Servers that are wrong on purpose: the stub, with one thing changed in what goes in or out.

The control API stays as it is. `MUTANTS` says of each which case of the conformance suite catches
it, and with which message. A mutant that survives is a hole in the suite.
"""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any
from urllib.parse import quote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stepstub.settings import DEFAULT_TOKEN
from stepstub.stub import Stub


@dataclass
class Request:
    """A whole request, the token that the stub accepts, and the way to the stub's control API."""

    headers: dict[bytes, bytes]
    body: bytes
    token: str
    control: "Control"

    @property
    def step_id(self) -> Any:
        try:
            return json.loads(self.body)["processStepId"]
        except (ValueError, TypeError, KeyError):
            return None

    async def step(self) -> dict[str, Any]:
        """The step as it is now, empty when there is no such step."""
        if not isinstance(self.step_id, str):
            return {}
        response = await self.control(f"/_stub/steps/{quote(self.step_id, safe='')}")
        return response.envelope if response.status == 200 else {}

    async def status(self) -> str | None:
        """The status that the step is in, None when there is no such step."""
        return (await self.step()).get("status")


@dataclass
class Response:
    """A whole response."""

    status: int
    body: bytes
    content_type: bytes = b"application/json"
    withheld: int = 0  # bytes that Content-Length announces and that are not sent
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)

    @property
    def envelope(self) -> dict[str, Any]:
        envelope: dict[str, Any] = json.loads(self.body)
        return envelope

    def changed(self, **members: Any) -> "Response":
        return replace(self, body=json.dumps({**self.envelope, **members}).encode())

    def with_data(self, **members: Any) -> "Response":
        return self.changed(data={**self.envelope["data"], **members})


Control = Callable[[str], Awaitable[Response]]
Next = Callable[[Request], Awaitable[Response]]
Change = Callable[[Request, Next], Awaitable[Response]]


def mutated(stub: Stub, change: Change, token: str = DEFAULT_TOKEN) -> ASGIApp:
    """The stub that accepts `token`, with `change` between it and its client."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/_stub/"):
            await stub(scope, receive, send)
            return
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)

        async def ask(request: Request) -> Response:
            headers = {**request.headers, b"content-length": b"%d" % len(request.body)}
            return await _ask(stub, {**scope, "headers": list(headers.items())}, request.body)

        async def control(path: str) -> Response:
            headers = [(b"authorization", b"Bearer " + token.encode())]
            asked = {"method": "GET", "path": path, "raw_path": path.encode(), "headers": headers}
            return await _ask(stub, {**scope, **asked}, b"")

        response = await change(Request(dict(scope["headers"]), body, token, control), ask)
        headers = [
            (b"content-type", response.content_type),
            (b"content-length", b"%d" % (len(response.body) + response.withheld)),
            *response.headers,
        ]
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        await send({"type": "http.response.body", "body": response.body})

    app.refuse = stub.refuse  # type: ignore[attr-defined]  # a live server calls it
    return app


async def _ask(stub: Stub, scope: Scope, body: bytes) -> Response:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body}

    async def send(message: Message) -> None:
        sent.append(message)

    await stub({**scope, "extensions": {}}, receive, send)
    start, end = sent
    headers = [
        (name, value)
        for name, value in start["headers"]
        if name not in (b"content-type", b"content-length")
    ]
    return Response(start["status"], end["body"], headers=headers)


def out(status: int, change: Callable[[Response], Response]) -> Callable[[], Change]:
    """Changes the responses with one status."""

    async def apply(request: Request, ask: Next) -> Response:
        response = await ask(request)
        return change(response) if response.status == status else response

    return lambda: apply


def every(change: Callable[[Response], Response]) -> Callable[[], Change]:
    """Changes all responses."""

    async def apply(request: Request, ask: Next) -> Response:
        return change(await ask(request))

    return lambda: apply


def into(pattern: bytes, replacement: bytes) -> Callable[[], Change]:
    """Changes a request body before the stub sees it."""

    async def apply(request: Request, ask: Next) -> Response:
        return await ask(replace(request, body=re.sub(pattern, replacement, request.body)))

    return lambda: apply


def about(text: str, change: Callable[[Response], Response]) -> Callable[[], Change]:
    """Changes the 412 that has a code, or another text, in its body."""
    return out(
        412, lambda response: change(response) if text.encode() in response.body else response
    )


def no_auth_check() -> Change:
    async def apply(request: Request, ask: Next) -> Response:
        authorization = b"Bearer " + request.token.encode()
        return await ask(
            replace(request, headers={**request.headers, b"authorization": authorization})
        )

    return apply


def second_completion_accepted() -> Change:
    first: dict[str, Response] = {}

    async def apply(request: Request, ask: Next) -> Response:
        response = await ask(request)
        if response.status == 200:
            first[request.step_id] = response
        if b"STEP_COMPLETED" in response.body:
            return first[request.step_id]
        return response

    return apply


def two_winners() -> Change:
    """Checks that a step is STARTED, and completes it only a little later."""
    first: dict[str, Response] = {}

    async def apply(request: Request, ask: Next) -> Response:
        if await request.status() != "STARTED":
            return await ask(request)
        await asyncio.sleep(0.005)
        response = await ask(request)
        if response.status == 200:
            first[request.step_id] = response
        return first.get(request.step_id, response)

    return apply


def completed_step_named() -> Change:
    async def apply(request: Request, ask: Next) -> Response:
        response = await ask(request)
        if response.status != 200:
            return response
        return response.with_data(processStepId=request.step_id)

    return apply


def no_rollback() -> Change:
    failed: set[str] = set()

    async def apply(request: Request, ask: Next) -> Response:
        if request.step_id in failed:
            data = {"processStepId": {"code": "STEP_COMPLETED"}}
            response = await ask(replace(request, body=b""))
            return response.changed(data=data)
        response = await ask(request)
        if response.status == 500:
            failed.add(request.step_id)
        return response

    return apply


def one_completion_at_a_time() -> Change:
    """Refuses whoever completes a step while a completion of the same process is in progress."""
    busy: set[str] = set()

    async def apply(request: Request, ask: Next) -> Response:
        process_id = (await request.step()).get("processId", "")
        if process_id in busy:
            refused = await ask(replace(request, body=b""))
            return refused.changed(data={"processStepId": {"code": "STEP_PENDING"}})
        busy.add(process_id)
        try:
            return await ask(request)
        finally:
            busy.discard(process_id)

    return apply


def clock_runs_back() -> Change:
    ticks = count()

    async def apply(request: Request, ask: Next) -> Response:
        response = await ask(request)
        return response.changed(timestamp=f"2026-03-29T12:50:{59 - next(ticks) % 60:02}.211Z")

    return apply


def state_moves_on_refusal() -> Change:
    """Completes the step first and checks the params afterwards."""

    async def apply(request: Request, ask: Next) -> Response:
        response = await ask(request)
        if response.status == 412 and await request.status() == "STARTED":
            step_id = request.step_id
            await ask(replace(request, body=json.dumps({"processStepId": step_id}).encode()))
        return response

    return apply


def ascii_names_only() -> Change:
    """Refuses params with names that are not ASCII, which JSON allows."""

    async def apply(request: Request, ask: Next) -> Response:
        if _has_unusual_names(request) and await request.status() == "STARTED":
            return await ask(replace(request, body=b"null"))
        return await ask(request)

    return apply


def _has_unusual_names(request: Request) -> bool:
    try:
        names = list(json.loads(request.body)["params"])
    except (ValueError, TypeError, KeyError):
        return False
    return any(not name.isascii() for name in names)


def _accepted(response: Response) -> Response:
    data = {"processId": "p", "processStepId": None, "params": {}}
    return replace(response.changed(message="Success", data=data), status=200)


def _html(response: Response) -> Response:
    return Response(response.status, b"<h1>Something went wrong</h1>", b"text/html")


@dataclass(frozen=True)
class Mutant:
    """A wrong server, the case that catches it, and a pattern of the message that says why.

    `reading` is true where only our reading of the document forbids it.
    """

    name: str
    change: Callable[[], Change]
    caught_by: str
    message: str
    reading: bool = False


MUTANTS = (
    Mutant(
        "400 instead of 412",
        out(412, lambda response: replace(response, status=400)),
        "empty-body",
        "an empty body got 400 instead of 412; the document has no 400",
    ),
    Mutant(
        "no version",
        every(
            lambda response: replace(
                response,
                body=re.sub(rb',"version":"[^"]*"', b"", response.body),
            )
        ),
        "next-step",
        "the 200 breaks the contract: version is required",
    ),
    Mutant(
        "timestamp without milliseconds",
        every(lambda response: response.changed(timestamp="2026-03-29T12:50:59Z")),
        "no-token",
        "the 401 breaks the contract: timestamp",
    ),
    Mutant(
        "timestamps run backwards",
        clock_runs_back,
        "wrong-token",
        r"has a timestamp \(.*\) before an earlier one's",
        reading=True,
    ),
    Mutant(
        "the completed step's id in the 200",
        completed_step_named,
        "next-step",
        "names the completed step",
    ),
    Mutant(
        "the 200 names a step that has not been started",
        out(200, lambda response: response.with_data(processStepId="another-step")),
        "named-step",
        "the step that a 200 has named as started got 412 instead of 200",
    ),
    Mutant(
        "a second completion accepted",
        second_completion_accepted,
        "second-completion",
        "a second completion of a step got 200 instead of 412",
    ),
    Mutant(
        "NaN accepted",
        into(b"NaN", b"0"),
        "nan",
        "NaN, which is not JSON, .* got 200 instead of 412",
    ),
    Mutant(
        "int64 overflow accepted",
        into(str(2**63).encode(), str(2**63 - 1).encode()),
        "overflow-long",
        r"2\^63, .* got 200 instead of 412",
        reading=True,
    ),
    Mutant(
        "no auth check",
        no_auth_check,
        "no-token",
        "no Authorization header got 200 instead of 401",
    ),
    Mutant(
        "403 for a wrong token",
        out(401, lambda response: replace(response, status=403)),
        "wrong-token",
        "a wrong token got 403 instead of 401; the document has no 403",
    ),
    Mutant(
        "401 without a body",
        out(401, lambda response: replace(response, body=b"")),
        "no-token",
        "the 401 has a body that is not strict JSON",
    ),
    Mutant(
        "401 without a challenge",
        out(401, lambda response: replace(response, headers=[])),
        "no-token",
        "the 401 has no header WWW-Authenticate",
        reading=True,
    ),
    Mutant(
        "412 data as a string",
        out(412, lambda response: response.changed(data="no")),
        "empty-body",
        "the 412 breaks the contract: data must be of type object",
    ),
    Mutant(
        "HTML 500",
        out(500, _html),
        "delegate-fails",
        "the 500 is of type text/html",
    ),
    Mutant(
        "a stack trace in the 500",
        out(500, lambda response: response.changed(data="Traceback (most recent call last)\n")),
        "delegate-fails",
        "the 500 has a stack trace",
        reading=True,
    ),
    Mutant(
        "no rollback after a 500",
        no_rollback,
        "delegate-fails",
        "requested twice got 412 instead of 500",
    ),
    Mutant(
        "404 for an unknown step",
        about("UNKNOWN_STEP", lambda response: replace(response, status=404)),
        "unknown-step",
        "an unknown step got 404 instead of 412",
    ),
    Mutant(
        "500 for an unknown step",
        about("UNKNOWN_STEP", lambda response: replace(response, status=500)),
        "unknown-step",
        "a foreseeable request must not cause an internal error",
    ),
    Mutant(
        "a PENDING step accepted",
        about("STEP_PENDING", _accepted),
        "pending-step",
        "a PENDING step got 200 instead of 412",
        reading=True,
    ),
    Mutant(
        "a step whose time is over accepted",
        about("was not completed within", _accepted),
        "late-completion",
        "a step that was not completed in time got 200 instead of 412",
        reading=True,
    ),
    Mutant(
        "no completion while another one's delegate is called",
        one_completion_at_a_time,
        "inside-the-call",
        "a step completed from inside the call that starts it got 412 instead of",
        reading=True,
    ),
    Mutant(
        "two winners of a race",
        two_winners,
        "race",
        "concurrent completions of one step got 200, 200",
    ),
    Mutant(
        "params missing in the 200",
        out(
            200,
            lambda response: response.changed(
                data={k: v for k, v in response.envelope["data"].items() if k != "params"}
            ),
        ),
        "next-step",
        "the 200 breaks the contract: data.params is required",
    ),
    Mutant(
        "params dropped",
        out(200, lambda response: response.with_data(params={})),
        "params",
        "does not return the param text",
        reading=True,
    ),
    Mutant(
        "long values through a double",
        out(
            200,
            lambda response: replace(
                response, body=response.body.replace(b"9007199254740993", b"9007199254740992")
            ),
        ),
        "params",
        "does not return the param long",
        reading=True,
    ),
    Mutant(
        "a last step without its null",
        out(
            200,
            lambda response: (
                response.with_data(processStepId="")
                if response.envelope["data"]["processStepId"] is None
                else response
            ),
        ),
        "last-step",
        "the 200 for a last step names a step",
        reading=True,
    ),
    Mutant(
        "the state moves although the response is 412",
        state_moves_on_refusal,
        "next-step",
        "a STARTED step, with a next one got 412 instead of 200",
    ),
    Mutant(
        "params with names beyond ASCII refused",
        ascii_names_only,
        "generated-completions",
        "for STARTED steps: got 412 instead of 200",
    ),
    Mutant(
        "HTML 404",
        out(404, _html),
        "other-path",
        "the 404 is of type text/html, not application/json",
        reading=True,
    ),
    Mutant(
        "405 without Allow",
        out(405, lambda response: replace(response, headers=[])),
        "other-method",
        "the 405 has no header Allow that names POST",
        reading=True,
    ),
    Mutant(
        "400 instead of 415",
        out(415, lambda response: replace(response, status=400)),
        "other-type",
        "a body sent as text/plain got 400 instead of 415",
        reading=True,
    ),
    Mutant(
        "413 without a timestamp",
        out(
            413,
            lambda response: replace(
                response, body=re.sub(rb'"timestamp":"[^"]*",', b"", response.body)
            ),
        ),
        "large-body",
        "the 413 breaks the contract: timestamp is required",
        reading=True,
    ),
    Mutant(
        "500 for another method",
        out(405, lambda response: replace(response, status=500)),
        "other-method",
        "GET instead of POST got 500 instead of 405",
    ),
    Mutant(
        "a truncated response",
        about("INVALID_JSON", lambda response: replace(response, withheld=1)),
        "empty-body",
        "an empty body: no response",
    ),
)
