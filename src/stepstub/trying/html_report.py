"""What a run has shown as one HTML page."""

from pathlib import Path

from stepstub.reports import environment
from stepstub.schema import printable, printable_lines
from stepstub.trying.outcomes import Summary
from stepstub.trying.section import meaning


def render(summary: Summary, what: str) -> bytes:
    """The page. `what` is what was tried: a test, or the command. What they sent is escaped."""
    made = environment("stepstub.trying")
    made.filters |= {"line": printable, "block": printable_lines}
    page = made.get_template("trials.html")
    return page.render(summary=summary, what=what, meaning=meaning).encode()


def write(summary: Summary, what: str, *, json_file: Path | None, html_file: Path | None) -> None:
    """Write the summary to those files that are asked for."""
    if json_file is not None:
        json_file.write_bytes(summary.as_json())
    if html_file is not None:
        html_file.write_bytes(render(summary, what))
