"""A report for a job of GitHub Actions: annotations, and a summary in Markdown.

The syntax is that of "Workflow commands for GitHub Actions" in GitHub's documentation.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from stepstub.contract_tests.rendering import visible
from stepstub.contract_tests.rendering.facts import Facts
from stepstub.contract_tests.results import Outcome, Report, Seen, plural
from stepstub.profiles import UNKNOWN
from stepstub.readings import Value, questions

_DATA = {"%": "%25", "\r": "%0D", "\n": "%0A"}
_PROPERTY = {**_DATA, ":": "%3A", ",": "%2C"}
_MARKUP = re.compile(r"([\\`*_{}\[\]<>()#+!|&~@:$])")
_MAX_COMMAND = 2_000


def lines(report: Report) -> list[str]:
    """Annotations: an error for what makes the run fail, a notice for other causes.

    The worst come first, for GitHub shows no more than ten of a kind for each step of a job.
    """
    facts = Facts(report)
    notices = [*facts.notes, *facts.accepted]
    return [
        *(_of_cause("error", each) for each in facts.to_fix),
        *(_of_cause("notice", each) for each in notices),
        *(
            _annotation(
                "warning",
                f"{each.entry.cause} is not accepted",
                f"The entry expired after {each.entry.until}: {each.entry.reason}",
            )
            for each in facts.acceptances
            if each.expired
        ),
        *(
            _annotation("error", f"{status} is required", f"No situation covered {status}.")
            for status in report.missing
        ),
        *(
            _annotation(
                "error",
                f"{each.reading} changed",
                f"It was {each.before}, and is {each.now}.",
            )
            for each in report.drift
            if each.changed
        ),
        *([_annotation("error", "Not checked", report.verdict)] if report.unfinished else []),
    ]


def summary(report: Report) -> str:
    """Markdown for the file that GITHUB_STEP_SUMMARY names."""
    return "\n".join([*_summary(Facts(report)), ""])


def _of_cause(command: str, seen: Seen) -> str:
    cause, repeatable = seen.cause, seen.repeatable
    text = [
        f"Seen: {visible.line(seen.findings[0].message)}",
        f"Rule: {visible.line(cause.rule)}",
        f"In {plural(seen.exchanges, 'response')} [{cause.key}]",
    ]
    if seen.accepted is not None:
        text.append(f"Accepted until {seen.accepted.until}: {visible.line(seen.accepted.reason)}")
    if repeatable.curl:
        text.append(visible.line(repeatable.curl, _MAX_COMMAND))
    return _annotation(command, f"{cause.severity}: {cause.title}", "\n".join(text))


def _annotation(command: str, title: str, message: str) -> str:
    """`::error title=...::message`, in one line; the message may have several."""
    shown = visible.block(message)
    return f"::{command} title={_escaped(visible.line(title), _PROPERTY)}::{_escaped(shown, _DATA)}"


def _escaped(text: str, escapes: dict[str, str]) -> str:
    return "".join(escapes.get(character, character) for character in text)


def _summary(facts: Facts) -> Iterator[str]:
    report = facts.report
    yield "## Conformance to Complete Step"
    yield ""
    yield f"**{_text(report.verdict)}**"
    yield ""
    covered = f"{report.counts[Outcome.COVERED]} of {len(report.results)} situations covered"
    seen = f"{report.readings_seen} of {len(questions())} readings seen"
    yield f"{plural(len(facts.to_fix), 'cause')} to fix; {covered}; {seen}."
    if facts.causes:
        yield from _table(
            ["cause", "severity", "seen", "responses"],
            (
                [
                    _text(each.cause.title),
                    each.cause.severity + (" (accepted)" if each.accepted else ""),
                    _text(each.findings[0].message),
                    str(each.exchanges),
                ]
                for each in facts.causes
            ),
        )
    differing = [each for each in facts.readings if each.differs]
    if differing:
        yield from _table(
            ["reading", "this server", "ours"],
            ([each.name, _value(each.value), _value(each.ours)] for each in differing),
        )
    if report.drift:
        yield from _table(
            ["reading", "earlier", "now"],
            ([each.reading, _value(each.before), _value(each.now)] for each in report.drift),
        )
    if facts.gaps:
        yield from _table(
            ["not seen", "would be shown by"],
            (
                [
                    ", ".join(dict.fromkeys([*gap.readings, *gap.cases])),
                    _text(" or ".join(gap.options) or f"no option: {gap.why}"),
                ]
                for gap in facts.gaps
            ),
        )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield ""
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _value(value: Value | None) -> str:
    return UNKNOWN if value is None else _text(str(value))


def _text(text: str) -> str:
    """Text of one line that means nothing in Markdown."""
    return _MARKUP.sub(r"\\\1", visible.line(text))
