"""What a client sees of a server in the situations that readings are about.

`observe` sends one request for each, and `compared` keeps what the known readings of a profile
govern; that has to be the same for the server and for a stub that is served with its profile.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import requests

from stepstub.readings import Value
from support import PATH, TIMEOUT

PARAM = {"strValue": "probe", "type": "STRING"}
_FIELDS = ("strValue", "longValue", "doubleValue", "type")
_ENVELOPE = {"message", "timestamp", "data", "version"}
_TIMESTAMP = re.compile(r".*T\d\d:\d\d:\d\d(?:\.(\d+))?(.*)")
_DOCUMENTED = (200, 401, 412, 500)
_GOVERNED_BY = {"the param": ("returned-params", "unset-fields"), "status": ()}

Facets = Mapping[str, object]
"""What was seen in one response, by the name of the reading that governs it or another name."""

Steps = Callable[[str], str]
"""Gives the id of a fresh step by what is known of it: started, pending, failed, expired, last."""


@dataclass(frozen=True)
class Situation:
    """A request, and the names of the readings that govern its status.

    In `body`, ID stands for the id of a step, of which `step` is known.
    """

    name: str
    governed_by: tuple[str, ...]
    body: str
    step: str = "started"
    authorized: bool = True


def _body(**members: Any) -> str:
    return json.dumps({"processStepId": "ID", **members}).replace('"ID"', "ID")


def _param(**fields: Any) -> str:
    return _body(params={"probe": {**PARAM, **fields}})


def _long(value: Any) -> str:
    return _body(params={"probe": {"longValue": value, "type": "LONG"}})


BASE = _param()

SITUATIONS = (
    Situation("no JSON", ("bad-body",), "{"),
    Situation("no processStepId", ("bad-body",), '{"params": {}}'),
    Situation("no credentials", ("credentials",), BASE, authorized=False),
    Situation("no credentials, no JSON", ("checked-first", "bad-body"), "{", authorized=False),
    Situation("an unknown step", ("unknown-step",), BASE, step="unknown"),
    Situation("an empty id", ("empty-step-id", "bad-body", "unknown-step"), BASE, step="empty"),
    Situation("a completion", (), BASE),
    Situation("a second completion", ("completed-step",), BASE, step="completed"),
    Situation("a PENDING step", ("pending-step",), BASE, step="pending"),
    Situation("a FAILED step", ("failed-step",), BASE, step="failed"),
    Situation("an expired step", ("time-out", "failed-step"), BASE, step="expired"),
    Situation("a last step", (), BASE, step="last"),
    Situation("no params", ("params-missing", "bad-body"), _body()),
    Situation("null params", ("params-null", "bad-body"), _body(params=None)),
    Situation("an extra member", ("unknown-members", "bad-body"), _param(extra=1)),
    Situation("another type", ("type-agreement", "bad-body"), _param(type="LONG")),
    Situation("a null field", ("null-fields", "bad-body"), _param(longValue=None)),
    Situation(
        "a null param", ("null-param", "bad-body"), _body(params={"probe": PARAM, "nothing": None})
    ),
    Situation("type string", ("type-names", "bad-body"), _param(type="string")),
    Situation("type BLOB", ("type-names", "bad-body"), _param(type="BLOB")),
    Situation("3.5 as longValue", ("long-fraction", "bad-body"), _long(3.5)),
    Situation("2^63 + 1 as longValue", ("long-range", "bad-body"), _long(2**63 + 1)),
    Situation("2^53 + 1 as longValue", ("long-range", "bad-body"), _long(2**53 + 1)),
    Situation('"12" as longValue', ("text-for-number", "bad-body"), _long("12")),
    Situation(
        "processStepId twice",
        ("duplicate-names", "bad-body"),
        BASE.replace("{", '{"processStepId": "unknown", ', 1),
    ),
)


def observe(url: str, headers: Mapping[str, str], steps: Steps) -> Mapping[str, Facets]:
    """What the response to each situation shows; `headers` are a client's credentials."""
    completed = ""
    seen = {}
    with requests.Session() as session:
        for situation in SITUATIONS:
            match situation.step:
                case "unknown" | "completed" | "empty":
                    known = {"unknown": "unknown", "completed": completed, "empty": ""}
                    step_id = known[situation.step]
                case _:
                    step_id = steps(situation.step)
            response = session.post(
                url + PATH,
                situation.body.replace("ID", json.dumps(step_id)),
                headers={
                    "Content-Type": "application/json",
                    **(headers if situation.authorized else {}),
                },
                timeout=TIMEOUT,
            )
            if response.status_code == 200:
                completed = step_id
            seen[situation.name] = dict(
                _facets(response, step_id, is_last=situation.step == "last")
            )
    return seen


def compared(
    seen: Mapping[str, Facets], profile: Mapping[str, Value | None]
) -> Mapping[str, Facets]:
    """The facets that known readings govern."""
    unknown = {name for name, value in profile.items() if value is None}
    return {
        situation.name: {
            name: facet
            for name, facet in seen[situation.name].items()
            if not unknown.intersection(_GOVERNED_BY.get(name, (name,)))
        }
        for situation in SITUATIONS
        if not unknown.intersection(situation.governed_by)
    }


def _facets(
    response: requests.Response, step_id: str, *, is_last: bool
) -> Iterator[tuple[str, object]]:
    status, value = response.status_code, _object(response)
    yield "status", status
    if status == 401:
        yield "challenge", "WWW-Authenticate" in response.headers
    if status not in _DOCUMENTED:
        media_type = response.headers["Content-Type"].partition(";")[0]
        yield "undocumented-form", (media_type, sorted(value))
    if status not in (200, 412) or not value.keys() >= _ENVELOPE:
        return
    yield "version", value["version"]
    match = _TIMESTAMP.fullmatch(value["timestamp"])
    assert match
    yield "timestamp", "six digits" if len(match[1] or "") == 6 else "three digits at most"
    yield "timestamp-zone", match[2]
    if status == 412:
        yield "refusal-data", "empty" if value["data"] == {} else sorted(value["data"])
    if status == 200:
        yield "success-message", value["message"]
        yield from _facets_of_data(value["data"], step_id, is_last=is_last)


def _facets_of_data(
    data: Mapping[str, Any], step_id: str, *, is_last: bool
) -> Iterator[tuple[str, object]]:
    named, params = data.get("processStepId", "absent"), data["params"]
    if is_last:
        yield "last-step-id", "completed" if named == step_id else named
        yield "last-step-params", params if params is None else sorted(params)
    else:
        yield "named-step", "completed" if named == step_id else "started"
        # One that is null means nothing, and neither does a member that the document does not have.
        yield "returned-params", sorted(name for name, param in params.items() if param)
    if params and "probe" in params:
        yield "the param", {n: _as_read(v) for n, v in params["probe"].items() if n in _FIELDS}


def _as_read(value: Any) -> Any:
    """A number that is beyond an int64 as a double: a rounded one may be written in many ways."""
    return float(value) if isinstance(value, int) and abs(value) >= 2**63 else value


def _object(response: requests.Response) -> Mapping[str, Any]:
    try:
        value = response.json()
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
