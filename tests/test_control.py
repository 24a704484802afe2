"""The control API: every response that `control.yaml` documents, and who may ask."""

import copy
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import requests
import yaml
from click.testing import CliRunner
from openapi_schema_validator import OAS30Validator

from shared_state_support import Shared, stub_at
from stepstub import contract, scenario
from stepstub.app import create_app
from stepstub.cli import main
from stepstub.concurrency import run_inline
from stepstub.delegates import StepStart
from stepstub.handlers.control import MAX_STEPS
from stepstub.metrics import MEDIA_TYPE
from stepstub.sandboxes import MAX_TOKENS
from stepstub.settings import DEFAULT_TOKEN, Limits, Settings
from stepstub.stub import Stub
from support import asgi_call

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "control-api.md").read_text("utf-8")
COMPLETE_STEP = "/api/v1/processes/complete-step"
SECRET = "control-secret"
READERS: dict[str, Callable[[bytes], Any]] = {
    MEDIA_TYPE: bytes.decode,
    "application/yaml": yaml.safe_load,
}
PROBES = {"getHealth", "getReadiness", "getMetrics"}

DOCUMENT = contract.control_document()
OPERATIONS = {
    operation["operationId"]: (method.upper(), path, operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}


def closed(schema: Any) -> Any:
    """The schema, but what it does not name is not allowed: a response may not say more."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    result = {name: closed(value) for name, value in schema.items()}
    if result.get("type") == "object" and "properties" in result:
        result.setdefault("additionalProperties", False)
    return result


COMPONENTS = closed(copy.deepcopy(DOCUMENT["components"]))


def check_documented(operation_id: str, status: int, headers: dict[str, str], body: bytes) -> None:
    """The response is one that the operation documents: status, media type, schema."""
    responses = OPERATIONS[operation_id][2]["responses"]
    assert str(status) in responses, (operation_id, status, body)
    response = responses[str(status)]
    if "$ref" in response:
        response = DOCUMENT["components"]["responses"][response["$ref"].rpartition("/")[2]]
    if "content" not in response:
        assert body == b""
        assert "content-type" not in headers
        return
    ((media_type, content),) = response["content"].items()
    assert headers["content-type"] == media_type
    assert headers["content-length"] == str(len(body))
    value = READERS.get(media_type, json.loads)(body)
    schema = {**content["schema"], "components": COMPONENTS}
    errors = [error.message for error in OAS30Validator(schema).iter_errors(value)]
    assert not errors, (operation_id, status, errors, value)
    if status >= 400:
        assert value["status"] == status
        assert value["detail"]
        assert "Traceback" not in value["detail"]


@cache
def shared(control_token: str | None = None) -> Stub:
    """One stub for many tests, each in a sandbox of its own."""
    return create_app(
        settings=Settings(limits=Limits(sandboxes=10_000), control_token=control_token)
    )


@dataclass
class Control:
    """Calls a stub's control API without a socket, and checks each response by `control.yaml`."""

    app: Stub
    token: str | None = DEFAULT_TOKEN
    control_token: str | None = None
    content_type: bytes = b"application/json"

    def __call__(
        self,
        operation_id: str,
        body: Any = None,
        *,
        status: int = 200,
        query: dict[str, Any] | None = None,
        **path_parameters: str,
    ) -> Any:
        """What the operation returns; the status has to be the expected one."""
        method, path, _ = OPERATIONS[operation_id]
        actual, headers, response = self.send(
            method, path.format_map(path_parameters), body, query or {}
        )
        assert actual == status, (operation_id, actual, response)
        check_documented(operation_id, actual, headers, response)
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"  # one of them bears a token
        if actual == 401:
            assert headers["www-authenticate"] == "Bearer"
        if not headers.get("content-type", "").endswith("json"):
            return response.decode() or None
        return json.loads(response)

    def send(
        self, method: str, path: str, body: Any = None, query: dict[str, Any] | None = None
    ) -> tuple[HTTPStatus, dict[str, str], bytes]:
        content = b"" if body is None else body
        content = content if isinstance(content, bytes) else json.dumps(content).encode()
        headers = [(b"content-type", self.content_type)]
        if self.token is not None:
            headers.append((b"authorization", f"Bearer {self.token}".encode()))
        if self.control_token is not None:
            headers.append((b"x-stepstub-control-token", self.control_token.encode("latin-1")))

        encoded = urlencode(query or {}, doseq=True).encode()
        response = asgi_call(self.app, method, path, content, headers, encoded)
        return HTTPStatus(response.status), response.headers, response.body

    def complete(self, step_id: str) -> int:
        """The status of a completion; an exchange for the journal."""
        return self.send("POST", COMPLETE_STEP, {"processStepId": step_id})[0]

    def sandbox(self, body: Any = None) -> "Control":
        """A caller in a fresh sandbox."""
        token = self("createSandbox", body, status=201)["token"]
        return Control(self.app, token, self.control_token)


def fresh(*scenarios: str, control_token: str | None = None) -> Control:
    """A caller in a sandbox with these scenarios."""
    app = shared(control_token)
    processes = scenario.merge([scenario.load(name) for name in scenarios])
    return Control(app, run_inline(app.sandboxes.create(processes))[1], control_token)


@pytest.fixture
def control() -> Control:
    return fresh("two-steps", "every-status")


@dataclass
class Case:
    """One call and the status it gets; `given` brings the stub there."""

    operation: str
    status: int
    body: Any = None
    query: dict[str, Any] = field(default_factory=dict)
    path: dict[str, str] = field(default_factory=dict)
    given: Callable[[Control], object] | None = None


def in_the_default_sandbox(control: Control) -> None:
    control.token = DEFAULT_TOKEN


def without_room(control: Control) -> None:
    control.app = create_app(settings=Settings(limits=Limits(sandboxes=0)))
    control.token = DEFAULT_TOKEN


def with_a_form(control: Control) -> None:
    control.content_type = b"application/x-www-form-urlencoded"


def with_small_bodies_only(control: Control) -> None:
    control.app = create_app(settings=Settings(max_body_bytes=1))
    control.token = DEFAULT_TOKEN


def a_fault(control: Control) -> None:
    control("addFault", {"phase": "before"}, status=201)


def a_thousand_faults(control: Control) -> None:
    for _ in range(1000):
        a_fault(control)


def a_hundred_tokens(control: Control) -> None:
    for _ in range(MAX_TOKENS):
        control("issueToken", {}, status=201)


TIMED = {"timeOutInSeconds": 1.5, "params": {"n": {"longValue": 3, "type": "LONG"}}}
STEPS = [TIMED, {"delegate": {"http": "http://127.0.0.1:9/steps"}}, {"delegate": "failing"}]
STARTED = {"processStepId": "order-1-approve"}
PENDING = {"processStepId": "order-1-ship"}
NOWHERE = {"processStepId": "nowhere"}
WITH_A_BODY = [name for name, (_, _, operation) in OPERATIONS.items() if "requestBody" in operation]

CASES = [
    Case("getHealth", 200),
    Case("getReadiness", 200),
    Case("getMetrics", 404),
    Case("getControlDocument", 200),
    Case("createSandbox", 201),
    Case("createSandbox", 201, {}),
    Case("createSandbox", 201, b"null"),
    Case("createSandbox", 201, {"scenario": "long-chain"}),
    Case("createSandbox", 201, {"processes": [{"id": "p", "steps": STEPS}]}),
    Case("createSandbox", 201, {"name": "x" * 200}),
    Case("createSandbox", 400, {"name": "x" * 201}),
    Case("createSandbox", 400, {"name": ""}),
    Case("createSandbox", 400, {"scenario": "no-such"}),
    Case("createSandbox", 400, {"scenario": "/etc/passwd"}),
    Case("createSandbox", 400, {"scenario": "two-steps", "processes": []}),
    Case("createSandbox", 400, {"processes": [{"id": "p", "steps": []}]}),
    Case("createSandbox", 400, {"processes": [{"id": "p", "steps": [{"id": "p"}, {"id": "p"}]}]}),
    Case("createSandbox", 400, b"{"),
    Case("createSandbox", 400, []),
    Case("createSandbox", 409, given=without_room),
    Case("listSandboxes", 200, query={"limit": 1}),
    Case("listSandboxes", 400, query={"limit": 0}),
    Case("getSandbox", 200),
    Case("getSandbox", 200, given=lambda control: control.complete("order-1-ship")),
    Case("deleteSandbox", 204),
    Case("deleteSandbox", 409, given=in_the_default_sandbox),
    Case("resetSandbox", 200),
    Case("resetSandbox", 200, {"scenario": "last-step"}),
    Case("resetSandbox", 200, {"processes": []}),
    Case("resetSandbox", 400, {"scenario": "no-such"}),
    Case("resetSandbox", 400, {"anything": 1}),
    Case("resetSandbox", 400, {"name": "only a new one has a name to choose"}),
    Case("getReadings", 200),
    Case("createSandbox", 201, {"readings": {"bad-body": 400, "last-step-id": "absent"}}),
    Case("createSandbox", 400, {"readings": {"bad-body": 401}}),
    Case("createSandbox", 400, {"readings": {"bad-bodies": 400}}),
    Case("createSandbox", 400, {"readings": {"version": []}}),
    Case("resetSandbox", 200, {"readings": {"last-step-id": None}}),
    Case("listProcesses", 200),
    Case("listProcesses", 200, query={"offset": 1, "limit": 1}),
    Case("listProcesses", 200, query={"offset": 2**63 - 1}),
    Case("listProcesses", 400, query={"limit": 0}),
    Case("listProcesses", 400, query={"limit": 1001}),
    Case("listProcesses", 400, query={"offset": -1}),
    Case("listProcesses", 400, query={"limit": "many"}),
    Case("listProcesses", 400, query={"page": 2}),
    Case("startProcess", 201, {"scenario": "two-steps"}),
    Case("startProcess", 201, {"steps": STEPS}),
    Case("startProcess", 201, {"id": "mine", "steps": [{"id": "first", "delegate": "recorded"}]}),
    Case("startProcess", 201, {"processes": [{"id": "a", "steps": STEPS}]}),
    Case("startProcess", 400, {"processes": []}),
    Case("startProcess", 400, {"processes": [{"id": "a", "steps": STEPS}], "id": "a"}),
    Case("startProcess", 400, {"processes": [{"id": "a", "steps": STEPS}], "steps": STEPS}),
    Case("startProcess", 400, {}),
    Case("startProcess", 400, {"id": "mine"}),
    Case("startProcess", 400, {"scenario": "two-steps", "steps": [{}]}),
    Case("startProcess", 400, {"scenario": "two-steps", "id": "mine"}),
    Case("startProcess", 400, {"scenario": "no-such"}),
    Case("startProcess", 400, {"steps": []}),
    Case("startProcess", 201, {"steps": STEPS, "processes": []}),
    Case("startProcess", 201, {"scenario": "two-steps", "processes": [], "steps": []}),
    Case("startProcess", 400, {"steps": [{"status": "DONE"}]}),
    Case("startProcess", 400, {"steps": [{"status": "PENDING"}, {"status": "COMPLETED"}]}),
    Case("startProcess", 400, {"steps": [{"timeOutInSeconds": -1}]}),
    Case("startProcess", 400, b""),
    Case("startProcess", 409, {"steps": [{"id": "order-1-approve"}]}),
    Case("startProcess", 502, {"steps": [{"delegate": "failing"}]}),
    Case("getProcess", 200, path={"processId": "claim-2"}),
    Case("getProcess", 400, path={"processId": "claim-2"}, query={"verbose": 1}),
    Case("getProcess", 404, path={"processId": "nowhere"}),
    Case("getStep", 200, path=STARTED),
    Case("getStep", 400, path=STARTED, query={"verbose": 1}),
    Case("getStep", 404, path=NOWHERE),
    Case("failStep", 200, path=STARTED),
    Case("failStep", 400, path=STARTED, query={"reason": "x"}),
    Case("failStep", 404, path=NOWHERE),
    Case("failStep", 409, path=PENDING),
    Case("listExchanges", 200, given=lambda control: control.complete("order-1-ship")),
    Case("listExchanges", 200, given=lambda control: control.complete("order-1-approve")),
    Case("listExchanges", 200, query={"processStepId": "x", "status": 412, "operation": "x"}),
    Case("listExchanges", 200, query={"refused": "true", "order": "newest-first", "before": 9}),
    Case("listExchanges", 400, query={"status": 99}),
    Case("listExchanges", 400, query={"order": "oldest"}),
    Case("listExchanges", 400, query={"text": ""}),
    Case("listExchanges", 400, query={"after": "x"}),
    Case("clearJournal", 204),
    Case("verifyCompleted", 200, STARTED),
    Case("verifyCompleted", 200, {**STARTED, "times": 0}),
    Case("verifyCompleted", 200, NOWHERE),
    Case("verifyCompleted", 400, {}),
    Case("verifyCompleted", 400, {**STARTED, "withinSeconds": 61}),
    Case("verifyCompleted", 400, {**STARTED, "times": -1}),
    Case("verifyCompleted", 400, {**STARTED, "within": 1}),
    Case("listFaults", 200, given=a_fault),
    Case("addFault", 201, {"phase": "before", "action": "delay", "headers": {}}),
    Case("addFault", 201, {"phase": "before", "status": 401, "times": 2, **STARTED}),
    Case("addFault", 201, {"phase": "after", "action": "delay", "seconds": 0.5}),
    Case("addFault", 201, {"phase": "after", "action": "disconnect"}),
    Case("addFault", 201, {"phase": "after", "action": "malformed"}),
    Case("addFault", 400, {}),
    Case("addFault", 400, {"phase": "during"}),
    Case("addFault", 400, {"phase": "before", "status": 199}),
    Case("addFault", 400, {"phase": "before", "times": 0}),
    Case("addFault", 400, {"phase": "before", "seconds": 1}),
    Case("addFault", 400, {"phase": "before", "action": "delay", "status": 500}),
    Case("addFault", 400, {"phase": "before", "action": "delay", "seconds": 61}),
    Case("addFault", 409, {"phase": "before"}, given=a_thousand_faults),
    Case("clearFaults", 204),
    Case("issueToken", 201, {}),
    Case("issueToken", 201, {"expiresInSeconds": 60, "requests": 2}),
    Case("issueToken", 400, {"requests": -1}),
    Case("issueToken", 409, {}, given=a_hundred_tokens),
    Case("limitToken", 204, {"requests": 0}),
    Case("limitToken", 400, {"expiresInSeconds": "soon"}),
    Case("refuseConnections", 400, {"seconds": -1}),
    Case("refuseConnections", 409, {"seconds": 1}),  # there are none without a socket
    Case("getClock", 200),
    Case("setClock", 200, {"frozen": True, "advanceSeconds": 0.001}),
    Case("setClock", 400, {}),
    Case("setClock", 400, {"advanceSeconds": -1}),
    Case("setClock", 400, {"advanceSeconds": "1e3"}),
    Case("setClock", 400, {"frozen": None}),
    Case("listDelegateCalls", 200, given=lambda control: control.complete("order-1-approve")),
    Case("listDelegateCalls", 400, query={"offset": "x"}),
    *(Case(name, 413, {}, given=with_small_bodies_only) for name in WITH_A_BODY),
    *(Case(name, 415, {}, given=with_a_form) for name in WITH_A_BODY),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.operation}-{case.status}")
def test_a_response_is_as_documented(control: Control, case: Case) -> None:
    if case.given:
        case.given(control)
    control(case.operation, case.body, status=case.status, query=case.query, **case.path)
    assert control("getHealth")["contractViolations"] == 0


SECURED = [name for name, (_, _, operation) in OPERATIONS.items() if "security" not in operation]
EXAMPLE_PATH = {"processId": "order-1", "processStepId": "order-1-approve"}


@pytest.mark.parametrize("operation_id", SECURED)
@pytest.mark.parametrize("token", [None, "wrong", "", "two words"])
def test_a_token_is_needed(control: Control, operation_id: str, token: str | None) -> None:
    control.token = token
    response = control(operation_id, b"{", status=401, **EXAMPLE_PATH)  # checked before the body
    assert "bearer token" in response["detail"] or "Bearer TOKEN" in response["detail"]


def test_only_health_needs_no_token(control: Control) -> None:
    control.token = None
    assert set(OPERATIONS) - set(SECURED) == {*PROBES, "getControlDocument"}
    assert control("getHealth")["status"] == "ok"


NEEDS_STATE = [name for name in OPERATIONS if "503" in OPERATIONS[name][2]["responses"]]
NO_STORE = "valkey://127.0.0.1:1"


@pytest.fixture(scope="module")
def without_its_store() -> Iterator[Shared]:
    with stub_at(NO_STORE) as stub:
        yield stub


@pytest.mark.parametrize("operation_id", NEEDS_STATE)
def test_without_its_store_a_stub_says_so(without_its_store: Shared, operation_id: str) -> None:
    method, path, _ = OPERATIONS[operation_id]
    response = without_its_store.ask(method, path.format_map(EXAMPLE_PATH))
    assert response.status_code == 503
    headers = {name.lower(): value for name, value in response.headers.items()}
    check_documented(operation_id, 503, headers, response.content)
    assert headers["retry-after"] == "1"
    assert "The store at 127.0.0.1:1/0 cannot be reached" in response.json()["detail"]


def test_what_needs_no_state_responds_all_the_same(without_its_store: Shared) -> None:
    assert set(OPERATIONS) - set(NEEDS_STATE) == {"getHealth", "getMetrics", "getControlDocument"}
    for path, status in (("health", 200), ("metrics", 404), ("openapi.yaml", 200)):
        assert without_its_store.ask("GET", f"/_stub/{path}").status_code == status


def test_every_documented_response_is_tried() -> None:
    documented = {
        (name, int(status))
        for name, (_, _, operation) in OPERATIONS.items()
        for status in operation["responses"]
    }
    tried = {(case.operation, case.status) for case in CASES} | {(name, 401) for name in SECURED}
    tried |= {(name, 503) for name in NEEDS_STATE}
    elsewhere = {("refuseConnections", 204), ("getMetrics", 200)}  # on a socket; where they are on
    assert documented == tried | elsewhere


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/_stub/", 404, None),
        ("GET", "/_stub/nowhere", 404, None),
        ("GET", "/_stub/processes/", 404, None),
        ("GET", "/_stub//processes", 404, None),
        ("POST", "/_stub/steps/a/b/fail", 404, None),
        ("PUT", "/_stub/faults", 405, "DELETE, GET, POST"),
        ("PATCH", "/_stub/health", 405, "GET"),
        ("GET", "/_stub/steps/order-1-approve/fail", 405, "POST"),
    ],
)
def test_a_miss_is_a_problem_too(
    control: Control, method: str, path: str, status: int, allow: str | None
) -> None:
    actual, headers, body = control.send(method, path)
    assert (actual, headers["content-type"]) == (status, "application/problem+json")
    assert headers.get("allow") == allow
    problem = json.loads(body)
    assert problem == {
        "type": "about:blank",
        "title": {404: "Not Found", 405: "Method Not Allowed"}[status],
        "status": status,
        "detail": problem["detail"],
    }


def test_a_bad_body_is_told_by_the_field(control: Control) -> None:
    problem = control("addFault", {"phase": "x", "times": "y", "z": 1}, status=400)
    codes = {name: violation["code"] for name, violation in problem["violations"].items()}
    assert codes["phase"] == "NOT_ALLOWED"
    assert codes["times"] == "WRONG_TYPE"
    assert len(codes) == 3


def test_all_mistakes_of_a_body_are_told_at_once_a_line_each(control: Control) -> None:
    steps = [{"delegate": "fialing", "timeoutInSeconds": 1}, {}]
    assert control("startProcess", {"id": "a/b", "steps": steps}, status=400)["detail"] == (
        "id must be text without a slash, and not empty.\n"
        "steps[0].delegate must be one of recorded, failing, python, {http: ...};"
        " did you mean failing?\n"
        "steps[0].timeoutInSeconds is not known here; did you mean timeOutInSeconds?"
    )
    steps = [{"id": "a", "status": "PENDING"}, {"id": "a", "status": "STARTED"}]
    assert control("startProcess", {"id": "p", "steps": steps}, status=400)["detail"] == (
        "the request: processes[0].steps[1].id: step id 'a' is used twice\n"
        "the request: processes[0].steps[1].status: a STARTED step cannot follow a PENDING one;"
        " the order is COMPLETED ..., one STARTED or FAILED, PENDING ..."
    )


def test_refusals_name_the_remedy(control: Control) -> None:
    unknown = control("startProcess", {"scenario": "no-such"}, status=400)
    control.token = DEFAULT_TOKEN
    delete = control("deleteSandbox", status=409)
    assert "reset it instead" in delete["detail"]
    assert "two-steps" in unknown["detail"]


def test_a_scenario_of_the_control_api_is_a_name_and_never_a_file(control: Control) -> None:
    path = ROOT / "fixtures" / "two-steps.yaml"
    for operation in ("createSandbox", "resetSandbox", "startProcess"):
        control(operation, {"scenario": str(path)}, status=400)


def test_the_first_step_is_started_and_the_others_are_pending(control: Control) -> None:
    (process,) = control("startProcess", {"id": "mine", "steps": STEPS}, status=201)["processes"]
    assert process["id"] == "mine"
    assert [(step["id"], step["status"]) for step in process["steps"]] == [
        ("mine-1", "STARTED"),
        ("mine-2", "PENDING"),
        ("mine-3", "PENDING"),
    ]
    assert process["steps"][0]["params"] == TIMED["params"]
    assert process["steps"][1]["delegate"] == {"kind": "http", "url": "http://127.0.0.1:9/steps"}
    assert "timesOutAt" in process["steps"][0]
    assert control("getProcess", processId="mine") == process
    (call,) = control("listDelegateCalls")["delegateCalls"]
    assert (call["processStepId"], call["outcome"]) == ("mine-1", "accepted")


def test_a_process_whose_delegate_fails_is_not_there(control: Control) -> None:
    before = control("listProcesses")
    control("startProcess", {"id": "p", "steps": [{"delegate": "failing"}]}, status=502)
    assert control("listProcesses") == before
    control("startProcess", {"id": "p", "steps": [{}]}, status=201)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://user:secret@127.0.0.1/x?y=@z", "http://user:***@127.0.0.1/x?y=@z"),
        ("http://user:se@cret@127.0.0.1", "http://user:***@127.0.0.1"),
        ("https://secret@127.0.0.1:9000/", "https://***@127.0.0.1:9000/"),
        ("http://127.0.0.1/a:b@c", "http://127.0.0.1/a:b@c"),
    ],
)
def test_a_password_in_the_url_of_a_delegate_is_not_shown(
    control: Control, url: str, shown: str
) -> None:
    steps = [{}, {"delegate": {"http": url}}]
    (started,) = control("startProcess", {"steps": steps}, status=201)["processes"]
    assert started["steps"][1]["delegate"] == {"kind": "http", "url": shown}
    step = control("getStep", processStepId=started["steps"][1]["id"])
    assert step["delegate"]["url"] == shown


def test_a_scenario_started_twice_gets_free_ids(control: Control) -> None:
    again = control("startProcess", {"scenario": "two-steps"}, status=201)
    (process,) = again["processes"]
    ids = [process["id"], *(step["id"] for step in process["steps"])]
    assert not any(each in {"order-1", "order-1-approve", "order-1-ship"} for each in ids)
    assert again["total"] == 4
    assert control.complete(process["steps"][0]["id"]) == 200
    assert control("getStep", **STARTED)["status"] == "STARTED"


def test_processes_are_paged_in_the_order_they_came(control: Control) -> None:
    for number in range(5):
        control("startProcess", {"id": f"p{number}", "steps": [{}]}, status=201)
    pages = [control("listProcesses", query={"offset": n, "limit": 3}) for n in (0, 3, 6, 9)]
    assert [page["total"] for page in pages] == [8] * 4
    ids = [[process["id"] for process in page["processes"]] for page in pages]
    assert ids == [["order-1", "claim-1", "claim-2"], ["p0", "p1", "p2"], ["p3", "p4"], []]


def test_a_step_that_a_test_fails_is_refused_from_then_on(control: Control) -> None:
    failed = control("failStep", **STARTED)
    assert (failed["status"], failed["failure"]) == ("FAILED", "the control API failed it")
    assert control.complete("order-1-approve") == 412


def listed(control: Control, **query: Any) -> list[int]:
    """The numbers of the exchanges that a query of the journal finds, on all its pages."""
    page = control("listExchanges", query=query)
    numbers = [exchange["number"] for exchange in page["exchanges"]]
    if "next" not in page:
        return numbers
    on = "before" if query.get("order") == "newest-first" else "after"
    return numbers + listed(control, **{**query, on: page["next"]})


def test_the_journal_is_read_from_either_end(control: Control) -> None:
    for _ in range(5):
        control.complete("nowhere")
    assert listed(control, limit=2) == [1, 2, 3, 4, 5]
    assert listed(control, limit=2, order="newest-first") == [5, 4, 3, 2, 1]
    assert listed(control, order="newest-first", before=3) == [2, 1]
    assert listed(control, order="newest-first", before=4, after=1) == [3, 2]
    assert listed(control, before=0) == []


def test_the_journal_is_searched_for_a_text(control: Control) -> None:
    control.complete("order-1-approve")
    control.complete("order-1-approve")
    control("addFault", {"phase": "before", "action": "delay", "seconds": 0}, status=201)
    control.send("POST", COMPLETE_STEP, {"processStepId": "Żółw"})
    assert listed(control, text="COMPLETED; only a") == [2]  # the reason
    assert listed(control, text="order-1-APPROVE") == [1, 2]
    assert listed(control, text="żÓŁW") == [3]
    assert listed(control, text="order-1-ship") == [1]  # only its response names the next step
    assert listed(control, text="nothing has it") == []
    assert listed(control, refused="true") == [2, 3]
    assert listed(control, refused="false") == [1]


def test_the_calls_that_start_a_step_are_found_by_it(control: Control) -> None:
    control("resetSandbox", {"scenario": "long-chain"})
    for number in range(1, 4):
        assert control.complete(f"chain-1-0{number}") == 200
    found = control("listDelegateCalls", query={"processStepId": "chain-1-03"})
    assert [call["exchangeNumber"] for call in found["delegateCalls"]] == [2]
    assert found["total"] == 1


def test_delegate_calls_are_paged(control: Control) -> None:
    control("resetSandbox", {"scenario": "long-chain"})
    for number in range(1, 6):
        assert control.complete(f"chain-1-0{number}") == 200
    page = control("listDelegateCalls", query={"offset": 3, "limit": 1})
    assert page["total"] == 5
    (call,) = page["delegateCalls"]
    assert (call["processStepId"], call["exchangeNumber"]) == ("chain-1-05", 4)


def test_control_calls_leave_no_trace_in_the_journal(control: Control) -> None:
    control("listProcesses")
    control("startProcess", {}, status=400)
    control.send("GET", "/_stub/nowhere")
    assert control("listExchanges")["exchanges"] == []


# What generated clients need


def schemas_in(node: Any) -> Iterator[dict[str, Any]]:
    """Every schema that has a type, at any depth."""
    if isinstance(node, dict):
        if isinstance(node.get("type"), str):
            yield node
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from schemas_in(child)


NAMED = DOCUMENT["components"]["schemas"]


def test_every_object_is_a_titled_component() -> None:
    assert all(schema["title"] and schema["description"] for schema in NAMED.values())
    for schema in schemas_in({**DOCUMENT, "components": list(NAMED.values())}):
        assert schema["type"] != "object" or any(schema is named for named in NAMED.values())


def test_a_number_has_a_format_and_one_with_a_fraction_and_bounds_an_example() -> None:
    for schema in schemas_in(DOCUMENT):
        if schema["type"] in {"integer", "number"}:
            assert schema["format"] in {"int32", "int64", "double"}
            assert "example" in schema or schema["type"] == "integer" or "minimum" not in schema


def test_what_belongs_to_one_action_of_a_fault_has_no_default() -> None:
    """A typed client would send the default, and the stub refuse it beside another action."""
    assert "default" not in NAMED["FaultAction"]
    with_default = {
        name for name, each in NAMED["FaultRequest"]["properties"].items() if "default" in each
    }
    assert with_default == {"eachStep"}


def test_the_control_token_is_optional_in_the_document() -> None:
    assert DOCUMENT["security"] == [{"bearer": []}, {"bearer": [], "controlToken": []}]


def test_the_contract_does_not_know_it() -> None:
    assert "_stub" not in (ROOT / "openapi.yaml").read_text("utf-8")
    assert yaml.safe_load((ROOT / "openapi.yaml").read_text("utf-8"))["paths"].keys() == {
        COMPLETE_STEP
    }


# Who may ask


@pytest.fixture
def guarded() -> Control:
    return fresh("two-steps", control_token=SECRET)


@pytest.mark.parametrize("operation_id", SECURED)
@pytest.mark.parametrize("given", [None, "", SECRET[:-1], SECRET + "x", DEFAULT_TOKEN, "sch\xe4tz"])
def test_the_control_token_is_needed_where_there_is_one(
    guarded: Control, operation_id: str, given: str | None
) -> None:
    guarded.control_token = given
    response = guarded(operation_id, b"{", status=401, **EXAMPLE_PATH)
    assert "X-Stepstub-Control-Token" in response["detail"]
    assert SECRET not in response["detail"]


def test_with_the_control_token_the_bearer_token_still_names_the_sandbox(guarded: Control) -> None:
    own = guarded.sandbox({"scenario": "last-step"})
    assert [process["id"] for process in own("listProcesses")["processes"]] == ["invoice-1"]
    guarded.token = "wrong"
    guarded("listProcesses", status=401)


def test_the_control_token_is_no_bearer_token(guarded: Control) -> None:
    guarded.token = SECRET
    guarded("listProcesses", status=401)
    assert guarded.complete("order-1-approve") == 401


def test_the_contract_needs_no_control_token(guarded: Control) -> None:
    guarded.control_token = None
    assert guarded.complete("order-1-approve") == 200
    assert guarded("getHealth")["status"] == "ok"
    assert guarded("getControlDocument") == contract.control_text()


def test_without_control_there_are_only_probes_at_its_paths() -> None:
    processes = scenario.load("two-steps").processes
    control = Control(create_app(processes, Settings(with_control=False)))
    assert control("getHealth")["status"] == "ok"
    assert control("getReadiness") == {"status": "ready"}
    for name, (method, path, _) in OPERATIONS.items():
        if name in PROBES:
            continue
        status, headers, _ = control.send(method, path.format_map(EXAMPLE_PATH), b"{}")
        assert (status, headers["content-type"]) == (404, "application/problem+json")
    assert control.complete("order-1-approve") == 200


def test_sandboxes_are_bounded_and_a_deleted_one_makes_room() -> None:
    control = Control(create_app(settings=Settings(limits=Limits(sandboxes=2))))
    first = control.sandbox()
    control.sandbox()
    refusal = control("createSandbox", status=409)
    assert "2 sandboxes" in refusal["detail"]
    assert "--max-sandboxes" in refusal["detail"]
    assert control("getHealth")["sandboxes"] == 3
    first("deleteSandbox", status=204)
    control.sandbox()


COMMAND = [sys.executable, "-c", "from stepstub.cli import main; main()", "serve"]
ENVIRONMENT = {name: value for name, value in os.environ.items() if "STEPSTUB" not in name}


@pytest.mark.parametrize(
    ("options", "environment"),
    [
        (["--host", "0.0.0.0", "--port", "0"], {}),
        ([], {"STEPSTUB_HOST": "0.0.0.0", "STEPSTUB_PORT": "0"}),
    ],
)
def test_an_open_address_is_refused_without_a_control_token(
    options: list[str], environment: dict[str, str]
) -> None:
    refusal = subprocess.run(
        [*COMMAND, *options],
        env={**ENVIRONMENT, **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert refusal.returncode == 1
    assert refusal.stdout == ""
    assert "--control-token" in refusal.stderr
    assert "--no-control" in refusal.stderr


def refused(*options: str, **environment: str) -> str:
    """Why `serve` refuses; at an address that is nobody's, so that it never comes to serve."""
    arguments = ["serve", "--host", "203.0.113.1", *options]
    result = CliRunner().invoke(main, arguments, env=environment)
    assert result.exit_code == 2, result.output
    return result.output


def test_more_workers_are_refused_with_the_reason() -> None:
    for refusal in (refused("--workers", "2"), refused(STEPSTUB_WORKERS="2")):
        assert "memory of one process" in refusal
        assert "--state" in " ".join(refusal.split())


@pytest.mark.parametrize("token", ["", "two words", "sch\xe4tz", "line\nbreak"])
def test_a_control_token_has_to_fit_into_a_header(token: str) -> None:
    assert "--control-token" in refused("--control-token", token)


def test_a_generated_control_token_is_printed_and_is_another_one_each_time() -> None:
    environment = {**ENVIRONMENT, "STEPSTUB_CONTROL_TOKEN": "generate", "STEPSTUB_HOST": "0.0.0.0"}
    drawn = set()
    for _ in range(2):
        with subprocess.Popen(
            [*COMMAND, "--port", "0", "--token", "mine"],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        ) as server:
            try:
                assert server.stdout
                port = server.stdout.readline().split()[3].rpartition(":")[2]
                printed = next(line for line in server.stdout if "control token: " in line)
                token = printed.split()[-1]
                for given, status in {"generate": 401, token: 200}.items():
                    response = requests.get(
                        f"http://127.0.0.1:{port}/_stub/processes",
                        headers={
                            "Authorization": "Bearer mine",
                            "X-Stepstub-Control-Token": given,
                        },
                        timeout=5,
                    )
                    assert response.status_code == status
                drawn.add(token)
            finally:
                server.terminate()
    assert len(drawn) == 2


def test_no_control_token_is_generated_that_nobody_would_learn() -> None:
    assert "--quiet" in refused("--control-token", "generate", "--quiet")


def test_the_environment_bounds_what_a_sandbox_keeps_and_asks_for_the_control_token() -> None:
    environment = {
        **ENVIRONMENT,
        "STEPSTUB_PORT": "0",
        "STEPSTUB_CONTROL_TOKEN": SECRET,
        "STEPSTUB_JOURNAL_SIZE": "2",
        "STEPSTUB_MAX_SANDBOXES": "1",
        "STEPSTUB_LOG_LEVEL": "error",
    }
    with subprocess.Popen(COMMAND, env=environment, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout
            url = re.findall(r"http://[\d.:]+", server.stdout.readline())[0]
            with requests.Session() as session:
                session.headers["Authorization"] = "Bearer stub-token"
                assert session.get(f"{url}/_stub/processes", timeout=5).status_code == 401
                session.headers["X-Stepstub-Control-Token"] = SECRET
                sandboxes = [session.post(f"{url}/_stub/sandboxes", timeout=5) for _ in range(2)]
                assert [response.status_code for response in sandboxes] == [201, 409]
                for _ in range(3):
                    session.post(f"{url}{COMPLETE_STEP}", json=STARTED, timeout=5)
                journal = session.get(f"{url}/_stub/journal", timeout=5).json()
                assert [each["number"] for each in journal["exchanges"]] == [2, 3]
                assert SECRET not in json.dumps(journal)
        finally:
            server.terminate()


# docs/control-api.md


def test_the_page_names_every_operation_and_no_other() -> None:
    rows = set(re.findall(r"^\| `([A-Z]+) (/_stub/[^`]+)` \|", PAGE, re.MULTILINE))
    assert rows == {(method, path) for method, path, _ in OPERATIONS.values()}


def bodies_on_the_page() -> list[tuple[str, str, str]]:
    rows = re.findall(r"^\| `([A-Z]+) (/_stub/[^`]+)` \|(.*)\|$", PAGE, re.MULTILINE)
    return [
        (method, path, body)
        for method, path, cells in rows
        for body in re.findall(r"`(\{.*?\})`(?=,| |$)", cells)
    ]


@pytest.mark.parametrize(("method", "path", "body"), bodies_on_the_page())
def test_a_body_on_the_page_is_taken(control: Control, method: str, path: str, body: str) -> None:
    operation_id = next(
        name for name, (verb, where, _) in OPERATIONS.items() if (verb, where) == (method, path)
    )
    successes = {"createSandbox": 201, "startProcess": 201, "addFault": 201, "issueToken": 201}
    successes |= {"limitToken": 204, "refuseConnections": 409}  # the latter needs a socket
    control(operation_id, body.encode(), status=successes.get(operation_id, 200))


def test_every_operation_that_needs_a_body_shows_one() -> None:
    shown = {(method, path) for method, path, _ in bodies_on_the_page()}
    needed = {
        (method, path)
        for method, path, operation in OPERATIONS.values()
        if operation.get("requestBody", {}).get("required")
    }
    assert needed <= shown


def test_the_exchanges_on_the_page_are_true() -> None:
    control = fresh("two-steps")
    blocks = re.findall(r"^```http\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 8
    for request, shown in zip(blocks[::2], blocks[1::2], strict=True):
        line, _, sent = request.partition("\n\n")
        method, path = line.split()
        head, _, body = shown.partition("\n\n")
        status, headers, response = control.send(method, path, sent.encode())
        assert head.splitlines() == [
            f"HTTP/1.1 {status.value} {status.phrase}",
            f"content-type: {headers['content-type']}",
        ]
        assert without_time(response.decode()) == without_time(body)


def without_time(response: str) -> Any:
    return json.loads(re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", "", response))


def test_every_fault_is_in_the_table() -> None:
    page = (ROOT / "docs" / "faults.md").read_text("utf-8")
    rows = re.findall(r"^\| `([\w-]+)`", page, re.MULTILINE)
    schemas = DOCUMENT["components"]["schemas"]
    for name in ("FaultPhase", "FaultAction", "FaultPlace"):
        assert set(schemas[name]["enum"]) <= set(rows)
    for member in schemas["FaultRequest"]["properties"]:
        assert f"`{member}`" in page


def test_the_bounds_on_the_page_are_the_real_ones() -> None:
    assert "16 KiB" in PAGE
    limits = Limits()
    assert f"`--journal-size` | {limits.journal} |" in PAGE
    assert f"`--max-sandboxes` | {limits.sandboxes} |" in PAGE
    assert f"{MAX_STEPS:,}" in PAGE


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        ("createSandbox", {"processes": [{"id": "p", "steps": [{}] * (MAX_STEPS + 1)}]}),
        ("resetSandbox", {"processes": [{"id": f"p{n}", "steps": [{}] * 101} for n in range(100)]}),
        ("startProcess", {"steps": [{}] * (MAX_STEPS + 1)}),
    ],
)
def test_one_call_cannot_bring_so_many_steps_that_others_wait(
    control: Control, operation: str, body: Any
) -> None:
    problem = control(operation, body, status=400)
    assert problem["detail"] == f"One call may bring {MAX_STEPS} steps at most; make several."
    control("startProcess", {"steps": [{}] * MAX_STEPS}, status=201)


def test_a_python_delegate_is_a_registered_function(control: Control) -> None:
    told: list[StepStart] = []
    assert control.token
    control.app.sandboxes.on_delegate(control.token, told.append)
    control("startProcess", {"steps": [{"delegate": "python"}]}, status=201)
    assert [start.process_step_id for start in told] == ["process-1-1"]
    control.app.sandboxes.on_delegate(control.token, None)
    control("startProcess", {"steps": [{"delegate": "python"}]}, status=502)
