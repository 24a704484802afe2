"""What else a response with the right status must have; each check is a `Check`."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from stepstub.contract_tests.cases.case import Check, RunContext
from stepstub.contract_tests.causes import inconsistency, violation
from stepstub.contract_tests.expectations import Expectations
from stepstub.contract_tests.findings import Cause
from stepstub.contract_tests.response import Response
from stepstub.contract_tests.steps import OWN_PARAMS
from stepstub.schema import shorten

Problems = Iterator[tuple[Cause, str]]

SUBMITTED: dict[str, dict[str, Any]] = {
    "gr\u00fcn": {"strValue": "gr\u00fcn \u2713 ", "type": "STRING"},
    "long": {"longValue": 2**53 + 1, "type": "LONG"},
    "double": {"doubleValue": 1 / 3, "type": "DOUBLE"},
}
"""The params of the case that looks at what becomes of params."""

OVERLAY: dict[str, dict[str, Any]] = {"both": {"strValue": "submitted", "type": "STRING"}}
"""The params submitted before a step that has `steps.OWN_PARAMS`."""

_FIELDS = ("strValue", "longValue", "doubleValue", "type")
_SAYS_PARAMS = "The params of a 200 are the Parameters dictionary of the step that was started."


def names_a_process(context: RunContext, step_id: str, response: Response) -> Problems:
    if response.data["processId"] == "":
        cause = violation(
            "process-id-empty",
            "The processId is empty",
            "The processId of a 200 is that of a started process.",
        )
        yield cause, "the 200 has an empty processId"


def names_next_step(context: RunContext, step_id: str, response: Response) -> Problems:
    known = context.server.expectations.value("named-step")
    if known == "started" and response.named_step == step_id:
        yield inconsistency("named-step", known), f"the 200 names the completed step, {step_id}"
    elif known == "completed" and response.named_step != step_id:
        named = response.named_step or "none"
        yield inconsistency("named-step", known), f"the 200 for {step_id} names another: {named}"


def is_as_a_last_step(context: RunContext, step_id: str, response: Response) -> Problems:
    value = context.server.expectations.value
    params = response.data.get("params")
    known = value("last-step-id") if value("named-step") != "completed" else None
    seen = _last_step_id(step_id, response.data)
    if known is not None and seen != known:
        yield inconsistency("last-step-id", known), f"the processStepId of a last step is {seen}"
    known = value("last-step-params")
    forms = {"empty": params == {}, "null": params is None, "submitted": bool(params)}
    if known is not None and not forms[str(known)]:
        cause = inconsistency("last-step-params", known)
        yield cause, f"the params of a last step are {shorten(json.dumps(params))}"


def _last_step_id(step_id: str, data: Mapping[str, Any]) -> str:
    if "processStepId" not in data:
        return "absent"
    named = data["processStepId"]
    if named is None:
        return "null"
    return {"": "empty", step_id: "completed"}.get(named, "another")


def returns_params(submitted: Mapping[str, Any]) -> Check:
    """The 200 returns what it promises of params that were submitted."""

    def check(context: RunContext, step_id: str, response: Response) -> Problems:
        body = {"processStepId": step_id, "params": submitted}
        yield from lost_or_changed(context.server.expectations, body, response, is_last=False)

    return check


def lost_or_changed(
    expectations: Expectations, body: Any, response: Response, *, is_last: bool | None
) -> Problems:
    """The params of an accepted body that a 200 does not return as its readings promise.

    `is_last` says whether the step was the last of its process, None where that is not known.
    """
    promised = expectations.promised(body)
    returned = response.data.get("params")
    known = expectations.value("last-step-params" if is_last else "returned-params")
    if promised is None or not isinstance(returned, dict) or known in ("own", "empty", "null"):
        return
    names = promised.keys() & returned.keys()
    # Where it is not known what is returned, and nothing is, nothing was promised.
    certain = known is not None and is_last is not None
    for name in promised if certain or names else ():
        if name not in returned:
            cause = violation("params-lost", "Params are lost", _SAYS_PARAMS)
            yield cause, f"the param {shorten(repr(name))} was submitted and is not returned"
        elif not _same(expectations, promised[name], returned[name]):
            sent, got = (shorten(json.dumps(each)) for each in (promised[name], returned[name]))
            cause = violation("params-changed", "Params are changed", _SAYS_PARAMS)
            yield (
                cause,
                f"the param {shorten(repr(name))} was submitted as {sent}, returned as {got}",
            )
    if known == "submitted" and (more := returned.keys() - promised.keys()):
        cause = inconsistency("last-step-params" if is_last else "returned-params", known)
        yield cause, f"params are returned that were not submitted: {', '.join(sorted(more)[:3])}"


def _same(expectations: Expectations, promised: Mapping[str, Any], returned: Any) -> bool:
    """Whether a returned param is the promised one; where it is not known how, in any way.

    Members that the document does not have are not looked at.
    """
    if not isinstance(returned, dict):
        return False
    returned = {field: value for field, value in returned.items() if field in _FIELDS}
    unset = expectations.value("unset-fields")
    if unset == "null":
        promised = {**dict.fromkeys(_FIELDS), **promised}
    elif unset is None or expectations.value("null-fields") is None:
        promised, returned = _without_nulls(promised), _without_nulls(returned)
    if promised.keys() != returned.keys():
        return False
    return all(_equal(expectations, field, promised[field], returned[field]) for field in promised)


def _equal(expectations: Expectations, field: str, promised: Any, returned: Any) -> bool:
    if type(promised) is bool or type(returned) is bool or isinstance(promised, str | None):
        return type(promised) is type(returned) and bool(promised == returned)
    exact = field == "longValue" and expectations.value("long-range") in ("int64", "unbounded")
    if exact or not isinstance(returned, int | float):
        return bool(promised == returned)
    return float(promised) == float(returned)


def _without_nulls(param: Mapping[str, Any]) -> Mapping[str, Any]:
    return {field: value for field, value in param.items() if value is not None}


def returns_overlaid(context: RunContext, step_id: str, response: Response) -> Problems:
    known = context.server.expectations.value("returned-params")
    returned = response.data["params"]
    if known is not None and isinstance(returned, dict) and _whose(returned) != known:
        shown = shorten(json.dumps(returned))
        yield inconsistency("returned-params", known), f"the params of the 200 are {shown}"


def _whose(returned: Mapping[str, Any]) -> str:
    """The value of `returned-params` that a 200 shows after `OVERLAY` was submitted.

    Only a stub's steps have `OWN_PARAMS`; those of another server have other names.
    """
    (name,) = OVERLAY
    if name not in returned or _is_own(name, returned[name]):
        return "own"
    return "submitted" if returned.keys() == {name} else "merged"


def _is_own(name: str, param: Any) -> bool:
    return isinstance(param, dict) and _without_nulls(param) == OWN_PARAMS[name]


def has_challenge(context: RunContext, step_id: str, response: Response) -> Problems:
    challenge = response.headers.get("WWW-Authenticate")
    schemes = {"bearer": "bearer", "basic": "basic"}
    scheme = schemes.get(context.server.credentials.form, "")
    if challenge is not None and not challenge.lower().startswith(scheme):
        rule = "A 401 says in WWW-Authenticate which scheme it expects (RFC 9110, section 11.6.1)."
        cause = context.server.examiner.difference(
            "challenge", "The challenge of a 401 names another scheme", rule
        )
        yield cause, f"the 401 has WWW-Authenticate: {shorten(challenge)}"


def allows_post(context: RunContext, step_id: str, response: Response) -> Problems:
    allowed = response.headers.get("Allow", "")
    if response.status == 405 and "POST" not in (each.strip() for each in allowed.split(",")):
        rule = "A 405 says in Allow which methods there are (RFC 9110, section 15.5.6)."
        cause = context.server.examiner.difference(
            "allow", "The Allow of a 405 does not list POST", rule
        )
        yield cause, f"the 405 has {f'Allow: {allowed}' if allowed else 'no Allow'}"


def blames_step(code: str) -> Check:
    """The `data` of a 412 blames processStepId, with `code`; other servers have other codes."""

    def check(context: RunContext, step_id: str, response: Response) -> Problems:
        expectations = context.server.expectations
        if not (expectations.strict and expectations.value("refusal-data") == "by-field"):
            return
        blame = response.data.get("processStepId") if isinstance(response.data, dict) else None
        if response.status == 412 and (not isinstance(blame, dict) or blame.get("code") != code):
            rule = "Our contract lists the codes of a 412's data."
            cause = context.server.examiner.difference(
                "refusal-codes", "The data of a 412 has other codes than ours", rule
            )
            yield cause, f"the 412's data has no processStepId with code {code}"

    return check
