"""What would make a value seen that was not: for the learnt profile and the report."""

from collections.abc import Mapping

from stepstub.contract_tests.needs import Need
from stepstub.readings import alternatives


def _statuses(name: str) -> str:
    """The statuses that a reading can be: `412, 409 or 400`."""
    *others, last = [str(value) for value in alternatives(name) if isinstance(value, int)]
    return f"{', '.join(others)} or {last}"


_STEPS = "give more STARTED steps (--started-step ID, or --seed-command COMMAND)"
_RETURNED = (
    f"{_STEPS} whose 200 returns the params that were submitted; or --last-step ID, where only the"
    " 200 of a last step does"
)
_BEFORE_PARAMS = f"give --step-before-params ID, {Need.NEXT_HAS_PARAMS}"
_LAST = f"give --last-step ID, {Need.LAST}"

REMEDIES: Mapping[str, str] = {
    "type-names": _RETURNED,
    "long-fraction": _RETURNED,
    "long-range": _RETURNED,
    "text-for-number": _STEPS,
    "unknown-members": _STEPS,
    "type-agreement": _STEPS,
    "params-missing": _STEPS,
    "params-null": _STEPS,
    "bad-body": f"every bad body must get the same status: {_statuses('bad-body')}",
    "duplicate-names": _STEPS,
    "empty-step-id": "bad bodies and unknown steps must get different statuses",
    "refusal-data": "a refusal must get 412, with data in one of the known forms",
    "unknown-step": f"an unknown step must get {_statuses('unknown-step')}",
    "completed-step": (
        f"{_STEPS}; a second completion must get {_statuses('completed-step')}, or the same 200"
    ),
    "pending-step": (
        f"give --pending-step ID, {Need.PENDING}; it must get {_statuses('pending-step')}"
    ),
    "failed-step": f"give --failed-step ID, {Need.FAILED}; it must get {_statuses('failed-step')}",
    "named-step": _BEFORE_PARAMS,
    "returned-params": _BEFORE_PARAMS,
    "last-step-id": f"{_LAST}; other 200s must name the step that was started",
    "last-step-params": _LAST,
    "next-step-started": "",
    "delegate-failure": "",
    "time-out": f"give --expired-step ID, {Need.TIME_IS_OVER}",
    "credentials": "give a --token that the server accepts; without it a completion must get 401",
    "credentials-header": (
        "send the token in such a header: --credentials api-key --credentials-header NAME"
    ),
    "challenge": "a request without credentials must get 401",
    "checked-first": "a request without credentials must get 401, and a bad body another status",
    "success-message": f"{_STEPS}; every 200 must have the same message",
    "version": "every response must have the same version",
    "timestamp": "more responses must have an RFC 3339 timestamp, all with as many digits",
    "timestamp-zone": "every timestamp must be in UTC and end in Z, or every one in +00:00",
    "undocumented-form": (
        "a response whose status the document does not have must have one of the known forms"
    ),
    "null-fields": _STEPS,
    "null-param": _STEPS,
    "unset-fields": _RETURNED,
}
"""For each reading what would show its value; empty where no request can."""
