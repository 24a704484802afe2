"""A report in several forms, and learnt readings as a profile.

text.py         for the terminal
github.py       annotations and a summary, for a job of GitHub Actions
json_report.py  report.json, for programs; report.schema.json is its JSON Schema
junit.py        junit.xml, for a CI system
html_report.py  report.html, for people; page/ has its templates
profile.py      the learnt readings as a profile
profile_file.py the file that it is written to

facts.py        what a report says, which is the same in every form
unseen.py       what was not seen, by what would show it
visible.py      text that a server chose, with nothing hidden in it
"""

from pathlib import Path

from stepstub.contract_tests.rendering import html_report, json_report, junit
from stepstub.contract_tests.results import Report


def write(report: Report, directory: Path) -> None:
    """Write `junit.xml`, `report.json` and `report.html` to a directory, made if need be."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "junit.xml").write_bytes(junit.render(report))
    for name, text in (
        ("report.json", json_report.render(report)),
        ("report.html", html_report.render(report)),
    ):
        # A server can send half of a surrogate pair, which UTF-8 cannot hold; JSON reads this.
        (directory / name).write_text(text, "utf-8", errors="backslashreplace")
