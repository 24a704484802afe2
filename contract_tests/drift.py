"""What has changed since an earlier profile of a server."""

from stepstub.contract_tests.probes.learnt import Learnt
from stepstub.contract_tests.results import Drift
from stepstub.profiles import Profile
from stepstub.readings import as_mapping


def drift(learnt: Learnt, earlier: Profile) -> list[Drift]:
    """The readings that have changed, are newly seen or are no longer seen, in their order."""
    values = as_mapping(earlier.readings)
    known = {name: value for name, value in values.items() if name not in earlier.unknown}
    return [
        Drift(name, known.get(name), now)
        for name, now in learnt.values.items()
        if known.get(name) != now
    ]
