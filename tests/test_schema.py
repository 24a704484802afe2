"""What a compiled schema says about a value."""

import pytest

from stepstub import contract
from stepstub.schema import Schema, field_name, printable_lines, shorten


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ([], "body"),
        (["params", "total", "longValue"], "params.total.longValue"),
        (["processes", 0, "steps", 12], "processes[0].steps[12]"),
        (["params", "a.b"], 'params["a.b"]'),
        (["params", 'a"b\n'], 'params["a\\"b\\n"]'),
        (["params", ""], 'params[""]'),
        (["params", "my-name"], "params.my-name"),
        (["params", "größe"], "params.größe"),
        (["1"], '["1"]'),
    ],
)
def test_a_field_is_named_so_that_its_place_is_clear(path: list[str | int], name: str) -> None:
    assert field_name(path) == name


def test_printable_lines_keep_their_breaks_and_hide_nothing() -> None:
    shown = printable_lines("größe\n\x1b[31mred\rover\u2028it\n")
    assert shown == "größe\n\\x1b[31mred\\rover\\u2028it\n"


def test_shorten_cuts_what_is_too_long() -> None:
    assert shorten("x" * 100) == "x" * 100
    assert shorten("x" * 101) == "x" * 99 + "…"


@pytest.mark.parametrize(
    ("schema", "value", "code", "detail", "expected", "actual"),
    [
        ({"type": "string"}, 5, "WRONG_TYPE", "must be of type string", "string", "5"),
        ({"type": "string"}, None, "WRONG_TYPE", "not null", "string", "null"),
        ({"type": "string"}, True, "WRONG_TYPE", "not a boolean", "string", "true"),
        ({"type": "string"}, [1], "WRONG_TYPE", "not an array", "string", "an array"),
        ({"type": "string"}, {}, "WRONG_TYPE", "not an object", "string", "an object"),
        ({"type": "object"}, "x", "WRONG_TYPE", "not a string", "object", "x"),
        ({"type": "integer"}, 1.5, "WRONG_TYPE", "with a fraction", "integer", "1.5"),
        (
            {"type": "integer", "nullable": True},
            "1",
            "WRONG_TYPE",
            "must be of type integer or null",
            "integer or null",
            "1",
        ),
        ({"enum": ["A", None]}, "B", "NOT_ALLOWED", "one of A, null", "A, null", "B"),
        ({"maximum": 3}, 4, "OUT_OF_RANGE", "at most 3", "at most 3", "4"),
        ({"minimum": 3}, 2.5, "OUT_OF_RANGE", "at least 3", "at least 3", "2.5"),
        ({"type": "number"}, float("inf"), "WRONG_TYPE", "beyond all bounds", "number", "inf"),
        ({"pattern": "^a$"}, "b", "INVALID", "must match ^a$", "^a$", "b"),
    ],
)
def test_a_violation_says_what_is_wrong(
    schema: dict[str, object],
    value: object,
    code: str,
    detail: str,
    expected: str | None,
    actual: str,
) -> None:
    (violation,) = Schema(schema).violations(value).values()
    assert violation.code == code
    assert detail in violation.detail
    assert violation.expected == expected
    assert violation.actual == actual


def test_a_member_that_is_missing_or_not_known_is_named_itself() -> None:
    schema = Schema({"required": ["a"], "properties": {"a": {}}, "additionalProperties": False})
    assert set(schema.violations({"b": 1})) == {"a", "b"}
    assert schema.violations({"b": 1})["a"].detail == "a is required."
    assert schema.violations({"b": 1})["b"].detail == "b is not known here."


def test_nullable_takes_null_and_references_are_followed() -> None:
    components = {"schemas": {"Text": {"type": "string", "nullable": True}}}
    schema = Schema({"$ref": "#/components/schemas/Text"}, components)
    assert schema.is_valid(None)
    assert schema.is_valid("x")
    assert not schema.is_valid(1)


def test_a_name_that_looks_like_a_number_is_a_name() -> None:
    schema = Schema({"additionalProperties": {"type": "string"}})
    assert set(schema.violations({"0": 1})) == {'["0"]'}


def test_the_number_of_violations_is_bounded() -> None:
    schema = Schema({"additionalProperties": {"type": "string"}})
    value = {f"n{number}": number for number in range(1000)}
    assert len(schema.violations(value)) == 20
    assert len(schema.violations(value, first_only=True)) == 1
    assert schema.violations({"a": "x"}) == schema.violations({"a": "x"}, first_only=True) == {}


def test_a_number_that_a_double_cannot_hold_exactly_is_compared_exactly() -> None:
    schema = Schema({"type": "integer", "maximum": 2**63 - 1, "minimum": -(2**63)})
    assert schema.is_valid(2**63 - 1)
    assert schema.is_valid(-(2**63))
    for value in (2**63, float(2**63), -(2**63) - 1, 10**30, -(10**4000)):
        assert not schema.is_valid(value)


@pytest.mark.parametrize("name", ["", "0", "01", "+1", "a/b", "~", "~1", "a.b", "\x00"])
@pytest.mark.parametrize("bad", [5, None, {"longValue": 1.5}, {"": 1, "strValue": 1}])
def test_no_name_whatsoever_keeps_a_violation_from_being_named(name: str, bad: object) -> None:
    schema = contract.load().document["components"]["schemas"]["Completion"]
    components = contract.load().document["components"]
    violations = Schema(schema, components).violations(
        {"processStepId": "x", "params": {name: bad}}
    )
    assert violations
    assert all(field.startswith("params") for field in violations)
