"""`stepstub verify`: runs the conformance suite against a server, reports, and says yes or no.

The cases are in `stepstub.contract_tests`. Neither a token nor a header that bears one ever gets
into a report.
"""

import json
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from enum import IntEnum, StrEnum
from html import escape
from importlib import metadata
from pathlib import Path
from tempfile import gettempdir
from typing import Any, TextIO
from uuid import uuid4
from xml.etree import ElementTree as ET

import click
import requests

from stepstub import contract
from stepstub.contract_tests.cases import ALL_CASES
from stepstub.contract_tests.cases.case import Case, RunContext
from stepstub.contract_tests.expectations import Expectations
from stepstub.contract_tests.findings import (
    DOCUMENT,
    CouldNotRun,
    Finding,
    NotCovered,
    Severity,
    finding,
)
from stepstub.contract_tests.server import NoResponse, Server
from stepstub.contract_tests.steps import Need, StepPool
from stepstub.contract_tests.stub import ControlRefused, is_stepstub, stub_behind

EXAMPLES = 100
"""How many bodies a generated case tries at most."""


class Exit(IntEnum):
    """The exit statuses of `stepstub verify`."""

    CONFORMS = 0
    VIOLATES = 1
    COULD_NOT_RUN = 2


class Outcome(StrEnum):
    """What became of a case."""

    COVERED = "covered"
    DEVIATES = "deviates"
    FAILED = "failed"
    NOT_COVERED = "not covered"


@dataclass(frozen=True)
class Result:
    """One case and what became of it; `why` says what was lacking where it is not covered."""

    case: Case
    outcome: Outcome
    findings: tuple[Finding, ...] = ()
    why: str = ""
    seconds: float = 0.0


@dataclass
class Report:
    """What a run has seen.

    It fails on violations, where `strict` on deviations too, and where a status that is required
    has not been covered.
    """

    url: str
    seed: int
    statuses: tuple[int, ...]
    strict: bool = False
    require: tuple[int, ...] = ()
    began: datetime = field(default_factory=lambda: datetime.now(UTC))
    results: list[Result] = field(default_factory=list)

    @property
    def missing(self) -> list[int]:
        """The required statuses that no case covers."""
        seen = {result.case.status for result in self.results if result.outcome in _SEEN}
        return [status for status in self.require if status not in seen]

    @property
    def exit(self) -> Exit:
        bad = {Outcome.FAILED, Outcome.DEVIATES} if self.strict else {Outcome.FAILED}
        failed = self.missing or any(result.outcome in bad for result in self.results)
        return Exit.VIOLATES if failed else Exit.CONFORMS

    @property
    def verdict(self) -> str:
        """One line: what came out, and why."""
        count = dict.fromkeys(Outcome, 0)
        for result in self.results:
            count[result.outcome] += 1
        parts = [f"{count[outcome]} {outcome}" for outcome in Outcome if count[outcome]]
        if self.missing:
            parts.append(f"required but not covered: {', '.join(map(str, self.missing))}")
        word = "conforms" if self.exit is Exit.CONFORMS else "violates the contract"
        return f"{self.url} {word}: {'; '.join(parts)} (--seed {self.seed})"


_SEEN = {Outcome.COVERED, Outcome.DEVIATES}


class Run:
    """One run of the suite against one server.

    Raises `CouldNotRun` at once when the server cannot be reached or refuses the token, or when
    there is no STARTED step to begin with. A stub makes itself known, and may require
    `control_token`. A stub is held to its own readings, too, whether it can be driven or not.
    `require` is a list like `200,401,412`.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        started_steps: Iterable[str] = (),
        seed_command: str | None = None,
        control_token: str | None = None,
        strict: bool = False,
        require: str = "",
        seed: int | None = None,
        examples: int = EXAMPLES,
    ) -> None:
        expectations = Expectations(contract.load())
        required = _statuses(require, expectations)
        self._server = server = Server(url, token, expectations)
        self._control_token = control_token
        try:
            response = server.complete(f"conformance-{uuid4().hex[:8]}")
        except NoResponse as error:
            raise CouldNotRun(f"cannot reach {url}: {error}") from error
        if response.status == 401:
            raise CouldNotRun(f"{url} refuses the token with 401: {self._clean(response.excerpt)}")
        stub, hint = None, ""
        try:
            stub = stub_behind(server.url, token, response.headers, control_token)
        except ControlRefused as error:
            if control_token is not None:
                raise CouldNotRun(
                    f"the control API of {url} refuses the control token; give the one that the"
                    " stub was started with as --control-token"
                ) from error
            hint = "the control API asks for a token (--control-token)"
        steps = StepPool(started_steps, seed_command, stub, hint)
        try:
            steps.give_back(steps.take(Need.STARTED))
        except NotCovered as error:
            lack = "no started step: give one with --started-step, or a --seed-command"
            raise CouldNotRun(f"{lack}; {hint}" if hint else lack) from error
        except CouldNotRun as error:
            raise CouldNotRun(self._clean(str(error))) from error
        seed = secrets.randbelow(10**6) if seed is None else seed
        self._context = RunContext(server, steps, seed, examples)
        strict = strict or stub is not None or is_stepstub(response.headers)
        self.report = Report(server.url, seed, expectations.statuses, strict, required)

    def close(self) -> None:
        """Close the connections to the server."""
        self._server.close()

    def play(self, case: Case) -> Result:
        """Run one case, and note its result. Raises `CouldNotRun`."""
        began = time.perf_counter()
        found: list[Finding] = []
        why = ""
        try:
            found += case.run(self._context)
        except NotCovered as lack:
            why = str(lack)
        except NoResponse as error:
            found.append(finding(DOCUMENT, f"{case.situation}: {error}"))
        except CouldNotRun as error:
            raise CouldNotRun(self._clean(str(error))) from error
        except requests.RequestException as error:  # the server's own are a `NoResponse`
            raise CouldNotRun(self._clean(f"the stub can no longer be driven: {error}")) from error
        severities = {one.severity for one in found}
        if Severity.VIOLATION in severities:
            outcome = Outcome.FAILED
        elif severities:
            outcome = Outcome.DEVIATES
        else:
            outcome = Outcome.NOT_COVERED if why else Outcome.COVERED
        unique = dict.fromkeys(
            replace(one, words=self._clean(one.words), curl=self._clean(one.curl)) for one in found
        )
        seconds = time.perf_counter() - began
        result = Result(case, outcome, tuple(unique), why, seconds)
        self.report.results.append(result)
        return result

    def _clean(self, text: str) -> str:
        """`text` without the tokens; the longer one goes first, for the other may be part of it."""
        names = {self._control_token: "$CONTROL_TOKEN", self._server.token: "$TOKEN"}
        for secret in sorted(filter(None, names), key=len, reverse=True):
            text = text.replace(secret, names[secret])
        return text


def _statuses(text: str, expectations: Expectations) -> tuple[int, ...]:
    known = {str(status): status for status in expectations.statuses}
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in known:
            raise CouldNotRun(f"--require: {name} is no documented status ({', '.join(known)})")
    return tuple(known[name] for name in names)


def verify(
    url: str,
    token: str,
    *,
    report_dir: Path | None = None,
    out: TextIO | None = None,
    **options: Any,
) -> Exit:
    """Run everything, print as it goes, write the reports. `options` are those of `Run`."""
    out = out or sys.stdout
    # Its cache of characters belongs to no project, so it does not go into this directory.
    os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", f"{gettempdir()}/stepstub-hypothesis")
    try:
        run = Run(url, token, **options)
        try:
            with _progress(out) as progress:
                for case in ALL_CASES:
                    progress(run.play(case))
        finally:
            run.close()
    except CouldNotRun as error:
        click.echo(f"could not run: {error}", err=True)
        return Exit.COULD_NOT_RUN
    click.echo("\n".join(["", *table(run.report), *findings(run.report), run.report.verdict]), out)
    if report_dir is not None:
        write(run.report, report_dir)
    return run.report.exit


@contextmanager
def _progress(out: TextIO) -> Iterator[Callable[[Result], None]]:
    """Shows each result: on a bar on a terminal, as a line elsewhere."""
    if not out.isatty():
        yield lambda result: click.echo(line(result), out)
        return
    with click.progressbar(
        length=len(ALL_CASES), file=out, item_show_func=lambda situation: situation
    ) as bar:
        yield lambda result: bar.update(1, result.case.situation)


def line(result: Result) -> str:
    """`covered      412  a second completion of a step`"""
    row = f"{result.outcome:<12} {result.case.status}  {result.case.situation}"
    return f"{row}: {result.why}" if result.why else row


def table(report: Report) -> list[str]:
    """Status x situation, a line each, in the order of the statuses."""
    return [line(result) for result in by_status(report)]


def by_status(report: Report) -> list[Result]:
    return sorted(report.results, key=lambda result: result.case.status)


def findings(report: Report) -> list[str]:
    """Violations of the document, then deviations from the reading, with how to repeat each."""
    lines = []
    for severity, title in _TITLES.items():
        found = [
            (result, one)
            for result in report.results
            for one in result.findings
            if one.severity is severity
        ]
        if found:
            lines += ["", f"{title} ({len(found)})"]
        for result, one in found:
            lines += [f"  {result.case.name}: {one.words} [{one.rule}]"]
            lines += [f"    {one.curl}"] * bool(one.curl)
    return [*lines, ""]


_TITLES = {
    Severity.VIOLATION: "Violations of the document",
    Severity.DEVIATION: "Deviations from our reading of it",
}


def write(report: Report, directory: Path) -> None:
    """Leave `junit.xml`, `report.json` and `report.html` in a directory, made if need be."""
    directory.mkdir(parents=True, exist_ok=True)
    junit = ET.ElementTree(_junit(report))
    junit.write(directory / "junit.xml", encoding="utf-8", xml_declaration=True)
    text = json.dumps(as_json(report), indent=2, ensure_ascii=False)
    (directory / "report.json").write_text(text + "\n", "utf-8")
    (directory / "report.html").write_text(_html(report), "utf-8")


def as_json(report: Report) -> dict[str, Any]:
    """The report as JSON values."""
    return {
        "stepstub": metadata.version("stepstub"),
        "url": report.url,
        "began": report.began.isoformat(timespec="seconds"),
        "seed": report.seed,
        "strict": report.strict,
        "exit": int(report.exit),
        "verdict": report.verdict,
        "required": list(report.require),
        "statuses": {
            str(status): sorted(
                {str(result.outcome) for result in report.results if result.case.status == status}
            )
            for status in report.statuses
        },
        "cases": [
            {
                "name": result.case.name,
                "status": result.case.status,
                "situation": result.case.situation,
                "rule": result.case.rule,
                "outcome": str(result.outcome),
                "why": result.why,
                "seconds": round(result.seconds, 3),
                "findings": [asdict(one) for one in result.findings],
            }
            for result in by_status(report)
        ],
    }


def _junit(report: Report) -> ET.Element:
    suite = ET.Element(
        "testsuite",
        name="stepstub verify",
        timestamp=report.began.isoformat(timespec="seconds"),
        time=f"{sum(result.seconds for result in report.results):.3f}",
        tests=str(len(report.results)),
    )
    counts = {"failure": 0, "skipped": 0}
    for result in by_status(report):
        name = f"{result.case.status} {result.case.situation}"
        case = ET.SubElement(
            suite,
            "testcase",
            classname=f"stepstub.{result.case.status}",
            name=name,
            time=f"{result.seconds:.3f}",
        )
        text = _printable(
            "\n".join(f"{one.words} [{one.rule}]\n{one.curl}" for one in result.findings)
        )
        if result.outcome is Outcome.FAILED or (
            result.outcome is Outcome.DEVIATES and report.strict
        ):
            counts["failure"] += 1
            ET.SubElement(case, "failure", message=text.split("\n")[0]).text = text
        elif result.outcome is Outcome.NOT_COVERED:
            counts["skipped"] += 1
            ET.SubElement(case, "skipped", message=_printable(result.why))
        elif text:
            ET.SubElement(case, "system-out").text = text
    for status in report.missing:
        counts["failure"] += 1
        case = ET.SubElement(
            suite, "testcase", classname=f"stepstub.{status}", name=f"{status} is required"
        )
        ET.SubElement(case, "failure", message=f"{status} is required but not covered")
    suite.set("tests", str(len(suite)))
    suite.set("failures", str(counts["failure"]))
    suite.set("skipped", str(counts["skipped"]))
    suites = ET.Element("testsuites")
    suites.append(suite)
    return suites


def _printable(text: str) -> str:
    """`text` without what XML cannot hold."""
    return "".join(
        character if character == "\n" or character.isprintable() else "\ufffd"
        for character in text
    )


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Conformance of {url}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 15px/1.5 system-ui, sans-serif; }}
body {{ max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }}
table {{ border-collapse: collapse; width: 100%; }}
th, td {{ text-align: left; vertical-align: top; padding: .3rem .6rem; }}
tr {{ border-bottom: 1px solid #8884; }}
code {{ font-size: 13px; overflow-wrap: anywhere; }}
.covered {{ color: #1a7f37; }} .failed {{ color: #cf222e; font-weight: 600; }}
.deviates {{ color: #9a6700; }} .not-covered {{ color: #6e7781; }}
</style>
</head>
<body>
<h1>Conformance to Complete Step</h1>
<p><strong>{verdict}</strong></p>
<p>{began}, stepstub {version}</p>
<table>
<thead><tr><th>Status</th><th>Situation</th><th>Rule</th><th>Outcome</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>
</body>
</html>
"""


def _html(report: Report) -> str:
    rows = "\n".join(
        f"<tr><td>{result.case.status}</td><td>{escape(result.case.situation)}</td>"
        f"<td>{escape(result.case.rule)}</td>"
        f'<td><span class="{result.outcome.replace(" ", "-")}">{result.outcome}</span>'
        f" {escape(result.why)}{''.join(map(_html_finding, result.findings))}</td></tr>"
        for result in by_status(report)
    )
    return _PAGE.format(
        url=escape(report.url),
        verdict=escape(report.verdict),
        began=report.began.isoformat(timespec="seconds"),
        version=metadata.version("stepstub"),
        rows=rows,
    )


def _html_finding(found: Finding) -> str:
    words, rule, curl = escape(found.words), escape(found.rule), escape(found.curl)
    return f"<p>{words} <em>({rule})</em><br><code>{curl}</code></p>"
