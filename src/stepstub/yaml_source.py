"""YAML from people: files read safely, with the line of every mistake."""

from collections.abc import Iterator
from importlib.resources.abc import Traversable
from itertools import islice
from math import inf
from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct

from stepstub.errors import FileError, Mistake, Violation
from stepstub.schema import Place, field_name, shorten

MAX_MISTAKES = 100
"""Mistakes of one file that are told."""

_LARGEST_FILE = 64 * 1024 * 1024
_MAX_ALIASED_NODES = 1_000_000


def names_in(folder: Traversable) -> list[str]:
    """The YAML files of a folder, without their ending, in alphabetical order."""
    names = [entry.name for entry in folder.iterdir()]
    return sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml"))


class Source(Struct, frozen=True):
    """What a file holds: its data, the nodes that know the lines, the mistakes found so far."""

    file: str
    data: Any
    root: yaml.Node | None
    mistakes: tuple[Mistake, ...] = ()

    def line(self, path: Place) -> int | None:
        """The line of what is at `path`, or of the nearest thing around it that exists."""
        return line_of(self.root, path)


def is_file(name_or_path: str | Path) -> bool:
    """Whether a file is meant: a `Path`, or text that has a slash or ends in .yaml or .yml."""
    return isinstance(name_or_path, Path) or (
        "/" in name_or_path or "\\" in name_or_path or name_or_path.endswith((".yaml", ".yml"))
    )


def read(file: str, error: type[FileError]) -> str:
    """The text of a file. Raises `error`."""
    path = Path(file)
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise error(Mistake("larger than 64 MiB"), file=file)
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as failure:
        reason = getattr(failure, "strerror", None) or "it is not UTF-8 text"
        raise error(Mistake(f"cannot be read: {reason}"), file=file) from failure


def parse(text: str, file: str, error: type[FileError]) -> Source:
    """YAML text as data. Raises `error` for what is not YAML, or stands for too much."""
    mistakes: list[Mistake] = []
    try:
        root = yaml.compose(text, Loader=_Loader)
        if root is not None and _aliased_nodes(root) > _MAX_ALIASED_NODES:
            detail = (
                f"its aliases stand for more than {_MAX_ALIASED_NODES} nodes, or for themselves"
            )
            raise error(Mistake(detail), file=file)
        mistakes += islice(_misnamed(root), MAX_MISTAKES)
        data = _Loader("").construct_document(root) if root is not None else None
    except yaml.MarkedYAMLError as failure:
        mark = failure.problem_mark or failure.context_mark
        wrong = Mistake(f"not valid YAML: {failure.problem}", mark.line + 1 if mark else None)
        raise error(*(mistakes or [wrong]), file=file) from failure
    except (yaml.YAMLError, ValueError, RecursionError) as failure:
        wrong = Mistake(f"not valid YAML: {' '.join(str(failure).split())}")
        raise error(*(mistakes or [wrong]), file=file) from failure
    return Source(file, data, root, tuple(mistakes))


def line_of(root: yaml.Node | None, path: Place) -> int | None:
    """The line of what is at `path`, or of the nearest thing around it that exists."""
    if root is None:
        return None
    node = root
    for part in path:
        inner = None
        if isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            inner = node.value[part]
        elif isinstance(node, yaml.MappingNode):
            # Of a name that is given twice, the last one counts.
            members = reversed(node.value)
            inner = next((value for key, value in members if key.value == part), None)
        if inner is None:
            break
        node = inner
    return int(node.start_mark.line) + 1


def detail(place: Place, violation: Violation) -> str:
    """What a schema finds wrong at a place, as a mistake says it beside the field."""
    words = violation.detail.removeprefix(f"{field_name(place)} ").rstrip(".")
    is_unquoted = violation.code == "WRONG_TYPE" and violation.expected == "string"
    return f"{words} (put it in quotes)" if is_unquoted else words


class _Loader(yaml.SafeLoader):
    """Safe YAML in which a date stays the text it was written as."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _aliased_nodes(root: yaml.Node) -> float:
    """How many nodes the aliases stand for; infinitely many where one stands for itself."""
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

    return size(root) - len(sizes)


def _misnamed(root: yaml.Node | None) -> Iterator[Mistake]:
    """What YAML lets pass: a name given twice, of which the last would win, or no text."""
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
            yield from _misnamed_members(node)
            pending.extend(value for _, value in node.value)
        elif any("\ud800" <= character <= "\udfff" for character in node.value):
            yield Mistake("half a surrogate pair is no text", node.start_mark.line + 1)


def _misnamed_members(node: yaml.MappingNode) -> Iterator[Mistake]:
    names: set[str] = set()
    for key, _ in node.value:
        if key.tag == "tag:yaml.org,2002:merge":
            continue
        line, name = key.start_mark.line + 1, shorten(str(key.value))
        if key.tag != "tag:yaml.org,2002:str":
            yield Mistake("a name must be text; put it in quotes", line, name)
        elif key.value in names:
            yield Mistake("is given twice", line, name)
        else:
            names.add(key.value)
