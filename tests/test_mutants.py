"""The conformance suite fails on every server that is wrong on purpose, and says why."""

import json
import re
from io import StringIO
from pathlib import Path

import pytest

from mutants import MUTANTS, Mutant, mutated
from stepstub.app import create_app
from stepstub.concurrency import EventLoopConcurrency
from stepstub.contract_tests.results import Exit, Outcome
from stepstub.serving.server import serve_in_thread
from stepstub.settings import DEFAULT_TOKEN
from stepstub.stub import Stub
from stepstub.verify import verify


@pytest.fixture(scope="module")
def stub() -> Stub:
    return create_app(concurrency=EventLoopConcurrency())


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_suite_fails_and_says_why(stub: Stub, mutant: Mutant, tmp_path: Path) -> None:
    with serve_in_thread(mutated(stub, mutant.change())) as url:  # type: ignore[arg-type]
        code = verify(
            url,
            DEFAULT_TOKEN,
            seed=1,
            examples=8,
            report_dir=tmp_path,
            out=StringIO(),
        )
    report = json.loads((tmp_path / "report.json").read_text("utf-8"))
    (case,) = [case for case in report["cases"] if case["name"] == mutant.caught_by]
    messages = [finding["message"] for finding in case["findings"]]

    assert code is Exit.VIOLATES
    assert case["outcome"] == (Outcome.DEVIATES if mutant.reading else Outcome.FAILED), messages
    assert any(re.search(mutant.message, message) for message in messages), messages
