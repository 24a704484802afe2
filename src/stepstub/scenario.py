"""Scenarios: YAML that says which processes exist at the start.

`fixtures/scenario.schema.json` is what a scenario is checked against, and what editors complete
from. Every error names the file, the line and the field.
"""

import difflib
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import resources
from math import inf
from pathlib import Path
from typing import Any

import msgspec
import yaml
from msgspec import Struct

from stepstub.errors import ScenarioError, UnknownScenario
from stepstub.model import RECORDED, Delegate, Param, Process, Status, Step
from stepstub.schema import Schema, field_name, shorten

_LARGEST_FILE = 64 * 1024 * 1024
_MOST_NODES = 50_000_000


class Scenario(Struct, frozen=True):
    """Processes as they stand at the start, under a name."""

    name: str
    description: str
    processes: tuple[Process, ...]


def built_in() -> list[str]:
    """Names of the scenarios that come with the package, in alphabetical order."""
    return sorted(
        entry.name.removesuffix(".yaml")
        for entry in resources.files("stepstub.fixtures").iterdir()
        if entry.name.endswith(".yaml")
    )


def load(name_or_path: str | Path) -> Scenario:
    """The shipped scenario of that name, or the one in that file.

    Raises `UnknownScenario` for a name that is not shipped, `ScenarioError` for a file that cannot
    be read or is not a scenario.
    """
    if is_file(name_or_path):
        return _load_file(str(name_or_path))
    name_or_path = str(name_or_path)
    if name_or_path in built_in():
        return load_built_in(name_or_path)
    hint = "A file is given by its path, ending in .yaml."
    raise UnknownScenario(f"{_no_such_name(name_or_path)} {hint}")


def is_file(name_or_path: str | Path) -> bool:
    """Whether a file is meant: a `Path`, or text that has a slash or ends in .yaml or .yml."""
    return isinstance(name_or_path, Path) or (
        "/" in name_or_path or "\\" in name_or_path or name_or_path.endswith((".yaml", ".yml"))
    )


def load_built_in(name: str) -> Scenario:
    """The scenario of that name among those that come along. Raises `UnknownScenario`."""
    if name not in built_in():
        raise UnknownScenario(_no_such_name(name))
    text = resources.files("stepstub.fixtures").joinpath(f"{name}.yaml").read_text("utf-8")
    return parse(text, name=name, file=f"{name}.yaml")


def _load_file(file: str) -> Scenario:
    path = Path(file)
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise ScenarioError("larger than 64 MiB", file=file)
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ScenarioError(f"cannot be read: {reason}", file=file) from error
    return parse(text, name=path.stem, file=file)


def parse(text: str, *, name: str, file: str) -> Scenario:
    """A scenario from YAML text. Raises `ScenarioError`."""
    try:
        root = yaml.compose(text, Loader=_Loader)
        _check_size(root, file)
        _check_names(root, file)
        data = _Loader("").construct_document(root) if root is not None else None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise ScenarioError(
            f"not valid YAML: {error.problem}", file=file, line=mark.line + 1 if mark else None
        ) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise ScenarioError(f"not valid YAML: {reason}", file=file) from error
    return build(data, name=name, file=file, root=root)


def build(data: Any, *, name: str, file: str, root: yaml.Node | None = None) -> Scenario:
    """A scenario from parsed YAML or JSON; `root` gives the lines for errors."""
    try:
        violations = _schema().violations(data)
    except (ValueError, UnicodeEncodeError) as error:
        raise ScenarioError(str(error), file=file) from error
    for field, violation in violations.items():
        detail = violation.detail.removeprefix(f"{field} ").rstrip(".")
        if field == "body":
            detail = f"the scenario {detail}"
        if violation.code == "WRONG_TYPE" and violation.expected == "string":
            detail += " (put it in quotes)"
        raise ScenarioError(
            detail, file=file, line=_line(root, field), field="" if field == "body" else field
        )
    processes = tuple(
        _process(process, file, root, index) for index, process in enumerate(data["processes"])
    )
    _check_unique(processes, file, root)
    return Scenario(name, data.get("description", ""), processes)


def merge(scenarios: Sequence[Scenario]) -> tuple[Process, ...]:
    """The processes of all of them. Raises `ScenarioError` where two use the same id."""
    owners: dict[str, str] = {}
    for scenario in scenarios:
        for process in scenario.processes:
            for identifier in (process.id, *(step.id for step in process.steps)):
                owner = owners.setdefault(identifier, scenario.name)
                if owner != scenario.name:
                    raise ScenarioError(
                        f"id {identifier!r} is used by scenario {owner!r} as well",
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
    try:
        return msgspec.convert(raw, dict[str, Param])
    except msgspec.ValidationError:
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


def _process(data: dict[str, Any], file: str, root: yaml.Node | None, index: int) -> Process:
    process = Process(data["id"], steps(data["steps"], data["id"]))
    reached = 0
    for position, step in enumerate(process.steps):
        rank = _ORDER[step.status]
        if rank < reached or (rank == reached == 1):
            field = f"processes[{index}].steps[{position}]"
            raise ScenarioError(
                f"a {step.status} step cannot follow a {process.steps[position - 1].status} one;"
                " the order is COMPLETED ..., one STARTED or FAILED, PENDING ...",
                file=file,
                line=_line(root, field),
                field=f"{field}.status",
            )
        reached = rank
    return process


_ORDER = {Status.COMPLETED: 0, Status.STARTED: 1, Status.FAILED: 1, Status.PENDING: 2}


def _check_unique(processes: Iterable[Process], file: str, root: yaml.Node | None) -> None:
    seen: dict[str, set[str]] = {"process": set(), "step": set()}

    def check(kind: str, identifier: str, field: str) -> None:
        if identifier in seen[kind]:
            raise ScenarioError(
                f"{kind} id {identifier!r} is used twice",
                file=file,
                line=_line(root, field),
                field=field,
            )
        seen[kind].add(identifier)

    for number, process in enumerate(processes):
        place = f"processes[{number}]"
        check("process", process.id, f"{place}.id")
        for step in process.steps:
            check("step", step.id, f"{place}.steps[{step.position}].id")


def _no_such_name(name: str) -> str:
    names = built_in()
    nearest = difflib.get_close_matches(name, names, cutoff=0.5)
    hint = f"did you mean {' or '.join(nearest)}?" if nearest else f"there are {', '.join(names)}."
    return f"There is no scenario {shorten(name)!r}: {hint}"


@cache
def _schema() -> Schema:
    text = resources.files("stepstub.fixtures").joinpath("scenario.schema.json").read_bytes()
    return Schema(msgspec.json.decode(text))


class _Loader(yaml.SafeLoader):
    """Safe YAML in which a date stays the text it was written as."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _check_size(root: yaml.Node | None, file: str) -> None:
    """Refuse aliases that stand for more than a file could hold, or for themselves."""
    sizes: dict[int, float] = {}

    def size(node: yaml.Node) -> float:
        known = sizes.get(id(node))
        if known is None:
            sizes[id(node)] = inf  # until it is known: only an alias for itself can ask
            children = [] if isinstance(node, yaml.ScalarNode) else node.value
            if isinstance(node, yaml.MappingNode):
                children = [each for pair in children for each in pair]
            known = sizes[id(node)] = 1 + sum(map(size, children))
        return known

    if root is not None and size(root) > _MOST_NODES:
        raise ScenarioError("its aliases stand for too much, or for themselves", file=file)


def _check_names(root: yaml.Node | None, file: str) -> None:
    """Refuse what YAML lets pass: a name given twice, of which the last would win, or no text."""
    pending: list[yaml.Node] = [root] if root is not None else []
    visited: set[int] = set()
    while pending:
        node = pending.pop()
        if id(node) in visited:
            continue
        visited.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            pending.extend(node.value)
        elif isinstance(node, yaml.MappingNode):
            _check_mapping(node, file)
            pending.extend(value for _, value in node.value)
        elif any("\ud800" <= character <= "\udfff" for character in node.value):
            line = node.start_mark.line + 1
            raise ScenarioError("half a surrogate pair is no text", file=file, line=line)


def _check_mapping(node: yaml.MappingNode, file: str) -> None:
    names: set[str] = set()
    for key, _ in node.value:
        if key.tag == "tag:yaml.org,2002:merge":
            continue
        place: dict[str, Any] = {
            "file": file,
            "line": key.start_mark.line + 1,
            "field": str(key.value),
        }
        if key.tag != "tag:yaml.org,2002:str":
            raise ScenarioError("a name must be text; put it in quotes", **place)
        if key.value in names:
            raise ScenarioError("is given twice", **place)
        names.add(key.value)


def _line(root: yaml.Node | None, field: str) -> int | None:
    """The line of `processes[0].steps[1].id`, or of the nearest thing around it that exists."""
    if root is None:
        return None
    best: yaml.Node = root
    pending: list[tuple[yaml.Node, tuple[str | int, ...]]] = [(root, ())]
    longest = 0
    while pending:
        node, path = pending.pop()
        name = field_name(path)
        if name == "body" or field == name or field.startswith((f"{name}.", f"{name}[")):
            if len(path) >= longest:
                best, longest = node, len(path)
            if isinstance(node, yaml.SequenceNode):
                pending += [(item, (*path, index)) for index, item in enumerate(node.value)]
            elif isinstance(node, yaml.MappingNode):
                pending += [(value, (*path, key.value)) for key, value in node.value]
    return int(best.start_mark.line) + 1
