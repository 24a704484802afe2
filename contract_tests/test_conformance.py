"""Every case of the suite as a test."""

import pytest

from stepstub.contract_tests.cases import ALL_CASES
from stepstub.contract_tests.cases.case import Case
from stepstub.contract_tests.findings import CouldNotRun
from stepstub.verify import Exit, Outcome, Run


@pytest.mark.parametrize("case", ALL_CASES, ids=lambda case: case.name)
def test_responds_as_documented(run: Run, case: Case) -> None:
    try:
        result = run.play(case)
    except CouldNotRun as error:
        pytest.exit(f"could not run: {error}", returncode=Exit.COULD_NOT_RUN)
    if result.outcome is Outcome.NOT_COVERED:
        pytest.skip(result.why)
    bad = {Outcome.FAILED, Outcome.DEVIATES} if run.report.strict else {Outcome.FAILED}
    assert result.outcome not in bad, "\n".join(f"{f.words}\n{f.curl}" for f in result.findings)
