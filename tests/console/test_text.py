"""Text of a client made visible: what is escaped, and what is left out."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepstub.console.text import block, indented, line, seconds, size


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 😀", "<bdi>plain é 😀</bdi>"),
        ("<b>&amp;", "<bdi>&lt;b&gt;&amp;amp;</bdi>"),
        ("a\u202eb", "<bdi>a\\u202eb</bdi>"),
        ("a\ud800b", "<bdi>a\\ud800b</bdi>"),
        ("a\tb\nc", "<bdi>a\\tb\\nc</bdi>"),
        ("abcdef", '<bdi>abc</bdi><span class="cut">… 3 more characters</span>'),
    ],
)
def test_a_line(text: str, shown: str) -> None:
    assert line(text, 3 if text == "abcdef" else 300) == shown


def test_a_block_keeps_its_lines_and_nothing_else_that_is_invisible() -> None:
    assert block("a\n\tb\r\x00") == "<bdi>a\n\tb\\r\\x00</bdi>"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda each: st.lists(each) | st.dictionaries(st.text(), each),
)


@given(JSON)
def test_indenting_changes_no_value(value: object) -> None:
    text = json.dumps(value, ensure_ascii=False)
    assert json.loads(indented(text)) == value


def test_indenting_keeps_names_that_come_twice_and_numbers_as_they_were_written() -> None:
    assert indented('{"a":1.50,"a":[ ],"b":{},"c":[1e2,"x"]}') == (
        '{\n  "a": 1.50,\n  "a": [],\n  "b": {},\n  "c": [\n    1e2,\n    "x"\n  ]\n}'
    )


@pytest.mark.parametrize("text", ["", "{", "no JSON", "[" * 100_000])
def test_what_is_no_json_stays_as_it_is(text: str) -> None:
    assert indented(text) == text


def test_sizes_and_times_in_words() -> None:
    assert [size(n) for n in (0, 1023, 16_384, 3_145_728)] == [
        "0 B",
        "1023 B",
        "16.0 KiB",
        "3.0 MiB",
    ]
    assert [seconds(n) for n in (-1, 0, 42.4, 90, 3600, 90_061)] == [
        *("0 s", "0 s", "42 s", "1 min 30 s", "1 h", "1 d 1 h"),
    ]
