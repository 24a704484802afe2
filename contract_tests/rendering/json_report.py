"""A report as JSON; `report.schema.json` beside this file is its JSON Schema."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from importlib import metadata
from typing import Any

from stepstub.contract_tests.rendering.facts import Acceptance, Facts, Row, Situation
from stepstub.contract_tests.results import Outcome, Report, Seen
from stepstub.readings import questions


def render(report: Report) -> str:
    """The text of `report.json`. What a server sent is in it as it was."""
    return json.dumps(_values(Facts(report)), indent=2, ensure_ascii=False) + "\n"


def _values(facts: Facts) -> dict[str, Any]:
    report = facts.report
    return {
        "stepstub": metadata.version("stepstub"),
        "url": report.url,
        "began": report.began.isoformat(timespec="seconds"),
        "seed": report.seed,
        "examples": report.examples,
        "requests": report.requests,
        "steps": report.steps,
        "exit": int(report.exit),
        "verdict": report.verdict,
        "unfinished": report.unfinished,
        "numbers": {
            "causesToFix": len(facts.to_fix),
            "situations": {
                "all": len(report.results),
                "covered": report.counts[Outcome.COVERED],
                "failed": report.counts[Outcome.FAILED],
                "notCovered": report.counts[Outcome.NOT_COVERED],
            },
            "readings": {"all": len(questions()), "seen": report.readings_seen},
        },
        "required": list(report.require),
        "missing": report.missing,
        "asked": {"name": report.asked_name, "readings": dict(report.asked)},
        "causes": [_cause(each, fails=report.fails(each)) for each in facts.causes],
        "accepted": [_acceptance(each) for each in facts.acceptances],
        "readings": [_reading(each) for each in facts.readings],
        "situations": [_situation(each) for each in facts.situations],
        "trouble": [asdict(each) for each in report.trouble],
        "unseen": [
            {
                "options": list(each.options),
                "why": each.why,
                "readings": each.readings,
                "situations": each.cases,
            }
            for each in facts.gaps
        ],
        "drift": [{**asdict(each), "changed": each.changed} for each in report.drift],
    }


def _cause(seen: Seen, *, fails: bool) -> dict[str, Any]:
    cause = seen.cause
    return {
        "key": cause.key,
        "severity": cause.severity,
        "title": cause.title,
        "rule": cause.rule,
        "reading": cause.reading,
        "fails": fails,
        "exchanges": seen.exchanges,
        "situations": list(seen.cases),
        "findings": [
            {"message": one.message, "curl": one.curl, "excerpt": one.excerpt}
            for one in seen.findings
        ],
    }


def _acceptance(each: Acceptance) -> dict[str, Any]:
    entry = each.entry
    return {
        "cause": entry.cause,
        "reason": entry.reason,
        "until": entry.until.isoformat(),
        "expired": each.expired,
        "seen": each.seen,
    }


def _reading(row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "number": row.question.number,
        "question": row.question.text,
        "value": row.value,
        "ours": row.ours,
        "asked": row.asked,
        "evidence": asdict(row.evidence),
        "wouldShow": list(row.would_show),
        "advice": row.advice,
    }


def _situation(each: Situation) -> dict[str, Any]:
    result = each.result
    return {
        "name": result.case.name,
        "status": result.case.status,
        "situation": result.case.situation,
        "reading": result.case.reading,
        "outcome": each.outcome,
        "statuses": _by_text(result.statuses),
        "causes": [cause.key for cause in each.causes],
        "why": result.why,
        "seconds": round(result.seconds, 3),
    }


def _by_text(statuses: Mapping[int, int]) -> dict[str, int]:
    return {str(status): times for status, times in sorted(statuses.items())}
