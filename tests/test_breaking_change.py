"""The contract may grow, but what its last release promised stays true.

`contract_tests/released/openapi.yaml` is that release, or a copy of the contract while there is
none. A change breaks a client when the server accepts less than before, responds with more or
something else, or a name in generated code is gone.
"""

from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
RELEASED = yaml.safe_load((ROOT / "contract_tests/released/openapi.yaml").read_text("utf-8"))
CURRENT = yaml.safe_load((ROOT / "openapi.yaml").read_text("utf-8"))
PATH = "/api/v1/processes/complete-step"
JSON = "application/json"


def breaking_changes(old: Any, new: Any) -> Iterator[str]:
    """What a client of the contract `old` can no longer rely on in `new`, in words."""
    for path, methods in old["paths"].items():
        for method, before in methods.items():
            after = new["paths"].get(path, {}).get(method)
            place = f"{method.upper()} {path}"
            if after is None:
                yield f"{place} is gone"
            else:
                yield from _operation(place, (old, before), (new, after))
    for name in old["components"]["schemas"].keys() - new["components"]["schemas"].keys():
        yield f"schema {name} is gone, which generated clients name"


# A pair is a document and the part of it that is compared; references lead into the document.
Pair = tuple[Any, Any]


def _operation(place: str, before: Pair, after: Pair) -> Iterator[str]:
    (old_document, old), (new_document, new) = before, after
    for key in ("operationId", "security"):
        if old.get(key) != new.get(key):
            yield f"{place}: {key} has changed"
    old_body, new_body = old["requestBody"], new["requestBody"]
    if new_body.get("required") and not old_body.get("required"):
        yield f"{place}: the body is required now"
    yield from _contents(
        f"{place} body", (old_document, old_body), (new_document, new_body), response=False
    )
    for status, response in old["responses"].items():
        now = new["responses"].get(status)
        if now is None:
            yield f"{place}: {status} is no longer documented"
            continue
        for header in response.get("headers", {}).keys() - now.get("headers", {}).keys():
            yield f"{place} {status}: header {header} is gone"
        yield from _contents(
            f"{place} {status}", (old_document, response), (new_document, now), response=True
        )
    for status in new["responses"].keys() - old["responses"].keys():
        yield f"{place}: {status} is documented now, and no client knows it"


def _contents(place: str, before: Pair, after: Pair, *, response: bool) -> Iterator[str]:
    (old_document, old), (new_document, new) = before, after
    for media_type, content in old["content"].items():
        now = new["content"].get(media_type)
        if now is None:
            yield f"{place}: {media_type} is gone"
        else:
            schemas = (old_document, content["schema"]), (new_document, now["schema"])
            yield from _schema(place, *schemas, response=response)


def _schema(place: str, before: Pair, after: Pair, *, response: bool) -> Iterator[str]:
    (old_document, old), (new_document, new) = before, after
    old, new = _resolved(old_document, old), _resolved(new_document, new)
    for key in ("type", "format", "pattern"):
        if old.get(key) != new.get(key):
            yield f"{place}: {key} {old.get(key)} has become {new.get(key)}"
    for widens, words in _reach(old, new):
        if widens == response:  # a request may get wider and a response narrower
            yield f"{place}: {words}"
    for name in old.get("properties", {}).keys() - new.get("properties", {}).keys():
        yield f"{place}: {name} is gone"
    for name, schema in old.get("properties", {}).items():
        if now := new.get("properties", {}).get(name):
            schemas = (old_document, schema), (new_document, now)
            yield from _schema(f"{place} {name}", *schemas, response=response)
    old_more, new_more = (one.get("additionalProperties", True) for one in (old, new))
    if isinstance(old_more, dict) and isinstance(new_more, dict):
        schemas = (old_document, old_more), (new_document, new_more)
        yield from _schema(f"{place} *", *schemas, response=response)


def _reach(old: Any, new: Any) -> Iterator[tuple[bool, str]]:
    """Each way in which more values are valid now (True), or fewer (False)."""
    if old.get("nullable", False) != new.get("nullable", False):
        yield (True, "may be null") if new.get("nullable") else (False, "may no longer be null")
    before, now = old.get("enum"), new.get("enum")
    if before is not None and (now is None or set(now) - set(before)):
        yield True, "there are new options"
    if now is not None and (before is None or set(before) - set(now)):
        yield False, "there are fewer options"
    required, required_now = set(old.get("required", ())), set(new.get("required", ()))
    for name in required - required_now:
        yield True, f"{name} is no longer required"
    for name in required_now - required:
        yield False, f"{name} is required now"
    more, more_now = (one.get("additionalProperties", True) for one in (old, new))
    if more != more_now and not (isinstance(more, dict) and isinstance(more_now, dict)):
        yield more_now is True or more is False, "other members are treated differently"
    for key, sign in (("minimum", -1), ("maximum", 1), ("minLength", -1), ("maxLength", 1)):
        limit, limit_now = old.get(key), new.get(key)
        if limit != limit_now:
            widens = limit_now is None or (limit is not None and sign * (limit_now - limit) > 0)
            yield widens, f"{key} {limit} has become {limit_now}"


def _resolved(document: Any, schema: Any) -> Any:
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    return schema


def test_the_contract_keeps_what_its_last_release_promised() -> None:
    assert list(breaking_changes(RELEASED, CURRENT)) == []


def operation(document: Any) -> Any:
    return document["paths"][PATH]["post"]


def schemas(document: Any) -> Any:
    return document["components"]["schemas"]


def request_schema(document: Any) -> Any:
    return _resolved(document, operation(document)["requestBody"]["content"][JSON]["schema"])


BREAKING: list[tuple[str, Callable[[Any], Any], str]] = [
    (
        "a documented status removed",
        lambda new: operation(new)["responses"].pop("401"),
        "401 is no longer documented",
    ),
    (
        "a status nobody knows added",
        lambda new: operation(new)["responses"].update({"409": {"description": "."}}),
        "409 is documented now",
    ),
    (
        "the path renamed",
        lambda new: new["paths"].update({"/v2": new["paths"].pop(PATH)}),
        f"POST {PATH} is gone",
    ),
    (
        "the operation renamed",
        lambda new: operation(new).update(operationId="complete"),
        "operationId has changed",
    ),
    (
        "another way to authorise",
        lambda new: operation(new).update(security=[]),
        "security has changed",
    ),
    (
        "a field of a response removed",
        lambda new: schemas(new)["StepCompleted"]["properties"].pop("version"),
        "200: version is gone",
    ),
    (
        "a field of a response no longer promised",
        lambda new: schemas(new)["StepCompleted"]["required"].remove("data"),
        "200: data is no longer required",
    ),
    (
        "a field of a response that may be null now",
        lambda new: schemas(new)["StartedStep"]["properties"]["processId"].update(nullable=True),
        "200 data processId: may be null",
    ),
    (
        "a field of the request renamed",
        lambda new: request_schema(new)["properties"].update(
            parameters=request_schema(new)["properties"].pop("params")
        ),
        "body: params is gone",
    ),
    (
        "an optional field of the request made required",
        lambda new: request_schema(new)["required"].append("params"),
        "body: params is required now",
    ),
    (
        "another type",
        lambda new: schemas(new)["Param"]["properties"]["longValue"].update(type="string"),
        "longValue: type integer has become string",
    ),
    (
        "less accepted than before",
        lambda new: schemas(new)["SubmittedParam"]["properties"]["longValue"].update(maximum=10),
        "body params * longValue: maximum 9223372036854775807 has become 10",
    ),
    (
        "more in a response than before",
        lambda new: schemas(new)["ParamType"]["enum"].append("DATE"),
        "200 data params * type: there are new options",
    ),
    (
        "unknown members of the request refused",
        lambda new: request_schema(new).update(additionalProperties=False),
        "body: other members are treated differently",
    ),
    (
        "a fixed message changed",
        lambda new: schemas(new)["Unauthorized"]["properties"]["message"].update(pattern="^No$"),
        "401 message: pattern ^Unauthorized request$ has become ^No$",
    ),
    (
        "a header removed",
        lambda new: operation(new)["responses"]["401"].pop("headers"),
        "401: header WWW-Authenticate is gone",
    ),
]


@pytest.mark.parametrize(
    ("change", "words"), [case[1:] for case in BREAKING], ids=[case[0] for case in BREAKING]
)
def test_a_breaking_change_is_noticed(change: Callable[[Any], Any], words: str) -> None:
    new = deepcopy(RELEASED)
    change(new)
    assert any(words in found for found in breaking_changes(RELEASED, new)), list(
        breaking_changes(RELEASED, new)
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda new: operation(new).update(description="Other words."),
        lambda new: new["info"].update(version="1.1.0"),
        lambda new: request_schema(new)["properties"].update(note={"type": "string"}),
        lambda new: schemas(new)["StepCompleted"]["properties"].update(note={"type": "string"}),
        lambda new: schemas(new).update(Note={"type": "string"}),
    ],
    ids=["words", "version", "optional field", "field of a response", "schema"],
)
def test_growth_is_allowed(change: Callable[[Any], Any]) -> None:
    new = deepcopy(RELEASED)
    change(new)
    assert list(breaking_changes(RELEASED, new)) == []
