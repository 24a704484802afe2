"""What else a response with the right status must have; each check is a `Check`."""

from collections.abc import Iterator
from typing import Any

from stepstub.contract_tests.cases.case import Check
from stepstub.contract_tests.findings import DOCUMENT, UNDOCUMENTED, Problem
from stepstub.contract_tests.server import Response
from stepstub.contract_tests.steps import OWN_PARAMS

SUBMITTED: dict[str, dict[str, Any]] = {
    "text": {"strValue": "gr\u00fcn \u2713"},
    "long": {"longValue": 2**53 + 1},
    "double": {"doubleValue": 0.25},
}
"""The params that `returns_submitted` looks for."""

OVERLAY: dict[str, dict[str, Any]] = {"both": {"strValue": "submitted"}}
"""The params that `returns_overlaid` expects on top of `steps.OWN_PARAMS`."""


def names_next_step(step_id: str, response: Response) -> Iterator[Problem]:
    if response.named_step == step_id:
        message = f"the 200 names the completed step ({step_id}) in processStepId;"
        yield DOCUMENT, f"{message} the document says it is the id of the step that was started"
    if response.data["processId"] == "":
        yield DOCUMENT, "the 200 has an empty processId; the document says it is the process's id"


def has_success_message(step_id: str, response: Response) -> Iterator[Problem]:
    if response.value["message"] != "Success":
        yield "reading 16", f"the 200's message is {response.value['message']!r}, not 'Success'"


def returns_submitted(step_id: str, response: Response) -> Iterator[Problem]:
    params = response.data["params"]
    for name, sent in SUBMITTED.items():
        got = params.get(name)
        if got is None or any(got.get(field) != value for field, value in sent.items()):
            yield "reading 10", f"the 200 does not return the param {name}: sent {sent}, got {got}"


def returns_overlaid(step_id: str, response: Response) -> Iterator[Problem]:
    expected = {**OWN_PARAMS, **OVERLAY}
    if response.data["params"] != expected:
        message = "the params of the 200 are not the started step's own overlaid by the submitted"
        yield "reading 10", f"{message}: {response.data['params']}"


def names_no_step(step_id: str, response: Response) -> Iterator[Problem]:
    if response.data["processStepId"] is not None or response.data["params"] != {}:
        yield "reading 11", f"the 200 for a last step names a step or has params: {response.data}"


def has_challenge(step_id: str, response: Response) -> Iterator[Problem]:
    if not response.headers.get("WWW-Authenticate", "").lower().startswith("bearer"):
        yield "reading 15", "the 401 has no header WWW-Authenticate: Bearer"


def allows_post(step_id: str, response: Response) -> Iterator[Problem]:
    allowed = response.headers.get("Allow", "")
    if "POST" not in (method.strip() for method in allowed.split(",")):
        yield UNDOCUMENTED, "the 405 has no header Allow that names POST"


def blames_step(code: str) -> Check:
    """The `data` of a 412 blames processStepId, with `code`."""

    def check(step_id: str, response: Response) -> Iterator[Problem]:
        blame = response.data.get("processStepId")
        if not isinstance(blame, dict) or blame.get("code") != code:
            message = f"the 412's data has no processStepId with code {code}"
            yield "reading 6", f"{message}: {response.excerpt}"

    return check
