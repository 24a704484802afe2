"""A report as one HTML page, which loads nothing and needs no script."""

import re
from collections.abc import Iterable
from functools import cache
from importlib import metadata

from jinja2 import Environment
from markupsafe import Markup, escape

from stepstub.contract_tests.rendering import facts, visible
from stepstub.contract_tests.rendering.facts import Facts
from stepstub.contract_tests.results import Exit, Outcome, Report, plural
from stepstub.readings import questions
from stepstub.reports import environment

MAX_MESSAGES = 4
"""How many of the messages of a cause are shown at once."""

_TONES = {
    Exit.CONFORMS: ("good", "✓", "Conforms"),
    Exit.VIOLATES: ("bad", "✕", "Does not conform"),
    Exit.COULD_NOT_RUN: ("unchecked", "?", "Not checked"),
    Exit.DRIFTED: ("changed", "≠", "Changed"),
}
"""How a verdict looks, its sign, and how the title of the page begins."""


def render(report: Report) -> str:
    """The text of `report.html`. Whatever a server sent is escaped."""
    return (
        _environment()
        .get_template("report.html")
        .render(
            report=report,
            facts=Facts(report),
            version=metadata.version("stepstub"),
            severities=facts.SEVERITIES,
            outcomes=facts.OUTCOMES,
            choices=_choices,
            tone=_TONES[report.exit],
            Outcome=Outcome,
            readings_total=len(questions()),
            max_messages=MAX_MESSAGES,
        )
    )


@cache
def _environment() -> Environment:
    made = environment("stepstub.contract_tests.rendering")
    made.filters |= {
        "line": visible.line,
        "curl": _command,
        "body": visible.body,
        "unbroken": _unbroken,
        "plural": plural,
    }
    return made


def _command(line: str) -> Markup:
    """A command line."""
    return _unbroken(visible.block(line, visible.MAX_CURL))


def _unbroken(text: str) -> Markup:
    """Text that is not broken within the name of an option."""
    name = r"(?<![^\s(])--?[A-Za-z][A-Za-z-]*"
    return Markup(re.sub(name, r'<span class="option">\g<0></span>', str(escape(text))))


def _choices(words: Iterable[str], order: Iterable[str]) -> list[tuple[str, int]]:
    """The words that there are, in an order, each with its number."""
    given = list(words)
    return [(word, given.count(word)) for word in order if word in given]
