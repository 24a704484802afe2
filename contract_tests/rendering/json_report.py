"""A report as JSON."""

import json
from dataclasses import asdict
from importlib import metadata
from typing import Any

from stepstub.contract_tests.results import Report


def render(report: Report) -> str:
    """The text of `report.json`."""
    return json.dumps(_values(report), indent=2, ensure_ascii=False) + "\n"


def _values(report: Report) -> dict[str, Any]:
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
            for result in report.by_status
        ],
    }
