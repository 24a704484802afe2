"""Every value of every reading makes a difference that a client can see, and another than its
siblings make.
"""

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, get_args, get_type_hints

import pytest
from msgspec.structs import fields

from stepstub import contract
from stepstub.app import create_app
from stepstub.concurrency import run_inline
from stepstub.contract import Contract
from stepstub.delegates import StepStart
from stepstub.readings import (
    DEFAULT,
    Readings,
    Value,
    alternatives,
    as_mapping,
    questions,
    with_values,
)
from stepstub.schema import Schema
from stepstub.settings import DEFAULT_TOKEN, Settings
from support import PATH, Client, Response, processes

SCENARIOS = ("two-steps", "last-step", "every-status", "long-chain")
STEP, NEXT = "order-1-approve", "order-1-ship"
JSON = {"content-type": "application/json"}
BASIC = base64.b64encode(f"user:{DEFAULT_TOKEN}".encode()).decode()

Exchanges = Callable[[Client], Iterator[Response]]


def with_param(raw: str) -> Exchanges:
    body = f'{{"processStepId": "{STEP}", "params": {{"it": {raw}}}}}'
    return posting(body)


def posting(*bodies: str) -> Exchanges:
    def exchanges(client: Client) -> Iterator[Response]:
        for body in bodies:
            yield client.post(body.encode())

    return exchanges


def completing(*step_ids: str) -> Exchanges:
    params = {"it": {"longValue": 1}}
    return posting(*(json.dumps({"processStepId": id_, "params": params}) for id_ in step_ids))


def requesting(body: str, headers: Mapping[str, str], path: str = PATH) -> Exchanges:
    def exchanges(client: Client) -> Iterator[Response]:
        yield client.request("POST", path, body.encode(), {**JSON, **headers})

    return exchanges


def with_a_delegate_that_fails(client: Client) -> Iterator[Response]:
    def fail(_: StepStart) -> None:
        raise OSError

    client.delegates.function = fail
    yield client.complete(STEP)
    yield client.complete(STEP)
    yield client.complete(NEXT)


def with_a_delegate_that_completes(client: Client) -> Iterator[Response]:
    inner: list[Response] = []

    def complete(start: StepStart) -> None:
        client.delegates.function = None
        inner.append(client.complete(start.process_step_id))

    client.delegates.function = complete
    yield client.complete(STEP)
    yield from inner


def too_late(client: Client) -> Iterator[Response]:
    client.advance(3600)
    yield client.complete("chain-1-01")


GOOD = json.dumps({"processStepId": STEP})
CASES: tuple[Exchanges, ...] = (
    with_param('{"type": "string"}'),
    with_param('{"type": "INTEGER"}'),
    with_param('{"longValue": 3.5}'),
    with_param('{"longValue": 9007199254740993}'),
    with_param('{"longValue": 9223372036854775808}'),
    with_param('{"longValue": "12"}'),
    with_param('{"strValue": "x", "type": "LONG"}'),
    with_param('{"strValue": null}'),
    with_param("null"),
    posting(f'{{"processStepId": "{STEP}", "comment": 1}}'),
    posting(GOOD),
    posting(f'{{"processStepId": "{STEP}", "params": null}}'),
    posting(f'{{"processStepId": "nobody", "processStepId": "{STEP}"}}'),
    posting("{"),
    posting('{"processStepId": ""}'),
    completing("nobody"),
    completing(STEP, STEP),
    completing(NEXT),
    completing("claim-2-failed"),
    completing("invoice-1-archive"),
    with_a_delegate_that_fails,
    with_a_delegate_that_completes,
    too_late,
    requesting(GOOD, {}),
    requesting("{", {}),
    requesting(GOOD, {"authorization": f"Basic {BASIC}"}),
    requesting(GOOD, {"x-api-key": DEFAULT_TOKEN}),
    requesting(GOOD, {"x-token": DEFAULT_TOKEN}),
    requesting(GOOD, {}, "/nowhere"),
)


def assert_documented(response: Response, effective: Contract) -> None:
    """Hold a response to the contract's own words, where the contract has its status."""
    (operation,) = effective.document["paths"][PATH].values()
    described = operation["responses"].get(str(response.status))
    if described is None:
        return
    if "$ref" in described:
        described = effective.document["components"]["responses"]["Undocumented"]
    media_type = response.headers["content-type"].partition(";")[0]
    assert media_type in described["content"], (effective.readings, response)
    if "json" in media_type:
        schema = Schema(described["content"][media_type]["schema"], effective.components)
        assert not schema.violations(response.json), (effective.readings, response)


def seen(values: Mapping[str, Any]) -> list[tuple[int, dict[str, str], str]]:
    """What a client sees of a stub with these readings: every response but for date and time."""
    settings = Settings(readings=with_values(DEFAULT, values))
    effective = contract.effective(settings.readings)
    found = []
    for exchanges in CASES:
        client = Client(create_app(processes(*SCENARIOS), settings))
        client.freeze()
        now = run_inline(client.store.clock()).now
        client.advance((210 - now) % 1000 / 1000)  # ends in a zero, which can be trimmed
        for response in exchanges(client):
            assert b"broken the contract" not in response.body, (values, response)
            assert_documented(response, effective)
            text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", "TIME", response.body.decode())
            headers = {k: v for k, v in response.headers.items() if k != "content-length"}
            found.append((response.status, headers, text))
    return found


# What else has to be chosen for a reading to show, in the responses or in the contract.
BASES: dict[str, dict[str, Any]] = {
    "credentials-header": {"credentials": "api-key"},
    "undocumented-form": {"bad-body": 400},
}
TEXTS = {"credentials-header": "X-Token", "success-message": "Done", "version": "7"}


@pytest.mark.proof
@pytest.mark.parametrize("name", questions())
def test_no_two_values_of_a_reading_look_the_same(name: str) -> None:
    values = alternatives(name) or (as_mapping(DEFAULT)[name], TEXTS[name])
    looks: list[tuple[Value, Any]] = []
    for value in values:
        look = seen({**BASES.get(name, {}), name: value})
        assert look not in [other for _, other in looks], (
            f"{name}: {value} cannot be told from another value: either nothing asks for it, or no"
            " case of this test shows it"
        )
        looks.append((value, look))


def test_the_type_of_a_reading_has_the_values_of_its_question() -> None:
    types = get_type_hints(Readings)
    for field in fields(Readings):
        name, values = field.encode_name, alternatives(field.encode_name)
        assert get_args(types[field.name]) == values, name
        assert not values or as_mapping(DEFAULT)[name] == values[0], f"{name}: the default is first"
