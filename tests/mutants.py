"""Servers that are wrong on purpose: the stub, with one thing changed in what goes in or out.

The control API stays as it is. `MUTANTS` says of each which cause the conformance suite finds, and
in which words. A mutant that survives is a hole in the suite.
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
    """A wrong server, the key of the cause that is found, and a pattern of a message about it."""

    name: str
    change: Callable[[], Change]
    cause: str
    message: str


MUTANTS = (
    Mutant(
        "400 instead of 412",
        out(412, lambda response: replace(response, status=400)),
        "reading-bad-body",
        "a body without processStepId got 400",
    ),
    Mutant(
        "no version",
        every(
            lambda response: replace(
                response,
                body=re.sub(rb',"version":"[^"]*"', b"", response.body),
            )
        ),
        "shape-version",
        "version is required",
    ),
    Mutant(
        "timestamp without milliseconds",
        every(lambda response: response.changed(timestamp="2026-03-29T12:50:59Z")),
        "reading-timestamp",
        "got 200",
    ),
    Mutant(
        "timestamps run backwards",
        clock_runs_back,
        "timestamp-order",
        "after one of",
    ),
    Mutant(
        "the completed step's id in the 200",
        completed_step_named,
        "reading-named-step",
        "got 200",
    ),
    Mutant(
        "the 200 names a step that has not been started",
        out(200, lambda response: response.with_data(processStepId="another-step")),
        "status-a-step-that-a-200-has-named-as-started",
        "has named got 412",
    ),
    Mutant(
        "a second completion accepted",
        second_completion_accepted,
        "reading-completed-step",
        "a second completion of a step got 200",
    ),
    Mutant(
        "NaN accepted",
        into(b"NaN", b"0"),
        "unchecked-json",
        "NaN as doubleValue got 200",
    ),
    Mutant(
        "int64 overflow accepted",
        into(str(2**63).encode(), str(2**63 - 1).encode()),
        "two-ways-long-range",
        r"2\^63, .* got 200",
    ),
    Mutant(
        "no auth check",
        no_auth_check,
        "reading-credentials",
        "without credentials got 200",
    ),
    Mutant(
        "403 for a wrong token",
        out(401, lambda response: replace(response, status=403)),
        "status-a-request-that-is-not-authorised",
        "a wrong token got 403",
    ),
    Mutant(
        "401 without a body",
        out(401, lambda response: replace(response, body=b"")),
        "shape-401",
        "an empty body",
    ),
    Mutant(
        "401 without a challenge",
        out(401, lambda response: replace(response, headers=[])),
        "reading-challenge",
        "without credentials got 401",
    ),
    Mutant(
        "412 data as a string",
        out(412, lambda response: response.changed(data="no")),
        "shape-412-data",
        "data must be of type object",
    ),
    Mutant(
        "HTML 500",
        out(500, _html),
        "shape-500",
        "an HTML page",
    ),
    Mutant(
        "a stack trace in the 500",
        out(500, lambda response: response.changed(data="Traceback (most recent call last)\n")),
        "stack-trace",
        "has a stack trace",
    ),
    Mutant(
        "no rollback after a 500",
        no_rollback,
        "status-a-delegate-s-failure",
        "requested twice got 412",
    ),
    Mutant(
        "404 for an unknown step",
        about("UNKNOWN_STEP", lambda response: replace(response, status=404)),
        "reading-unknown-step",
        "an unknown step got 404",
    ),
    Mutant(
        "500 for an unknown step",
        about("UNKNOWN_STEP", lambda response: replace(response, status=500)),
        "internal-error-an-unknown-step",
        "an unknown step got 500",
    ),
    Mutant(
        "a PENDING step accepted",
        about("STEP_PENDING", _accepted),
        "accepts-a-pending-step",
        "a PENDING step got 200",
    ),
    Mutant(
        "a step whose time is over accepted",
        about("was not completed within", _accepted),
        "reading-time-out",
        "not completed in time got 200",
    ),
    Mutant(
        "no completion while another one's delegate is called",
        one_completion_at_a_time,
        "status-a-completion-from-inside-the-delegate-s-call",
        "got 412",
    ),
    Mutant(
        "two winners of a race",
        two_winners,
        "two-ways-completed-step",
        "concurrent completions of one step got [234] x 200",
    ),
    Mutant(
        "params missing in the 200",
        out(
            200,
            lambda response: response.changed(
                data={k: v for k, v in response.envelope["data"].items() if k != "params"}
            ),
        ),
        "shape-200-data-params",
        "data.params is required",
    ),
    Mutant(
        "params dropped",
        out(200, lambda response: response.with_data(params={})),
        "reading-returned-params",
        "before one with params of its own got 200",
    ),
    Mutant(
        "long values through a double",
        out(
            200,
            lambda response: replace(
                response, body=response.body.replace(b"9007199254740993", b"9007199254740992")
            ),
        ),
        "params-changed",
        "9007199254740993",
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
        "reading-last-step-id",
        "the last step of a process got 200",
    ),
    Mutant(
        "the state moves although the response is 412",
        state_moves_on_refusal,
        "refused-but-changed",
        "got 412, but the step could no longer be completed",
    ),
    Mutant(
        "params with names beyond ASCII refused",
        ascii_names_only,
        "status-a-started-step",
        "params passed on to the next step got 412",
    ),
    Mutant(
        "HTML 404",
        out(404, _html),
        "reading-undocumented-form",
        "another path got 404",
    ),
    Mutant(
        "405 without Allow",
        out(405, lambda response: replace(response, headers=[])),
        "allow",
        "the 405 has no Allow",
    ),
    Mutant(
        "400 instead of 415",
        out(415, lambda response: replace(response, status=400)),
        "status-other-type",
        "text/plain got 400",
    ),
    Mutant(
        "413 without a timestamp",
        out(
            413,
            lambda response: replace(
                response, body=re.sub(rb'"timestamp":"[^"]*",', b"", response.body)
            ),
        ),
        "undocumented-forms",
        "the 413 is of an unknown form",
    ),
    Mutant(
        "500 for another method",
        out(405, lambda response: replace(response, status=500)),
        "internal-error-get-instead-of-post",
        "got 500",
    ),
    Mutant(
        "a truncated response",
        about("INVALID_JSON", lambda response: replace(response, withheld=1)),
        "no-response-a-bad-body",
        "closed before the response was complete",
    ),
)
