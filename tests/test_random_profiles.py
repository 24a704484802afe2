"""Stubs under profiles drawn at random, beside a naive server under the same readings.

Whatever clients do to both, the status and the form of each response are the same, the data of
each 200, and the state afterwards. Each response meets the effective contract, which is checked
by a validator of its own. More examples, with others each time:

    STEPSTUB_EXAMPLES=1000 pytest tests/test_random_profiles.py
"""

import json
import re
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from openapi_schema_validator import OAS30Validator

from naive_model import Script
from naive_server import NaiveServer, completion
from stepstub.app import create_app
from stepstub.delegates import StepStart
from stepstub.readings import DEFAULT, alternatives, as_mapping, questions, with_values
from stepstub.settings import DEFAULT_TOKEN, Settings
from support import PATH, Client, Response, in_time, random_runs

FREE_TEXTS = {
    "success-message": ["Success", "Done <ä>"],
    "version": ["1.0.0", "2.10"],
    "credentials-header": ["X-API-Key", "X-Token"],
}
VALUES = {name: alternatives(name) or FREE_TEXTS[name] for name in questions()}
# Any value of each reading; or a few that are not the default, which leaves more bodies good.
profiles: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.fixed_dictionaries({name: st.sampled_from(values) for name, values in VALUES.items()}),
    st.lists(
        st.sampled_from([(name, value) for name in VALUES for value in VALUES[name][1:]]),
        max_size=6,
    ).map(dict),
)

OWN = {"own": {"strValue": "x", "type": "STRING"}, "a": {"longValue": 1, "doubleValue": None}}
PROCESSES: list[dict[str, Any]] = [
    {
        "id": process_id,
        "steps": [
            {
                "id": f"{process_id}{number}",
                "status": {"S": "STARTED", "P": "PENDING", "C": "COMPLETED", "F": "FAILED"}[letter],
                "params": OWN if number == 2 else {},
                "timeOutInSeconds": seconds,
            }
            for number, letter in enumerate(letters, 1)
        ],
    }
    for process_id, letters, seconds in [
        ("p", "SPP", 2),
        ("q", "CSP", 0),
        ("r", "FP", 0),
        ("s", "S", 3),
        ("t", "SP", 0),
        ("u", "SP", 0),
    ]
]
STEP_IDS = [step["id"] for process in PROCESSES for step in process["steps"]]

# --- requests, as text

LARGE = "9" * 400
TAME = {
    "strValue": ['"x"', '""'],
    "longValue": ["1", "-7", "9007199254740993"],
    "doubleValue": ["0.5", "3", "9007199254740993"],
    "type": ['"STRING"', '"LONG"', '"DOUBLE"'],
}
WILD = {
    "strValue": [*TAME["strValue"], "5", "null"],
    "longValue": [
        *("1", "-0", "3.0", "-3.5", "1e2", "1e999", "9223372036854775807", "9223372036854775808"),
        *("true", "null", "[]", '"12"', '"-3.5"', '"1e2"', '"1e999"', '" 1"', '"x"', '""'),
        *('"9223372036854775808"', LARGE, f'"{LARGE}"'),
    ],
    "doubleValue": [
        *("0.5", "3", "1e999", "9007199254740993", "null", "true", '"0.5"', '"7"', '"x"'),
        *(LARGE, f'"{LARGE}"'),
    ],
    "type": [*TAME["type"], '"long"', '"String"', '"Other"', '""', "5", "null"],
    "unit": ["1", "null"],
}


def members(pairs: list[tuple[str, str]]) -> str:
    return "{" + ", ".join(f"{json.dumps(name)}: {value}" for name, value in pairs) + "}"


def one_of(values: dict[str, list[str]]) -> st.SearchStrategy[tuple[str, str]]:
    """A member with one of the values of its name."""
    return st.sampled_from([(name, value) for name in values for value in values[name]])


AGREEING = ["STRING: strValue", "LONG: longValue", "DOUBLE: doubleValue"]
agreeing = st.sampled_from(
    [
        members([("type", f'"{kind}"'), (field, value)])
        for kind, field in (each.split(": ") for each in AGREEING)
        for value in TAME[field]
    ]
)
near = st.sampled_from(
    [
        members([("type", f'"{kind}"'), (field, value)])
        for each, field in (each.split(": ") for each in AGREEING)
        for kind in (each, each.lower(), each.title())
        for value in WILD[field]
    ]
)
tame = st.lists(one_of(TAME), max_size=3, unique_by=lambda pair: pair[0]).map(members)
wild = st.lists(one_of(WILD), max_size=3).map(members)
values = st.one_of(agreeing, near, near, tame, wild, st.sampled_from(["null", "5"]))
params = st.one_of(
    st.lists(st.tuples(st.sampled_from(["a", "b"]), st.one_of(agreeing, tame, wild)), max_size=1),
    st.lists(st.tuples(st.sampled_from(["a", "b"]), values), max_size=2),
).map(members)
step_ids = st.sampled_from([*STEP_IDS, *STEP_IDS, "p1", "p2", "q2", "nobody", ""])


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    body = [("processStepId", json.dumps(draw(step_ids)))]
    body += draw(
        st.one_of(
            params.map(lambda text: [("params", text)]),
            params.map(lambda text: [("params", text)]),
            st.sampled_from([[], [("params", "null")], [("params", "{}")], [("params", "[]")]]),
            params.map(lambda text: [("comment", "1"), ("params", "5"), ("params", text)]),
        )
    )
    return members(body).encode()


NONSENSE = [b"", b"{", b"[]", b"null", b"\xff", b'{"processStepId": NaN}', b'{"params": {}}']
NONSENSE += [b'{"processStepId": 5}', b'{"processStepId": null}', b'{"processStepId": "p1"} x']
scripts: st.SearchStrategy[list[Script]] = st.lists(
    st.tuples(
        st.lists(
            st.sampled_from(
                [("complete it",), ("fail it",), ("repeat",), ("wait", 1), ("wait", 2)]
            ),
            max_size=2,
        ),
        st.sampled_from([("accept",), ("fail",)]),
    ).map(lambda each: [*each[0], each[1]]),
    max_size=3,
)

# --- responses

TIMESTAMPS = {
    "milliseconds": r"\.\d{3}",
    "microseconds": r"\.\d{6}",
    "seconds": r"",
    "trimmed": r"(\.\d{0,2}[1-9])?",
}
MESSAGES = {401: "Unauthorized request", 412: "Precondition failed", 500: "Internal Server Error"}
ENVELOPE = {"message", "timestamp", "data", "version"}


def inlined(node: Any, document: dict[str, Any]) -> Any:
    """A schema without references; there are no circles."""
    if isinstance(node, list):
        return [inlined(each, document) for each in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        _, *way = node["$ref"].split("/")
        target: Any = document
        for part in way:
            target = target[part]
        return inlined(target, document)
    return {name: inlined(value, document) for name, value in node.items()}


def exact(data: Any, name: str = "") -> str:
    """Data as text, in which a long is not a double; doubles are alike however they are written."""
    if isinstance(data, dict):
        members = [f"{each}:{exact(value, each)}" for each, value in sorted(data.items())]
        return f"{{{','.join(members)}}}"
    if name == "doubleValue" and data is not None:
        return str(Fraction(data))
    return json.dumps(data)


class Profiles(RuleBasedStateMachine):
    """Each rule does the same to a stub and to a naive server."""

    @initialize(values=profiles)
    def begin(self, values: dict[str, Any]) -> None:
        self.readings = with_values(DEFAULT, values)
        self.values = as_mapping(self.readings)
        self.client = Client(create_app(settings=Settings(readings=self.readings)))
        self.naive = NaiveServer(self.values)
        self.scripts: list[Script] = []
        self.document = self.client.app.sandboxes.default.contract.document
        (path,) = self.document["paths"].values()
        self.documented = path["post"]["responses"]
        self.validators: dict[int, Any] = {}
        self.fill()

    def fill(self) -> None:
        self.client = Client(self.client.app)  # a reset has made another sandbox
        self.client.freeze()
        self.client.delegates.function = self.delegate
        assert self.control("processes", {"processes": PROCESSES}) == 201
        for process in PROCESSES:
            self.naive.start(process)

    def control(self, path: str, body: dict[str, Any]) -> int:
        headers = {"content-type": "application/json", "authorization": f"Bearer {DEFAULT_TOKEN}"}
        raw = json.dumps(body).encode()
        return self.client.request("POST", f"/_stub/{path}", raw, headers).status

    def delegate(self, start: StepStart) -> None:
        step_id = start.process_step_id
        if step_id not in self.naive.steps or step_id.endswith("1"):
            return  # a first step, while it is put in place
        for action in self.scripts.pop(0) if self.scripts else [("accept",)]:
            match action:
                case ("fail",):
                    raise OSError
                case ("complete it",):
                    self.ask("right", completion(step_id))
                case ("repeat",):
                    previous = f"{step_id[0]}{int(step_id[1:]) - 1}"
                    self.ask("right", completion(previous))
                case ("fail it",):
                    self.control(f"steps/{step_id}/fail", {})
                case ("wait", int(seconds)):
                    self.client.advance(seconds)

    def ask(self, credentials: str, raw: bytes) -> Response:
        form = self.values["credentials"]
        token = "nobodys" if credentials == "unknown" else DEFAULT_TOKEN
        if credentials == "wrong form":
            form = {"bearer": "basic", "none": "basic"}.get(form, "bearer")
        headers = {
            "bearer": {"authorization": f"Bearer {token}"},
            "none": {"authorization": f"Bearer {token}"},
            "basic": {"authorization": BASIC[token]},
            "api-key": {self.values["credentials-header"].lower(): token},
        }[form]
        if credentials == "none":
            headers = {}
        headers = {"content-type": "application/json", **headers}
        response = self.client.request("POST", PATH, raw, headers)
        self.check_form(response)
        return response

    def check_form(self, response: Response) -> None:
        """The form of a response, whatever its reason is."""
        values, status, headers = self.values, response.status, response.headers
        assert self.client.app.violations == 0
        is_documented = status in (200, 401, 412, 500)
        form = "envelope" if is_documented else values["undocumented-form"]
        media_type = {
            "problem": "application/problem+json",
            "html": "text/html; charset=utf-8",
            "plain": "text/plain; charset=utf-8",
        }.get(form, "application/json")
        assert headers["content-type"] == media_type
        scheme = {"basic": 'Basic realm="stepstub"', "api-key": "ApiKey"}
        challenged = status == 401 and values["challenge"] == "sent"
        expected = scheme.get(values["credentials"], "Bearer") if challenged else None
        assert headers.get("www-authenticate") == expected
        if form in ("envelope", "spring"):
            zone = "Z" if values["timestamp-zone"] == "z" else r"\+00:00"
            pattern = rf"\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d{TIMESTAMPS[values['timestamp']]}{zone}"
            assert re.fullmatch(pattern, response.json["timestamp"])
        if form == "envelope":
            assert set(response.json) == ENVELOPE
            assert response.json["version"] == values["version"]
        if status == 200:
            assert response.json["message"] == values["success-message"]
        elif is_documented:
            assert response.json["message"] == MESSAGES[status]
        if status == 412:
            self.check_refusal(response.data)
        if str(status) in self.documented:
            self.check_contract(response, media_type)

    def check_refusal(self, data: dict[str, Any]) -> None:
        match self.values["refusal-data"]:
            case "empty":
                assert data == {}
            case "message":
                assert list(data) == ["error"]
                assert list(data["error"]) == ["message"]
            case _:
                assert all({"code", "detail"} <= set(violation) for violation in data.values())
                assert data

    def check_contract(self, response: Response, media_type: str) -> None:
        """By another validator than the stub's own."""
        status = response.status
        if "json" not in media_type:
            return
        if status not in self.validators:
            content = inlined(self.documented[str(status)], self.document)["content"]
            self.validators[status] = OAS30Validator(content[media_type]["schema"])
        self.validators[status].validate(response.json)

    @rule(
        raw=st.one_of(bodies(), bodies(), bodies(), st.sampled_from(NONSENSE)),
        credentials=st.sampled_from(["right"] * 6 + ["none", "unknown", "wrong form"]),
        scripts=scripts,
    )
    def request(self, raw: bytes, credentials: str, scripts: list[Script]) -> None:
        self.scripts, self.naive.scripts = list(scripts), list(scripts)
        response = in_time(lambda: self.ask(credentials, raw))
        expected = self.naive.respond(credentials, raw)
        assert response.status == expected["status"], (response.body, expected)
        if response.status == 200:
            assert exact(response.data) == exact(expected["data"])

    @rule(step_id=st.sampled_from(STEP_IDS), text=agreeing, scripts=scripts)
    def complete(self, step_id: str, text: str, scripts: list[Script]) -> None:
        raw = members([("processStepId", json.dumps(step_id)), ("params", members([("a", text)]))])
        self.request(raw.encode(), "right", scripts)

    @precondition(lambda self: self.with_status("STARTED"))
    @rule(data=st.data(), text=st.one_of(near, agreeing), scripts=scripts)
    def complete_one(self, data: st.DataObject, text: str, scripts: list[Script]) -> None:
        self.complete(data.draw(st.sampled_from(self.with_status("STARTED"))), text, scripts)

    @precondition(lambda self: self.with_status("STARTED"))
    @rule(data=st.data(), text=values, name=st.sampled_from(["a", "own"]))
    def complete_with(self, data: st.DataObject, text: str, name: str) -> None:
        step_id = data.draw(st.sampled_from(self.with_status("STARTED")))
        raw = [("processStepId", json.dumps(step_id)), ("params", members([(name, text)]))]
        self.request(members(raw).encode(), "right", [])

    @precondition(lambda self: self.with_status("COMPLETED"))
    @rule(data=st.data(), text=agreeing)
    def complete_again(self, data: st.DataObject, text: str) -> None:
        self.complete(data.draw(st.sampled_from(self.with_status("COMPLETED"))), text, [])

    def with_status(self, status: str) -> list[str]:
        return [step_id for step_id in STEP_IDS if self.naive.status(step_id) == status]

    @rule(step_id=st.sampled_from(STEP_IDS))
    def fail(self, step_id: str) -> None:
        self.control(f"steps/{step_id}/fail", {})
        self.naive.fail(step_id)

    @rule(seconds=st.integers(1, 3))
    def wait(self, seconds: int) -> None:
        self.client.advance(seconds)
        self.naive.now += seconds

    @rule(
        phase=st.sampled_from(["before", "after"]),
        status=st.sampled_from([500, 503, 401]),
        step_id=st.sampled_from([None, "p1", "q2", "nobody"]),
    )
    def fault(self, phase: str, status: int, step_id: str | None) -> None:
        body = {"phase": phase, "action": "respond", "status": status, "processStepId": step_id}
        assert self.control("faults", {k: v for k, v in body.items() if v is not None}) == 201
        self.naive.faults.append({"phase": phase, "status": status, "step": step_id, "left": 1})

    @rule()
    def reset(self) -> None:
        assert self.control("reset", {"processes": []}) == 200
        self.naive.reset()
        self.fill()

    @invariant()
    def the_state_is_the_same(self) -> None:
        for process_id, step_ids in self.naive.processes.items():
            process = self.client.process(process_id)
            assert process is not None
            for step, step_id in zip(process.steps, step_ids, strict=True):
                assert step.status == self.naive.status(step_id), step_id
                params = msgspec.to_builtins(step.params)
                assert exact(params) == exact(self.naive.steps[step_id]["params"])
        assert len(self.client.calls) == self.naive.calls


BASIC = {
    DEFAULT_TOKEN: "Basic c3RlcHN0dWI6c3R1Yi10b2tlbg==",
    "nobodys": "Basic c3RlcHN0dWI6bm9ib2R5cw==",
}


@pytest.mark.proof
def test_a_stub_does_what_a_naive_server_does_under_the_same_readings() -> None:
    run_state_machine_as_test(Profiles, settings=random_runs(200, steps=20))
