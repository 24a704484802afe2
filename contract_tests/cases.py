"""The named cases: what is sent in which situation, and what has to come back.

`rule` says what gives a case's status: the document's words, or the reading of that number. Cases
that only ask run before those that complete a step, so one STARTED step goes a long way.
"""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import parse_headers
from typing import Any
from uuid import uuid4

from stepstub.contract_tests.findings import (
    BEYOND_THE_DOCUMENT,
    DOCUMENT,
    CouldNotRun,
    Finding,
    NotCovered,
    Severity,
    finding,
)
from stepstub.contract_tests.server import NoResponse, Response, Server
from stepstub.contract_tests.steps import Need, StepPool

Send = Callable[[Server, str], Response]
Check = Callable[[str, Response], Iterator[tuple[str, str]]]

_A_CALL_COMES_WITHIN = 5  # seconds


@dataclass(frozen=True)
class RunContext:
    """What the cases of one run share. `examples` bounds what a generated case makes up."""

    server: Server
    steps: StepPool
    seed: int
    examples: int


@dataclass(frozen=True, kw_only=True)
class Case:
    """One situation and the status it gets."""

    name: str
    status: int
    situation: str
    rule: str = DOCUMENT
    need: Need = Need.STARTED
    send: Send = Server.complete
    checks: tuple[Check, ...] = ()

    def run(self, context: RunContext) -> Iterator[Finding]:
        """What is wrong. Raises `NotCovered` when what the case needs was not given."""
        step_id = self.prepare(context)
        response = self.send(context.server, step_id)
        note(context, self, step_id, response)
        yield from self.judge(context, step_id, response)

    def prepare(self, context: RunContext) -> str:
        """The id of the step that the request names."""
        if self.need is Need.NOTHING:
            return f"conformance-{uuid4().hex[:8]}"
        return context.steps.take(self.need)

    def judge(self, context: RunContext, step_id: str, response: Response) -> Iterator[Finding]:
        """What is wrong with one response."""
        yield from response.findings
        if response.status != self.status:
            yield self.wrong_status(context, response)
            return
        if any(found.rule == DOCUMENT for found in response.findings):
            return  # what the checks look at may not be there
        for check in self.checks:
            for rule, words in check(step_id, response):
                yield finding(rule, words, response.curl)

    def wrong_status(self, context: RunContext, response: Response) -> Finding:
        words = f"{self.situation} got {response.status} instead of {self.status}"
        if response.status not in context.server.expectations.statuses:
            words += f"; the document has no {response.status}"
        elif response.status >= 500:
            words += "; a request that can be foreseen is no internal error"
        elif self.rule == DOCUMENT:
            return finding(DOCUMENT, f"{words}: {response.excerpt}", response.curl)
        else:
            return finding(self.rule, f"{words}: {response.excerpt}", response.curl)
        return Finding(Severity.VIOLATION, DOCUMENT, f"{words}: {response.excerpt}", response.curl)


def note(context: RunContext, case: Case, step_id: str, response: Response) -> None:
    """Tell the steps what became of one of theirs."""
    if response.status == 200:
        context.steps.completed(step_id, response.named_step)
    elif case.need in (Need.STARTED, Need.NAMED, Need.LAST):
        context.steps.give_back(step_id)


@dataclass(frozen=True, kw_only=True)
class NextStep(Case):
    """Completes steps until a 200 names a next one; a last step names none."""

    def run(self, context: RunContext) -> Iterator[Finding]:
        for _ in range(5):
            step_id = self.prepare(context)
            response = self.send(context.server, step_id)
            note(context, self, step_id, response)
            if response.status in (404, 412) and context.steps.stub is None:
                raise CouldNotRun(
                    f"no started step: {step_id} got {response.status}"
                    f" ({response.excerpt}); give the id of a step that is STARTED"
                )
            if response.status != 200 or response.findings or response.named_step is not None:
                yield from self.judge(context, step_id, response)
                return
        raise NotCovered("every step that was completed was the last of its process")


@dataclass(frozen=True, kw_only=True)
class LastStep(Case):
    """Follows a process to its end, step by step as each 200 names the next."""

    def run(self, context: RunContext) -> Iterator[Finding]:
        step_id = self.prepare(context)
        for _ in range(100):
            response = context.server.complete(step_id)
            note(context, self, step_id, response)
            if response.status != 200 or response.findings or response.named_step is None:
                yield from self.judge(context, step_id, response)
                return
            step_id = context.steps.take(Need.NAMED)
        raise NotCovered("the process had not ended after 100 steps")


@dataclass(frozen=True, kw_only=True)
class Again(Case):
    """Sends the same request twice, and judges both responses."""

    def run(self, context: RunContext) -> Iterator[Finding]:
        step_id = self.prepare(context)
        for _ in range(2):
            yield from self.judge(context, step_id, context.server.complete(step_id))


@dataclass(frozen=True, kw_only=True)
class Race(Case):
    """Completes one step from several connections at once, a few times."""

    rounds: int = 5
    runners: int = 4

    def run(self, context: RunContext) -> Iterator[Finding]:
        for played in range(self.rounds):
            try:
                step_id = self.prepare(context)
            except NotCovered:
                if played:
                    return
                raise
            responses = self._at_once(context.server, step_id)
            won = [response for response in responses if response.status == 200]
            for response in won:
                context.steps.completed(step_id, response.named_step)
            for response in responses:
                yield from response.findings
            statuses = sorted(response.status for response in responses)
            if statuses != [200] + [412] * (self.runners - 1):
                yield finding(
                    DOCUMENT,
                    f"{self.runners} completions of one step at once got"
                    f" {', '.join(map(str, statuses))}: exactly one can change it to COMPLETED",
                    responses[0].curl,
                )
                return

    def _at_once(self, server: Server, step_id: str) -> list[Response]:
        barrier = threading.Barrier(self.runners)
        responses: list[Response] = []
        failures: list[NoResponse] = []

        def complete() -> None:
            try:
                server.complete(f"conformance-{uuid4().hex[:8]}")  # opens the connection
                barrier.wait(timeout=60)
                responses.append(server.complete(step_id))
            except NoResponse as failure:
                barrier.abort()
                failures.append(failure)
            except threading.BrokenBarrierError:
                pass  # another one has had no response
            finally:
                server.close()

        threads = [threading.Thread(target=complete) for _ in range(self.runners)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]
        return responses


@dataclass(frozen=True, kw_only=True)
class FromInside(Case):
    """Is the third-party application: completes a step from inside the call that starts it."""

    def run(self, context: RunContext) -> Iterator[Finding]:
        with socket.create_server(("127.0.0.1", 0)) as application, ThreadPoolExecutor(1) as pool:
            port = application.getsockname()[1]
            step_id = context.steps.before_call(f"http://127.0.0.1:{port}")
            if not context.server.is_local:
                raise NotCovered("the stub is on another machine, and its delegate cannot call us")

            def complete() -> Response:
                try:
                    return context.server.complete(step_id)
                finally:
                    context.server.close()

            outer = pool.submit(complete)
            application.settimeout(_A_CALL_COMES_WITHIN)
            try:
                connection, _ = application.accept()
            except TimeoutError:  # it is in a container, for example
                raise NotCovered("the stub's delegate did not call us") from None
            with connection, connection.makefile("rwb") as call:
                call.readline()
                length = int(parse_headers(call)["Content-Length"])
                inner = context.server.complete(json.loads(call.read(length))["processStepId"])
                call.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            for response in (inner, outer.result()):
                yield from self.judge(context, step_id, response)


@dataclass(frozen=True, kw_only=True)
class Undocumented(Case):
    """A request that misses the operation.

    The document has no response to it, so whatever is wrong with one is a matter of reading; but
    for a 5xx, which is an internal error wherever it comes from.
    """

    rule: str = BEYOND_THE_DOCUMENT
    need: Need = Need.NOTHING

    def run(self, context: RunContext) -> Iterator[Finding]:
        try:
            yield from super().run(context)
        except NoResponse as error:
            yield finding(self.rule, f"{self.situation}: {error}")

    def judge(self, context: RunContext, step_id: str, response: Response) -> Iterator[Finding]:
        if response.status != self.status:
            words = f"{self.situation} got {response.status} instead of {self.status}"
            rule = DOCUMENT if response.status >= 500 else self.rule
            yield finding(rule, f"{words}: {response.excerpt}", response.curl)
            return
        yield from response.findings
        for rule, words in context.server.examine_form(response):
            yield finding(rule, f"the {response.status} {words}", response.curl)
        for check in self.checks:
            for rule, words in check(step_id, response):
                yield finding(rule, words, response.curl)


@dataclass(frozen=True, kw_only=True)
class TooLarge(Undocumented):
    """A body beyond the limit that a stub has by default; another server's may be higher."""

    def judge(self, context: RunContext, step_id: str, response: Response) -> Iterator[Finding]:
        context.server.close()  # who does not read such a body may hang up
        if response.status == 412:
            raise NotCovered("it took a body of more than 1 MiB: its limit is its own")
        yield from super().judge(context, step_id, response)


SENT: dict[str, dict[str, Any]] = {
    "text": {"strValue": "gr\u00fcn \u2713"},
    "long": {"longValue": 2**53 + 1},
    "double": {"doubleValue": 0.25},
}


def names_next(step_id: str, response: Response) -> Iterator[tuple[str, str]]:
    if response.named_step == step_id:
        words = f"the 200 names the completed step ({step_id}) in processStepId;"
        yield DOCUMENT, f"{words} the document says it is the id of the step that was started"
    if response.data["processId"] == "":
        yield DOCUMENT, "the 200 has an empty processId; the document says it is the process's id"


def says_success(step_id: str, response: Response) -> Iterator[tuple[str, str]]:
    if response.value["message"] != "Success":
        yield "reading 16", f"the 200's message is {response.value['message']!r}, not 'Success'"


def hands_on(step_id: str, response: Response) -> Iterator[tuple[str, str]]:
    params = response.data["params"]
    for name, sent in SENT.items():
        got = params.get(name)
        if got is None or any(got.get(field) != value for field, value in sent.items()):
            yield "reading 10", f"the 200 does not hand on the param {name}: sent {sent}, got {got}"


def overlays(step_id: str, response: Response) -> Iterator[tuple[str, str]]:
    expected = {"own": {"strValue": "of the step"}, "both": {"strValue": "submitted"}}
    if response.data["params"] != expected:
        words = "the params of the 200 are not the started step's own, overlaid by those submitted"
        yield "reading 10", f"{words}: {response.data['params']}"


def is_the_end(step_id: str, response: Response) -> Iterator[tuple[str, str]]:
    if response.data["processStepId"] is not None or response.data["params"] != {}:
        yield "reading 11", f"the 200 for a last step names a step or has params: {response.data}"


def challenges(step_id: str, response: Response) -> Iterator[tuple[str, str]]:
    if not response.headers.get("WWW-Authenticate", "").lower().startswith("bearer"):
        yield "reading 15", "the 401 has no header WWW-Authenticate: Bearer"


def allows_post(step_id: str, response: Response) -> Iterator[tuple[str, str]]:
    allowed = response.headers.get("Allow", "")
    if "POST" not in (method.strip() for method in allowed.split(",")):
        yield BEYOND_THE_DOCUMENT, "the 405 has no header Allow that names POST"


def names(field: str, code: str) -> Check:
    """A 412 that puts the blame on `field`, with `code`."""

    def check(step_id: str, response: Response) -> Iterator[tuple[str, str]]:
        blamed = response.data.get(field)
        if not isinstance(blamed, dict) or blamed.get("code") != code:
            yield "reading 6", f"the 412's data has no {field} with code {code}: {response.excerpt}"

    return check


def body(template: str | bytes) -> Send:
    """Sends a body in which ID stands for the step's id as a JSON string."""
    raw = template if isinstance(template, bytes) else template.encode()
    return lambda server, step_id: server.post(raw.replace(b"ID", json.dumps(step_id).encode()))


def param(value: str) -> Send:
    return body(f'{{"processStepId": ID, "params": {{"p": {value}}}}}')


def authorization(value: str | None, raw: Any = None) -> Send:
    """Sends a request with another Authorization header, or none."""

    def send(server: Server, step_id: str) -> Response:
        headers = {} if value is None else {"Authorization": value.replace("TOKEN", server.token)}
        return server.post({"processStepId": step_id} if raw is None else raw, headers)

    return send


def _elsewhere(server: Server, step_id: str) -> Response:
    response, _ = server.send(
        method="POST",
        url=f"{server.url}{server.expectations.path}/{step_id}",
        json={"processStepId": step_id},
        headers=server.authorization,
    )
    return response


def _get(server: Server, step_id: str) -> Response:
    response, _ = server.send(
        method="GET", url=server.url + server.expectations.path, headers=server.authorization
    )
    return response


def _as_text(server: Server, step_id: str) -> Response:
    headers = {**server.authorization, "Content-Type": "text/plain"}
    return server.post({"processStepId": step_id}, headers)


def _large(server: Server, step_id: str) -> Response:
    return server.post(json.dumps({"processStepId": step_id}).encode().ljust(1024 * 1024 + 1))


def _refused_tokens() -> Iterator[Case]:
    for name, situation, rule, send in (
        ("no-token", "no Authorization header", DOCUMENT, authorization(None)),
        (
            "wrong-token",
            "a wrong token",
            DOCUMENT,
            authorization("Bearer wrong-token-of-the-conformance-suite"),
        ),
        ("empty-token", "a bearer scheme without a token", DOCUMENT, authorization("Bearer ")),
        ("other-scheme", "the token in another scheme", "reading 15", authorization("Basic TOKEN")),
        ("bare-token", "the token without a scheme", "reading 15", authorization("TOKEN")),
        (
            "token-before-body",
            "a wrong token and a bad body",
            "reading 15",
            authorization("Bearer wrong-token-of-the-conformance-suite", b"{"),
        ),
    ):
        yield Case(
            name=name,
            status=401,
            situation=situation,
            rule=rule,
            send=send,
            checks=(challenges,),
        )


def _refused_bodies() -> Iterator[Case]:
    for name, situation, rule, send in (
        ("empty-body", "an empty body", DOCUMENT, body("")),
        ("truncated-json", "a body that is cut off", DOCUMENT, body('{"processStepId": ID')),
        ("array-body", "an array for a body", DOCUMENT, body("[ID]")),
        ("null-body", "null for a body", DOCUMENT, body("null")),
        (
            "not-utf-8",
            "a body that is not UTF-8",
            DOCUMENT,
            body(b'{"processStepId": ID, "\xff": 1}'),
        ),
        ("no-step-id", "no processStepId", DOCUMENT, body('{"params": {}}')),
        ("null-step-id", "null for the processStepId", DOCUMENT, body('{"processStepId": null}')),
        (
            "number-step-id",
            "a number for the processStepId",
            DOCUMENT,
            body('{"processStepId": 1}'),
        ),
        (
            "array-params",
            "an array for the params",
            DOCUMENT,
            body('{"processStepId": ID, "params": []}'),
        ),
        ("text-param", "a text for a param", DOCUMENT, param('"text"')),
        ("number-text", "a number for a strValue", DOCUMENT, param('{"strValue": 1}')),
        ("text-long", "a text for a longValue", DOCUMENT, param('{"longValue": "1"}')),
        ("text-double", "a text for a doubleValue", DOCUMENT, param('{"doubleValue": "1"}')),
        (
            "nan",
            "NaN, which is not JSON, for a doubleValue",
            DOCUMENT,
            param('{"doubleValue": NaN}'),
        ),
        (
            "infinity",
            "Infinity, which is not JSON, for a doubleValue",
            DOCUMENT,
            param('{"doubleValue": Infinity}'),
        ),
        (
            "overflow-double",
            "1e999 for a doubleValue",
            "reading 2",
            param('{"doubleValue": 1e999}'),
        ),
        (
            "overflow-long",
            "2^63, beyond a signed 64-bit integer, for a longValue",
            "reading 2",
            param(f'{{"longValue": {2**63}}}'),
        ),
        ("fraction-long", "3.5 for a longValue", "reading 2", param('{"longValue": 3.5}')),
        ("unknown-type", "a type that there is not", "reading 1", param('{"type": "BLOB"}')),
    ):
        yield Case(name=name, status=412, situation=situation, rule=rule, send=send)


def _accepted_bodies() -> Iterator[Case]:
    for name, situation, rule, send in (
        (
            "null-params",
            "null for the params",
            "reading 4",
            body('{"processStepId": ID, "params": null}'),
        ),
        (
            "unknown-members",
            "members that the document does not have",
            "reading 3",
            body('{"processStepId": ID, "more": 1, "params": {"p": {"more": 1}}}'),
        ),
        (
            "type-disagrees",
            "a type that does not agree with the value",
            "reading 3",
            param('{"strValue": "1", "type": "LONG"}'),
        ),
        ("empty-param", "a param without fields", "reading 3", param("{}")),
        ("whole-long", "3.0 for a longValue", "reading 2", param('{"longValue": 3.0}')),
    ):
        yield Case(name=name, status=200, situation=situation, rule=rule, send=send)


ASKING: tuple[Case, ...] = (
    *_refused_tokens(),
    *_refused_bodies(),
    Case(
        name="unknown-step",
        status=412,
        situation="a step that there is not",
        need=Need.NOTHING,
        checks=(names("processStepId", "UNKNOWN_STEP"),),
    ),
    Undocumented(
        name="other-path", status=404, situation="a path that there is not", send=_elsewhere
    ),
    Undocumented(
        name="other-method",
        status=405,
        situation="GET in place of POST",
        send=_get,
        checks=(allows_post,),
    ),
    Undocumented(
        name="other-type", status=415, situation="a body sent as text/plain", send=_as_text
    ),
    TooLarge(name="large-body", status=413, situation="a body of more than 1 MiB", send=_large),
)

COMPLETING: tuple[Case, ...] = (
    NextStep(
        name="next-step",
        status=200,
        situation="a STARTED step, with a next one",
        checks=(names_next, says_success),
    ),
    Case(
        name="second-completion",
        status=412,
        situation="a second completion of a step",
        need=Need.COMPLETED,
        checks=(names("processStepId", "STEP_COMPLETED"),),
    ),
    Case(
        name="named-step",
        status=200,
        situation="the step that a 200 has named as started",
        need=Need.NAMED,
    ),
    NextStep(
        name="params",
        status=200,
        situation="params that are handed on to the next step",
        rule="reading 10",
        send=lambda server, step_id: server.complete(step_id, SENT),
        checks=(names_next, hands_on),
    ),
    *_accepted_bodies(),
    Race(name="race", status=412, situation="several completions of a step at once"),
    LastStep(
        name="last-step",
        status=200,
        situation="the last step of a process",
        need=Need.LAST,
        checks=(is_the_end,),
    ),
    Case(
        name="own-params",
        status=200,
        situation="a next step with params of its own",
        rule="reading 10",
        need=Need.NEXT_HAS_PARAMS,
        send=lambda server, step_id: server.complete(step_id, {"both": {"strValue": "submitted"}}),
        checks=(overlays,),
    ),
    Case(
        name="pending-step",
        status=412,
        situation="a PENDING step",
        rule="reading 8",
        need=Need.PENDING,
        checks=(names("processStepId", "STEP_PENDING"),),
    ),
    Case(
        name="failed-step",
        status=412,
        situation="a FAILED step",
        rule="reading 8",
        need=Need.FAILED,
        checks=(names("processStepId", "STEP_FAILED"),),
    ),
    Case(
        name="late-completion",
        status=412,
        situation="a step that was not completed in time",
        rule="reading 14",
        need=Need.TIME_IS_OVER,
        checks=(names("processStepId", "STEP_FAILED"),),
    ),
    FromInside(
        name="inside-the-call",
        status=200,
        situation="a step completed from inside the call that starts it",
        rule="reading 12",
    ),
    Again(
        name="delegate-fails",
        status=500,
        situation="a next step that cannot be started, asked for twice",
        need=Need.NEXT_FAILS,
    ),
)
