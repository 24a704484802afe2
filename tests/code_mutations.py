"""What can be wrong in the stub's code, one mutation at a time, and what notices each.

`code_mutations.yaml` has the list. Run as a script, this writes it as a table for readers.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec import Struct, yaml

from support import ROOT

PACKAGE = ROOT / "src" / "stepstub"
PAGE = ROOT / "docs" / "mutation.md"

_INTRODUCTION = """\
# Mutation of the stub

The conformance suite is a gate, and a gate has to be seen to close. Each row below is one change to
the code of the stub that breaks a transition, a check or a reading. `make proof` serves the stub
with that change alone and verifies it: the run has to fail, and the case, the reading or the cause
that the row names has to be among its reasons. A change that no run notices fails the build.

The stub is served with the default readings and verified against them; with other readings where
the row says under which. What nobody can see from outside has no row: it has tests of its own.

The table is written by `python tests/code_mutations.py`, from `tests/code_mutations.yaml`.
"""


class Row(Struct, rename="kebab", forbid_unknown_fields=True):
    """One mutation as the list has it, under the name of its file."""

    name: str
    breaks: str
    replace: str
    by: str
    killed_by: str
    readings: dict[str, str | int] = {}


class Mutation(Struct, frozen=True):
    """One change to a file of the package, whose path is relative to it.

    `readings` are those that the stub is served with. `killed_by` is the name of a case, or the key
    of a cause.
    """

    file: str
    name: str
    breaks: str
    replace: str
    by: str
    killed_by: str
    readings: Mapping[str, str | int]

    def applied(self) -> str:
        """The text of the file with the mutation. Raises `ValueError` where it does not fit."""
        text = (PACKAGE / self.file).read_text("utf-8")
        if (found := text.count(self.replace)) != 1:
            raise ValueError(f"{self.name}: {self.file} has its text {found} times, not once")
        return text.replace(self.replace, self.by)


def _listed() -> Iterator[Mutation]:
    text = Path(__file__).with_suffix(".yaml").read_bytes()
    for file, rows in yaml.decode(text, type=dict[str, list[Row]]).items():
        for row in rows:
            yield Mutation(
                file, row.name, row.breaks, row.replace, row.by, row.killed_by, row.readings
            )


MUTATIONS = tuple(_listed())


def page() -> str:
    """The table of all mutations, as Markdown."""
    parts = [_INTRODUCTION]
    for file in dict.fromkeys(each.file for each in MUTATIONS):
        parts.append(f"## {file}\n\n| mutation | what it breaks | killed by |\n|---|---|---|")
        parts += [_line(each) for each in MUTATIONS if each.file == file]
        parts.append("")
    return "\n".join(parts)


def _line(mutation: Mutation) -> str:
    under = ", ".join(f"`{name}: {value}`" for name, value in mutation.readings.items())
    told = f"{mutation.breaks} Under {under}." if under else mutation.breaks
    reading = mutation.killed_by.removeprefix("reading-")
    is_reading = reading != mutation.killed_by
    killer = f"reading [{reading}](readings.md#{reading})" if is_reading else f"`{reading}`"
    return f"| {mutation.name} | {told} | {killer} |"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
