"""The built-in profiles of readings, and the schema that editors check a profile with."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from stepstub import profiles
from stepstub.app import create_app
from stepstub.errors import ProfileError
from stepstub.profiles import json_schema
from stepstub.readings import DEFAULT, questions, with_values
from stepstub.settings import Settings
from support import ROOT, Client, processes

FOLDER = ROOT / "fixtures" / "readings"
SCHEMA = ROOT / "fixtures" / "readings.schema.json"
FILES = sorted(FOLDER.iterdir())
each_preset = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


def test_every_preset_is_built_in() -> None:
    assert profiles.built_in() == ["default", *(file.stem for file in FILES)]
    assert [file.stem for file in FILES] == ["express", "fastapi", "spring"]


def test_the_schema_is_what_the_readings_say() -> None:
    assert SCHEMA.read_text("utf-8") == json.dumps(json_schema(), indent=2) + "\n", (
        "write it again: stepstub readings --schema > fixtures/readings.schema.json"
    )


@each_preset
def test_a_preset_meets_the_schema(file: Path) -> None:
    text = file.read_text("utf-8")
    profile = yaml.safe_load(text)

    jsonschema_rs.validator_for(json.loads(SCHEMA.read_bytes())).validate(profile)
    assert profile["description"]
    assert text.startswith("# yaml-language-server: $schema=../readings.schema.json\n")
    assert profiles.load(file) == profiles.load(file.stem)
    order = list(questions())
    assert list(profile["readings"]) == sorted(profile["readings"], key=order.index)


@pytest.mark.parametrize(
    "profile",
    [
        {"readings": {"bad-bodies": 400}},
        {"readings": {"bad-body": 401}},
        {"readings": {"version": []}},
        {"reading": {}},
        {"description": "no readings"},
        {"readings": {}, "accepted": {"cause": "shape-401-data"}},
        {"readings": {}, "accepted": [{"cause": "a", "reason": "b", "until": "tomorrow"}]},
        {"readings": {}, "accepted": [{"cause": "a", "until": "2027-03-31"}]},
    ],
    ids=json.dumps,
)
def test_the_schema_refuses(profile: dict[str, Any]) -> None:
    assert not jsonschema_rs.validator_for(json_schema()).is_valid(profile)


@each_preset
def test_every_value_of_a_preset_has_a_reason(file: Path) -> None:
    _, _, readings = file.read_text("utf-8").partition("\nreadings:\n")
    explained = False
    for line in readings.splitlines():
        if re.match(r"  [a-z]", line):  # a comment may be that of several values below it
            assert explained, f"{file.name}: {line.strip()} has no comment"
        else:
            explained = line.startswith("  # ")


@pytest.mark.parametrize(
    ("preset", "status", "media_type", "members"),
    [
        ("spring", 400, "application/json", ["timestamp", "status", "error", "path"]),
        ("fastapi", 422, "application/problem+json", ["type", "title", "status", "detail"]),
        ("express", 400, "text/html; charset=utf-8", None),
    ],
)
def test_a_bad_body_gets_what_the_framework_sends(
    preset: str, status: int, media_type: str, members: list[str] | None
) -> None:
    client = Client(create_app(processes("two-steps"), Settings(readings=profiles.load(preset))))

    response = client.post(b"{")

    assert (response.status, response.headers["content-type"]) == (status, media_type)
    assert members is None or list(response.json) == members


@pytest.mark.parametrize(
    ("preset", "sent", "returned"),
    [
        ("spring", "3.5", "3"),
        ("spring", '"12"', "12"),
        ("fastapi", "9223372036854775808", "9223372036854775808"),
        ("fastapi", '"12"', "12"),
        ("express", "3.5", "3.5"),
        ("express", "9007199254740993", "9007199254740992"),
    ],
)
def test_a_long_becomes_what_the_framework_makes_of_it(
    preset: str, sent: str, returned: str
) -> None:
    client = Client(create_app(processes("two-steps"), Settings(readings=profiles.load(preset))))

    param = f'{{"longValue": {sent}}}'
    response = client.post(
        f'{{"processStepId": "order-1-approve", "params": {{"n": {param}}}}}'.encode()
    )

    assert response.status == 200
    returned_longs = re.findall(rb'"longValue":([^,}]+)', response.body)
    assert returned.encode() in returned_longs


def test_a_value_may_be_unknown_which_is_the_default(tmp_path: Path) -> None:
    file = tmp_path / "learnt.yaml"
    file.write_text(
        "readings: {bad-body: unknown, empty-step-id: unknown, last-step-id: absent,"
        " version: unknown, success-message: 'unknown'}",
        "utf-8",
    )
    expected = {"last-step-id": "absent", "success-message": "unknown"}
    assert profiles.load(file) == with_values(DEFAULT, expected)
    assert jsonschema_rs.validator_for(json_schema()).is_valid(yaml.safe_load(file.read_text()))


def test_an_unknown_value_of_an_unknown_reading_is_a_mistake() -> None:
    with pytest.raises(ProfileError, match="There is no reading 'bad-bodies'"):
        profiles.parse("readings: {bad-bodies: unknown}", "mine.yaml")
