"""A report as JUnit XML, which CI systems read."""

from collections.abc import Iterable, Iterator
from xml.etree import ElementTree as ET

from stepstub.contract_tests.findings import Finding
from stepstub.contract_tests.rendering import visible
from stepstub.contract_tests.rendering.facts import Facts, Situation
from stepstub.contract_tests.results import LEARNING, Drift, Outcome, Report
from stepstub.profiles import UNKNOWN
from stepstub.readings import Value


def render(report: Report) -> bytes:
    """The content of `junit.xml`.

    A test case for each case of the suite; for what was learnt; for each required status that was
    not covered; for each reading that was compared to an earlier profile and differs; and for a run
    that ended before its end. The properties have the readings.
    """
    facts = Facts(report)
    failing = {each.cause.key for each in facts.to_fix}
    cases = [
        *(_situation(each, failing) for each in facts.situations),
        *_learning(report, failing),
        *(_missing(status) for status in report.missing),
        *map(_drift, report.drift),
        *_unfinished(report.unfinished),
    ]
    suite = ET.Element(
        "testsuite",
        name="stepstub verify",
        timestamp=report.began.strftime("%Y-%m-%dT%H:%M:%S"),
        time=f"{sum(result.seconds for result in report.results):.3f}",
        tests=str(len(cases)),
        failures=_count(cases, "failure"),
        errors=_count(cases, "error"),
        skipped=_count(cases, "skipped"),
    )
    suite.append(_properties(facts))
    suite.extend(cases)
    suites = ET.Element("testsuites")
    suites.append(suite)
    document: bytes = ET.tostring(suites, encoding="utf-8", xml_declaration=True)
    return document


def _properties(facts: Facts) -> ET.Element:
    """The run, its verdict, and the value of each reading."""
    report = facts.report
    values: dict[str, object] = {
        "url": report.url,
        "seed": report.seed,
        "verdict": report.verdict,
        **{f"reading.{each.name}": _known(each.value) for each in facts.readings},
    }
    properties = ET.Element("properties")
    for name, value in values.items():
        ET.SubElement(properties, "property", name=name, value=visible.line(value))
    return properties


def _situation(each: Situation, failing: set[str]) -> ET.Element:
    result = each.result
    name = f"{result.case.status} {result.case.situation}"
    case = _case(str(result.case.status), name, result.seconds)
    _say(case, result.findings, failing)
    if each.outcome is Outcome.NOT_COVERED:
        case.insert(0, ET.Element("skipped", message=visible.line(result.why)))
    return case


def _learning(report: Report, failing: set[str]) -> Iterator[ET.Element]:
    if report.learnt is not None:
        case = _case(LEARNING, "the server's readings can be learnt")
        _say(case, report.learnt.findings, failing)
        yield case


def _say(case: ET.Element, findings: Iterable[Finding], failing: set[str]) -> None:
    """Add a failure with what makes the run fail, and the rest as output."""
    bad = [one for one in findings if one.cause.key in failing]
    rest = [one for one in findings if one.cause.key not in failing]
    if bad:
        cause = bad[0].cause
        message = visible.line(f"{cause.title}: {bad[0].message}")
        failure = ET.SubElement(case, "failure", message=message, type=cause.severity)
        failure.text = "\n\n".join(map(_finding, bad))
    if rest:
        ET.SubElement(case, "system-out").text = "\n\n".join(map(_finding, rest))


def _finding(one: Finding) -> str:
    title = f"{one.cause.severity}: {one.cause.title} [{one.cause.key}]"
    lines = (
        visible.line(title),
        visible.line(one.message),
        visible.line(one.cause.rule),
        visible.body(one.excerpt),
        visible.block(one.curl, visible.MAX_CURL),
    )
    return "\n".join(filter(None, lines))


def _missing(status: int) -> ET.Element:
    case = _case(str(status), f"{status} is required")
    ET.SubElement(case, "failure", message=f"{status} is required but not covered")
    return case


def _drift(each: Drift) -> ET.Element:
    case = _case("drift", f"{each.reading} is as in the earlier profile")
    message = visible.line(f"{each.reading} was {_known(each.before)}, and is {_known(each.now)}")
    ET.SubElement(case, "failure" if each.changed else "skipped", message=message)
    return case


def _unfinished(why: str) -> Iterator[ET.Element]:
    if why:
        case = _case("run", "the server can be checked")
        ET.SubElement(case, "error", message=visible.line(why))
        yield case


def _case(group: str, name: str, seconds: float = 0) -> ET.Element:
    return ET.Element(
        "testcase",
        classname=f"stepstub.{group}",
        name=visible.line(name),
        time=f"{seconds:.3f}",
    )


def _known(value: Value | None) -> str:
    return UNKNOWN if value is None else str(value)


def _count(cases: Iterable[ET.Element], tag: str) -> str:
    return str(sum(case.find(tag) is not None for case in cases))
