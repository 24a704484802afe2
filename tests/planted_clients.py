"""Clients with one wrong assumption each, and the readings that it is wrong under.

Each is a function that is given a sandbox, does what a client does, and fails where its assumption
does not hold. `PLANTED` has those that a single reading breaks, `VARIED` those that a variation
breaks, and `PAIRS` those that it takes two readings to break.
"""

import http.client
import json
import re
from collections.abc import Callable
from datetime import datetime
from enum import Enum
from typing import Any
from urllib.parse import urlsplit

import requests

from stepstub import Sandbox

Client = Callable[[Sandbox], None]

PLANTED: dict[str, tuple[Client, set[str]]] = {}
VARIED: dict[str, tuple[Client, set[str]]] = {}
PAIRS: dict[str, tuple[Client, set[str]]] = {}

TOTAL = {"total": {"longValue": 12, "type": "LONG"}}
APPROVE = "order-1-approve"


def broken_by(*values: str) -> Callable[[Client], Client]:
    def add(client: Client) -> Client:
        PLANTED[client.__name__] = (client, set(values))
        return client

    return add


def broken_by_variation(*kinds: str) -> Callable[[Client], Client]:
    def add(client: Client) -> Client:
        VARIED[client.__name__] = (client, {f"variation={kind}" for kind in kinds})
        return client

    return add


def broken_by_both(*values: str) -> Callable[[Client], Client]:
    def add(client: Client) -> Client:
        PAIRS[client.__name__] = (client, set(values))
        return client

    return add


def post(sandbox: Sandbox, body: Any, **headers: str) -> requests.Response:
    return requests.post(
        sandbox.complete_step_url, json=body, headers={**sandbox.headers, **headers}, timeout=2
    )


def complete(sandbox: Sandbox, step_id: str, params: Any = TOTAL) -> requests.Response:
    return post(sandbox, {"processStepId": step_id, "params": params})


def completed(sandbox: Sandbox, params: Any = TOTAL) -> dict[str, Any]:
    """The 200 for a first step that another follows, whose own params are empty."""
    step = sandbox.start_process([{}, {}]).steps[0]
    return accepted(complete(sandbox, step.id, params))


def accepted(response: requests.Response) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def refused(response: requests.Response) -> requests.Response:
    assert 400 <= response.status_code < 500, response.text
    return response


def last(sandbox: Sandbox) -> Any:
    """The data of a 200 for a last step."""
    step = sandbox.start_process([{}]).steps[0]
    return accepted(complete(sandbox, step.id))["data"]


# --- what a 200 has


@broken_by("success-message=OK")
def compares_the_message(sandbox: Sandbox) -> None:
    assert completed(sandbox)["message"] == "Success"


@broken_by("version=2")
def compares_the_version(sandbox: Sandbox) -> None:
    assert completed(sandbox)["version"] == "1.0.0"


@broken_by("timestamp=seconds", "timestamp-zone=offset")
def parses_timestamps_by_one_format(sandbox: Sandbox) -> None:
    datetime.strptime(completed(sandbox)["timestamp"], "%Y-%m-%dT%H:%M:%S.%fZ")  # noqa: DTZ007


@broken_by("timestamp=seconds", "timestamp=microseconds")
def expects_milliseconds(sandbox: Sandbox) -> None:
    assert re.search(r":\d\d\.\d{1,3}(Z|\+)", completed(sandbox)["timestamp"])


@broken_by("last-step-id=absent")
def indexes_the_last_step_id(sandbox: Sandbox) -> None:
    last(sandbox)["processStepId"]


@broken_by("last-step-id=empty", "last-step-id=completed", "named-step=completed")
def takes_only_null_for_the_end(sandbox: Sandbox) -> None:
    assert last(sandbox).get("processStepId") is None


@broken_by("last-step-params=null")
def iterates_over_the_last_params(sandbox: Sandbox) -> None:
    list(last(sandbox)["params"])


@broken_by("last-step-params=submitted")
def expects_no_params_at_the_end(sandbox: Sandbox) -> None:
    assert not last(sandbox)["params"]


@broken_by("named-step=completed")
def completes_the_step_that_is_named(sandbox: Sandbox) -> None:
    named = completed(sandbox)["data"]["processStepId"]
    accepted(complete(sandbox, named))


@broken_by("returned-params=own")
def expects_its_params_back(sandbox: Sandbox) -> None:
    assert completed(sandbox)["data"]["params"]["total"]["longValue"] == 12


@broken_by("returned-params=submitted")
def expects_the_params_of_the_next_step(sandbox: Sandbox) -> None:
    sandbox.start_process("two-steps")
    assert "carrier" in accepted(complete(sandbox, APPROVE))["data"]["params"]


@broken_by("unset-fields=null")
def takes_a_member_for_a_value(sandbox: Sandbox) -> None:
    for param in completed(sandbox)["data"]["params"].values():
        if "strValue" in param:
            param["strValue"].upper()


# --- what is refused


@broken_by("refusal-data=empty", "refusal-data=message")
def needs_the_code_of_a_412(sandbox: Sandbox) -> None:
    sandbox.start_process("every-status")
    response = complete(sandbox, "claim-1-completed")
    if response.status_code == 412:
        assert response.json()["data"]["processStepId"]["code"]


@broken_by("completed-step=409", "completed-step=400")
def knows_only_412_for_a_second_completion(sandbox: Sandbox) -> None:
    sandbox.start_process("two-steps")
    accepted(complete(sandbox, APPROVE))
    assert complete(sandbox, APPROVE).status_code in (200, 412)


@broken_by("completed-step=repeat")
def asks_by_a_second_completion(sandbox: Sandbox) -> None:
    sandbox.start_process("two-steps")
    accepted(complete(sandbox, APPROVE))
    refused(complete(sandbox, APPROVE))


@broken_by("completed-step=409")
def retries_a_409_for_ever(sandbox: Sandbox) -> None:
    sandbox.start_process("every-status")
    while True:
        try:
            if complete(sandbox, "claim-1-completed").status_code != 409:
                return
        except Exception:  # noqa: BLE001 - this is how such clients are written
            continue


@broken_by("unknown-step=404")
def takes_a_404_for_a_wrong_address(sandbox: Sandbox) -> None:
    assert complete(sandbox, "nowhere").status_code != 404


@broken_by("pending-step=409", "pending-step=400")
def knows_only_412_for_a_pending_step(sandbox: Sandbox) -> None:
    sandbox.start_process("every-status")
    assert complete(sandbox, "claim-1-pending").status_code == 412


@broken_by("failed-step=409", "failed-step=400")
def knows_only_412_for_a_failed_step(sandbox: Sandbox) -> None:
    sandbox.start_process("every-status")
    assert complete(sandbox, "claim-2-failed").status_code == 412


@broken_by("time-out=ignored")
def counts_on_a_late_completion_being_refused(sandbox: Sandbox) -> None:
    process = sandbox.start_process([{"timeOutInSeconds": 60}, {}])
    sandbox.clock.advance(61)
    refused(complete(sandbox, process.steps[0].id))


@broken_by("bad-body=400", "bad-body=422")
def knows_only_412_for_a_bad_body(sandbox: Sandbox) -> None:
    assert post(sandbox, {"processStepId": 7, "params": {}}).status_code == 412


@broken_by("empty-step-id=bad-body")
def expects_a_code_for_an_empty_id(sandbox: Sandbox) -> None:
    data = complete(sandbox, "").json()["data"]
    entry = data.get("processStepId") if isinstance(data, dict) else None
    assert entry is None or entry["code"] == "UNKNOWN_STEP"


@broken_by(*(f"undocumented-form={form}" for form in ("html", "plain")))
def expects_json_of_a_404(sandbox: Sandbox) -> None:
    requests.post(sandbox.url + "/api/v2/complete", headers=sandbox.headers, timeout=2).json()


@broken_by("challenge=absent")
def reads_the_challenge(sandbox: Sandbox) -> None:
    response = post(sandbox, {"processStepId": "x", "params": {}}, Authorization="Bearer wrong")
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"]


@broken_by("checked-first=body")
def tries_its_token_with_an_empty_body(sandbox: Sandbox) -> None:
    assert post(sandbox, {}, Authorization="Bearer wrong").status_code == 401


# --- what is sent


@broken_by("params-missing=refuse")
def leaves_params_out(sandbox: Sandbox) -> None:
    sandbox.start_process("two-steps")
    accepted(post(sandbox, {"processStepId": APPROVE}))


@broken_by("params-null=refuse")
def sends_params_that_are_null(sandbox: Sandbox) -> None:
    sandbox.start_process("two-steps")
    accepted(complete(sandbox, APPROVE, None))


@broken_by("unknown-members=refuse")
def sends_a_member_of_its_own(sandbox: Sandbox) -> None:
    sandbox.start_process("two-steps")
    accepted(post(sandbox, {"processStepId": APPROVE, "params": {}, "client": "ours"}))


@broken_by("type-agreement=required")
def leaves_the_type_out(sandbox: Sandbox) -> None:
    completed(sandbox, {"total": {"longValue": 12}})


@broken_by("null-fields=refuse")
def sends_unset_fields_as_null(sandbox: Sandbox) -> None:
    completed(sandbox, {"total": {"longValue": 12, "strValue": None, "type": "LONG"}})


@broken_by("null-param=accept")
def counts_on_a_null_param_being_refused(sandbox: Sandbox) -> None:
    sandbox.start_process("two-steps")
    refused(complete(sandbox, APPROVE, {"total": None}))


@broken_by("long-fraction=truncate", "long-fraction=keep")
def counts_on_a_fraction_being_refused(sandbox: Sandbox) -> None:
    sandbox.start_process("two-steps")
    refused(complete(sandbox, APPROVE, {"total": {"longValue": 3.5, "type": "LONG"}}))


@broken_by("long-range=rounded")
def sends_more_than_a_double_holds(sandbox: Sandbox) -> None:
    sandbox.start_process("two-steps")
    calls = []
    sandbox.on_delegate(calls.append)
    accepted(complete(sandbox, APPROVE, {"total": {"longValue": 2**53 + 1, "type": "LONG"}}))
    assert calls[0].params["total"].long_value == 2**53 + 1


@broken_by("text-for-number=read")
def counts_on_a_text_being_refused(sandbox: Sandbox) -> None:
    sandbox.start_process("two-steps")
    refused(complete(sandbox, APPROVE, {"total": {"longValue": "12", "type": "LONG"}}))


@broken_by("type-names=any-case", "type-names=any")
def counts_on_another_case_being_refused(sandbox: Sandbox) -> None:
    sandbox.start_process("two-steps")
    refused(complete(sandbox, APPROVE, {"total": {"longValue": 12, "type": "long"}}))


@broken_by("duplicate-names=last-wins")
def counts_on_a_double_name_being_refused(sandbox: Sandbox) -> None:
    sandbox.start_process("two-steps")
    body = f'{{"processStepId": "x", "processStepId": "{APPROVE}", "params": {{}}}}'
    headers = {**sandbox.headers, "Content-Type": "application/json"}
    refused(requests.post(sandbox.complete_step_url, body, headers=headers, timeout=2))


# --- delegates


@broken_by("delegate-failure=kept", "delegate-failure=hidden")
def takes_a_failed_delegate_for_a_completion_undone(sandbox: Sandbox) -> None:
    process = sandbox.start_process([{}, {"delegate": "failing"}])
    assert complete(sandbox, process.steps[0].id).status_code == 500
    assert complete(sandbox, process.steps[0].id).status_code == 500  # and not refused


@broken_by("next-step-started=after-call")
def completes_its_step_within_the_call(sandbox: Sandbox) -> None:
    sandbox.start_process("two-steps")
    statuses = []

    def on_start(start: Any) -> None:
        statuses.append(complete(sandbox, start.process_step_id).status_code)

    sandbox.on_delegate(on_start)
    accepted(complete(sandbox, APPROVE))
    assert statuses == [200]


# --- variations


@broken_by_variation("member-order")
def takes_the_first_member_for_the_message(sandbox: Sandbox) -> None:
    assert next(iter(completed(sandbox))) == "message"


@broken_by_variation("extra-members")
def builds_records_of_all_members(sandbox: Sandbox) -> None:
    def record(message: str, timestamp: str, data: dict[str, Any], version: str) -> str:
        return message

    record(**completed(sandbox))


@broken_by_variation("extra-members")
def builds_params_of_all_members(sandbox: Sandbox) -> None:
    def total(type: str, **value: float) -> float:  # noqa: A002 - the document's name
        (number,) = value.values()
        return number

    total(**completed(sandbox)["data"]["params"]["total"])


@broken_by_variation("unknown-codes")
def has_an_enum_of_codes(sandbox: Sandbox) -> None:
    class Code(Enum):
        COMPLETED = "STEP_COMPLETED"

    Code(refused_entries(sandbox)["processStepId"]["code"])


@broken_by_variation("more-entries")
def expects_one_entry(sandbox: Sandbox) -> None:
    ((name, _),) = refused_entries(sandbox).items()
    assert name == "processStepId"


@broken_by_variation("spacing", "escapes")
def searches_the_text(sandbox: Sandbox) -> None:
    sandbox.start_process("two-steps")
    assert '"message":"Success"' in complete(sandbox, APPROVE).text


@broken_by_variation("escapes")
def searches_the_text_with_a_pattern(sandbox: Sandbox) -> None:
    sandbox.start_process("two-steps")
    assert re.search(r'"message"\s*:\s*"Success"', complete(sandbox, APPROVE).text)


@broken_by_variation("media-type")
def compares_the_whole_media_type(sandbox: Sandbox) -> None:
    sandbox.start_process("two-steps")
    assert complete(sandbox, APPROVE).headers["Content-Type"] == "application/json"


@broken_by_variation("extra-headers")
def knows_all_headers(sandbox: Sandbox) -> None:
    sandbox.start_process("two-steps")
    known = {"content-type", "content-length", "server", "date", "connection", "transfer-encoding"}
    assert {name.lower() for name in complete(sandbox, APPROVE).headers} <= known


@broken_by_variation("header-case")
def looks_headers_up_as_they_are_spelt(sandbox: Sandbox) -> None:
    sandbox.start_process("two-steps")
    assert dict(complete(sandbox, APPROVE).headers.items())["content-type"]


@broken_by_variation("header-order")
def takes_headers_by_their_place(sandbox: Sandbox) -> None:
    sandbox.limit_token(requests=0)
    names = [name.lower() for name in complete(sandbox, APPROVE).headers]
    assert names.index("www-authenticate") < names.index("content-type")


@broken_by_variation("chunked", "until-close")
def needs_a_content_length(sandbox: Sandbox) -> None:
    sandbox.start_process("two-steps")
    assert int(complete(sandbox, APPROVE).headers["Content-Length"])


@broken_by_variation("until-close")
def knows_two_ways_to_end_a_body(sandbox: Sandbox) -> None:
    sandbox.start_process("two-steps")
    headers = complete(sandbox, APPROVE).headers
    assert "Content-Length" in headers or headers["Transfer-Encoding"] == "chunked"


@broken_by_variation("connection-close", "until-close")
def keeps_its_only_connection(sandbox: Sandbox) -> None:
    sandbox.start_process("two-steps")
    body = json.dumps({"processStepId": APPROVE, "params": {}}).encode()
    connection = http.client.HTTPConnection(urlsplit(sandbox.url).netloc, timeout=2)
    connection.auto_open = 0
    connection.connect()
    try:
        for _ in range(2):
            headers = {**sandbox.headers, "Content-Type": "application/json"}
            connection.request("POST", urlsplit(sandbox.complete_step_url).path, body, headers)
            connection.getresponse().read()
    finally:
        connection.close()


def refused_entries(sandbox: Sandbox) -> dict[str, Any]:
    """The entries of a 412, or of what stands for it."""
    sandbox.start_process("every-status")
    response = complete(sandbox, "claim-1-completed")
    if response.status_code != 412 or "processStepId" not in response.json()["data"]:
        return {"processStepId": {"code": "STEP_COMPLETED"}}
    entries: dict[str, Any] = response.json()["data"]
    return entries


# --- two together


@broken_by_both("bad-body=400", "undocumented-form=html")
def parses_the_body_of_a_400(sandbox: Sandbox) -> None:
    response = post(sandbox, {"processStepId": 7, "params": {}})
    assert response.status_code in (400, 412, 422)
    if response.status_code == 400 and "html" in response.headers["Content-Type"]:
        response.json()


@broken_by_both("completed-step=409", "undocumented-form=plain")
def shows_the_message_of_a_409(sandbox: Sandbox) -> None:
    sandbox.start_process("every-status")
    response = complete(sandbox, "claim-1-completed")
    if response.status_code == 409 and "plain" in response.headers["Content-Type"]:
        response.json()


@broken_by_both("timestamp=seconds", "timestamp-zone=offset")
def knows_three_forms_of_timestamps(sandbox: Sandbox) -> None:
    text = completed(sandbox)["timestamp"]
    forms = ("%Y-%m-%dT%H:%M:%S.%fZ", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S.%f+00:00")
    assert any(_parses(text, form) for form in forms), text


def _parses(text: str, form: str) -> bool:
    try:
        datetime.strptime(text, form)  # noqa: DTZ007
    except ValueError:
        return False
    return True
