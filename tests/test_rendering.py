"""What the reports make of text that a server chose."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from stepstub.contract_tests.cases.case import Case
from stepstub.contract_tests.findings import DOCUMENT, finding
from stepstub.contract_tests.rendering import text, write
from stepstub.contract_tests.results import Exit, Outcome, Report, Result

HOSTILE = "</code><script>alert('&amp;')</script> {{ 7 * 7 }} \x00 \"><img src=x>"
CASE = Case(name="next-step", status=200, situation="a <b>STARTED</b> step")


@pytest.fixture
def report() -> Report:
    report = Report(f"http://example.test/{HOSTILE}", 1, (200, 401), require=(401,))
    report.results += [
        Result(CASE, (finding(DOCUMENT, f"is wrong: {HOSTILE}", f"curl {HOSTILE}"),)),
        Result(CASE, why=HOSTILE),
    ]
    return report


def test_hostile_text_is_escaped_in_the_page(report: Report, tmp_path: Path) -> None:
    write(report, tmp_path)
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "<script" not in page
    assert "<img" not in page
    assert "<b>" not in page
    assert "{{ 7 * 7 }}" in page
    assert page.count("&lt;script&gt;alert(&#39;&amp;amp;&#39;)&lt;/script&gt;") == 5


def test_hostile_text_is_intact_in_json_and_printable_in_junit(
    report: Report, tmp_path: Path
) -> None:
    write(report, tmp_path)
    failed, not_covered = json.loads((tmp_path / "report.json").read_text("utf-8"))["cases"]
    assert failed["findings"][0]["curl"] == f"curl {HOSTILE}"
    assert not_covered["why"] == HOSTILE
    suite = ET.parse(tmp_path / "junit.xml").getroot()[0]
    assert [(case.get("name"), [child.tag for child in case]) for case in suite] == [
        ("200 a <b>STARTED</b> step", ["failure"]),
        ("200 a <b>STARTED</b> step", ["skipped"]),
        ("401 is required", ["failure"]),
    ]
    assert suite[1][0].get("message") == HOSTILE.replace("\x00", "\ufffd")


def test_the_verdict_follows_from_the_results(report: Report) -> None:
    assert [result.outcome for result in report.results] == [Outcome.FAILED, Outcome.NOT_COVERED]
    assert report.exit is Exit.VIOLATES
    assert report.verdict in text.lines(report)
    assert "1 failed; 1 not covered; required but not covered: 401 (--seed 1)" in report.verdict


def test_a_finding_without_a_curl_line_has_none_in_the_page(tmp_path: Path) -> None:
    report = Report("http://example.test", 1, (200,), results=[Result(CASE)])
    write(report, tmp_path)
    assert "<code>" not in (tmp_path / "report.html").read_text("utf-8")
    report.results.append(Result(CASE, (finding("reading 1", "is odd"),)))
    write(report, tmp_path)
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "<p>is odd <em>(reading 1)</em>" in page
    assert "<code>" not in page
