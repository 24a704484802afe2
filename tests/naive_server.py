"""A server under any readings, written down as simply as can be, to hold the stub against.

It takes a request as text and says what has to come back: the status, the form, and of a 200 the
data. Readings are a plain dict by their names. It knows nothing of schemas, stores or changes.
"""

import json
import re
from collections.abc import Callable
from typing import Any

from naive_model import Script

R = dict[str, Any]
INTEGER = re.compile(r"-?(0|[1-9][0-9]*)")
NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
FIELDS = ("strValue", "longValue", "doubleValue", "type")


class BadBody(Exception):
    """The body is refused.

    A `late` one only after the credentials and the step's faults, because no schema can tell.
    """

    def __init__(self, *, late: bool = False) -> None:
        self.late = late


# --- bodies


def read_body(raw: bytes, readings: R) -> tuple[str, dict[str, Any]]:
    """The step's id and the params. Raises `BadBody`, a late one only where nothing else is bad."""
    body = parsed(raw, readings)
    need(isinstance(body, dict))
    need(isinstance(body.get("processStepId"), str))
    need(body["processStepId"] or readings["empty-step-id"] == "unknown")
    if readings["unknown-members"] == "refuse":
        need(set(body) <= {"processStepId", "params"})
    if "params" not in body:
        need(readings["params-missing"] == "empty")
    elif body["params"] is None:
        need(readings["params-null"] == "empty")
    params = {} if body.get("params") is None else body["params"]
    need(isinstance(params, dict))
    if None in params.values():
        need(readings["null-param"] == "accept")
    given = {name: param for name, param in params.items() if param is not None}
    return body["processStepId"], each_read(given, lambda _, param: read_param(param, readings))


def parsed(raw: bytes, readings: R) -> Any:
    twice = False

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal twice
        twice = twice or len(dict(pairs)) < len(pairs)
        return dict(pairs)

    def no_number(_: str) -> None:
        raise ValueError

    try:
        body = json.loads(raw.decode(), object_pairs_hook=members, parse_constant=no_number)
    except ValueError:
        raise BadBody from None
    need(not twice or readings["duplicate-names"] == "last-wins")
    return body


def each_read(given: dict[str, Any], read: Callable[[str, Any], Any]) -> dict[str, Any]:
    """Every value read. Raises a late `BadBody` only where nothing else is bad."""
    values, late = {}, False
    for name, value in given.items():
        try:
            values[name] = read(name, value)
        except BadBody as bad:
            if not bad.late:
                raise
            late = True
    if late:
        raise BadBody(late=True)
    return values


def need(condition: Any) -> None:
    if not condition:
        raise BadBody


def read_param(param: Any, readings: R) -> dict[str, Any]:
    need(isinstance(param, dict))
    if readings["unknown-members"] == "refuse":
        need(set(param) <= set(FIELDS))
    given = {field: param[field] for field in FIELDS if field in param}
    if readings["null-fields"] == "refuse":
        need(None not in given.values())
    if readings["type-agreement"] == "required":
        need(agrees(given))
    readers = {
        "strValue": text,
        "type": lambda value: type_name(value, readings),
        "longValue": lambda value: long(value, readings),
        "doubleValue": lambda value: double(value, readings),
    }
    return each_read(given, lambda field, value: None if value is None else readers[field](value))


def agrees(given: dict[str, Any]) -> bool:
    """One value, and the type that names it, in whatever case."""
    values = [field for field in FIELDS[:3] if given.get(field) is not None]
    kind = given.get("type")
    return isinstance(kind, str) and values == [f"{kind.lower()}Value".replace("string", "str")]


def text(value: Any) -> str:
    need(isinstance(value, str))
    return str(value)


def type_name(value: Any, readings: R) -> str:
    need(isinstance(value, str))
    match readings["type-names"]:
        case "exact":
            need(value in ("STRING", "LONG", "DOUBLE"))
        case "any-case":
            value = value.upper()
            need(value in ("STRING", "LONG", "DOUBLE"))
    return str(value)


def long(value: Any, readings: R) -> float:
    fraction = readings["long-fraction"]
    is_text = isinstance(value, str)
    if is_text:
        need(readings["text-for-number"] == "read")
        need((INTEGER if fraction == "refuse" else NUMBER).fullmatch(value))
        value = int(value) if INTEGER.fullmatch(value) else float(value)
    need(isinstance(value, int | float) and not isinstance(value, bool))
    if isinstance(value, float):
        if value in (float("inf"), -float("inf")):
            raise BadBody(late=is_text)
        if value == int(value) or fraction == "truncate":
            value = int(value)
        need(isinstance(value, int) or fraction == "keep")
    if readings["long-range"] == "int64" and not -(2**63) <= value < 2**63:
        raise BadBody(late=is_text)
    if readings["long-range"] == "rounded" and isinstance(value, int):
        try:
            value = int(float(value))
        except OverflowError:
            raise BadBody(late=True) from None
    return float(value) if isinstance(value, float) else int(value)


def double(value: Any, readings: R) -> float:
    is_text = isinstance(value, str)
    if is_text:
        need(readings["text-for-number"] == "read" and NUMBER.fullmatch(value))
    need(isinstance(value, int | float | str) and not isinstance(value, bool))
    try:
        number = float(value)
    except OverflowError:
        raise BadBody from None
    if number in (float("inf"), -float("inf")):
        raise BadBody(late=is_text)
    return number


# --- the server

Told = dict[str, Any]
"""What has to come back: `status`, `form` (documented or not), and of a 200 `data`."""


class NaiveServer:
    """Its processes, faults and time; `scripts` are what the next delegates do when called."""

    def __init__(self, readings: R) -> None:
        self.readings = readings
        self.scripts: list[Script] = []
        self.reset()

    def reset(self) -> None:
        self.now = 0
        self.calls = 0
        self.faults: list[dict[str, Any]] = []
        self.steps: dict[str, dict[str, Any]] = {}
        self.processes: dict[str, list[str]] = {}

    def start(self, process: dict[str, Any]) -> None:
        self.processes[process["id"]] = [step["id"] for step in process["steps"]]
        for step in process["steps"]:
            seconds = step.get("timeOutInSeconds")
            is_started = step["status"] == "STARTED"
            self.steps[step["id"]] = {
                "process": process["id"],
                "status": step["status"],
                "params": step.get("params", {}),
                "seconds": seconds,
                "deadline": self.deadline(seconds) if is_started else None,
                "moves": 0,
                "data": None,
            }
            self.calls += is_started

    def deadline(self, seconds: int | None) -> int | None:
        return self.now + seconds if seconds and self.readings["time-out"] == "fails" else None

    def status(self, step_id: str) -> str:
        step = self.steps[step_id]
        late = step["deadline"] is not None and self.now >= step["deadline"]
        return "FAILED" if step["status"] == "STARTED" and late else str(step["status"])

    def respond(self, credentials: str, raw: bytes) -> Told:
        """`credentials`: right, none, unknown, or the right token in the wrong form."""
        open_to_all = self.readings["credentials"] == "none"
        refused = credentials == "unknown" or (credentials != "right" and not open_to_all)
        if refused and self.readings["checked-first"] == "credentials":
            return {"status": 401}
        late = False
        try:
            step_id, params = read_body(raw, self.readings)
        except BadBody as bad:
            if not bad.late:
                return self.refused("bad-body")
            late = True
            step_id, params = json.loads(raw)["processStepId"], {}
        if refused:
            return {"status": 401}
        fault = self.strike("before", step_id)
        if fault:
            return {"status": fault}
        return self.refused("bad-body") if late else self.complete(step_id, params)

    def refused(self, reading: str) -> Told:
        return {"status": self.readings[reading]}

    def strike(self, phase: str, step_id: str) -> int | None:
        for fault in self.faults:
            if fault["left"] and fault["phase"] == phase and fault["step"] in (None, step_id):
                fault["left"] -= 1
                return int(fault["status"])
        return None

    def complete(self, step_id: str, params: dict[str, Any]) -> Told:
        status = self.status(step_id) if step_id in self.steps else "UNKNOWN"
        if status == "COMPLETED" and self.readings["completed-step"] == "repeat":
            known = self.steps[step_id]["data"]
            return {"status": 200, "data": known or self.unknown_completion(step_id)}
        if status != "STARTED":
            return self.refused(f"{status.lower()}-step")
        step, following = self.steps[step_id], self.following(step_id)
        before = dict(step)
        step.update(status="COMPLETED", deadline=None, moves=step["moves"] + 1)
        own = self.steps[following]["params"] if following else {}
        step["data"] = self.data(step_id, following, params, own)
        if following is None:
            return self.completed(step_id)
        outcome = self.start_next(step_id, following, {**own, **params})
        if outcome == "undone":
            step.update(before)
        return self.completed(step_id) if outcome == "completed" else {"status": 500}

    def start_next(self, step_id: str, following: str, params: dict[str, Any]) -> str:
        """Completed, failed, or undone."""
        step = self.steps[following]
        before, late = dict(step), self.readings["next-step-started"] == "after-call"
        if not late:
            self.begin(step, params)
        accepted = self.call(step_id, following)
        moved = step["moves"] != before["moves"]
        if accepted and late:
            self.begin(step, params)
        if accepted or (moved and step["status"] == "COMPLETED"):
            return "completed"
        if self.readings["delegate-failure"] == "undone":
            if moved:
                return "failed"
            step.update(before)
            return "undone"
        if not moved:
            step.update(status="FAILED", deadline=None, params=params)
        return "failed" if self.readings["delegate-failure"] == "kept" else "completed"

    def completed(self, step_id: str) -> Told:
        fault = self.strike("after", step_id)
        return {"status": fault} if fault else {"status": 200, "data": self.steps[step_id]["data"]}

    def begin(self, step: dict[str, Any], params: dict[str, Any]) -> None:
        step.update(status="STARTED", params=params, deadline=self.deadline(step["seconds"]))

    def following(self, step_id: str) -> str | None:
        process = self.processes[self.steps[step_id]["process"]]
        place = process.index(step_id) + 1
        return process[place] if place < len(process) else None

    def call(self, previous: str, step_id: str) -> bool:
        """Whether the delegate of a step accepts its call."""
        self.calls += 1
        for action in self.scripts.pop(0) if self.scripts else [("accept",)]:
            match action[0]:
                case "accept" | "fail":
                    return bool(action[0] == "accept")
                case "complete it":
                    self.respond("right", completion(step_id))
                case "repeat":
                    self.respond("right", completion(previous))
                case "fail it":
                    self.fail(step_id)
                case "wait":
                    self.now += action[1]
        return True

    def fail(self, step_id: str) -> None:
        step = self.steps[step_id]
        if self.status(step_id) == "STARTED":
            step.update(status="FAILED", deadline=None, moves=step["moves"] + 1)

    # --- the data of a 200

    def data(
        self, completed: str, started: str | None, submitted: dict[str, Any], own: dict[str, Any]
    ) -> dict[str, Any]:
        readings = self.readings
        data: dict[str, Any] = {"processId": self.steps[completed]["process"]}
        if readings["named-step"] == "completed":
            data["processStepId"] = completed
        elif started is not None:
            data["processStepId"] = started
        elif readings["last-step-id"] != "absent":
            by_reading = {"null": None, "empty": "", "completed": completed}
            data["processStepId"] = by_reading[readings["last-step-id"]]
        if started is None:
            last = {"empty": {}, "submitted": submitted, "null": None}
            params = last[readings["last-step-params"]]
        else:
            returned = {"merged": {**own, **submitted}, "submitted": submitted, "own": own}
            params = returned[readings["returned-params"]]
        if readings["unset-fields"] == "null" and params:
            params = {n: {**dict.fromkeys(FIELDS), **param} for n, param in params.items()}
        data["params"] = params
        return data

    def unknown_completion(self, step_id: str) -> dict[str, Any]:
        """Of a step that was COMPLETED from the start."""
        following = self.following(step_id)
        return self.data(
            step_id, following, {}, self.steps[following]["params"] if following else {}
        )


def completion(step_id: str) -> bytes:
    """A body that completes a step under any readings."""
    return json.dumps({"processStepId": step_id, "params": {}}).encode()
