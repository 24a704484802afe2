"""Reports as runs against servers of several kinds would make them."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Any

from stepstub.contract_tests.cases.case import Case
from stepstub.contract_tests.cases.expect import Documented
from stepstub.contract_tests.findings import Cause, Finding, Severity
from stepstub.contract_tests.probes.learnt import Evidence, Learnt
from stepstub.contract_tests.results import Drift, Report, Result
from stepstub.contract_tests.transport import Trouble, TroubleKind
from stepstub.profiles import Accepted
from stepstub.readings import DEFAULT, Value, as_mapping, questions

URL = "https://workflow.example/engine"
STATUSES = (200, 401, 412, 500)
BEGAN = datetime(2026, 3, 9, 14, 30, 5, tzinfo=UTC)


def case(name: str, status: int = 412, situation: str = "a situation", reading: str = "") -> Case:
    """A case that nothing but reports are made of."""
    return Case(
        name=name,
        status=status,
        situation=situation,
        topic=situation,
        expect=Documented(),
        reading=reading,
    )


def curl(body: object, *headers: str) -> str:
    """The line that repeats a request."""
    given = headers or ("Authorization: Bearer $TOKEN",)
    shown_body = json.dumps(body).replace("$STEP", """'"$STEP"'""")
    shown = " ".join(f'-H "{header}"' for header in given)
    return (
        f"curl -i -X POST {URL}/api/v1/processes/complete-step {shown}"
        f" -H 'Content-Type: application/json' --data-binary '{shown_body}'"
    )


def envelope(message: str, data: object) -> str:
    """The body of a response."""
    stamp = "2026-03-09T14:30:07.482113+00:00"
    return json.dumps({"message": message, "timestamp": stamp, "data": data, "version": "2.4.0"})


_STEP = {"processStepId": "$STEP"}
_STARTED = envelope("OK", {"processId": "p-81", "processStepId": "s-2", "params": {}})
_HTML = (
    "<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
)

CASES = {
    each.name: each
    for each in (
        case("next-step", 200, "a STARTED step, with a next one"),
        case("named-step", 200, "the step that a 200 has named as started", "named-step"),
        case("params", 200, "params passed on to the next step", "returned-params"),
        case("null-params", 200, "null as params", "params-null"),
        case(
            "unknown-members", 200, "members that the document does not define", "unknown-members"
        ),
        case("type-disagrees", 200, "a type that does not match the value", "type-agreement"),
        case("whole-long", 200, "3.0 as longValue"),
        case("last-step", 200, "the last step of a process", "last-step-id"),
        case("own-params", 200, "a next step with params of its own", "returned-params"),
        case("generated-completions", 200, "generated valid bodies for STARTED steps"),
        case("no-token", 401, "no Authorization header"),
        case("wrong-token", 401, "a wrong token"),
        case("other-scheme", 401, "the token in another scheme", "credentials"),
        case("token-before-body", 401, "a wrong token and an invalid body", "checked-first"),
        case("empty-body", 412, "an empty body", "bad-body"),
        case("truncated-json", 412, "a truncated body", "bad-body"),
        case("no-step-id", 412, "no processStepId", "bad-body"),
        case("nan", 412, "NaN, which is not JSON, as doubleValue", "bad-body"),
        case("fraction-long", 412, "3.5 as longValue", "long-fraction"),
        case("unknown-step", 412, "an unknown step", "unknown-step"),
        case("second-completion", 412, "a second completion of a step", "completed-step"),
        case("race", 412, "concurrent completions of one step", "completed-step"),
        case("pending-step", 412, "a PENDING step", "pending-step"),
        case("failed-step", 412, "a FAILED step", "failed-step"),
        case("late-completion", 412, "a step that was not completed in time", "time-out"),
        case("generated-bad-bodies", 412, "generated invalid bodies", "bad-body"),
        case("delegate-fails", 500, "a next step that cannot be started", "delegate-failure"),
        case("other-path", 404, "an unknown path"),
        case("other-method", 405, "GET instead of POST"),
        case("large-body", 413, "a body of more than 1 MiB"),
    )
}

_LACKS = {
    "pending-step": "no PENDING step was given (--pending-step ID)",
    "failed-step": "no FAILED step was given (--failed-step ID)",
    "late-completion": "no step whose time is over was given (--expired-step ID)",
    "own-params": "no step before one with params of its own was given (--step-before-params ID)",
    "delegate-fails": "the documented operation cannot make a server fail",
}

_SENT = {
    "bad-body": "a body without processStepId",
    "unknown-step": "an unknown step",
    "completed-step": "the same completion again",
    "success-message": "a completion",
    "version": "a completion",
    "timestamp": "a body that is no JSON",
    "challenge": "no credentials",
    "credentials": "a wrong token",
    "named-step": "a completion",
}

_UNKNOWN = {
    "next-step-started": "only the delegate of the next step could tell",
    "delegate-failure": "no request makes a delegate fail",
    "credentials-header": "no such header was sent",
    "pending-step": _LACKS["pending-step"],
    "failed-step": _LACKS["failed-step"],
    "time-out": _LACKS["late-completion"],
    "returned-params": "no started step is known to have params of its own",
}

FASTAPI: dict[str, Value] = {
    "text-for-number": "read",
    "params-null": "refuse",
    "bad-body": 422,
    "duplicate-names": "last-wins",
    "unknown-step": 404,
    "completed-step": 409,
    "refusal-data": "message",
    "success-message": "OK",
    "version": "2.4.0",
    "timestamp": "microseconds",
    "timestamp-zone": "offset",
    "undocumented-form": "plain",
    "unset-fields": "null",
}
"""What a server made with FastAPI reads otherwise than we do."""


def learnt(
    values: Mapping[str, Value],
    unknown: Mapping[str, str] = _UNKNOWN,
    findings: Iterable[Finding] = (),
) -> Learnt:
    """All readings: some with these values, some unknown for a reason, the others ours."""
    shown: dict[str, Value | None] = {**as_mapping(DEFAULT), **values}
    evidence = {}
    for name in questions():
        status = values.get(name)
        sent = _SENT.get(name, f"a request about {name}")
        evidence[name] = Evidence(
            sent,
            status if isinstance(status, int) else 200,
            json.dumps({"detail": f"{name}"}) if isinstance(status, int) else _STARTED,
            curl({**_STEP, "params": {"probe": {"strValue": name}}}),
        )
    for name, why in unknown.items():
        shown[name], evidence[name] = None, Evidence(why=why)
    return Learnt({name: shown[name] for name in questions()}, evidence, 9, 28, tuple(findings))


def results(
    findings: Mapping[str, Iterable[Finding]],
    lacks: Mapping[str, str] = _LACKS,
    statuses: Mapping[str, Mapping[int, int]] | None = None,
) -> list[Result]:
    """A result for each case, with what was found in some, and what others lacked."""
    return [
        Result(
            each,
            tuple(findings.get(name, ())),
            lacks.get(name, ""),
            0.04,
            {} if name in lacks else (statuses or {}).get(name, {each.status: 1}),
        )
        for name, each in CASES.items()
    ]


def report(**members: Any) -> Report:
    """A report of a run that was made like the others."""
    given: dict[str, Any] = {
        "url": URL,
        "seed": 48213,
        "examples": 100,
        "statuses": STATUSES,
        "began": BEGAN,
        "requests": 612,
        "steps": 131,
    }
    return Report(**{**given, **members})


TWO_WINNERS = Cause(
    Severity.INCONSISTENCY,
    "race-two-winners",
    "Two completions of one step both succeed",
    "A second completion in sequence gets 409, so one sent at the same time may not succeed.",
    "completed-step",
)
REFUSED_AND_DONE = Cause(
    Severity.VIOLATION,
    "refused-but-completed",
    "A request without a token completes the step",
    "If the request is not authorised, the response is 401, and no step changes.",
)
SHAPE_401 = Cause(
    Severity.VIOLATION,
    "shape-401",
    "The 401 lacks the document's envelope",
    "The body of a 401 has message, timestamp, data and version; data is a string.",
)
PROCESS_ID = Cause(
    Severity.VIOLATION,
    "process-id-changes",
    "The processId changes along a process",
    "processId: the id of the started process, which both steps belong to.",
)
LOST_PARAMS = Cause(
    Severity.VIOLATION,
    "params-double-rounded",
    "A doubleValue comes back changed",
    "params: the dictionary of the parameters, with the values that were submitted.",
)
FORESEEABLE = Cause(
    Severity.VIOLATION,
    "foreseeable-500",
    "A foreseeable request causes an internal error",
    "500 is for an unexpected internal error; a bad body is a foreseeable mistake.",
)
STATUS_NAN = Cause(
    Severity.VIOLATION,
    "timestamp-in-the-past",
    "The timestamp is far from now",
    "timestamp: the time of the response.",
)
BODY_NOTE = Cause(
    Severity.NOTE,
    "accepts-text-param",
    "A body that the contract refuses is accepted",
    "A param is an object with strValue, longValue, doubleValue and type.",
)
BAD_BODY = Cause(
    Severity.DEVIATION,
    "reading-bad-body",
    "bad-body is 422, not 412",
    "The readings asked for (default) say 412: Precondition Failed.",
    "bad-body",
)


def _violations() -> dict[str, list[Finding]]:
    plain = '{"detail":"Not authenticated"}'
    no_token = curl(_STEP, "Accept: */*")
    generated = [
        curl({"processStepId": "$STEP", "params": {"a": {"doubleValue": 1.1 + each}}})
        for each in range(9)
    ]
    return {
        "no-token": [
            Finding(REFUSED_AND_DONE, "the step was COMPLETED after a 401", no_token, plain),
            Finding(SHAPE_401, "data is missing", no_token, plain),
            Finding(SHAPE_401, "timestamp is missing", no_token, plain),
        ],
        "wrong-token": [
            Finding(SHAPE_401, "data is missing", curl(_STEP, "Authorization: Bearer x"), plain)
        ],
        "other-scheme": [
            Finding(SHAPE_401, "data is missing", curl(_STEP, "Authorization: Basic eA=="), plain)
        ],
        "token-before-body": [
            Finding(SHAPE_401, "version is missing", curl({}, "Authorization: Bearer x"), plain)
        ],
        "next-step": [
            Finding(
                PROCESS_ID,
                "the process of step s-1 is p-81, and that of the step after it p-94",
                curl(_STEP),
                '..."processId": "p-94", "processStepId": "s-3"...',
            )
        ],
        "generated-completions": [
            Finding(
                LOST_PARAMS,
                f"params.a.doubleValue: {1.1 + each} was sent, and {1.1 + each:.4g}0 came back",
                line,
                f'..."a": {{"doubleValue": {1.1 + each:.4g}0}}...',
            )
            for each, line in enumerate(generated)
        ],
        "nan": [
            Finding(
                FORESEEABLE,
                "NaN as doubleValue got 500",
                curl({"processStepId": "$STEP", "params": {"a": {"doubleValue": "NaN"}}}),
                "<html><head><title>Internal Server Error</title></head><body>"
                "Traceback (most recent call last)</body></html>",
            )
        ],
        "last-step": [
            Finding(
                STATUS_NAN,
                "timestamp is 1970-01-01T00:00:00.000Z, which is 20521 days ago",
                curl(_STEP),
                '..."timestamp": "1970-01-01T00:00:00.000Z"...',
            )
        ],
        "race": [
            Finding(
                TWO_WINNERS,
                "8 completions at once: 2 got 200 and 6 got 409",
                curl(_STEP),
                _STARTED,
            )
        ],
    }


_STATUSES_SEEN = {
    "empty-body": {422: 1},
    "truncated-json": {422: 1},
    "no-step-id": {422: 1},
    "nan": {500: 1},
    "null-params": {422: 1},
    "unknown-step": {404: 1},
    "second-completion": {200: 1, 409: 1},
    "race": {200: 2, 409: 6},
    "generated-bad-bodies": {422: 97, 412: 3},
    "generated-completions": {200: 100},
}


def fastapi() -> Report:
    """Six violations and an inconsistency, and many readings unlike ours; `completed` accepted."""
    found = _violations()
    found["generated-bad-bodies"] = [
        Finding(BODY_NOTE, "params.a is a string, and the step was completed", curl(_STEP))
    ]
    return report(
        learnt=learnt(FASTAPI),
        results=results(found, statuses=_STATUSES_SEEN),
        require=(200, 401, 412),
        trouble=[
            Trouble(
                TroubleKind.RATE_LIMITED,
                "429, with Retry-After: 2",
                2,
                recovered=True,
                curl=curl(_STEP),
            )
        ]
        * 3,
    )


def conforming() -> Report:
    """A server that reads much as we do, tested in all that can be given to it."""
    given = {"delegate-fails": _LACKS["delegate-fails"]}
    unknown = {name: _UNKNOWN[name] for name in list(_UNKNOWN)[:3]}
    return report(
        learnt=learnt({"bad-body": 400, "last-step-id": "absent"}, unknown),
        results=results({}, given),
        require=(200, 401, 412),
        requests=640,
    )


def unfinished() -> Report:
    """A run that ended by transport trouble before all cases were tried."""
    some = results({"no-token": _violations()["no-token"][1:]}, {})[:12]
    gone = "no reading of it: 502, 503 or 504 five times"
    return report(
        learnt=learnt({"bad-body": 400}, {**_UNKNOWN, "timestamp": gone, "unset-fields": gone}),
        results=some,
        unfinished="too many requests got no response that counts (14 of 60)",
        requests=60,
        steps=11,
        trouble=[
            *[Trouble(TroubleKind.UNAVAILABLE, _HTML, 4, recovered=False, curl=curl(_STEP))] * 9,
            *[Trouble(TroubleKind.DROPPED, "Connection reset by peer", 2, recovered=True)] * 4,
            Trouble(TroubleKind.TIMED_OUT, "not within 30 s", 4, recovered=False, curl=curl(_STEP)),
        ],
    )


def drifted() -> Report:
    """A server that changed since an earlier profile, whose known mistakes are accepted."""
    found = {
        name: [one for one in each if one.cause in (SHAPE_401, LOST_PARAMS)]
        for name, each in _violations().items()
    }
    return report(
        learnt=learnt(FASTAPI),
        results=results(found, statuses=_STATUSES_SEEN),
        accepted=(
            Accepted("shape-401", "The gateway writes it; ticket WF-512.", date(2026, 6, 30)),
            Accepted("params-double-rounded", "Fixed in 2.5, in May.", date(2026, 5, 31)),
            Accepted("process-id-changes", "Was fixed in 2.4.", date(2026, 4, 1)),
            Accepted("shape-timestamp", "Until the new date library.", date(2026, 1, 31)),
        ),
        drift=(
            Drift("completed-step", 412, 409),
            Drift("timestamp", "milliseconds", "microseconds"),
            Drift("unset-fields", None, "null"),
            Drift("pending-step", 409, None),
        ),
    )


def strict() -> Report:
    """A server that was asked to read as we do, and does not."""
    deviation = Finding(
        BAD_BODY, "a body without processStepId got 422", curl({}), '{"detail":"missing"}'
    )
    return report(
        asked_name="default",
        asked=as_mapping(DEFAULT),
        learnt=learnt({"bad-body": 422}, findings=[deviation]),
        results=results({}),
        require=(200, 401, 412, 500),
    )


SAMPLES = {each.__name__: each for each in (fastapi, conforming, unfinished, drifted, strict)}
