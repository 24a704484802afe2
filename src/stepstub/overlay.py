"""OpenAPI Overlay 1.1 applied to a document, and the overlays of the readings.

An own applier of a few lines, because the libraries tried alias updates, round 64-bit bounds or do
not append to arrays. It keeps the order of members and integers exact.
"""

import copy
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib import resources
from typing import Any

import yaml

from stepstub.readings import Readings, as_mapping, differing

Json = Any


def apply(document: dict[str, Json], overlay: Mapping[str, Json]) -> None:
    """Apply an overlay's actions to a document in place, in their order.

    A target that matches nothing is no error (Overlay 1.1, section 4.4.3.1).
    """
    import jsonpath  # takes 60 ms, and the default needs no overlay

    for action in overlay["actions"]:
        matches = list(jsonpath.finditer(action["target"], document))
        if action.get("remove"):
            # From the last to the first, so that the indices of an array stay right.
            for match in reversed(matches):
                _parent(document, match.parts).pop(match.parts[-1])
        elif "update" in action:
            for match in matches:
                _update(document, match.parts, copy.deepcopy(action["update"]))


def overlays(readings: Readings, example_time: str) -> Iterator[Mapping[str, Json]]:
    """The overlays of the readings that differ from the default and change the contract.

    In the order of the readings, but for one that replaces whole nodes and so comes first. Each
    owns its nodes of the contract, or is written so that it finds those that an earlier one has
    changed. `example_time` is a timestamp in their form.
    """
    changed = differing(readings)
    statuses = sorted({value for value in changed.values() if isinstance(value, int)})
    if statuses:
        yield named("undocumented-response")
    for status in statuses:
        yield _filled(named("undocumented-status"), {"status": str(status)})
    values = {name: str(value) for name, value in as_mapping(readings).items()}
    values["timestamp"] = example_time
    seen = set()
    for name in sorted(changed, key=_FIRST.__ne__):
        value = changed[name]
        for candidate in (f"{name}.{value}", _SHARED.get(name, name)):
            if candidate in names() and candidate not in seen:
                seen.add(candidate)
                yield _filled(named(candidate), values)


_SHARED = {"timestamp-zone": "timestamp"}
_FIRST = "text-for-number"  # the readings about longs change either form of a number


def _update(document: Json, parts: tuple[str | int, ...], update: Json) -> None:
    if not parts:
        _merge(document, update)
        return
    parent, last = _parent(document, parts), parts[-1]
    target = parent[last]
    if isinstance(target, list):
        target.append(update)
    elif isinstance(target, dict) and isinstance(update, dict):
        _merge(target, update)
    else:
        parent[last] = update


def _merge(target: dict[str, Json], update: Mapping[str, Json]) -> None:
    for name, value in update.items():
        present = target.get(name)
        if isinstance(present, dict) and isinstance(value, dict):
            _merge(present, value)
        elif isinstance(present, list) and isinstance(value, list):
            present.extend(value)
        else:
            target[name] = value


def _parent(document: Json, parts: Iterable[str | int]) -> Json:
    *way, _ = parts
    for part in way:
        document = document[part]
    return document


def _filled(overlay: Json, values: Mapping[str, str]) -> Json:
    """The overlay with each string or name `{reading}` replaced by the reading's value."""
    if isinstance(overlay, dict):
        return {_filled(name, values): _filled(value, values) for name, value in overlay.items()}
    if isinstance(overlay, list):
        return [_filled(value, values) for value in overlay]
    if isinstance(overlay, str) and overlay[:1] == "{" and overlay[-1:] == "}":
        return values.get(overlay[1:-1], overlay)
    return overlay


@cache
def names() -> frozenset[str]:
    """The names of all overlays: `reading.value`, or `reading` for one that any text fills."""
    entries = resources.files("stepstub").joinpath("overlays").iterdir()
    return frozenset(
        entry.name.removesuffix(".yaml") for entry in entries if entry.name.endswith(".yaml")
    )


@cache
def named(name: str) -> Mapping[str, Json]:
    """The overlay of that name, with its places for values."""
    text = resources.files("stepstub").joinpath("overlays", f"{name}.yaml").read_text("utf-8")
    overlay: Mapping[str, Json] = yaml.safe_load(text)
    return overlay
