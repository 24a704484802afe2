"""Profiles: YAML files that hold some readings, the others being the defaults.

`readings: {bad-body: 400, last-step-id: absent}`; `fixtures/readings` has the built-in ones.
A value that is not known may be given as `unknown`, without quotes; it is the default then.
Under `accepted` are the causes of failure that a verification accepts for some time.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from stepstub import yaml_source
from stepstub.errors import InvalidReadings, Mistake, ProfileError
from stepstub.readings import (
    DEFAULT,
    Readings,
    as_mapping,
    nearest,
    values_schema,
    with_values,
)
from stepstub.schema import Place, Schema, field_name
from stepstub.yaml_source import MAX_MISTAKES, Source, is_file


@dataclass(frozen=True)
class Accepted:
    """A cause of failure in a verification that is accepted for a reason, until the end of a day.

    `cause` is its key in the report.
    """

    cause: str
    reason: str
    until: date

    def has_expired(self, now: datetime) -> bool:
        """Whether the day is over."""
        return now.date() > self.until


@dataclass(frozen=True)
class Profile:
    """What a profile holds; `name` is that of a built-in one, or the path of its file.

    `unknown` names the readings that are given as unknown; `readings` has the default for these.
    """

    name: str
    readings: Readings = DEFAULT
    unknown: frozenset[str] = frozenset()
    accepted: tuple[Accepted, ...] = ()
    description: str = ""


DEFAULT_NAME = "default"
"""The name of the profile that has every default."""

UNKNOWN = "unknown"
"""Stands, without quotes, for a value that is not known."""

_ACCEPTED: dict[str, Any] = {
    "description": "Causes of failure that `stepstub verify` accepts until the end of a day.",
    "type": "array",
    "items": {
        "type": "object",
        "required": ["cause", "reason", "until"],
        "additionalProperties": False,
        "properties": {
            "cause": {
                "description": "The cause's key in the report, such as shape-401-data.",
                "type": "string",
                "minLength": 1,
            },
            "reason": {"description": "Why it is accepted.", "type": "string", "minLength": 1},
            "until": {
                "description": "A day such as 2027-03-31.",
                "type": "string",
                "pattern": r"^\d{4}-\d\d-\d\d$",
            },
        },
    },
}


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a profile, for editors."""
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Profile of readings",
        "type": "object",
        "required": ["readings"],
        "additionalProperties": False,
        "properties": {
            "description": {"type": "string"},
            "readings": values_schema(),
            "accepted": _ACCEPTED,
        },
    }


def built_in() -> list[str]:
    """Names of the built-in profiles, the default one first."""
    folder = resources.files("stepstub.fixtures").joinpath("readings")
    return [DEFAULT_NAME, *yaml_source.names_in(folder)]


def load(name_or_path: str | Path) -> Readings:
    """The readings of a profile, as `load_profile` finds it. Raises as that does."""
    return load_profile(name_or_path).readings


def load_profile(name_or_path: str | Path) -> Profile:
    """The built-in profile of that name, or the one in that file.

    Raises `InvalidReadings` for another name, and `ProfileError` for a file that cannot be read or
    is not a profile.
    """
    name = str(name_or_path)
    if is_file(name_or_path):
        return parse(yaml_source.read(name, ProfileError), name)
    if name == DEFAULT_NAME:
        return Profile(name)
    if name not in built_in():
        raise InvalidReadings(
            f"There is no profile {name!r}: {nearest(name, built_in())}"
            " A file is given by its path, ending in .yaml."
        )
    file = resources.files("stepstub.fixtures").joinpath("readings", f"{name}.yaml")
    return replace(parse(file.read_text("utf-8"), file.name), name=name)


def chosen(
    profile: str | Path | Mapping[str, Any] | Readings | None, base: Readings = DEFAULT
) -> Readings:
    """The readings that a caller asks for: a profile's, or `base` with some values changed.

    Raises as `load` does, and `InvalidReadings` for a name or value that does not exist.
    """
    if profile is None:
        return base
    if isinstance(profile, Readings):
        return profile
    return load(profile) if isinstance(profile, str | Path) else with_values(base, profile)


def parse(text: str, file: str) -> Profile:
    """A profile from YAML text. Raises `ProfileError`."""
    source = yaml_source.parse(text, file, ProfileError)
    mistakes = [*source.mistakes, *_shape(source)]
    if mistakes:
        raise ProfileError(*mistakes, file=file)
    readings, unknown = DEFAULT, set()
    for name, node in _members(source):
        try:
            is_unknown = _is_unknown(node)
            value = as_mapping(DEFAULT).get(name) if is_unknown else _given(node)
            readings = with_values(readings, {name: value})
            unknown |= {name} if is_unknown else set()
        except InvalidReadings as error:
            mistakes.append(Mistake(str(error), node.start_mark.line + 1))
    entries = source.data.get("accepted", [])
    mistakes += _wrong_entries(source, entries)
    if mistakes:
        raise ProfileError(*mistakes, file=file)
    accepted = (
        Accepted(each["cause"], each["reason"], date.fromisoformat(each["until"]))
        for each in entries
    )
    description = str(source.data.get("description") or "")
    return Profile(file, readings, frozenset(unknown), tuple(accepted), description)


def _shape(source: Source) -> Iterator[Mistake]:
    """What is wrong with a profile before any reading is looked at."""
    data = source.data
    if not isinstance(data, dict):
        yield Mistake("a profile is `readings:` with a name and a value a line")
        return
    members = json_schema()["properties"]
    for name in data:
        if name not in members:
            near = nearest(str(name), members)
            yield Mistake(f"is not known here; {near}", source.line((name,)), str(name))
    if not isinstance(data.get("readings"), dict):
        yield Mistake("must have names with values", source.line(("readings",)), "readings")


def _wrong_entries(source: Source, entries: Any) -> Iterator[Mistake]:
    """What is wrong with the entries under `accepted`."""
    violations = _accepted_schema().located(entries, MAX_MISTAKES)
    found = [(place, yaml_source.detail(place, violation)) for place, violation in violations]
    for place, detail in found or _inconsistent(entries):
        path = ("accepted", *place)
        yield Mistake(detail, source.line(path), field_name(path))


def _inconsistent(entries: list[dict[str, str]]) -> Iterator[tuple[Place, str]]:
    """What a schema cannot say: days that the calendar does not have, causes given twice."""
    causes: set[str] = set()
    for index, entry in enumerate(entries):
        if entry["cause"] in causes:
            yield (index, "cause"), f"{entry['cause']} is accepted twice; leave one of them out"
        causes.add(entry["cause"])
        try:
            date.fromisoformat(entry["until"])
        except ValueError as error:
            yield (index, "until"), f"{entry['until']} is no day: {error}"


@cache
def _accepted_schema() -> Schema:
    return Schema(_ACCEPTED)


def _members(source: Source) -> Iterator[tuple[str, yaml.Node]]:
    root = source.root
    if isinstance(root, yaml.MappingNode):
        for key, value in root.value:
            if key.value == "readings" and isinstance(value, yaml.MappingNode):
                yield from ((name.value, node) for name, node in value.value)


def _is_unknown(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.style is None and node.value == UNKNOWN


def _given(node: yaml.Node) -> object:
    """A value as it is written, for YAML would take 1.10 for 1.1; None for null."""
    if not isinstance(node, yaml.ScalarNode):
        return []
    return None if node.tag == "tag:yaml.org,2002:null" else node.value
