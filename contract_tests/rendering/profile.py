"""Learnt readings: as a profile, which `--readings` and `--against` take, and as a table."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from math import inf
from textwrap import wrap

import yaml

from stepstub.contract_tests.probes.learnt import Evidence, Learnt
from stepstub.profiles import UNKNOWN, Accepted
from stepstub.readings import DEFAULT, Value, alternatives, as_mapping, questions
from stepstub.schema import printable, shorten

_WIDTH = 100
_MAX_COLUMN = 32


def render(learnt: Learnt, url: str, accepted: Sequence[Accepted] = ()) -> str:
    """A profile with the value of each reading, or `unknown`, and the evidence as comments.

    `accepted` are the causes of failure that it accepts.
    """
    lines = [
        f"# Learnt by stepstub verify: {learnt.requests} requests, {learnt.steps} steps completed.",
        "# A value without quotes that is unknown was not seen; a stub takes the default for it.",
    ]
    if learnt.unfinished:
        lines += _wrapped(f"Learning ended early: {learnt.unfinished}", "#")
    lines += [f"description: {_quoted(f'Learnt from {url}')}", "readings:"]
    for name, value in learnt.values.items():
        lines += _comment(learnt.evidence[name])
        lines.append(f"  {name}: {_scalar(name, value)}")
    return "\n".join(lines) + "\n" + _baseline(accepted)


def table(learnt: Learnt) -> list[str]:
    """A line for each reading: its name, the value, ours where that is another, how it was seen."""
    ours = as_mapping(DEFAULT)
    rows = [("reading", "value", "ours", "seen by")]
    for name, value in learnt.values.items():
        evidence = learnt.evidence[name]
        differs = value is not None and value != ours[name]
        seen_by = f"{evidence.sent}: {evidence.status}" if value is not None else evidence.why
        shown = "unknown" if value is None else _shown(value)
        rows.append((name, shown, _shown(ours[name]) if differs else "", printable(seen_by)))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]])
        for row in rows
    ]
    total = f"{len(learnt.seen)} of {len(questions())} readings seen"
    return [*lines, f"{total}, in {learnt.requests} requests, with {learnt.steps} steps completed"]


def _comment(evidence: Evidence) -> Iterator[str]:
    if evidence.why:
        yield from _wrapped(f"not seen: {evidence.why}", "  #")
    if evidence.remedy:
        yield from _wrapped(f"to see it: {evidence.remedy}", "  #")
    if evidence.sent:
        status = "" if evidence.status is None else f": {evidence.status}"
        yield f"  # {printable(evidence.sent)}{status}"
    if evidence.excerpt:
        yield f"  # {printable(evidence.excerpt)}"
    if evidence.curl:
        yield f"  # {printable(evidence.curl)}"


def _wrapped(text: str, mark: str) -> list[str]:
    # An option is not broken at its hyphens.
    lines = wrap(printable(text), _WIDTH, break_on_hyphens=False)
    return [f"{mark} {line}" for line in lines]


def _baseline(accepted: Sequence[Accepted]) -> str:
    if not accepted:
        return ""
    entries = [asdict(each) for each in accepted]
    data = {"accepted": entries}
    text: str = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=inf)
    return text


def _shown(value: Value) -> str:
    return shorten(printable(str(value)), _MAX_COLUMN)


def _scalar(name: str, value: Value | None) -> str:
    """A value as YAML, in quotes if it is any text, or the text `unknown`."""
    if value is None:
        return UNKNOWN
    if value in alternatives(name) and value != UNKNOWN:
        return str(value)
    return _quoted(str(value))


def _quoted(text: str) -> str:
    quoted: str = yaml.safe_dump(text, default_style='"', width=inf)
    return quoted.rstrip("\n")
