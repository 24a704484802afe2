"""A report as JUnit XML, which CI systems read."""

from xml.etree import ElementTree as ET

from stepstub.contract_tests.results import Outcome, Report, Result


def render(report: Report) -> bytes:
    """The content of `junit.xml`."""
    cases = [
        *(_result(report, result) for result in report.by_status),
        *(_missing(status) for status in report.missing),
    ]
    suite = ET.Element(
        "testsuite",
        name="stepstub verify",
        timestamp=report.began.isoformat(timespec="seconds"),
        time=f"{sum(result.seconds for result in report.results):.3f}",
        tests=str(len(cases)),
        failures=_count(cases, "failure"),
        skipped=_count(cases, "skipped"),
    )
    suite.extend(cases)
    suites = ET.Element("testsuites")
    suites.append(suite)
    document: bytes = ET.tostring(suites, encoding="utf-8", xml_declaration=True)
    return document


def _result(report: Report, result: Result) -> ET.Element:
    case = ET.Element(
        "testcase",
        classname=f"stepstub.{result.case.status}",
        name=f"{result.case.status} {result.case.situation}",
        time=f"{result.seconds:.3f}",
    )
    text = _printable(
        "\n".join(f"{one.message} [{one.rule}]\n{one.curl}" for one in result.findings)
    )
    if report.fails(result):
        ET.SubElement(case, "failure", message=text.split("\n")[0]).text = text
    elif result.outcome is Outcome.NOT_COVERED:
        ET.SubElement(case, "skipped", message=_printable(result.why))
    elif text:
        ET.SubElement(case, "system-out").text = text
    return case


def _missing(status: int) -> ET.Element:
    case = ET.Element("testcase", classname=f"stepstub.{status}", name=f"{status} is required")
    ET.SubElement(case, "failure", message=f"{status} is required but not covered")
    return case


def _count(cases: list[ET.Element], tag: str) -> str:
    return str(sum(case.find(tag) is not None for case in cases))


def _printable(text: str) -> str:
    """`text` without the characters that XML cannot hold."""
    return "".join(
        character if character == "\n" or character.isprintable() else "\ufffd"
        for character in text
    )
