"""Scenario files: what they mean, and what is said about those that are wrong."""

import json
import tracemalloc
from pathlib import Path

import jsonschema_rs
import pytest
import yaml

from stepstub import scenario
from stepstub.errors import ScenarioError, UnknownScenario
from stepstub.model import Delegate, Param, Status
from support import ROOT

SHIPPED = ["every-status", "last-step", "long-chain", "third-party", "two-steps"]


def parse(text: str) -> scenario.Scenario:
    return scenario.parse(text, name="mine", file="mine.yaml")


def test_the_shipped_scenarios_are_listed() -> None:
    assert scenario.built_in() == SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_scenario_loads_and_says_what_it_is_for(name: str) -> None:
    loaded = scenario.load(name)
    assert loaded.name == name
    assert loaded.description.endswith(".")
    assert loaded.processes


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_scenario_is_valid_for_an_editor(name: str) -> None:
    """By the schema that ships along, read with another compiler's defaults."""
    schema = json.loads((ROOT / "fixtures" / "scenario.schema.json").read_text("utf-8"))
    text = (ROOT / "fixtures" / f"{name}.yaml").read_text("utf-8")
    assert text.startswith("# yaml-language-server: $schema=scenario.schema.json\n")
    jsonschema_rs.validate(schema, yaml.safe_load(text))


def test_the_shipped_scenarios_can_be_loaded_together() -> None:
    processes = scenario.merge([scenario.load(name) for name in SHIPPED])
    assert len({step.id for process in processes for step in process.steps}) == sum(
        len(process.steps) for process in processes
    )


def test_every_status_has_a_step_in_each_status() -> None:
    steps = [step for process in scenario.load("every-status").processes for step in process.steps]
    assert {step.status for step in steps} == set(Status)


def test_a_step_has_defaults() -> None:
    (process,) = parse("processes: [{id: p, steps: [{}, {}, {id: mine}]}]").processes
    assert [step.id for step in process.steps] == ["p-1", "p-2", "mine"]
    assert [step.status for step in process.steps] == ["STARTED", "PENDING", "PENDING"]
    assert [step.position for step in process.steps] == [0, 1, 2]
    assert {step.process_id for step in process.steps} == {"p"}
    assert process.steps[0].delegate == Delegate("recorded")
    assert process.steps[0].params == {}
    assert process.steps[0].time_out_in_seconds == 0


def test_a_step_is_read_in_full() -> None:
    (process,) = parse(
        """
        processes:
          - id: p
            steps:
              - {id: a, status: COMPLETED}
              - id: b
                status: FAILED
                delegate: {http: "http://127.0.0.1:1/x"}
                timeOutInSeconds: 1.5
                params:
                  total: {longValue: 3.0, type: LONG}
                  day: {strValue: 2026-03-29}
                  none: {doubleValue: null}
              - {id: c, delegate: failing}
              - {id: d, delegate: python}
        """
    ).processes
    step = process.steps[1]
    assert step.status is Status.FAILED
    assert step.delegate == Delegate("http", "http://127.0.0.1:1/x")
    assert step.time_out_in_seconds == 1.5
    assert step.params == {
        "total": Param(long_value=3, type="LONG"),
        "day": Param(str_value="2026-03-29"),
        "none": Param(double_value=None),
    }
    assert isinstance(step.params["total"].long_value, int)
    assert [step.delegate.kind for step in process.steps[2:]] == ["failing", "python"]


def test_no_status_at_all_starts_the_first_step_and_any_status_none() -> None:
    text = "processes: [{id: p, steps: [{status: COMPLETED}, {}]}]"
    (process,) = parse(text).processes
    assert [step.status for step in process.steps] == ["COMPLETED", "PENDING"]


PROCESS = "processes:\n  - id: p\n    steps:\n"
WRONG = {
    "not a mapping": ("- 1", "mine.yaml, line 1: the scenario must be of type object"),
    "empty": ("", "mine.yaml: the scenario must be of type object, not null"),
    "no processes": ("description: x", "line 1: processes: is required"),
    "unknown member": ("processes: []\nproceses: []", "line 2: proceses: is not known here"),
    "no steps": ("processes:\n  - id: p", "line 2: processes[0].steps: is required"),
    "bad status": (PROCESS + "      - {status: DONE}", "line 4: processes[0].steps[0].status: "),
    "bad delegate": (PROCESS + "      - {}\n      - delegate: x", "line 5: processes[0].steps[1]."),
    "bad url": (
        PROCESS + "      - delegate:\n          http: ftp://x",
        "line 5: processes[0].steps[0].delegate",
    ),
    "bad param": (
        PROCESS + "      - params:\n          a:\n            longValue: 3.5",
        "line 6: processes[0].steps[0].params.a.longValue: must be of type integer",
    ),
    "number as id": (
        "processes:\n  - id: 5\n    steps: [{}]",
        "line 2: processes[0].id: must be of type string, not an integer (put it in quotes)",
    ),
    "empty id": ('processes: [{id: "", steps: [{}]}]', "line 1: processes[0].id: "),
    "negative time-out": (
        PROCESS + "      - timeOutInSeconds: -1",
        "line 4: processes[0].steps[0].timeOutInSeconds: must be at least 0",
    ),
    "endless time-out": (
        PROCESS + "      - timeOutInSeconds: .inf",
        "line 4: processes[0].steps[0].timeOutInSeconds: ",
    ),
    "no number as time-out": (
        PROCESS + "      - timeOutInSeconds: .nan",
        "line 4: processes[0].steps[0].timeOutInSeconds: ",
    ),
    "started after pending": (
        PROCESS + "      - status: PENDING\n      - status: STARTED",
        "line 5: processes[0].steps[1].status: a STARTED step cannot follow a PENDING one",
    ),
    "two started": (
        PROCESS + "      - status: STARTED\n      - status: STARTED",
        "line 5: processes[0].steps[1].status: a STARTED step cannot follow a STARTED one",
    ),
    "step id twice": (
        PROCESS + "      - id: a\n      - id: a",
        "line 5: processes[0].steps[1].id: step id 'a' is used twice",
    ),
    "process id twice": (
        "processes:\n  - {id: p, steps: [{}]}\n  - {id: p, steps: [{id: x}]}",
        "line 3: processes[1].id: process id 'p' is used twice",
    ),
    "name twice": ("processes: []\nprocesses: []", "line 2: processes: is given twice"),
    "name that is no text": ("processes: []\n1: x", "line 2: 1: a name must be text"),
    "not YAML": ("processes:\n  - {", "mine.yaml, line 2: not valid YAML: "),
    "tab": ("processes:\n\t- x", "mine.yaml, line 2: not valid YAML: "),
    "an object of Python": (
        "a: !!python/name:os.system",
        "mine.yaml, line 1: not valid YAML",
    ),
    "an unknown anchor": ("processes: *nobody", "mine.yaml, line 1: not valid YAML"),
    "two documents": ("processes: []\n---\nprocesses: []", "mine.yaml, line 2: not valid YAML"),
    "a control character": ("processes: []\ndescription: \0", "mine.yaml"),
    "endless nesting": ("[" * 500, "mine.yaml"),
    "an anchor inside itself": ("processes: &a [*a]", "mine.yaml"),
    "an escaped surrogate": ('processes: [{id: "\\ud800", steps: [{}]}]', "mine.yaml"),
}


A_URL = "a URL that begins with http:// or https://"
WORDS = {
    "a delegate that is nearly one": (
        "delegate: fialing",
        "delegate: must be one of recorded, failing, python, {http: ...}; did you mean failing?",
    ),
    "a delegate that is none": (
        "delegate: 5",
        "delegate: must be one of recorded, failing, python, {http: ...}",
    ),
    "a URL without a scheme": (
        'delegate: {http: "127.0.0.1:9000/x"}',
        f"delegate.http: must be {A_URL}; did you mean http://127.0.0.1:9000/x?",
    ),
    "another scheme": (
        'delegate: {http: "ftp://x"}',
        f"delegate.http: must be {A_URL}",
    ),
    "a delegate's member": (
        'delegate: {http: "http://x", metod: POST}',
        "delegate.metod: is not known here",
    ),
    "a member in other letters": (
        "timeoutInSeconds: 5",
        "timeoutInSeconds: is not known here; did you mean timeOutInSeconds?",
    ),
    "a status that is nearly one": (
        "status: complete",
        "status: must be one of PENDING, STARTED, COMPLETED, FAILED; did you mean COMPLETED?",
    ),
    "an id with a slash": ("id: a/b", "id: must be text without a slash, and not empty"),
    "an id without end": (f"id: {'x' * 201}", "id: must have at most 200 characters"),
}


@pytest.mark.parametrize(("member", "words"), WORDS.values(), ids=WORDS)
def test_a_mistake_says_what_is_allowed_and_what_may_be_meant(member: str, words: str) -> None:
    with pytest.raises(ScenarioError) as error:
        parse(f"{PROCESS}      - {member}")
    assert str(error.value) == f"mine.yaml, line 4: processes[0].steps[0].{words}"


def test_a_process_without_a_step_is_told_that_it_needs_one() -> None:
    with pytest.raises(ScenarioError) as error:
        parse("processes: [{id: p, steps: []}]")
    place, _, words = str(error.value).partition("steps: ")
    assert place == "mine.yaml, line 1: processes[0]."
    assert words == "must not be empty: a process needs at least one step"


def test_all_mistakes_are_told_at_once_in_the_order_of_their_lines() -> None:
    with pytest.raises(ScenarioError) as error:
        parse(
            """\
proceses: []
processes:
  - id: p
    steps:
      - {id: a, status: PENDING, stat: x, delgate: y}
      - {id: a, status: STARTED}
  - id: p
    steps:
      - timeOutInSeconds: -1
        timeOutInSeconds: -2
      - {id: 5}
  - {id: q, steps: []}
  - steps: [{id: a}]
"""
        )
    told = [line.split(": ")[:2] for line in str(error.value).splitlines()]
    assert told == [
        [f"mine.yaml, line {line}", field]
        for line, field in (
            (1, "proceses"),
            (5, "processes[0].steps[0].stat"),
            (5, "processes[0].steps[0].delgate"),
            (6, "processes[0].steps[1].id"),
            (6, "processes[0].steps[1].status"),
            (7, "processes[1].id"),
            (10, "timeOutInSeconds"),
            (10, "processes[1].steps[0].timeOutInSeconds"),
            (11, "processes[1].steps[1].id"),
            (12, "processes[2].steps"),
            (13, "processes[3].id"),
        )
    ]


def test_at_most_a_hundred_mistakes_are_told() -> None:
    steps = "\n".join(["      - {status: DONE}"] * 1000)
    with pytest.raises(ScenarioError) as error:
        parse(PROCESS + steps)
    lines = str(error.value).splitlines()
    assert len(lines) == 101
    assert lines[-1] == "mine.yaml, line 104: and there is more"


@pytest.mark.parametrize(("text", "message"), WRONG.values(), ids=WRONG)
def test_an_error_names_file_line_and_field_in_one_line(text: str, message: str) -> None:
    with pytest.raises(ScenarioError) as error:
        parse(text)
    assert message in str(error.value)
    assert str(error.value).startswith("mine.yaml")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500


def test_anchors_and_merge_keys_are_understood() -> None:
    (process,) = parse(
        """
        processes:
          - id: p
            steps:
              - &first {id: a, timeOutInSeconds: 5}
              - {<<: *first, id: b}
        """
    ).processes
    assert [step.time_out_in_seconds for step in process.steps] == [5, 5]
    assert [step.id for step in process.steps] == ["a", "b"]


def nested(levels: int) -> str:
    """A process whose last step has ten to the power of `levels` params, by way of aliases."""
    lines = ["processes:", "- id: p", "  steps:", "  - params: &a0 {p: {longValue: 1}}"]
    for level in range(1, levels + 1):
        merged = ", ".join([f"*a{level - 1}"] * 10)
        lines.append(f"  - params: &a{level} {{<<: [{merged}]}}")
    return "\n".join(lines)


@pytest.mark.parametrize(
    "text",
    [
        nested(7),
        "processes: &a [[], [], [], [], [], [], [], [], [], []]\n"
        + "".join(
            f"{chr(letter + 1)}: &{chr(letter + 1)} [{', '.join([f'*{chr(letter)}'] * 10)}]\n"
            for letter in range(ord("a"), ord("h"))
        ),
    ],
    ids=["merged", "listed"],
)
def test_aliases_cannot_stand_for_more_than_memory_holds(text: str) -> None:
    assert len(text) < 1000
    tracemalloc.start()
    try:
        with pytest.raises(ScenarioError, match=r"mine\.yaml: its aliases stand for more than"):
            parse(text)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10_000_000


def test_aliases_for_params_of_many_steps_are_fine() -> None:
    params = ", ".join(f"p{number}: {{longValue: {number}}}" for number in range(50))
    steps = "\n".join(["      - params: *shared"] * 500)
    text = f"{PROCESS}      - params: &shared {{{params}}}\n{steps}"
    (process,) = parse(text).processes
    assert {len(step.params) for step in process.steps} == {50}


def test_two_scenarios_cannot_share_an_id() -> None:
    one = parse("processes: [{id: p, steps: [{}]}]")
    other = scenario.parse("processes: [{id: p, steps: [{id: x}]}]", name="other", file="o.yaml")
    with pytest.raises(ScenarioError, match=r"other: id 'p' is used by scenario 'mine' as well"):
        scenario.merge([one, other])


def test_a_file_is_loaded_by_its_path(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("processes: [{id: p, steps: [{}]}]")
    loaded = scenario.load(str(file))
    assert loaded.name == "mine"
    assert loaded.description == ""


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"nowhere\.yaml: cannot be read: No such file"):
        scenario.load("nowhere.yaml")
    with pytest.raises(ScenarioError, match="cannot be read: Is a directory"):
        scenario.load(f"{tmp_path}/")
    (tmp_path / "latin.yaml").write_bytes(b"description: \xe9")
    with pytest.raises(ScenarioError, match="cannot be read: it is not UTF-8 text"):
        scenario.load(str(tmp_path / "latin.yaml"))


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("two-step", "did you mean two-steps"),
        ("everystatus", "did you mean every-status"),
        ("zzz", f"there are {', '.join(SHIPPED)}."),
        ("", f"there are {', '.join(SHIPPED)}."),
    ],
)
def test_an_unknown_name_brings_the_nearest_ones(name: str, hint: str) -> None:
    with pytest.raises(UnknownScenario) as error:
        scenario.load(name)
    assert hint in str(error.value)
