"""A report as lines of text."""

from stepstub.contract_tests.findings import Severity
from stepstub.contract_tests.results import Report, Result

_TITLES = {
    Severity.VIOLATION: "Violations of the document",
    Severity.DEVIATION: "Deviations from our reading of it",
}


def line(result: Result) -> str:
    """`covered      412  a second completion of a step`"""
    row = f"{result.outcome:<12} {result.case.status}  {result.case.situation}"
    return f"{row}: {result.why}" if result.why else row


def lines(report: Report) -> list[str]:
    """The whole report: the table, the findings, the verdict."""
    return [*table(report), *findings(report), report.verdict]


def table(report: Report) -> list[str]:
    """A line for each result, in ascending order of the statuses."""
    return [line(result) for result in report.by_status]


def findings(report: Report) -> list[str]:
    """Violations of the document, then deviations from our reading, each with its curl line."""
    rows = []
    for severity, title in _TITLES.items():
        found = [
            (result, one)
            for result in report.results
            for one in result.findings
            if one.severity is severity
        ]
        if found:
            rows += ["", f"{title} ({len(found)})"]
        for result, one in found:
            rows += [f"  {result.case.name}: {one.message} [{one.rule}]"]
            rows += [f"    {one.curl}"] * bool(one.curl)
    return [*rows, ""]
