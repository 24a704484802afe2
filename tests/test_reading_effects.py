"""What a client sees of each value of each reading, and that it does not see it by default.

A new value of a reading needs a line in `CASES`.
"""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import pytest

from stepstub import scenario
from stepstub.app import create_app
from stepstub.clock import TimestampForm
from stepstub.delegates import StepStart
from stepstub.readings import DEFAULT, alternatives, credentials_headers, questions, with_values
from stepstub.serving.server import serve_in_thread
from stepstub.settings import DEFAULT_TOKEN, Settings
from support import PATH, Client, Connection, Response, in_time, live_app, post, processes

STEP, NEXT = "order-1-approve", "order-1-ship"
LAST = "invoice-1-archive"
OWN = {"carrier": {"strValue": "Parcel Post", "type": "STRING"}}
PARAMS = {"it": {"longValue": 1}}
BAD_BODY = b"{"

Observe = Callable[[Client], Any]
"""Does something to a fresh stub, and returns what a client sees of it."""


def stub(**readings: Any) -> Client:
    """A client of a stub with these readings, `bad_body=400`, that holds every scenario."""
    values = {name.replace("_", "-"): value for name, value in readings.items()}
    settings = Settings(readings=with_values(DEFAULT, values))
    return Client(create_app(processes(*scenario.built_in()), settings))


def ask(client: Client, body: bytes | dict[str, Any], token: str = DEFAULT_TOKEN) -> Response:
    """One request, with the token as the stub's readings want it."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = credentials_headers(client.sandbox.readings, token)
    lower = {name.lower(): value for name, value in headers.items()}
    return client.request("POST", PATH, raw, {"content-type": "application/json", **lower})


def without_token(client: Client, body: bytes) -> Response:
    return client.request("POST", PATH, body, {"content-type": "application/json"})


def complete(client: Client, step_id: str = STEP, params: Any = PARAMS) -> Response:
    return ask(client, {"processStepId": step_id, "params": params})


def calling(client: Client, delegate: Callable[[StepStart], None], step_id: str = STEP) -> Response:
    """A completion during which the next step's delegate is this."""
    client.delegates.function = delegate
    response = in_time(lambda: complete(client, step_id))
    client.delegates.function = None
    return response


def fail(_: StepStart) -> None:
    raise OSError("no reason to tell")


# --- what can be observed


def echo(param: str) -> Observe:
    """The param as a 200 brings it back, as JSON text; of another response the status."""

    def observe(client: Client) -> Any:
        body = f'{{"processStepId": "{STEP}", "params": {{"it": {param}}}}}'
        response = ask(client, body.encode())
        if response.status != 200:
            assert client.status(STEP) == "STARTED", "a refused request changes nothing"
            return response.status
        return json.dumps(response.data["params"].get("it", "nothing"))

    return observe


def status_of(body: dict[str, Any] | bytes) -> Observe:
    return lambda client: ask(client, body).status


def status_at(step_id: str) -> Observe:
    """The status of a completion; a step that is not STARTED is as it was before."""

    def observe(client: Client) -> int:
        before = client.process("claim-1"), client.process("claim-2")
        status = complete(client, step_id).status
        assert (client.process("claim-1"), client.process("claim-2")) == before
        return status

    return observe


def second_status(client: Client) -> int:
    complete(client)
    return complete(client).status


def member(name: str, step_id: str = STEP) -> Observe:
    """A member of the data of a completion, or "absent"."""

    def observe(client: Client) -> Any:
        response = complete(client, step_id)
        assert response.status == 200, response.body
        return response.data.get(name, "absent")

    return observe


def top(name: str) -> Observe:
    return lambda client: complete(client).json[name]


def data_of_refusal(client: Client) -> Any:
    response = ask(client, {"processStepId": 5})
    assert (response.status, response.json["message"]) == (412, "Precondition failed")
    return response.data


def field_at_fault(body: dict[str, Any]) -> Observe:
    return lambda client: ask(client, body).codes


def status_from_inside(client: Client) -> int:
    """The status of a completion of the next step while its delegate is being called."""
    seen: list[int] = []
    outer = calling(
        client, lambda start: seen.append(complete(client, start.process_step_id).status)
    )
    assert outer.status == 200
    return seen[0]


def after_failure(client: Client) -> tuple[int, str, str, int]:
    """A completion whose delegate fails: its status, both steps, a completion of the next one."""
    status = calling(client, fail).status
    found = client.status(STEP), client.status(NEXT)
    return status, *found, complete(client, NEXT).status


def after_time_out(client: Client) -> tuple[str, int]:
    client.advance(3600)
    return client.status("chain-1-01"), complete(client, "chain-1-01").status


def challenge(client: Client) -> str | None:
    """The challenge of a 401 to a token that nobody has."""
    response = ask(client, {"processStepId": STEP}, "nobody's")
    assert response.status == 401, response.body
    return response.headers.get("www-authenticate")


def header_forms(client: Client) -> list[str]:
    """The forms in which the known token gets a 200."""
    accepted = []
    for form, headers in {
        "bearer": {"authorization": f"Bearer {DEFAULT_TOKEN}"},
        "basic": {"authorization": "Basic c3RlcHN0dWI6c3R1Yi10b2tlbg=="},
        "x-api-key": {"x-api-key": DEFAULT_TOKEN},
        "x-token": {"x-token": DEFAULT_TOKEN},
        "none": {},
    }.items():
        fresh = Client(create_app(processes("two-steps"), client.app.settings))
        body = json.dumps({"processStepId": STEP}).encode()
        sent = {"content-type": "application/json", **headers}
        if fresh.request("POST", PATH, body, sent).status == 200:
            accepted.append(form)
    return accepted


def timestamp(client: Client) -> str:
    """The form of the timestamps at a time that ends in .210, with every digit as 0."""
    client.freeze()
    headers = {"authorization": f"Bearer {DEFAULT_TOKEN}"}
    now = datetime.fromisoformat(client.request("GET", "/_stub/clock", b"", headers).json["now"])
    client.advance((1_210_000 - now.microsecond) / 1_000_000)
    return re.sub(r"\d", "0", client.complete("nobody").json["timestamp"])


def form_of_404(client: Client) -> tuple[str, Any]:
    """Media type of the response for an unknown path; its members, or what its text begins with."""
    headers = credentials_headers(client.sandbox.readings, DEFAULT_TOKEN)
    lower = {name.lower(): value for name, value in headers.items()}
    response = client.request("POST", "/nowhere", b"", lower)
    assert response.status == 404
    media_type = response.headers["content-type"]
    return media_type, list(response.json) if "json" in media_type else response.body[:9]


ENVELOPE = ["message", "timestamp", "data", "version"]
BY_FIELD = {
    "processStepId": {
        "code": "WRONG_TYPE",
        "detail": "processStepId must be of type string, not an integer.",
        "expected": "string",
        "actual": "5",
    }
}
UNDONE = (500, "STARTED", "PENDING", 412)
EMPTY_ID = {"processStepId": ""}

CASES: list[tuple[str, Any, Observe, Any, Any]] = [
    # reading, value, what is observed, under the value, by default
    ("type-names", "any-case", echo('{"type": "lonG"}'), '{"type": "LONG"}', 412),
    ("type-names", "any", echo('{"type": "Boolean"}'), '{"type": "Boolean"}', 412),
    ("long-fraction", "truncate", echo('{"longValue": -3.9}'), '{"longValue": -3}', 412),
    ("long-fraction", "keep", echo('{"longValue": 3.5}'), '{"longValue": 3.5}', 412),
    ("long-range", "unbounded", echo('{"longValue": 1000000000000000000000000000001}'), '{"longValue": 1000000000000000000000000000001}', 412),
    ("long-range", "rounded", echo('{"longValue": 9007199254740993}'), '{"longValue": 9007199254740992}', '{"longValue": 9007199254740993}'),
    ("text-for-number", "read", echo('{"longValue": "12", "doubleValue": "0.5"}'), '{"longValue": 12, "doubleValue": 0.5}', 412),
    ("unknown-members", "refuse", status_of({"processStepId": STEP, "comment": 1}), 412, 200),
    ("type-agreement", "required", echo('{"longValue": 1, "type": "STRING"}'), 412, '{"longValue": 1, "type": "STRING"}'),
    ("params-missing", "refuse", status_of({"processStepId": STEP}), 412, 200),
    ("params-null", "refuse", status_of({"processStepId": STEP, "params": None}), 412, 200),
    ("bad-body", 400, status_of(BAD_BODY), 400, 412),
    ("bad-body", 422, status_of({"params": {}}), 422, 412),
    ("duplicate-names", "last-wins", echo('{"longValue": 1, "longValue": 2}'), '{"longValue": 2}', 412),
    ("empty-step-id", "bad-body", field_at_fault(EMPTY_ID), {"processStepId": "INVALID"}, {"processStepId": "UNKNOWN_STEP"}),
    ("refusal-data", "empty", data_of_refusal, {}, BY_FIELD),
    ("refusal-data", "message", data_of_refusal, {"error": {"message": BY_FIELD["processStepId"]["detail"]}}, BY_FIELD),
    ("unknown-step", 404, status_at("nobody"), 404, 412),
    ("unknown-step", 400, status_at("nobody"), 400, 412),
    ("completed-step", 409, status_at("claim-1-completed"), 409, 412),
    ("completed-step", 400, status_at("claim-1-completed"), 400, 412),
    ("completed-step", "repeat", second_status, 200, 412),
    ("pending-step", 409, status_at("claim-1-pending"), 409, 412),
    ("pending-step", 400, status_at("claim-1-pending"), 400, 412),
    ("failed-step", 409, status_at("claim-2-failed"), 409, 412),
    ("failed-step", 400, status_at("claim-2-failed"), 400, 412),
    ("named-step", "completed", member("processStepId"), STEP, NEXT),
    ("returned-params", "submitted", member("params"), PARAMS, {**OWN, **PARAMS}),
    ("returned-params", "own", member("params"), OWN, {**OWN, **PARAMS}),
    ("last-step-id", "absent", member("processStepId", LAST), "absent", None),
    ("last-step-id", "empty", member("processStepId", LAST), "", None),
    ("last-step-id", "completed", member("processStepId", LAST), LAST, None),
    ("last-step-params", "submitted", member("params", LAST), PARAMS, {}),
    ("last-step-params", "null", member("params", LAST), None, {}),
    ("next-step-started", "after-call", status_from_inside, 412, 200),
    ("delegate-failure", "kept", after_failure, (500, "COMPLETED", "FAILED", 412), UNDONE),
    ("delegate-failure", "hidden", after_failure, (200, "COMPLETED", "FAILED", 412), UNDONE),
    ("time-out", "ignored", after_time_out, ("STARTED", 200), ("FAILED", 412)),
    ("credentials", "basic", header_forms, ["basic"], ["bearer"]),
    ("credentials", "api-key", header_forms, ["x-api-key"], ["bearer"]),
    ("credentials", "none", header_forms, ["bearer", "basic", "x-api-key", "x-token", "none"], ["bearer"]),
    ("challenge", "absent", challenge, None, "Bearer"),
    ("checked-first", "body", lambda client: without_token(client, BAD_BODY).status, 412, 401),
    ("success-message", "Done, ä \U0001f600", top("message"), "Done, ä \U0001f600", "Success"),
    ("version", "2.10", top("version"), "2.10", "1.0.0"),
    ("timestamp", "microseconds", timestamp, "0000-00-00T00:00:00.000000Z", "0000-00-00T00:00:00.000Z"),
    ("timestamp", "seconds", timestamp, "0000-00-00T00:00:00Z", "0000-00-00T00:00:00.000Z"),
    ("timestamp", "trimmed", timestamp, "0000-00-00T00:00:00.00Z", "0000-00-00T00:00:00.000Z"),
    ("timestamp-zone", "offset", timestamp, "0000-00-00T00:00:00.000+00:00", "0000-00-00T00:00:00.000Z"),
    ("undocumented-form", "problem", form_of_404, ("application/problem+json", ["type", "title", "status", "detail"]), ("application/json", ENVELOPE)),
    ("undocumented-form", "spring", form_of_404, ("application/json", ["timestamp", "status", "error", "path"]), ("application/json", ENVELOPE)),
    ("undocumented-form", "html", form_of_404, ("text/html; charset=utf-8", b"<!doctype"), ("application/json", ENVELOPE)),
    ("undocumented-form", "plain", form_of_404, ("text/plain; charset=utf-8", b"There is "), ("application/json", ENVELOPE)),
    ("null-fields", "refuse", echo('{"strValue": null}'), 412, '{"strValue": null}'),
    ("null-param", "accept", echo("null"), '"nothing"', 412),
    ("unset-fields", "null", echo('{"longValue": 1}'), '{"strValue": null, "longValue": 1, "doubleValue": null, "type": null}', '{"longValue": 1}'),
]  # fmt: skip

# A custom header shows only where the credentials are an API key.
API_KEY = [("credentials-header", "X-Token", header_forms, ["x-token"], ["x-api-key"])]


def named(case: tuple[str, Any, Observe, Any, Any]) -> str:
    return f"{case[0]}: {case[1]}" if str(case[1]).isascii() else case[0]


@pytest.mark.parametrize(
    ("name", "value", "observe", "seen", "by_default"), CASES, ids=map(named, CASES)
)
def test_effect(name: str, value: Any, observe: Observe, seen: Any, by_default: Any) -> None:
    changed = with_values(DEFAULT, {name: value})
    client = Client(create_app(processes(*scenario.built_in()), Settings(readings=changed)))
    assert observe(client) == seen
    assert client.app.violations == 0
    assert observe(stub()) == by_default


@pytest.mark.parametrize(
    ("name", "value", "observe", "seen", "by_default"), API_KEY, ids=map(named, API_KEY)
)
def test_effect_of_api_key(
    name: str, value: Any, observe: Observe, seen: Any, by_default: Any
) -> None:
    assert observe(stub(credentials="api-key", **{name: value})) == seen
    assert observe(stub(credentials="api-key")) == by_default


def test_every_value_of_every_reading_has_an_effect_here() -> None:
    cases = {(name, value) for name, value, *_ in (*CASES, *API_KEY)}
    expected = {(name, value) for name in questions() for value in alternatives(name)[1:]}
    assert cases >= expected
    free = {name for name in questions() if not alternatives(name)}
    assert {name for name, _ in cases - expected} == free


# --- readings together


def test_named_step_completed_overrides_the_last_step_id() -> None:
    for last in alternatives("last-step-id"):
        client = stub(named_step="completed", last_step_id=last)
        assert complete(client).data["processStepId"] == STEP
        assert complete(client, LAST).data["processStepId"] == LAST
        assert client.app.violations == 0


def test_a_bad_body_is_refused_first_with_its_own_status() -> None:
    client = stub(checked_first="body", bad_body=422)
    assert without_token(client, BAD_BODY).status == 422
    good = json.dumps({"processStepId": STEP}).encode()
    response = without_token(client, good)
    assert (response.status, response.headers["www-authenticate"]) == (401, "Bearer")
    assert ask(client, {"processStepId": STEP}, "nobody's").status == 401
    assert client.status(STEP) == "STARTED"


def test_null_fields_are_refused_and_unset_ones_shown_as_null() -> None:
    client = stub(null_fields="refuse", unset_fields="null")
    assert echo('{"longValue": null}')(client) == 412
    shown = json.loads(echo('{"longValue": 1}')(client))
    assert shown == {"strValue": None, "longValue": 1, "doubleValue": None, "type": None}


def test_unset_fields_are_null_at_the_end_of_a_process_as_well() -> None:
    client = stub(unset_fields="null", last_step_params="submitted")
    param = {"strValue": None, "longValue": 1, "doubleValue": None, "type": None}
    assert complete(client, LAST).data["params"] == {"it": param}


@pytest.mark.parametrize("names", ["exact", "any-case", "any"])
def test_a_null_param_is_accepted_where_type_and_value_have_to_agree(names: str) -> None:
    client = stub(null_param="accept", type_agreement="required", type_names=names)
    assert echo('{"longValue": 1, "type": "STRING"}')(client) == 412
    assert echo("{}")(client) == 412
    assert echo("null")(client) == '"nothing"'


@pytest.mark.parametrize(
    "body",
    [
        f'{{"processStepId": "{STEP}", "params": {{"it": {{"longValue": "x", "longValue": 2}}}}}}',
        f'{{"processStepId": "{STEP}", "params": {{"it": 5, "it": {{"longValue": 2}}}}}}',
        f'{{"processStepId": "{STEP}", "params": 5, "params": {{"it": {{"longValue": 2}}}}}}',
        f'{{"processStepId": 5, "params": {{"it": {{"longValue": 2}}}}, "processStepId": "{STEP}"}}',
    ],
)
def test_of_two_values_under_a_name_the_first_need_not_be_valid(body: str) -> None:
    response = ask(stub(duplicate_names="last-wins"), body.encode())
    assert response.status == 200
    assert response.data["params"]["it"] == {"longValue": 2}


def test_a_name_twice_whose_last_value_is_not_valid_is_refused() -> None:
    assert echo('{"longValue": 2, "longValue": "x"}')(stub(duplicate_names="last-wins")) == 412


def test_a_text_that_reads_as_a_number_is_held_to_the_readings_about_numbers() -> None:
    text = echo('{"longValue": "3.5"}')
    assert text(stub(text_for_number="read")) == 412
    assert text(stub(text_for_number="read", long_fraction="truncate")) == '{"longValue": 3}'
    assert text(stub(text_for_number="read", long_fraction="keep")) == '{"longValue": 3.5}'
    large = echo('{"longValue": "9223372036854775809"}')
    assert large(stub(text_for_number="read")) == 412
    assert large(stub(text_for_number="read", long_range="unbounded")) == (
        '{"longValue": 9223372036854775809}'
    )
    assert large(stub(text_for_number="read", long_range="rounded")) == (
        '{"longValue": 9223372036854775808}'
    )


@pytest.mark.parametrize("status", [412, 409, 400])
def test_from_inside_its_call_a_step_is_pending(status: int) -> None:
    client = stub(next_step_started="after-call", pending_step=status)
    assert status_from_inside(client) == status
    assert client.status(NEXT) == "STARTED"
    assert complete(client, NEXT).status == 200


def test_a_step_that_is_started_after_the_call_is_pending_again_where_that_fails() -> None:
    client = stub(next_step_started="after-call")
    assert calling(client, fail).status == 500
    assert (client.status(STEP), client.status(NEXT)) == ("STARTED", "PENDING")


@pytest.mark.parametrize(
    ("milliseconds", "end"), [(0, ":59Z"), (100, ":59.1Z"), (210, ":59.21Z"), (211, ":59.211Z")]
)
def test_a_trimmed_timestamp_has_no_trailing_zeros(milliseconds: int, end: str) -> None:
    form = TimestampForm("trimmed")
    written = form.write(1_774_788_659_000 + milliseconds)
    assert written.endswith(end)
    assert re.fullmatch(form.pattern, written)


@pytest.mark.parametrize(
    ("started", "status"), [("before-call", "FAILED"), ("after-call", "STARTED")]
)
def test_time_counts_from_when_the_step_is_started(started: str, status: str) -> None:
    client = stub(next_step_started=started)
    assert calling(client, lambda _: client.advance(2000), "chain-1-01").status == 200
    client.advance(2000)
    assert client.status("chain-1-02") == status


@pytest.mark.parametrize("started", ["before-call", "after-call"])
@pytest.mark.parametrize("fate", ["kept", "hidden"])
@pytest.mark.parametrize("status", [412, 409, 400])
def test_after_a_failed_delegate_the_next_step_is_failed(
    started: str, fate: str, status: int
) -> None:
    client = stub(delegate_failure=fate, next_step_started=started, failed_step=status)
    assert after_failure(client) == (500 if fate == "kept" else 200, "COMPLETED", "FAILED", status)


def test_a_hidden_failure_looks_like_a_success() -> None:
    hidden, well = stub(delegate_failure="hidden"), stub(delegate_failure="hidden")
    assert calling(hidden, fail).data == complete(well).data


# --- a completion that is repeated


REPEATED = [
    {},
    {"returned_params": "submitted"},
    {"returned_params": "own"},
    {"last_step_params": "submitted", "last_step_id": "completed"},
    {"named_step": "completed", "unset_fields": "null"},
    {"next_step_started": "after-call"},
]


@pytest.mark.parametrize("step_id", [STEP, LAST])
@pytest.mark.parametrize("more", REPEATED, ids=str)
def test_a_repeated_completion_gets_the_same_data_and_changes_nothing(
    more: dict[str, str], step_id: str
) -> None:
    client = stub(completed_step="repeat", **more)
    first = complete(client, step_id)
    before, calls = client.process(first.data["processId"]), len(client.calls)
    for params in (PARAMS, {"other": {"strValue": "x"}}, {}, None):
        again = complete(client, step_id, params)
        assert again.status == 200
        assert data_bytes(again) == data_bytes(first)
    assert client.process(first.data["processId"]) == before
    assert len(client.calls) == calls


def data_bytes(response: Response) -> bytes:
    return response.body[response.body.index(b'"data"') :]


@pytest.mark.parametrize("fate", ["kept", "hidden"])
@pytest.mark.parametrize("more", REPEATED, ids=str)
def test_a_completion_is_repeated_though_its_delegate_failed(
    more: dict[str, str], fate: str
) -> None:
    client = stub(completed_step="repeat", delegate_failure=fate, **more)
    well = complete(stub(completed_step="repeat", **more))
    assert calling(client, fail).status == (500 if fate == "kept" else 200)
    before = client.process("order-1")
    for _ in range(2):
        again = complete(client, STEP, {"other": {}})
        assert (again.status, data_bytes(again)) == (200, data_bytes(well))
    assert client.process("order-1") == before


def test_a_completion_is_repeated_after_the_next_one_as_well() -> None:
    client = stub(completed_step="repeat")
    first = complete(client)
    complete(client, NEXT, {"late": {"longValue": 2}})
    assert data_bytes(complete(client)) == data_bytes(first)


@pytest.mark.parametrize("started", ["before-call", "after-call"])
@pytest.mark.parametrize("returned", ["merged", "submitted", "own"])
def test_a_completion_is_repeated_while_the_delegate_is_being_called(
    started: str, returned: str
) -> None:
    client = stub(completed_step="repeat", next_step_started=started, returned_params=returned)
    seen: list[Response] = []
    first = calling(client, lambda _: seen.append(complete(client, STEP, {"other": {}})))
    assert first.status == seen[0].status == 200
    assert data_bytes(seen[0]) == data_bytes(first)
    assert len(client.calls) == 1


def test_an_undone_completion_is_not_repeated() -> None:
    client = stub(completed_step="repeat")
    assert calling(client, fail).status == 500
    again = complete(client, STEP, {"other": {"longValue": 2}})
    assert again.data["params"] == {**OWN, "other": {"longValue": 2}}


def test_a_step_that_a_scenario_has_completed_can_be_repeated() -> None:
    response = complete(stub(completed_step="repeat"), "claim-1-completed")
    assert response.status == 200
    assert response.data["processStepId"] == "claim-1-started"


# --- credentials, over a socket


@contextmanager
def served(**readings: Any) -> Iterator[Connection]:
    values = {name.replace("_", "-"): value for name, value in readings.items()}
    app = live_app(processes("two-steps"), readings=with_values(DEFAULT, values))
    with serve_in_thread(app) as url, Connection(url) as connection:
        yield connection
    assert app.violations == 0


BODY = {"processStepId": "nobody"}  # refused with 412 once it is authorised
BASIC = "Authorization: Basic c3RlcHN0dWI6c3R1Yi10b2tlbg=="


@pytest.mark.parametrize(
    ("readings", "header", "status", "sent"),
    [
        ({}, "Authorization: Bearer stub-token", 412, None),
        ({}, BASIC, 401, "Bearer"),
        ({}, None, 401, "Bearer"),
        ({"credentials": "basic"}, BASIC, 412, None),
        ({"credentials": "basic"}, BASIC.replace("Basic", "bAsIc"), 412, None),
        ({"credentials": "basic"}, "Authorization: Basic OnN0dWItdG9rZW4=", 412, None),
        ({"credentials": "basic"}, "Authorization: Basic !", 401, 'Basic realm="stepstub"'),
        (
            {"credentials": "basic"},
            "Authorization: Bearer stub-token",
            401,
            'Basic realm="stepstub"',
        ),
        ({"credentials": "basic"}, None, 401, 'Basic realm="stepstub"'),
        ({"credentials": "api-key"}, "x-api-KEY: stub-token", 412, None),
        ({"credentials": "api-key"}, "X-API-Key: other", 401, "ApiKey"),
        ({"credentials": "api-key"}, "Authorization: Bearer stub-token", 401, "ApiKey"),
        ({"credentials": "api-key"}, BASIC, 401, "ApiKey"),
        (
            {"credentials": "api-key", "credentials_header": "X-Token"},
            "x-token: stub-token",
            412,
            None,
        ),
        (
            {"credentials": "api-key", "credentials_header": "X-Token"},
            "X-API-Key: stub-token",
            401,
            "ApiKey",
        ),
        (
            {"credentials": "api-key", "credentials_header": "Authorization"},
            "Authorization: stub-token",
            412,
            None,
        ),
        ({"credentials": "none"}, None, 412, None),
        ({"credentials": "none"}, "Authorization: Bearer stub-token", 412, None),
        ({"credentials": "none"}, BASIC, 412, None),
        ({"credentials": "none"}, "Authorization: Bearer nobodys", 401, "Bearer"),
        ({"challenge": "absent"}, None, 401, None),
        ({"challenge": "absent", "credentials": "basic"}, BASIC[:-2], 401, None),
    ],
    ids=str,
)
def test_credentials_and_challenges(
    readings: dict[str, str], header: str | None, status: int, sent: str | None
) -> None:
    with served(**readings) as connection:
        headers = [header] if header else []
        response = connection.ask(post(BODY, *headers, token=None))
    assert (response.status, response.headers.get("www-authenticate")) == (status, sent)


@pytest.mark.parametrize("form", ["bearer", "basic", "api-key", "none"])
@pytest.mark.parametrize("default", ["bearer", "basic", "api-key", "none"])
def test_a_known_token_meets_the_readings_of_its_sandbox(form: str, default: str) -> None:
    """Whichever the default sandbox's are; in the wrong form it gets its own sandbox's 401."""
    with served(credentials=default) as connection:
        body = {"readings": {"credentials": form, "version": "own", "challenge": "sent"}}
        target = {"method": "POST", "target": "/_stub/sandboxes"}
        made = connection.ask(post(body, **target))
        token = made.json["token"]
        for kind in ("bearer", "basic", "api-key"):
            values = with_values(DEFAULT, {"credentials": kind})
            ((name, value),) = credentials_headers(values, token).items()
            response = connection.ask(post(BODY, f"{name}: {value}", token=None))
            keyed = kind != "api-key" or "api-key" in (form, default)
            expected = 412 if form in (kind, "none") and keyed else 401
            if not keyed:  # nobody has told the stub of that header
                expected = 412 if default == "none" else 401
            assert response.status == expected, kind
            if keyed:
                assert response.json["version"] == "own"


def test_the_token_in_a_header_of_its_own_is_not_in_the_journal() -> None:
    client = stub(credentials="api-key", credentials_header="X-Token")
    assert complete(client).status == 200
    headers = {"authorization": f"Bearer {DEFAULT_TOKEN}"}
    journal = client.request("GET", "/_stub/journal", b"", headers)
    assert DEFAULT_TOKEN not in journal.body.decode()
    assert "(redacted)" in journal.body.decode()


def test_a_token_in_the_header_of_another_sandbox_is_in_the_wrong_form() -> None:
    with served(credentials="api-key") as connection:
        body = {"readings": {"credentials-header": "X-Token"}}
        made = connection.ask(post(body, method="POST", target="/_stub/sandboxes"))
        token = made.json["token"]
        right = connection.ask(post(BODY, f"X-Token: {token}", token=None))
        wrong = connection.ask(post(BODY, f"X-API-Key: {token}", token=None))
        assert (right.status, wrong.status) == (412, 401)
        assert "X-Token" in wrong.data
