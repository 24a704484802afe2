"""The words of causes."""

from stepstub.contract_tests.causes import STARTED, not_as_documented


def test_a_title_begins_with_a_capital_and_leaves_the_others_as_they_are() -> None:
    assert not_as_documented(STARTED, 200, "").title == "A STARTED step does not get 200"
