"""A report as lines of text for a terminal that has 100 columns."""

from collections.abc import Iterable, Iterator, Sequence
from textwrap import wrap

from stepstub.contract_tests.rendering import visible
from stepstub.contract_tests.rendering.facts import Facts
from stepstub.contract_tests.results import Outcome, Report, Result, Seen, plural
from stepstub.profiles import UNKNOWN
from stepstub.readings import Value, questions

WIDTH = 100

_MAX_MESSAGES = 3
_MAX_NAMES = 6
_MAX_VALUE = 24
_INDENT = "   "


def line(report: Report, result: Result) -> str:
    """`covered      412  a second completion of a step`"""
    row = f"{report.outcome(result):<12} {result.case.status}  {result.case.situation}"
    return visible.line(f"{row}: {result.why}" if result.why else row)


def lines(report: Report) -> list[str]:
    """The whole report; the verdict begins and ends it.

    Command lines are not wrapped, for they are there to be copied, and nor is the last line.
    """
    facts = Facts(report)
    return [
        *_wrapped(report.verdict),
        *_numbers(report),
        *_causes(facts),
        *_readings(facts),
        *_coverage(facts),
        *_trouble(facts),
        *_unseen(facts),
        *_drift(report),
        "",
        visible.line(report.verdict),
    ]


def without_cases(report: Report) -> list[str]:
    """Why a run that only learns does not end with exit status 0."""
    return [*_causes(Facts(report)), *_drift(report), "", visible.line(report.verdict)]


def _numbers(report: Report) -> Iterator[str]:
    covered = f"{report.counts[Outcome.COVERED]} of {len(report.results)} situations covered"
    seen = f"{report.readings_seen} of {len(questions())} readings seen"
    yield f"{plural(len(report.to_fix), 'cause')} to fix; {covered}; {seen} (--seed {report.seed})"


def _causes(facts: Facts) -> Iterator[str]:
    groups = {
        "To fix": facts.to_fix,
        "Nothing to fix, but good to know": facts.notes,
        "Accepted for now": facts.accepted,
    }
    for title, group in groups.items():
        if group:
            yield from _heading(title)
        for number, seen in enumerate(group, 1):
            yield from _cause(number, seen)
    if any(one.curl for each in facts.causes for one in each.findings):
        yield ""
        yield "$TOKEN stands for the token, $STEP for the id of a fresh STARTED step."
    if facts.stale:
        yield from _heading("Entries that accept nothing")
    for each in facts.stale:
        why = f"expired after {each.entry.until}" if each.expired else "not seen any more"
        yield from _wrapped(f"{each.entry.cause}: {why}", _INDENT)


def _cause(number: int, seen: Seen) -> Iterator[str]:
    cause, repeatable = seen.cause, seen.repeatable
    yield ""
    yield from _wrapped(f"{number}. {cause.severity}: {cause.title} [{cause.key}]", "", _INDENT)
    yield from _wrapped(cause.rule, _INDENT)
    for one in seen.findings[:_MAX_MESSAGES]:
        yield from _wrapped(f"- {one.message}", _INDENT, f"{_INDENT}  ")
    if len(seen.findings) > _MAX_MESSAGES:
        yield f"{_INDENT}- and {len(seen.findings) - _MAX_MESSAGES} more"
    where = _named("situation", seen.cases)
    yield from _wrapped(f"in {plural(seen.exchanges, 'response')}; {where}", _INDENT)
    if seen.accepted is not None:
        accepted = f"accepted until {seen.accepted.until}: {seen.accepted.reason}"
        yield from _wrapped(accepted, _INDENT)
    if repeatable.excerpt:
        yield f"{_INDENT}{visible.body(repeatable.excerpt.replace(chr(10), ' '), WIDTH - 3)}"
    if repeatable.curl:
        yield f"{_INDENT}{visible.line(repeatable.curl, visible.MAX_CURL)}"


def _readings(facts: Facts) -> Iterator[str]:
    shown = [each for each in facts.readings if each.differs or each.deviates]
    if not shown:
        return
    is_asked = any(each.deviates for each in shown)
    yield from _heading(
        "Readings unlike ours" + (", or unlike those asked for" if is_asked else "")
    )
    head = ["reading", "value", "ours", *["asked for"] * is_asked, "seen by"]
    rows = [head]
    for each in shown:
        asked = [_value(each.asked) if each.deviates else ""] * is_asked
        seen_by = f"{each.evidence.sent}: {each.evidence.status}"
        ours = _value(each.ours) if each.differs else ""
        rows.append([each.name, _value(each.value), ours, *asked, visible.line(seen_by)])
    yield from _table(rows)


def _coverage(facts: Facts) -> Iterator[str]:
    yield from _heading("Coverage")
    rows = [["status", *Outcome]]
    for status, group in facts.by_status.items():
        outcomes = [each.outcome for each in group]
        rows.append([str(status), *(str(outcomes.count(each)) for each in Outcome)])
    yield from _table(rows)
    if facts.report.missing:
        yield f"{_INDENT}required but not covered: {', '.join(map(str, facts.report.missing))}"


def _trouble(facts: Facts) -> Iterator[str]:
    if facts.trouble:
        yield from _heading("Trouble on the way")
    for kind, group in facts.trouble.items():
        lost = [each for each in group if not each.recovered]
        example = visible.body((lost or group)[0].detail, 300)
        text = f"{kind}: {plural(len(group), 'request')}, {len(group) - len(lost)} recovered"
        yield from _wrapped(f"{text}; for example {example}", _INDENT, f"{_INDENT}  ")


def _unseen(facts: Facts) -> Iterator[str]:
    if facts.gaps:
        yield from _heading("Not seen")
    for gap in facts.gaps:
        what = f"{' or '.join(gap.options)} would show" if gap.options else f"{gap.why}:"
        shown = [_named("reading", gap.readings), _named("situation", gap.cases)]
        yield from _wrapped(f"{what} {'; '.join(filter(None, shown))}", _INDENT, f"{_INDENT}  ")


def _drift(report: Report) -> Iterator[str]:
    if report.drift:
        yield from _heading("Unlike the earlier profile")
        rows = [["reading", "earlier", "now"]]
        rows += [[each.reading, _value(each.before), _value(each.now)] for each in report.drift]
        yield from _table(rows)


def _heading(title: str) -> Iterator[str]:
    yield ""
    yield title


def _named(thing: str, names: Sequence[str]) -> str:
    """`situations a, b`; empty where there are none."""
    return f"{thing if len(names) == 1 else f'{thing}s'} {_names(names)}" if names else ""


def _names(names: Sequence[str]) -> str:
    more = len(names) - _MAX_NAMES
    return ", ".join(names[:_MAX_NAMES]) + (f" and {more} more" if more > 0 else "")


def _value(value: Value | None) -> str:
    return UNKNOWN if value is None else visible.line(value, _MAX_VALUE)


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows with their columns aligned, cut to the width."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield visible.line(f"{_INDENT}{'  '.join(cells)}".rstrip(), WIDTH)


def _wrapped(text: str, indent: str = "", following: str | None = None) -> Iterable[str]:
    return wrap(
        visible.line(text),
        WIDTH,
        initial_indent=indent,
        subsequent_indent=indent if following is None else following,
        break_on_hyphens=False,
    )
