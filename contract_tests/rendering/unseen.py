"""What a run did not see, by what would make it seen."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from stepstub.contract_tests.probes.remedies import REMEDIES
from stepstub.contract_tests.results import Result

_OPTION = re.compile(r"--[a-z][a-z-]+(?: [A-Z]+)?")


@dataclass
class Gap:
    """Readings that were not seen and cases that were not covered, for want of the same thing.

    `options` are those of `stepstub verify` that would show them, if there are any; else `why` is
    the same for all of them.
    """

    options: tuple[str, ...]
    why: str
    readings: list[str] = field(default_factory=list)
    cases: list[str] = field(default_factory=list)


def gaps(readings: Iterable[tuple[str, str]], results: Iterable[Result]) -> list[Gap]:
    """`readings` are the names of those that are unknown, each with the reason.

    Those that an option would show come first.
    """
    found: dict[tuple[str, ...], Gap] = {}
    for name, why in readings:
        _gap(found, why, name).readings.append(name)
    for result in results:
        _gap(found, result.why).cases.append(result.case.name)
    return sorted(found.values(), key=lambda gap: not gap.options)


def options_for(reading: str, why: str) -> tuple[str, ...]:
    """The options that would show a reading, or what is about it, and was not seen for a reason."""
    return _options(why) or _options(REMEDIES.get(reading, ""))


def _options(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_OPTION.findall(text)))


def _gap(found: dict[tuple[str, ...], Gap], why: str, reading: str = "") -> Gap:
    options = options_for(reading, why)
    return found.setdefault(options or (why,), Gap(options, why))
