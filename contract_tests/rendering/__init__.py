"""A report in four forms, and learnt readings as a profile.

text.py         for the terminal
json_report.py  report.json, for programs
junit.py        junit.xml, for a CI system
html_report.py  report.html, for people; report.html here is its template
profile.py      the learnt readings
"""

from pathlib import Path

from stepstub.contract_tests.rendering import html_report, json_report, junit
from stepstub.contract_tests.results import Report


def write(report: Report, directory: Path) -> None:
    """Write `junit.xml`, `report.json` and `report.html` to a directory, made if need be."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "junit.xml").write_bytes(junit.render(report))
    (directory / "report.json").write_text(json_report.render(report), "utf-8")
    (directory / "report.html").write_text(html_report.render(report), "utf-8")
