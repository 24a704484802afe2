"""The list of code mutations fits the code, and the suite notices each of them."""

from pathlib import Path

import pytest

from code_mutations import MUTATIONS, PAGE, Mutation, page
from mutated_stub import mutated_stub
from stepstub.contract_tests.asked import asked_for
from stepstub.contract_tests.cases import ALL_CASES
from stepstub.contract_tests.credentials import Credentials
from stepstub.contract_tests.run import Run
from stepstub.profiles import DEFAULT_NAME
from stepstub.readings import DEFAULT, questions, with_values
from stepstub.settings import DEFAULT_TOKEN

NOT_BROKEN = {"credentials-header"}
"""A server that expects its token elsewhere refuses every request, which is no verdict."""

EXAMPLES = 8  # of a generated case; the named cases are those that have to notice

each_mutation = pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)


def killers(url: str, mutation: Mutation) -> set[str]:
    """What makes a verification fail that asks for the mutation's readings.

    The names of cases, and the keys of causes.
    """
    asked = asked_for(DEFAULT_NAME, mutation.readings)
    form = str(asked.values["credentials"])
    credentials = Credentials("bearer" if form == "none" else form)  # good enough in any case
    with Run(
        url, DEFAULT_TOKEN, credentials=credentials, asked=asked, seed=1, examples=EXAMPLES
    ) as run:
        run.open()
        run.learn()
        for case in ALL_CASES:
            run.execute(case)
        run.finish()
    return {name for seen in run.report.to_fix for name in (seen.cause.key, *seen.cases)}


@each_mutation
def test_a_mutation_changes_one_place_of_its_file(mutation: Mutation) -> None:
    assert mutation.applied()
    assert mutation.replace != mutation.by
    assert with_values(DEFAULT, mutation.readings) != DEFAULT or not mutation.readings


def test_names_and_changes_are_unique() -> None:
    changes = {(each.file, each.applied(), *each.readings.items()) for each in MUTATIONS}

    assert len({each.name for each in MUTATIONS}) == len(MUTATIONS)
    assert len(changes) == len(MUTATIONS)


@pytest.mark.parametrize("name", [name for name in questions() if name not in NOT_BROKEN])
def test_a_reading_is_broken_somewhere_and_named_as_the_cause(name: str) -> None:
    cases = {case.name for case in ALL_CASES if case.reading == name}
    causes = {f"reading-{name}", f"two-ways-{name}"}
    assert (cases | causes) & {each.killed_by for each in MUTATIONS}


def test_the_page_has_the_list() -> None:
    assert PAGE.read_text("utf-8") == page(), "run python tests/code_mutations.py"


@pytest.mark.proof
def test_a_copy_without_a_mutation_conforms(tmp_path: Path) -> None:
    unchanged = Mutation("stub.py", "none", "Nothing.", "import time", "import time", "", {})
    with mutated_stub(unchanged, tmp_path) as url:
        assert killers(url, unchanged) == set()


@pytest.mark.proof
@each_mutation
def test_the_suite_kills_a_mutation(mutation: Mutation, tmp_path: Path) -> None:
    with mutated_stub(mutation, tmp_path) as url:
        found = killers(url, mutation)

    assert mutation.killed_by in found, f"killed by {sorted(found) or 'nothing'}"
