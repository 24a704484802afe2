"""Servers that are each wrong in one way: a stub in disguise, and one change to it.

`WRONG` says of each how bad that is, and which words name it in the report.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import count, cycle
from typing import Any
from uuid import uuid4

from mutants import (
    Change,
    Next,
    Request,
    Response,
    about,
    ascii_names_only,
    clock_runs_back,
    every,
    out,
    state_moves_on_refusal,
    two_winners,
)
from stepstub.contract_tests.findings import Severity

VIOLATION, INCONSISTENCY, NOTE = Severity.VIOLATION, Severity.INCONSISTENCY, Severity.NOTE

_STATUSES = ("UNKNOWN_STEP", "STEP_COMPLETED", "STEP_PENDING", "STEP_FAILED")


@dataclass(frozen=True)
class Wrong:
    """A wrong server. One cause of this severity is found, and `words`, a pattern, name it.

    `also` is a pattern of further causes that the same mistake brings about, if it does.
    """

    name: str
    change: Callable[[], Change]
    words: str
    severity: Severity = VIOLATION
    also: str = ""


def with_status(status: int) -> Callable[[Response], Response]:
    return lambda response: replace(response, status=status)


def with_body(
    body: bytes, content_type: bytes = b"application/json"
) -> Callable[[Response], Response]:
    return lambda response: replace(response, body=body, content_type=content_type)


def without(member: str) -> Callable[[Response], Response]:
    def change(response: Response) -> Response:
        kept = {name: value for name, value in response.envelope.items() if name != member}
        return replace(response, body=json.dumps(kept).encode())

    return change


def with_data(
    change: Callable[[dict[str, Any]], Mapping[str, Any]],
) -> Callable[[Response], Response]:
    """Changes the data of a 200."""
    return lambda response: response.changed(data=change(response.envelope["data"]))


def with_params(change: Callable[[dict[str, Any]], Any]) -> Callable[[], Change]:
    """Changes each param of the 200s."""

    def changed(data: dict[str, Any]) -> Mapping[str, Any]:
        params = {name: change(param) for name, param in data["params"].items()}
        return {**data, "params": params}

    return out(200, with_data(changed))


def with_field(name: str, change: Callable[[Any], Any]) -> Callable[[], Change]:
    """Changes a field of each param of the 200s, where it has a value."""
    return with_params(
        lambda param: {**param, name: change(param[name])} if param.get(name) is not None else param
    )


def bad_body(change: Callable[[Response], Response]) -> Callable[[], Change]:
    """Changes the responses to bad bodies."""
    return out(412, lambda response: change(response) if _is_bad_body(response) else response)


def _is_bad_body(response: Response) -> bool:
    return response.status == 412 and not any(
        status.encode() in response.body for status in _STATUSES
    )


def in_turn(matches: Callable[[Response], bool], *statuses: int) -> Callable[[], Change]:
    """Gives some responses one status after the other."""

    def make() -> Change:
        turns = cycle(statuses)

        async def apply(request: Request, ask: Next) -> Response:
            response = await ask(request)
            return replace(response, status=next(turns)) if matches(response) else response

        return apply

    return make


def authorized(request: Request) -> Request:
    authorization = {b"authorization": b"Bearer " + request.token.encode()}
    return replace(request, headers={**request.headers, **authorization})


def retold(request: Request, **body: Any) -> Request:
    return replace(request, body=json.dumps(body).encode())


# --- servers that need more than a changed response


def unauthorized_completes() -> Change:
    async def apply(request: Request, ask: Next) -> Response:
        response = await ask(request)
        if response.status == 401:
            await ask(authorized(request))
        return response

    return apply


def any_token() -> Change:
    async def apply(request: Request, ask: Next) -> Response:
        return await ask(authorized(request) if b"authorization" in request.headers else request)

    return apply


def no_token_needed() -> Change:
    async def apply(request: Request, ask: Next) -> Response:
        return await ask(request if b"authorization" in request.headers else authorized(request))

    return apply


def id_not_required() -> Change:
    """Completes the step that was started last when it is not told which."""
    started: list[str] = []

    async def apply(request: Request, ask: Next) -> Response:
        response = await ask(request)
        if response.status == 200 and (named := response.envelope["data"]["processStepId"]):
            started.append(named)
        if b'"processStepId":{"code":"REQUIRED' in response.body and started:
            return await ask(retold(request, processStepId=started.pop()))
        return response

    return apply


def truncated_json_accepted() -> Change:
    async def apply(request: Request, ask: Next) -> Response:
        response = await ask(request)
        if b"INVALID_JSON" in response.body and request.body.startswith(b"{"):
            return await ask(replace(request, body=request.body + b"}"))
        return response

    return apply


def new_process_id_each_time() -> Change:
    async def apply(request: Request, ask: Next) -> Response:
        response = await ask(request)
        return response.with_data(processId=uuid4().hex) if response.status == 200 else response

    return apply


def process_id_of_the_step() -> Change:
    async def apply(request: Request, ask: Next) -> Response:
        response = await ask(request)
        if response.status != 200:
            return response
        return response.with_data(processId=f"process of {request.step_id}")

    return apply


def named_step_stays_pending() -> Change:
    named: set[str] = set()

    async def apply(request: Request, ask: Next) -> Response:
        if isinstance(request.step_id, str) and request.step_id in named:
            refused = await ask(replace(request, body=b""))
            return refused.changed(data={"processStepId": {"code": "STEP_PENDING", "detail": "no"}})
        response = await ask(request)
        if response.status == 200 and (step_id := response.envelope["data"]["processStepId"]):
            named.add(step_id)
        return response

    return apply


def second_completion_moves_on() -> Change:
    """Completes the next step when a step is completed a second time."""
    following: dict[str, str] = {}

    async def apply(request: Request, ask: Next) -> Response:
        response = await ask(request)
        if response.status == 200:
            following[request.step_id] = response.envelope["data"]["processStepId"]
        elif b"STEP_COMPLETED" in response.body and following.get(request.step_id):
            return await ask(retold(request, processStepId=following[request.step_id]))
        return response

    return apply


def second_completion_loses_the_next_step() -> Change:
    """Refuses a second completion, and completes the next step all the same."""
    moves_on = second_completion_moves_on()

    async def apply(request: Request, ask: Next) -> Response:
        response = await ask(request)
        if b"STEP_COMPLETED" in response.body:
            await moves_on(request, ask)
            return response
        if response.status == 200:

            async def known(_: Request) -> Response:
                return response

            await moves_on(request, known)
        return response

    return apply


def repeats_with_a_new_process_id() -> Change:
    first: dict[str, Response] = {}

    async def apply(request: Request, ask: Next) -> Response:
        response = await ask(request)
        if response.status == 200:
            first[request.step_id] = response
        if b"STEP_COMPLETED" in response.body and request.step_id in first:
            return first[request.step_id].with_data(processId=uuid4().hex)
        return response

    return apply


def refuses_now_and_then() -> Change:
    completions = count(1)

    async def apply(request: Request, ask: Next) -> Response:
        if await request.status() == "STARTED" and next(completions) % 5 == 0:
            return await ask(retold(request, processStepId="lost"))
        return await ask(request)

    return apply


def refuses_empty_params() -> Change:
    async def apply(request: Request, ask: Next) -> Response:
        if re.search(rb'"params": ?{}', request.body):
            return await ask(replace(request, body=b"null"))
        return await ask(request)

    return apply


def null_or_left_out() -> Change:
    turns = count()

    async def apply(request: Request, ask: Next) -> Response:
        response = await ask(request)
        if response.status != 200 or next(turns) % 2:
            return response
        unset = dict.fromkeys(("strValue", "longValue", "doubleValue", "type"))
        params = response.envelope["data"]["params"]
        return response.with_data(
            params={name: {**unset, **param} for name, param in params.items()}
        )

    return apply


def token_repeated() -> Change:
    async def apply(request: Request, ask: Next) -> Response:
        response = await ask(request)
        if b"UNKNOWN_STEP" not in response.body:
            return response
        sent = request.headers.get(b"authorization", b"").decode()
        return response.changed(data={"processStepId": {"code": "UNKNOWN_STEP", "detail": sent}})

    return apply


_TRACE = (
    'Traceback (most recent call last):\n  File "/app/main.py", line 12, in complete\n'
    "    step = steps[step_id]\nKeyError: 'step-17'\n"
)


def _internal_error(data: str) -> Callable[[Response], Response]:
    return lambda response: replace(
        response.changed(message="Internal Server Error", data=data), status=500
    )


def _last(change: Callable[[Response], Response]) -> Callable[[], Change]:
    """Changes the 200s of last steps."""
    return out(
        200,
        lambda response: (
            response if response.envelope["data"]["processStepId"] else change(response)
        ),
    )


def _without_doubles(data: dict[str, Any]) -> Mapping[str, Any]:
    kept = {name: param for name, param in data["params"].items() if "doubleValue" not in param}
    return {**data, "params": kept}


def _unknown_step_named(data: dict[str, Any]) -> Mapping[str, Any]:
    return {**data, "processStepId": data["processStepId"] and f"step-{uuid4().hex}"}


def _accepted(response: Response) -> Response:
    data = {"processId": "process-1", "processStepId": "process-1-2", "params": {}}
    return replace(response.changed(message="Success", data=data), status=200)


def _unauthorized(response: Response) -> Response:
    changed = response.changed(message="Unauthorized request", data="no")
    return replace(changed, status=401, headers=[(b"www-authenticate", b"Bearer")])


def _without_process_id(data: dict[str, Any]) -> Mapping[str, Any]:
    return {name: value for name, value in data.items() if name != "processId"}


def _without_double(param: dict[str, Any]) -> Mapping[str, Any]:
    return {name: value for name, value in param.items() if name != "doubleValue"}


def _in_ascii(text: str) -> str:
    return text.encode("ascii", "replace").decode()


_unknown_404_or_412 = in_turn(lambda response: b"UNKNOWN_STEP" in response.body, 404, 412)


def _twice(response: Response) -> Response:
    return replace(response, body=response.body.replace(b'{"', b'{"message":"Success","', 1))


WRONG = (
    # The statuses of the document's situations.
    Wrong("201 for a completion", out(200, with_status(201)), "201"),
    Wrong("204 at the end of a process", _last(lambda r: replace(r, status=204, body=b"")), "204"),
    Wrong("403 for a wrong token", out(401, with_status(403)), "token got 403"),
    Wrong("500 for a bad body", bad_body(_internal_error("no")), "bad body gets 500"),
    Wrong("500 for an unknown step", about("UNKNOWN_STEP", _internal_error("no")), "step gets 500"),
    Wrong(
        "500 for a second completion",
        about("STEP_COMPLETED", _internal_error("no")),
        "second completion gets 500",
        also="race gets 500",
    ),
    Wrong("500 for a PENDING step", about("STEP_PENDING", _internal_error("no")), "step gets 500"),
    Wrong("401 for an unknown step", about("UNKNOWN_STEP", _unauthorized), "unknown step got 401"),
    Wrong(
        "200 for an unknown step",
        about("UNKNOWN_STEP", _accepted),
        "unknown step is accepted",
        also="lost",
    ),
    # Who may complete a step.
    Wrong("401 and the step is completed", unauthorized_completes, "no credentials got 401, but"),
    Wrong("any token accepted", any_token, "wrong token got 200", also="in other forms"),
    Wrong("no token accepted, a wrong one refused", no_token_needed, "without credentials", NOTE),
    # A refused request changes nothing.
    Wrong("412 and the step is completed", state_moves_on_refusal, "got 412, but"),
    Wrong(
        "a refused second completion completes the next step",
        second_completion_loses_the_next_step,
        "named as started",
    ),
    # The shape of a response.
    Wrong("401 in another shape", out(401, with_body(b'{"detail": "no"}')), "401 lacks message"),
    Wrong("401 without a body", out(401, with_body(b"")), "401.*empty body"),
    Wrong("401 as an HTML page", out(401, with_body(b"<h1>no</h1>", b"text/html")), "401.*HTML"),
    Wrong("401 with data that is no text", out(401, lambda r: r.changed(data={})), "401, data"),
    Wrong("412 with data that is no object", out(412, lambda r: r.changed(data="")), "412, data"),
    Wrong("412 with another message", out(412, lambda r: r.changed(message="no")), "412, message"),
    Wrong("412 without its message", out(412, without("message")), "message is required"),
    Wrong("a 412 that is cut off", out(412, lambda r: replace(r, body=r.body[:-2])), "412.*JSON"),
    Wrong("no version", every(without("version")), "version is required"),
    Wrong("version a number", every(lambda r: r.changed(version=1.0)), "version must be.*string"),
    Wrong("200 without data", out(200, lambda r: r.changed(data=None)), "200, data"),
    Wrong("data a list", out(200, lambda r: r.changed(data=[r.envelope["data"]])), "200, data"),
    Wrong("no processId", out(200, with_data(_without_process_id)), "processId is required"),
    Wrong("processId a number", out(200, lambda r: r.with_data(processId=17)), "data.processId"),
    Wrong("plain text", every(lambda r: replace(r, content_type=b"text/plain")), "text/plain"),
    Wrong("a 200 as XML", out(200, with_body(b"<data/>", b"application/xml")), "xml"),
    Wrong("a name twice in a 200", out(200, _twice), "200 is no strict JSON"),
    # Timestamps.
    Wrong("timestamp a number", every(lambda r: r.changed(timestamp=1774788659211)), "timestamp"),
    Wrong(
        "timestamp without a zone",
        every(lambda r: r.changed(timestamp=r.envelope["timestamp"].replace("T", " ")[:-1])),
        "timestamp must be a time with its zone",
    ),
    Wrong(
        "timestamp of 1970",
        every(lambda r: r.changed(timestamp="1970-01-21T12:59:48.659Z")),
        "far from the present",
        NOTE,
    ),
    Wrong("timestamps run backwards", clock_runs_back, "backwards", NOTE, also="far from"),
    # What a 200 says about the process.
    Wrong("a new processId in each response", new_process_id_each_time, "processId changes"),
    Wrong("processId depends on the step", process_id_of_the_step, "processId changes"),
    Wrong("an unknown id named", out(200, with_data(_unknown_step_named)), "named.*got 412"),
    Wrong("the named step stays PENDING", named_step_stays_pending, "named.*got 412"),
    # Params that are lost or changed.
    Wrong("params with doubles lost", out(200, with_data(_without_doubles)), "lost"),
    Wrong("doubles lost", with_params(_without_double), "the param 'double' was submitted"),
    Wrong("longs rounded", with_field("longValue", lambda v: int(float(v))), "9007199254740992"),
    Wrong("longs in 32 bits", with_field("longValue", lambda v: v & 0x7FFFFFFF), "changed"),
    Wrong("doubles cut", with_field("doubleValue", lambda value: round(value, 2)), "changed"),
    Wrong(
        "doubles as text",
        with_field("doubleValue", str),
        "doubleValue must be of type number",
    ),
    Wrong("text trimmed", with_field("strValue", str.strip), "changed"),
    Wrong("text in capitals", with_field("strValue", str.upper), "changed"),
    Wrong("text beyond ASCII broken", with_field("strValue", _in_ascii), "changed"),
    Wrong(
        "an unknown type returned",
        with_field("type", lambda _: "TEXT"),
        "one of STRING",
        INCONSISTENCY,
    ),
    # Bodies.
    Wrong("a body without processStepId accepted", id_not_required, "processStepId got 200"),
    Wrong("truncated JSON accepted", truncated_json_accepted, "truncated body got 200"),
    Wrong("unicode names refused", ascii_names_only, "refused|got 412"),
    Wrong("empty params refused", refuses_empty_params, "refused|got 412"),
    Wrong("every fifth completion refused", refuses_now_and_then, "does not get 200", also="."),
    # One question in two ways.
    Wrong("bad bodies get 400 or 422", in_turn(_is_bad_body, 400, 422), "bad-body", INCONSISTENCY),
    Wrong("unknown steps get 404 or 412", _unknown_404_or_412, "unknown-step", INCONSISTENCY),
    Wrong("unset fields null or left out", null_or_left_out, "unset-fields", INCONSISTENCY),
    Wrong("two winners of a race", two_winners, "concurrent completions", INCONSISTENCY),
    Wrong(
        "a second completion completes the next step",
        second_completion_moves_on,
        "twice",
        also="named as started",
    ),
    Wrong("a second completion gets another 200", repeats_with_a_new_process_id, "twice"),
    # Secrets.
    Wrong("the token in a 412", token_repeated, "repeats the token", NOTE),
    Wrong(
        "a stack trace in a 500",
        about("UNKNOWN_STEP", _internal_error(_TRACE)),
        "has a stack trace",
        NOTE,
        also="step gets 500",
    ),
    # No response.
    Wrong(
        "no whole response to a bad body",
        bad_body(lambda response: replace(response, withheld=10)),
        "bad body gets no response",
    ),
)
