"""Scenarios: YAML that says which processes exist at the start.

`fixtures/scenario.schema.json` is what a scenario is checked against, and what editors complete
from. Every error names the file, and each mistake's line and field.
"""

import difflib
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import yaml
from msgspec import Struct

from stepstub import yaml_source
from stepstub.errors import Mistake, ScenarioError, UnknownScenario, Violation
from stepstub.model import RECORDED, Delegate, Param, Process, Status, Step
from stepstub.schema import Place, Schema, field_name, position, shorten
from stepstub.yaml_source import MAX_MISTAKES, is_file, line_of


class Scenario(Struct, frozen=True):
    """Processes as they stand at the start, under a name."""

    name: str
    description: str
    processes: tuple[Process, ...]


def built_in() -> list[str]:
    """Names of the scenarios that come with the package, in alphabetical order."""
    return yaml_source.names_in(resources.files("stepstub.fixtures"))


def load(name_or_path: str | Path) -> Scenario:
    """The built-in scenario of that name, or the one in that file.

    Raises `UnknownScenario` for any other name, `ScenarioError` for a file that cannot
    be read or is not a scenario.
    """
    if is_file(name_or_path):
        file = str(name_or_path)
        return parse(yaml_source.read(file, ScenarioError), name=Path(file).stem, file=file)
    name_or_path = str(name_or_path)
    if name_or_path in built_in():
        return load_built_in(name_or_path)
    hint = "A file is given by its path, ending in .yaml."
    raise UnknownScenario(f"{_no_such_name(name_or_path)} {hint}")


@cache
def load_built_in(name: str) -> Scenario:
    """The scenario of that name among the built-in ones. Raises `UnknownScenario`."""
    if name not in built_in():
        raise UnknownScenario(_no_such_name(name))
    text = resources.files("stepstub.fixtures").joinpath(f"{name}.yaml").read_text("utf-8")
    return parse(text, name=name, file=f"{name}.yaml")


def parse(text: str, *, name: str, file: str) -> Scenario:
    """A scenario from YAML text. Raises `ScenarioError`."""
    source = yaml_source.parse(text, file, ScenarioError)
    return build(source.data, name=name, file=file, root=source.root, mistakes=source.mistakes)


def build(
    data: Any,
    *,
    name: str,
    file: str,
    root: yaml.Node | None = None,
    mistakes: Sequence[Mistake] = (),
) -> Scenario:
    """A scenario from parsed YAML or JSON; `root` gives the lines for errors.

    Raises `ScenarioError` for whatever is wrong with it, and for `mistakes` that are known already.
    """
    try:
        violations = _schema().located(data, MAX_MISTAKES + 1)
    except (ValueError, UnicodeEncodeError) as error:
        raise ScenarioError(*(mistakes or [Mistake(str(error))]), file=file) from error
    wrong = [(path, _detail(path, violation)) for path, violation in violations]
    wrong += islice(_inconsistent(data), MAX_MISTAKES)
    if wrong or mistakes:
        wrong.sort(key=lambda item: position(data, item[0]))
        found = [
            Mistake(detail, line_of(root, path), field_name(path) if path else "")
            for path, detail in wrong
        ]
        if len(found) > MAX_MISTAKES:
            found[MAX_MISTAKES:] = [Mistake("and there is more", found[MAX_MISTAKES].line)]
        raise ScenarioError(*mistakes, *found, file=file)
    processes = tuple(
        Process(process["id"], steps(process["steps"], process["id"]))
        for process in data["processes"]
    )
    return Scenario(name, data.get("description", ""), processes)


def _detail(path: Place, violation: Violation) -> str:
    detail = yaml_source.detail(path, violation)
    return detail if path else f"the scenario {detail}"


def merge(scenarios: Sequence[Scenario]) -> tuple[Process, ...]:
    """The processes of all of them. Raises `ScenarioError` where two use the same id."""
    owners: dict[str, str] = {}
    for scenario in scenarios:
        for process in scenario.processes:
            for identifier in (process.id, *(step.id for step in process.steps)):
                owner = owners.setdefault(identifier, scenario.name)
                if owner != scenario.name:
                    raise ScenarioError(
                        Mistake(f"id {identifier!r} is used by scenario {owner!r} as well"),
                        file=scenario.name,
                    )
    return tuple(process for scenario in scenarios for process in scenario.processes)


def steps(specs: Sequence[dict[str, Any]], process_id: str) -> tuple[Step, ...]:
    """Steps of one process from their descriptions, which have been checked by the schema.

    Without any status the first is STARTED and the others PENDING. A step without an id gets the
    process's with its number: `order-1-2`.
    """
    first = Status.PENDING if any("status" in spec for spec in specs) else Status.STARTED
    return tuple(
        Step(
            id=spec.get("id") or f"{process_id}-{position + 1}",
            process_id=process_id,
            position=position,
            status=Status(spec.get("status", Status.PENDING if position else first)),
            delegate=_delegate(spec.get("delegate")),
            params=params(spec.get("params")),
            time_out_in_seconds=float(spec.get("timeOutInSeconds") or 0),
        )
        for position, spec in enumerate(specs)
    )


def params(raw: dict[str, Any] | None) -> dict[str, Param]:
    """Params from parsed JSON that meets the contract; members it does not know are left out."""
    if not raw:
        return {}
    # A long written as 3.0 is the integer 3; nothing else can be amiss after the schema.
    return msgspec.convert(
        {name: _with_whole_long(param) for name, param in raw.items()}, dict[str, Param]
    )


def _with_whole_long(param: dict[str, Any]) -> dict[str, Any]:
    long_value = param.get("longValue")
    return {**param, "longValue": int(long_value)} if isinstance(long_value, float) else param


def _delegate(spec: str | dict[str, str] | None) -> Delegate:
    if spec is None or spec == "recorded":
        return RECORDED
    if isinstance(spec, dict):
        return Delegate("http", spec["http"])
    return msgspec.convert({"kind": spec}, Delegate)


def _inconsistent(data: Any) -> Iterator[tuple[Place, str]]:
    """What a schema cannot say: ids that are used twice, statuses in a wrong order.

    Passes over whatever the schema finds fault with.
    """
    processes = data.get("processes") if isinstance(data, dict) else None
    process_ids: set[str] = set()
    step_ids: set[str] = set()
    for index, process in enumerate(processes if isinstance(processes, list) else ()):
        if not isinstance(process, dict) or not isinstance(process.get("id"), str):
            continue
        place, process_id = ("processes", index), process["id"]
        if process_id in process_ids:
            yield (*place, "id"), f"process id {process_id!r} is used twice"
        process_ids.add(process_id)
        specs = process.get("steps")
        if not isinstance(specs, list) or not all(isinstance(spec, dict) for spec in specs):
            continue
        for number, spec in enumerate(specs):
            step_id = spec.get("id") or f"{process_id}-{number + 1}"
            if not isinstance(step_id, str):
                continue
            if step_id in step_ids:
                yield (*place, "steps", number, "id"), f"step id {step_id!r} is used twice"
            step_ids.add(step_id)
        yield from _misplaced(specs, (*place, "steps"))


_IN_ORDER = "COMPLETED ..., one STARTED or FAILED, PENDING ..."
_ORDER: dict[str, int] = {
    Status.COMPLETED: 0,
    Status.STARTED: 1,
    Status.FAILED: 1,
    Status.PENDING: 2,
}


def _misplaced(specs: Sequence[dict[str, Any]], place: Place) -> Iterator[tuple[Place, str]]:
    """The first status of a process that cannot follow the one before it."""
    reached, before = 0, ""
    # Without any status the first is STARTED, which fits whatever follows.
    for number, spec in enumerate(specs if any("status" in spec for spec in specs) else ()):
        status = spec.get("status", Status.PENDING)
        rank = _ORDER.get(status) if isinstance(status, str) else None
        if rank is None:
            return
        if rank < reached or (rank == reached == 1):
            detail = f"a {status} step cannot follow a {before} one; the order is {_IN_ORDER}"
            yield (*place, number, "status"), detail
            return
        reached, before = rank, status


def _no_such_name(name: str) -> str:
    names = built_in()
    nearest = difflib.get_close_matches(name, names, cutoff=0.5)
    hint = f"did you mean {' or '.join(nearest)}?" if nearest else f"there are {', '.join(names)}."
    return f"There is no scenario {shorten(name)!r}: {hint}"


@cache
def _schema() -> Schema:
    text = resources.files("stepstub.fixtures").joinpath("scenario.schema.json").read_bytes()
    return Schema(msgspec.json.decode(text))
