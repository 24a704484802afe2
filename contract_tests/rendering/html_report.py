"""A report as one HTML page, which loads nothing."""

from importlib import metadata

from jinja2 import Environment, PackageLoader, StrictUndefined

from stepstub.contract_tests.findings import Severity
from stepstub.contract_tests.results import Report


def render(report: Report) -> str:
    """The text of `report.html`. Whatever a server sent is escaped."""
    environment = Environment(
        loader=PackageLoader("stepstub.contract_tests", "rendering"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html").render(
        report=report,
        version=metadata.version("stepstub"),
        counts=report.counts.items(),
        violation=Severity.VIOLATION,
    )
