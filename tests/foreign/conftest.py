"""What the tests of foreign servers share: the seeds, and a place to serve stubs in disguise."""

from collections.abc import Callable, Iterator
from itertools import count

import pytest

from foreign import disguise
from foreign.judging import judged
from foreign.serving import asgi
from mutants import Change
from stepstub.contract_tests.credentials import Credentials
from stepstub.contract_tests.results import Report
from stepstub.readings import DEFAULT, Readings
from stepstub.settings import DEFAULT_TOKEN

SEEDS = (1, *(pytest.param(seed, marks=pytest.mark.proof) for seed in (2, 3)))
"""The first seed in every run of the tests, the others in the longer ones."""

Judge = Callable[..., Report]


@pytest.fixture(params=SEEDS)
def seed(request: pytest.FixtureRequest) -> int:
    number: int = request.param
    return number


@pytest.fixture(scope="session")
def judge() -> Iterator[Judge]:
    """Judges a stub in disguise; all of them are on one live server, below paths of their own."""
    host, numbers = disguise.Host(), count()

    def judge(seed: int, *, change: Change | None = None, readings: Readings = DEFAULT) -> Report:
        name = f"server-{next(numbers)}"
        host.apps[name] = disguise.disguised(change, readings)
        form = "bearer" if readings.credentials == "none" else readings.credentials
        return judged(
            f"{url}/{name}",
            DEFAULT_TOKEN,
            credentials=Credentials(form, readings.credentials_header),
            started_steps=disguise.started_steps(),
            other_steps=disguise.other_steps(),
            seed=seed,
        )

    with asgi(host) as url:
        yield judge
