"""RFC 9110 and RFC 9112, case by case."""

from collections.abc import Iterator

import pytest
from rfc_cases import CASES, Case
from rfc_judge import Echo, judge

from stepstub.serving.server import serve_in_thread


@pytest.fixture(scope="module")
def echo() -> Iterator[str]:
    with serve_in_thread(Echo()) as url:
        yield url


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=f"{group}: {case.id}")
        for group, cases in CASES.items()
        for case in cases
    ],
)
def test_a_case_of_the_rfcs(echo: str, case: Case) -> None:
    assert judge(echo, case) is None, f"RFC {case.section}"
