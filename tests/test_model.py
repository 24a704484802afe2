"""The records: a param compares with what it is in JSON, and stays what it was otherwise."""

from types import MappingProxyType

import msgspec
import pytest

from stepstub.model import Param

TOTAL = Param(long_value=3, type="LONG")


@pytest.mark.parametrize(
    ("param", "plain"),
    [
        (TOTAL, {"longValue": 3, "type": "LONG"}),
        (TOTAL, MappingProxyType({"type": "LONG", "longValue": 3})),
        (Param(), {}),
        (Param(str_value=None), {"strValue": None}),
        (Param(double_value=0.5), {"doubleValue": 0.5}),
    ],
)
def test_a_param_equals_what_it_is_in_json(param: Param, plain: object) -> None:
    assert param == plain
    assert plain == param
    assert {"a": param} == {"a": plain}
    assert [param] == [plain]


@pytest.mark.parametrize(
    "other",
    [
        {"longValue": 4, "type": "LONG"},
        {"longValue": 3},
        {"long_value": 3, "type": "LONG"},
        {"longValue": 3, "type": "LONG", "strValue": None},
        Param(long_value=3),
        [("longValue", 3), ("type", "LONG")],
        None,
    ],
)
def test_and_nothing_else(other: object) -> None:
    assert other != TOTAL


def test_equal_params_have_one_hash() -> None:
    same = Param(long_value=3, type="LONG")
    assert same == TOTAL
    assert len({same, TOTAL, Param(long_value=3)}) == 2


def test_it_is_encoded_and_decoded_as_before() -> None:
    raw = b'{"longValue":3,"type":"LONG"}'
    assert msgspec.json.encode(TOTAL) == raw
    assert msgspec.json.decode(raw, type=Param) == TOTAL
    with pytest.raises(AttributeError):
        TOTAL.long_value = 4  # type: ignore[misc]
