"""What to try: each reading and variation in turn, pairs of values, random ones, a profile."""

import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from stepstub import profiles
from stepstub.errors import InvalidReadings, StepstubError
from stepstub.readings import Readings, Value, alternatives, as_mapping, questions, with_values
from stepstub.variations import KINDS, Vary, checked

CONFIGURED = ("credentials", "credentials-header")
"""Readings that a client is told about, and so does not have to survive."""

_TEXTS: Mapping[str, tuple[Value, ...]] = {"success-message": ("OK",), "version": ("2",)}
"""Other values to try of the readings that can be any text."""

VARIATION = "variation"
"""The name under which a trial has the kind in which responses vary, beside its readings."""

# Always the same, so that a trial goes by the kind alone; this one chooses what differs most for
# the first exchanges.
_SEED = 672

MAX_RANDOM = 10_000
"""Random sets of readings that are tried in one run."""

METAVAR = "each|pairs|random:N[:SEED]|NAME|FILE|READING=VALUE"


class CannotChoose(StepstubError):
    """What was asked for cannot be tried; the text says why and what can be done."""


@dataclass(frozen=True)
class Trial:
    """Readings to try; `values` are those that differ from what a test has otherwise.

    One value may be that of `VARIATION`, which is no reading. `profile` is where they are from, if
    they are a profile's.
    """

    values: Mapping[str, Value]
    name: str
    profile: str = ""

    @property
    def readings(self) -> dict[str, Value]:
        """The values of readings alone."""
        return {name: value for name, value in self.values.items() if name != VARIATION}

    @property
    def vary(self) -> Vary | None:
        """How responses vary."""
        kind = self.values.get(VARIATION)
        return None if kind is None else vary(str(kind))

    @classmethod
    def of(cls, values: Mapping[str, Value]) -> "Trial":
        """A trial that goes by its values: `bad-body=400, undocumented-form=html`."""
        return cls(values, ", ".join(f"{name}={value}" for name, value in values.items()))

    def without(self, pinned: Iterable[str]) -> "Trial | None":
        """The trial for a test that decides some readings itself; None if nothing is left."""
        left = {name: value for name, value in self.values.items() if name not in pinned}
        if len(left) == len(self.values):
            return self
        return replace(Trial.of(left), profile=self.profile) if left else None

    def argument(self) -> str:
        """What chooses this trial alone; `parse` understands it."""
        return self.profile or ",".join(f"{name}={value}" for name, value in self.values.items())


def vary(kind: str) -> Vary:
    """The variation of every response in this one kind. Raises `InvalidVariations`."""
    return checked(_SEED, (kind,))


def other_values(base: Readings) -> dict[str, tuple[Value, ...]]:
    """The values that differ from `base`, for every reading that a client can notice."""
    ours = as_mapping(base)
    return {
        name: tuple(v for v in alternatives(name) or _TEXTS[name] if v != ours[name])
        for name in questions()
        if name not in CONFIGURED
    }


def with_seed(choice: str, seed: int) -> str:
    """The choice with the seed written into it, where it needs one and has none."""
    kind, _, number = choice.partition(":")
    needs_one = kind == "random" and number.isdecimal() and int(number)
    return f"{choice}:{seed}" if needs_one else choice


def parse(choice: str, base: Readings) -> list[Trial]:
    """The trials that are asked for, in the order of the readings.

    Raises `CannotChoose` for an unusable number and where allpairspy is missing, and as
    `profiles.load` and `vary` do.
    """
    if choice == "each":
        return list(_each(base))
    if choice == "pairs":
        return _distinct(_pairs(base))
    if choice.startswith("random:"):
        return _distinct(_random(choice, base))
    if "=" in choice:
        return [_named(choice, base)]
    if choice in other_values(base):
        first = other_values(base)[choice][0]
        raise CannotChoose(f"{choice} is a reading: give it a value, as in {choice}={first}.")
    readings = profiles.load(choice)
    ours = as_mapping(base)
    values = {n: value for n, value in as_mapping(readings).items() if value != ours[n]}
    if not values:
        raise CannotChoose(f"The profile {choice} changes nothing, so there is nothing to try.")
    return [Trial(values, choice, choice)]


def _each(base: Readings) -> Iterator[Trial]:
    for name, values in other_values(base).items():
        for value in values:
            yield Trial.of({name: value})
    for kind in KINDS:
        yield Trial.of({VARIATION: kind})


def _pairs(base: Readings) -> Iterator[Trial]:
    """A covering array: every two values of two readings are together in one trial at least."""
    try:
        from allpairspy import AllPairs
    except ImportError:
        raise CannotChoose(
            "Pairs need allpairspy, which is not installed: pip install allpairspy"
        ) from None
    ours = as_mapping(base)
    others = other_values(base)
    names = list(others)
    for row in AllPairs([[ours[name], *others[name]] for name in names]):
        yield _differing(dict(zip(names, row, strict=True)), ours)


def _random(choice: str, base: Readings) -> Iterator[Trial]:
    number, _, seed = choice.removeprefix("random:").partition(":")
    if not (number.isdecimal() and int(number) and (seed or "0").isdecimal()):
        raise CannotChoose(f"{choice!r} is not of the form random:N or random:N:SEED.")
    if int(number) > MAX_RANDOM:
        raise CannotChoose(f"random:N takes {MAX_RANDOM} sets at most, not {number}.")
    draw = random.Random(int(seed or "0"))  # noqa: S311 - it has to be repeatable
    ours = as_mapping(base)
    others = other_values(base)
    for _ in range(int(number)):
        drawn = {name: draw.choice((ours[name], *others[name])) for name in others}
        yield _differing(drawn, ours)


def _named(choice: str, base: Readings) -> Trial:
    values = {}
    for each in choice.split(","):
        name, equals, value = each.strip().partition("=")
        if not equals:
            raise InvalidReadings(f"{each!r} is not of the form READING=VALUE.")
        if name in values:
            raise CannotChoose(f"{name} is given twice: one trial has one value of it.")
        values[name] = value
    if kind := values.get(VARIATION):
        vary(kind)
    trial = Trial.of(values)
    readings, ours = as_mapping(with_values(base, trial.readings)), as_mapping(base)
    for name in trial.readings:
        if readings[name] == ours[name]:
            raise CannotChoose(f"{name} is {ours[name]} anyway, so there is nothing to try.")
    return Trial.of({name: readings.get(name, value) for name, value in values.items()})


def _differing(values: Mapping[str, Value], ours: Mapping[str, Value]) -> Trial:
    return Trial.of({name: value for name, value in values.items() if value != ours[name]})


def _distinct(trials: Iterable[Trial]) -> list[Trial]:
    return list({trial.name: trial for trial in trials if trial.values}.values())
