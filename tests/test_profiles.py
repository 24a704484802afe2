"""Profiles, and the ways to choose one: file, command line, environment, control API, fixtures."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import requests
import yaml
from click.testing import CliRunner

from stepstub import contract, overlay, profiles
from stepstub.cli import main
from stepstub.client import ControlFailed
from stepstub.errors import InvalidReadings, ProfileError
from stepstub.inprocess import InProcess
from stepstub.live import LiveServer
from stepstub.profiles import Accepted
from stepstub.readings import DEFAULT, as_mapping, differing, questions, with_values
from support import TIMEOUT
from test_cli import printed, run, serve
from test_plugin import Suite

STEP = "order-1-approve"


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    return Suite(tmp_path)


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "mine.yaml"
    file.write_text(text, "utf-8")
    return file


# --- files


def test_a_profile_holds_some_readings_and_leaves_the_others(tmp_path: Path) -> None:
    text = "description: Ours.\nreadings:\n  bad-body: 400\n  last-step-id: absent\n"
    readings = profiles.load(written(tmp_path, text))
    assert differing(readings) == {"bad-body": 400, "last-step-id": "absent"}


@pytest.mark.parametrize(
    ("line", "changed"),
    [
        ("version: 1.10", {"version": "1.10"}),
        ("version: 2026-01-01", {"version": "2026-01-01"}),
        ("success-message: yes", {"success-message": "yes"}),
        ('success-message: ""', {"success-message": ""}),
        ('success-message: "null"', {"success-message": "null"}),
        ("success-message: |-\n    two\n    lines", {"success-message": "two\nlines"}),
        ("completed-step: '409'", {"completed-step": 409}),
        ("last-step-id: null", {}),
        ("last-step-id: ~", {}),
        ("last-step-id:", {}),
        ("last-step-params: null", {"last-step-params": "null"}),
        ("unset-fields: null", {"unset-fields": "null"}),
        ("bad-body: &a 400\n  unknown-step: *a", {"bad-body": 400, "unknown-step": 400}),
    ],
)
def test_values_are_taken_as_they_are_written(
    tmp_path: Path, line: str, changed: dict[str, Any]
) -> None:
    readings = profiles.load(written(tmp_path, f"readings:\n  {line}\n"))
    assert differing(readings) == changed


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", ["{file}: a profile is `readings:` with a name and a value a line"]),
        ("- bad-body: 400", ["{file}: a profile is `readings:` with a name and a value a line"]),
        ("readings: 5", ["{file}, line 1: readings: must have names with values"]),
        ("readings:", ["{file}, line 1: readings: must have names with values"]),
        ("description: x", ["{file}, line 1: readings: must have names with values"]),
        (
            "reading: {}\nreadings: {}",
            ["{file}, line 1: reading: is not known here; did you mean readings?"],
        ),
        (
            "readings: {}\nacepted: []",
            ["{file}, line 2: acepted: is not known here; did you mean accepted?"],
        ),
        (
            "readings:\n  bad-bodies: 400",
            ["{file}, line 2: There is no reading 'bad-bodies': did you mean bad-body?"],
        ),
        (
            "readings:\n  version: 2\n  last-step-id: absend",
            ['{file}, line 3: last-step-id cannot be "absend": did you mean absent?'],
        ),
        (
            "readings:\n  bad-body: 401",
            ['{file}, line 2: bad-body cannot be "401": did you mean 412 or 400?'],
        ),
        (
            "readings:\n  bad-body: yes",
            ['{file}, line 2: bad-body cannot be "yes": choose 412, 400, 422.'],
        ),
        (
            "readings:\n  bad-body:",
            ["{file}, line 2: bad-body cannot be null: choose 412, 400, 422."],
        ),
        ("readings:\n  version: []", ["{file}, line 2: version cannot be []: it takes a text."]),
        ("readings:\n  version:", ["{file}, line 2: version cannot be null: it takes a text."]),
        (
            "readings:\n  credentials-header: a b",
            ['{file}, line 2: credentials-header cannot be "a b": it is not a header\'s name.'],
        ),
        (
            "readings:\n  bad-body: 400\n  bad-body: 422",
            ["{file}, line 3: bad-body: is given twice"],
        ),
        ("readings:\n  5: 400", ["{file}, line 2: 5: a name must be text; put it in quotes"]),
        (
            "readings: {bad-body: 1,\n  version: 2,\n  chalenge: absent}",
            [
                '{file}, line 1: bad-body cannot be "1": did you mean 412?',
                "{file}, line 3: There is no reading 'chalenge': did you mean challenge?",
            ],
        ),
        (
            "readings: {bad-body: 400",
            ["{file}, line 1: not valid YAML: expected ',' or '}}', but got '<stream end>'"],
        ),
    ],
)
def test_a_bad_profile_gets_a_line_for_each_mistake(
    tmp_path: Path, text: str, lines: list[str]
) -> None:
    file = written(tmp_path, text)
    with pytest.raises(ProfileError) as error:
        profiles.load(file)
    assert str(error.value).splitlines() == [line.format(file=file) for line in lines]
    told = run("serve", "--readings", str(file)) if text == "readings: 5" else None
    if told:
        assert (told.returncode, told.stdout) == (1, "")
        assert told.stderr == f"Error: {error.value}\n"


BASELINE = """\
accepted:
  - cause: shape-401-data
    reason: known bug 123, mended in 2.4
    until: 2027-03-31
  - {cause: reading-bad-body, reason: "as agreed: 400", until: "2020-01-01"}
"""


def test_a_profile_says_what_is_unknown_and_what_is_accepted(tmp_path: Path) -> None:
    text = f"description: Ours.\nreadings: {{bad-body: 400, version: unknown}}\n{BASELINE}"
    file = written(tmp_path, text)
    profile = profiles.load_profile(file)
    assert profile.readings == profiles.load(file) == with_values(DEFAULT, {"bad-body": 400})
    assert (profile.name, profile.description) == (str(file), "Ours.")
    assert profile.unknown == {"version"}
    assert profile.accepted == (
        Accepted("shape-401-data", "known bug 123, mended in 2.4", date(2027, 3, 31)),
        Accepted("reading-bad-body", "as agreed: 400", date(2020, 1, 1)),
    )
    as_an_editor_sees_it = yaml.load(f"readings: {{}}\n{BASELINE}", yaml.BaseLoader)
    assert jsonschema_rs.validator_for(profiles.json_schema()).is_valid(as_an_editor_sees_it)


def test_a_cause_is_accepted_until_the_end_of_the_day() -> None:
    accepted = Accepted("shape-401-data", "a known bug", date(2027, 3, 31))
    assert not accepted.has_expired(datetime(2027, 3, 31, 23, 59, tzinfo=UTC))
    assert accepted.has_expired(datetime(2027, 4, 1, tzinfo=UTC))


@pytest.mark.parametrize("name", profiles.built_in())
def test_a_built_in_profile_accepts_nothing(name: str) -> None:
    profile = profiles.load_profile(name)
    assert (profile.name, profile.readings) == (name, profiles.load(name))
    assert profile.accepted == ()


@pytest.mark.parametrize(
    ("accepted", "lines"),
    [
        ("accepted:", ["1: accepted: must be of type array, not null"]),
        ("accepted: {cause: a}", ["1: accepted: must be of type array, not an object"]),
        ("accepted:\n- shape", ["2: accepted[0]: must be of type object, not a string"]),
        (
            "accepted:\n- cuase: a\n  reason: 5\n  until: tomorrow",
            [
                "2: accepted[0].cause: is required",
                "2: accepted[0].cuase: is not known here; did you mean cause?",
                "3: accepted[0].reason: must be of type string, not an integer (put it in quotes)",
                "4: accepted[0].until: must be a day such as 2027-03-31",
            ],
        ),
        (
            "accepted:\n- cause: ''\n  reason: ''\n  until: 2027-3-31",
            [
                "2: accepted[0].cause: must not be empty",
                "3: accepted[0].reason: must not be empty",
                "4: accepted[0].until: must be a day such as 2027-03-31",
            ],
        ),
        (
            "accepted:\n" + 2 * "- {cause: a, reason: b, until: 2027-02-30}\n",
            [
                "2: accepted[0].until: 2027-02-30 is no day: day is out of range for month",
                "3: accepted[1].cause: a is accepted twice; leave one of them out",
                "3: accepted[1].until: 2027-02-30 is no day: day is out of range for month",
            ],
        ),
    ],
)
def test_a_wrong_baseline_gets_a_line_for_each_mistake(
    tmp_path: Path, accepted: str, lines: list[str]
) -> None:
    file = written(tmp_path, f"{accepted}\nreadings: {{bad-body: 401}}")
    with pytest.raises(ProfileError) as error:
        profiles.load_profile(file)
    *about_entries, about_readings = str(error.value).splitlines()
    assert about_entries == [f"{file}, line {line}" for line in lines]
    assert 'bad-body cannot be "401"' in about_readings


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="cannot be read: No such file"):
        profiles.load(tmp_path / "nowhere.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"readings: {version: \xe4}")
    with pytest.raises(ProfileError, match="it is not UTF-8 text"):
        profiles.load(tmp_path / "latin.yaml")


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(InvalidReadings, match="no profile 'defalt': did you mean default"):
        profiles.load("defalt")


@pytest.mark.parametrize("text", ["\udcff", "half \ud800"])
def test_what_is_no_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidReadings, match="it is not Unicode text"):
        with_values(DEFAULT, {"success-message": text})


@pytest.mark.parametrize("value", [True, [], {}, None], ids=str)
def test_what_is_no_value_is_refused(value: Any) -> None:
    for name in ("version", "bad-body"):
        with pytest.raises(InvalidReadings, match=f"{name} cannot be"):
            with_values(DEFAULT, {name: value})


@pytest.mark.parametrize("name", profiles.built_in())
def test_a_built_in_profile_is_the_same_by_every_way(name: str) -> None:
    readings = profiles.load(name)
    effective = contract.effective(readings)
    assert printed("spec", "--readings", name) == effective.text
    expected = "".join(f"{key}: {value}\n" for key, value in differing(readings).items())
    unknown = [each for each in questions() if each in profiles.load_profile(name).unknown]
    expected += f"unknown: {', '.join(unknown)}\n" if unknown else ""
    assert printed("readings", name) == expected
    with InProcess("two-steps", readings=name) as sandbox:
        assert sandbox.readings == readings
        assert complete(sandbox) == 200
        assert sandbox.app.violations == 0


# --- refused requests


def complete(sandbox: Any, step_id: str = STEP) -> int:
    param = {"longValue": 1, "type": "LONG"}
    response = requests.post(
        sandbox.complete_step_url,
        json={"processStepId": step_id, "params": {"a": param}},
        headers=sandbox.headers,
        timeout=TIMEOUT,
    )
    return response.status_code


@pytest.fixture
def server() -> Iterator[LiveServer]:
    with LiveServer("two-steps", readings={"version": "server's"}) as running:
        yield running


BAD = [
    ({"bad-bodies": 400}, "There is no reading 'bad-bodies': did you mean bad-body?"),
    ({"version": "new", "bad-body": 401}, "bad-body cannot be 401: did you mean 412 or 400?"),
    ({"version": None}, "version cannot be null: it takes a text."),
]


@pytest.mark.parametrize(("readings", "told"), BAD)
def test_a_refused_sandbox_is_not_made(
    server: LiveServer, readings: dict[str, Any], told: str
) -> None:
    health = requests.get(f"{server.url}/_stub/health", timeout=TIMEOUT).json()
    with pytest.raises(ControlFailed) as refused, server.sandbox(readings=readings):
        pass
    assert (refused.value.status, str(refused.value)) == (400, told)
    assert requests.get(f"{server.url}/_stub/health", timeout=TIMEOUT).json() == health


@pytest.mark.parametrize(("readings", "told"), BAD)
def test_a_refused_reset_leaves_everything(
    server: LiveServer, readings: dict[str, Any], told: str
) -> None:
    with server.sandbox("two-steps", readings={"bad-body": 422}) as sandbox:
        assert complete(sandbox) == 200
        sandbox.fault("before")
        before = sandbox.processes(), sandbox.journal(), sandbox.readings
        for scenario in (None, "last-step"):
            with pytest.raises(ControlFailed) as refused:
                sandbox.reset(scenario, readings=readings)
            assert (refused.value.status, str(refused.value)) == (400, told)
        with pytest.raises(ControlFailed, match="no scenario"):
            sandbox.reset("nowhere", readings={"version": "new"})
        sandbox._readings = None  # noqa: SLF001 - asked for again
        assert (sandbox.processes(), sandbox.journal(), sandbox.readings) == before
        assert len(sandbox.unused_faults()) == 1


def test_a_reset_keeps_readings_until_it_is_given_others(server: LiveServer) -> None:
    with server.sandbox("two-steps", readings={"bad-body": 422}) as sandbox:
        sandbox.reset()
        assert differing(sandbox.readings) == {"bad-body": 422, "version": "server's"}
        sandbox.reset(readings={"version": "new"})
        assert differing(sandbox.readings) == {"bad-body": 422, "version": "new"}
        sandbox.reset(readings="default")
        assert differing(sandbox.readings) == {}
    assert differing(server.default_sandbox().readings) == {"version": "server's"}


def test_two_sandboxes_read_the_document_differently_on_one_server(server: LiveServer) -> None:
    with (
        server.sandbox("last-step", readings={"credentials": "basic", "version": "1"}) as one,
        server.sandbox("last-step", readings={"credentials": "api-key", "version": "2"}) as two,
        server.sandbox("last-step", readings="default") as three,
    ):
        assert list(one.headers) == ["Authorization"]
        assert one.headers["Authorization"].startswith("Basic ")
        assert list(two.headers) == ["X-API-Key"]
        assert three.headers["Authorization"].startswith("Bearer ")
        for sandbox in (one, two, three):
            assert complete(sandbox, "invoice-1-archive") == 200
        bodies = [json.loads(each.journal()[0].response or "") for each in (one, two, three)]
        assert [body["version"] for body in bodies] == ["1", "2", "1.0.0"]
        listed = requests.get(
            f"{server.url}/_stub/readings",
            headers={"Authorization": f"Bearer {two.token}"},
            timeout=TIMEOUT,
        ).json()["readings"]
        assert listed == as_mapping(two.readings)
        assert list(listed) == list(questions())


# --- the command line and the environment


def curled(served: Any) -> str:
    return next((line for line in served.banner if "readings that differ" in line), "").strip()


@pytest.mark.parametrize(
    ("arguments", "environment", "changed"),
    [
        ([], {}, ""),
        (["--reading", "version=a=b"], {}, "version: a=b"),
        (["--reading", "version=1", "--reading", "version=2"], {}, "version: 2"),
        ([], {"STEPSTUB_READING": "bad-body=400 version=3"}, "bad-body: 400, version: 3"),
        (["--reading", "version=1"], {"STEPSTUB_READING": "bad-body=400"}, "version: 1"),
        (["--readings", "mine.yaml"], {}, "bad-body: 422, version: file"),
        ([], {"STEPSTUB_READINGS": "mine.yaml"}, "bad-body: 422, version: file"),
        (["--readings", "default"], {"STEPSTUB_READINGS": "mine.yaml"}, ""),
        (
            ["--reading", "bad-body=400", "--readings", "mine.yaml"],
            {},
            "bad-body: 400, version: file",
        ),
        (
            ["--reading", "bad-body=412"],
            {"STEPSTUB_READINGS": "mine.yaml"},
            "version: file",
        ),
        (["--reading", "version=\x1b[31m\n"], {}, r"version: \x1b[31m\n"),
    ],
    ids=str,
)
def test_single_readings_come_on_top_of_a_profile_and_options_before_the_environment(
    tmp_path: Path, arguments: list[str], environment: dict[str, str], changed: str
) -> None:
    file = str(written(tmp_path, "readings: {bad-body: 422, version: file}"))
    arguments = [file if each == "mine.yaml" else each for each in arguments]
    environment = {n: file if v == "mine.yaml" else v for n, v in environment.items()}
    with serve(*arguments, **environment) as served:
        expected = f"readings that differ from the default: {changed}" if changed else ""
        assert curled(served) == expected


@pytest.mark.parametrize(
    ("arguments", "environment", "told"),
    [
        (["--reading", "version"], {}, "'version' is not of the form NAME=VALUE."),
        (["--reading", "bad-body=401"], {}, 'bad-body cannot be "401": did you mean 412 or 400?'),
        ([], {"STEPSTUB_READING": "x=1"}, "There is no reading 'x': choose "),
        (["--readings", "sprin"], {}, "There is no profile 'sprin': did you mean spring"),
        ([], {"STEPSTUB_READINGS": "/nowhere.yaml"}, "/nowhere.yaml: cannot be read"),
    ],
)
def test_what_is_wrong_with_an_option_is_one_line(
    arguments: list[str], environment: dict[str, str], told: str
) -> None:
    for command in ("serve", "spec"):
        result = CliRunner().invoke(main, [command, *arguments], env=environment)
        assert result.exit_code != 0
        (line,) = result.stderr.splitlines()
        assert told in line


def test_spec_as_json_and_as_an_overlay() -> None:
    arguments = ["--readings", "spring", "--reading", "unknown-step=404"]
    document = json.loads(printed("spec", *arguments, "--format", "json"))
    assert yaml.safe_load(printed("spec", *arguments)) == document
    as_json = json.loads(printed("spec", *arguments, "--overlay", "--format", "json"))
    assert yaml.safe_load(printed("spec", *arguments, "--overlay")) == as_json
    rebuilt = json.loads(printed("spec", "--format", "json"))
    overlay.apply(rebuilt, as_json)
    rebuilt["info"]["description"] = document["info"]["description"]
    assert rebuilt == document
    assert not json.loads(printed("spec", "--overlay", "--format", "json"))["actions"]


def test_readings_says_what_a_profile_leaves_unknown_and_accepts(tmp_path: Path) -> None:
    text = f"readings: {{bad-body: 400, version: unknown, time-out: unknown}}\n{BASELINE}"
    shown = printed("readings", str(written(tmp_path, text.replace("2027", "2999"))))
    assert shown.splitlines() == [
        "bad-body: 400",
        "unknown: time-out, version",
        "shape-401-data is accepted until 2999-03-31: known bug 123, mended in 2.4",
        "reading-bad-body was accepted until 2020-01-01: as agreed: 400",
    ]


def test_readings_lists_every_value_and_the_schema_knows_them() -> None:
    listed = printed("readings")
    for name, question in questions().items():
        assert f"{name}: {question.text}" in listed
        for value, meaning in question.meanings.items():
            assert f"      {value}: {meaning}" in listed
    assert listed.endswith(f"Profiles: {', '.join(profiles.built_in())}\n")
    schema = jsonschema_rs.validator_for(json.loads(printed("readings", "--schema")))
    assert schema.is_valid({"readings": as_mapping(DEFAULT)})
    assert not schema.is_valid({"readings": {"bad-body": 401}})


# --- what a stub shows

HOSTILE = "<script>alert(1)</script> & \"'\u2028 # {version}: - [x](javascript:alert(1))\n- y: *z"


@pytest.mark.parametrize("name", ["success-message", "version"])
def test_a_hostile_text_is_text_everywhere(name: str) -> None:
    readings = with_values(DEFAULT, {name: HOSTILE})
    with InProcess("two-steps", readings=readings) as sandbox:
        get = lambda path: requests.get(sandbox.url + path, timeout=TIMEOUT)  # noqa: E731
        page = get("/docs/readings").text
        assert "<script>" not in page
        assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; &quot;&#x27;" in page
        as_json = get("/openapi.json").json()
        assert yaml.safe_load(get("/openapi.yaml").text) == as_json
        schema = as_json["components"]["schemas"]
        shown = {
            "version": schema["Version"]["example"],
            "success-message": schema["StepCompleted"]["properties"]["message"]["example"],
        }
        assert shown[name] == HOSTILE
        response = requests.post(
            sandbox.complete_step_url,
            json={"processStepId": STEP},
            headers=sandbox.headers,
            timeout=TIMEOUT,
        ).json()
        assert response[name.removeprefix("success-")] == HOSTILE
        assert sandbox.app.violations == 0
    combined = yaml.safe_load(printed("spec", "--reading", f"{name}={HOSTILE}", "--overlay"))
    rebuilt = yaml.safe_load(printed("spec"))
    overlay.apply(rebuilt, combined)
    assert rebuilt["components"] == as_json["components"]


def test_the_pages_show_the_readings_of_the_default_sandbox() -> None:
    with InProcess(readings={"bad-body": 400, "version": "2"}) as sandbox:
        page = requests.get(f"{sandbox.url}/docs/readings", timeout=TIMEOUT).text
        sections = dict(re.findall(r'<section id="([a-z-]+)"( class="changed")?>', page))
        assert list(sections) == list(questions())
        assert [name for name, changed in sections.items() if changed] == ["bad-body", "version"]
        assert '<li class="chosen">400: Bad Request (in force)</li>' in page
        document = requests.get(f"{sandbox.url}/openapi.json", timeout=TIMEOUT).json()
        assert "400" in document["paths"]["/api/v1/processes/complete-step"]["post"]["responses"]


# --- fixtures


FIXTURES = """
import pytest
import requests

def changed(sandbox):
    from stepstub.readings import differing
    return differing(sandbox.readings)
"""


def test_the_marker_comes_on_top_of_the_ini_file(suite: Suite) -> None:
    (suite.path / "ours.yaml").write_text("readings: {bad-body: 422, version: ours}")
    code = f"""{FIXTURES}
def test_ini(stepstub, stepstub_sandbox, stepstub_server):
    expected = {{"bad-body": 422, "version": "ours"}}
    assert changed(stepstub) == changed(stepstub_sandbox) == expected
    assert changed(stepstub_server.default_sandbox()) == expected

@pytest.mark.stepstub(readings={{"bad-body": 400}})
def test_mapping(stepstub, stepstub_sandbox, stepstub_server):
    expected = {{"bad-body": 400, "version": "ours"}}
    assert changed(stepstub) == changed(stepstub_sandbox) == expected
    assert changed(stepstub_server.default_sandbox())["bad-body"] == 422

@pytest.mark.stepstub(readings="default")
def test_name(stepstub, stepstub_sandbox):
    assert changed(stepstub) == changed(stepstub_sandbox) == {{}}

@pytest.mark.stepstub(readings={{"credentials": "basic"}})
class TestClass:
    def test_headers(self, stepstub, stepstub_sandbox):
        for sandbox in (stepstub, stepstub_sandbox):
            sandbox.start_process("two-steps")
            for headers, status in (({{}}, 401), (sandbox.headers, 200)):
                assert requests.post(
                    sandbox.complete_step_url,
                    json={{"processStepId": "order-1-approve"}},
                    headers=headers,
                    timeout=10,
                ).status_code == status
"""
    suite.run(code, ini="stepstub_readings = ours.yaml", passed=4)


MARKER_TAKES = "takes readings=..., vary=... and faults=[...], and nothing else"


@pytest.mark.parametrize(
    ("marker", "told"),
    [
        ('readings="sprin"', "There is no profile 'sprin': did you mean spring"),
        ('readings={"bad-body": 401}', "bad-body cannot be 401"),
        (
            'reading={"bad-body": 400}',
            MARKER_TAKES,
        ),
        ('faults=[{"phase": "during"}]', "fault {'phase': 'during'}: "),
        ('faults=[{"fase": "after"}]', "unexpected keyword argument 'fase'"),
        ('"spring"', MARKER_TAKES),
    ],
)
def test_a_wrong_marker_is_an_error(suite: Suite, marker: str, told: str) -> None:
    code = f"import pytest\n@pytest.mark.stepstub({marker})\ndef test_it(stepstub): pass\n"
    output = suite.run(code, error=1)
    assert told in output


def test_a_wrong_profile_in_the_ini_file_is_an_error(suite: Suite) -> None:
    output = suite.run("def test_it(stepstub): pass", ini="stepstub_readings = nothing", error=1)
    assert "stepstub_readings: There is no profile 'nothing'" in output
