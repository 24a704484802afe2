"""docs/readings.md is held to the readings, to the contract and to the tests."""

import re

import pytest
import yaml

from stepstub import profiles
from stepstub.readings import DEFAULT, Question, as_mapping, differing, questions
from support import ROOT

PAGE = (ROOT / "docs" / "readings.md").read_text("utf-8")
TESTS = (ROOT / "tests" / "test_readings.py").read_text("utf-8")
CONTRACT_TEXT = (ROOT / "openapi.yaml").read_text("utf-8")
CONTRACT = yaml.safe_load(CONTRACT_TEXT)

SECTIONS = {
    int(number): text
    for number, text in re.findall(r"^## (\d+)\. (.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
}
each_number = pytest.mark.parametrize("number", range(1, 22))
each_reading = pytest.mark.parametrize("name", questions())


def paragraphs(number: int) -> dict[str, str]:
    """The paragraphs of a section that begin with a label, by that label, each in one line."""
    found = re.findall(
        r"^\*\*([\w ]+):\*\* (.+?)$(?=\n\n|\n?\Z)", SECTIONS[number], re.DOTALL | re.MULTILINE
    )
    return {label: " ".join(text.split()) for label, text in found}


def described(name: str, question: Question) -> str:
    """How a reading begins on the page: its anchor and its question."""
    if question.meanings:
        return f'<a id="{name}"></a>\n`{name}`: {question.text}\n\n'
    header = "Any header's name" if name == "credentials-header" else "Any text"
    ours = as_mapping(DEFAULT)[name]
    asked = f"{question.text} {header}; ours is `{ours}`."
    return f'<a id="{name}"></a>\n`{name}`: {asked}'


def rows(name: str) -> list[list[str]]:
    """The table of a reading: value, meaning, who does that."""
    _, _, after = PAGE.partition(f'<a id="{name}"></a>\n')
    table = re.search(r"^\|.*?(?=\n\n)", after, re.DOTALL | re.MULTILINE)
    assert table
    head, rule, *body = table[0].splitlines()
    assert head == "| value | what it means | who does that |"
    assert rule == "|---|---|---|"
    return [re.split(r" (?<!\\)\| ", row.removeprefix("| ").removesuffix(" |")) for row in body]


def test_the_page_has_every_number_and_no_other() -> None:
    assert list(SECTIONS) == list(range(1, 22))
    assert {question.number for question in questions().values()} <= set(SECTIONS)


def test_the_page_has_every_reading_once_and_no_other() -> None:
    anchors = {number: re.findall(r'<a id="([^"]*)">', text) for number, text in SECTIONS.items()}

    assert sorted(name for names in anchors.values() for name in names) == sorted(questions())
    for number, names in anchors.items():
        assert all(questions()[name].number == number for name in names), number


@each_reading
def test_a_reading_has_its_anchor_and_question(name: str) -> None:
    text = " ".join(PAGE.split())
    assert " ".join(described(name, questions()[name]).split()) in text


@pytest.mark.parametrize("name", [name for name, each in questions().items() if each.meanings])
def test_a_table_has_the_values_in_their_order_with_their_meanings(name: str) -> None:
    shown = [(value, meaning.strip("`")) for value, meaning, _ in rows(name)]

    first, *others = questions()[name].meanings.items()
    assert shown == [
        (f"`{first[0]}` (ours)", first[1]),
        *((f"`{value}`", meaning) for value, meaning in others),
    ]
    assert all(who.strip() for _, _, who in rows(name))


def test_every_value_that_the_page_names_exists() -> None:
    for name, value in re.findall(r"`([a-z-]+): ([a-z0-9-]+)`", PAGE):
        if name in questions():
            assert value in map(str, questions()[name].meanings), f"{name}: {value}"


def test_the_page_names_every_preset() -> None:
    for name in profiles.built_in()[1:]:
        assert f"[{name}](../fixtures/readings/{name}.yaml)" in PAGE


def test_the_profile_that_is_shown_is_one() -> None:
    (shown,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    assert differing(profiles.parse(shown, "docs/readings.md").readings)


@each_number
def test_a_section_says_everything(number: int) -> None:
    labels = list(paragraphs(number))
    assert labels == re.findall(r"^\*\*([\w ]+):\*\*", SECTIONS[number], re.MULTILINE)

    needed = ["The document", "Open", "Why ours", "To be safe", "In the contract"]
    has_readings = any(question.number == number for question in questions().values())
    if "Our reading" in labels or not has_readings:
        needed.insert(2, "Our reading")
    assert labels == needed
    assert len(paragraphs(number)["To be safe"]) > 10


@each_number
def test_a_section_has_a_test(number: int) -> None:
    assert re.search(rf"^(async )?def test_reading_{number:02}_\w+\(", TESTS, re.MULTILINE)


def places() -> dict[str, str]:
    """Everything the contract describes: its name on the page -> the description."""
    found: dict[str, str] = {}
    for name, scheme in CONTRACT["components"]["securitySchemes"].items():
        found[name] = scheme["description"]
    for name, schema in CONTRACT["components"]["schemas"].items():
        found[name] = schema["description"]
        for field, property_ in schema.get("properties", {}).items():
            found[f"{name}.{field}"] = property_.get("description", "")
    for methods in CONTRACT["paths"].values():
        for operation in methods.values():
            name = operation["operationId"]
            found[name] = operation["description"]
            for status, response in operation["responses"].items():
                found[f"{name}.{status}"] = response["description"]
                for header, header_ in response.get("headers", {}).items():
                    found[f"{name}.{status}.{header}"] = header_["description"]
    return found


def test_each_inferred_place_of_the_contract_belongs_to_a_reading() -> None:
    explained = {
        place
        for number in SECTIONS
        for place in re.findall(r"`([^`]+)`", paragraphs(number)["In the contract"])
    }
    marks = {
        place: len(re.findall("^Inferred:", text, re.MULTILINE)) for place, text in places().items()
    }
    written = re.findall(r'^ *(?:description: "?)?Inferred:', CONTRACT_TEXT, re.MULTILINE)

    assert sum(marks.values()) == len(written)  # `places` has looked everywhere
    assert {place for place, count in marks.items() if count} <= explained
    assert explained <= set(places())


def test_the_page_about_adding_one_names_files_and_tests_that_exist() -> None:
    page = (ROOT / "docs" / "adding-a-reading.md").read_text("utf-8")
    tests = "\n".join(file.read_text("utf-8") for file in ROOT.glob("tests/test_*.py"))

    for name in re.findall(r"`(test_\w+)`", page):
        assert f"def {name}(" in tests, name
    for path in re.findall(r"`((?:src|tests|handlers|fixtures)/[\w./-]+)`", page):
        assert (ROOT / path).exists() or path.endswith("/READING.VALUE.yaml"), path
