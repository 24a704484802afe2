"""Every case of the suite as a test."""

import pytest

from stepstub.contract_tests.cases import ALL_CASES
from stepstub.contract_tests.cases.case import Case
from stepstub.contract_tests.findings import CouldNotRun
from stepstub.contract_tests.results import Exit, Outcome
from stepstub.contract_tests.run import Run


@pytest.mark.parametrize("case", ALL_CASES, ids=lambda case: case.name)
def test_responds_as_documented(run: Run, case: Case) -> None:
    try:
        result = run.execute(case)
    except CouldNotRun as error:
        pytest.exit(f"could not run: {error}", returncode=Exit.COULD_NOT_RUN)
    outcome = run.report.outcome(result)
    if outcome is Outcome.NOT_COVERED:
        pytest.skip(result.why)
    messages = "\n".join(f"{found.message}\n{found.curl}" for found in result.findings)
    assert outcome is Outcome.COVERED, messages
