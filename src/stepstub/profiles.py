"""Profiles: YAML files that hold some readings, the others being the defaults.

`readings: {bad-body: 400, last-step-id: absent}`; `fixtures/readings` has the built-in ones.
A value that is not known may be given as `unknown`, without quotes; it is the default then.
"""

from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from stepstub import yaml_source
from stepstub.errors import InvalidReadings, Mistake, ProfileError
from stepstub.readings import DEFAULT, Readings, as_mapping, nearest, with_values
from stepstub.yaml_source import Source, is_file

DEFAULT_NAME = "default"
"""The name of the profile that has every default."""

UNKNOWN = "unknown"
"""Stands, without quotes, for a value that is not known."""


def built_in() -> list[str]:
    """Names of the built-in profiles, the default one first."""
    folder = resources.files("stepstub.fixtures").joinpath("readings")
    return [DEFAULT_NAME, *yaml_source.names_in(folder)]


def load(name_or_path: str | Path) -> Readings:
    """The readings of the built-in profile of that name, or of the one in that file.

    Raises `InvalidReadings` for another name, and `ProfileError` for a file that cannot be read or
    is not a profile.
    """
    if is_file(name_or_path):
        file = str(name_or_path)
        return parse(yaml_source.read(file, ProfileError), file)
    if name_or_path == DEFAULT_NAME:
        return DEFAULT
    if name_or_path not in built_in():
        raise InvalidReadings(
            f"There is no profile {name_or_path!r}: {nearest(str(name_or_path), built_in())}"
            " A file is given by its path, ending in .yaml."
        )
    file = f"{name_or_path}.yaml"
    text = resources.files("stepstub.fixtures").joinpath("readings", file).read_text("utf-8")
    return parse(text, file)


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


def parse(text: str, file: str) -> Readings:
    """The readings of a profile from YAML text. Raises `ProfileError`."""
    source = yaml_source.parse(text, file, ProfileError)
    mistakes = [*source.mistakes, *_shape(source)]
    if mistakes:
        raise ProfileError(*mistakes, file=file)
    readings = DEFAULT
    for name, node in _members(source):
        try:
            value = as_mapping(DEFAULT).get(name) if _is_unknown(node) else _given(node)
            readings = with_values(readings, {name: value})
        except InvalidReadings as error:
            mistakes.append(Mistake(str(error), node.start_mark.line + 1))
    if mistakes:
        raise ProfileError(*mistakes, file=file)
    return readings


def _shape(source: Source) -> Iterator[Mistake]:
    """What is wrong with a profile before any reading is looked at."""
    data = source.data
    if not isinstance(data, dict):
        yield Mistake("a profile is `readings:` with a name and a value a line")
        return
    for name in data:
        if name not in ("readings", "description"):
            near = nearest(str(name), ("readings", "description"))
            yield Mistake(f"is not known here; {near}", source.line((name,)), str(name))
    if not isinstance(data.get("readings"), dict):
        yield Mistake("must have names with values", source.line(("readings",)), "readings")


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
