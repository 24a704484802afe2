"""The conformance suite fails on every stub that is wrong on purpose, and says why."""

import re

import pytest

from mutants import MUTANTS, Mutant, mutated
from stepstub.app import create_app
from stepstub.concurrency import EventLoopConcurrency
from stepstub.contract_tests.cases import ALL_CASES
from stepstub.contract_tests.connection import Connection
from stepstub.contract_tests.results import Exit
from stepstub.contract_tests.run import Run
from stepstub.serving.server import serve_in_thread
from stepstub.settings import DEFAULT_TOKEN
from stepstub.stub import Stub


@pytest.fixture(scope="module")
def stub() -> Stub:
    return create_app(concurrency=EventLoopConcurrency())


@pytest.mark.proof
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_suite_fails_and_says_why(stub: Stub, mutant: Mutant) -> None:
    options = {"seed": 1, "examples": 8, "connection": Connection(retries=0)}
    with (
        serve_in_thread(mutated(stub, mutant.change())) as url,  # type: ignore[arg-type]
        Run(url, DEFAULT_TOKEN, **options) as run,  # type: ignore[arg-type]
    ):
        run.open()
        run.learn()
        for case in ALL_CASES:
            run.execute(case)
        run.finish()
    causes = {each.cause.key: each for each in run.report.causes if run.report.fails(each)}
    messages = [one.message for one in causes[mutant.cause].findings]
    assert any(re.search(mutant.message, message) for message in messages), messages
    assert run.report.exit is Exit.VIOLATES
