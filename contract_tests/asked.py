"""The readings that a server is held to, and where it differs from them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stepstub.contract_tests.findings import Cause, Finding, Severity
from stepstub.profiles import DEFAULT_NAME, Accepted, load_profile
from stepstub.readings import DEFAULT, Value, as_mapping, questions, with_values
from stepstub.schema import printable, shorten

if TYPE_CHECKING:  # what the probes need comes with an extra; options are read without it, too
    from stepstub.contract_tests.probes.learnt import Learnt

_MAX_TEXT = 60  # characters of a text in a title

_ONLY_WITH: Mapping[str, tuple[str, Value]] = {
    "credentials-header": ("credentials", "api-key"),
    "last-step-id": ("named-step", "started"),
}
"""Readings that have an effect only with a certain value of another one."""


@dataclass(frozen=True)
class Asked:
    """The readings that were asked for, and the causes of failure that are accepted all the same.

    A reading that is not in `values` may be read in any way; none is there where nothing was asked
    for. `name` is what the options say, such as `spring, bad-body=422`. `strict` holds the server
    to our contract as a whole: a difference that no reading names is a deviation, too.
    """

    name: str = ""
    values: Mapping[str, Value] = field(default_factory=dict)
    accepted: Sequence[Accepted] = ()
    strict: bool = False


NOTHING = Asked()


def asked_for(profile: str | None, single: Mapping[str, object]) -> Asked:
    """What options ask for: all that a profile, by its name or path, knows, and single readings.

    Raises `InvalidReadings`, of which `ProfileError` is one.
    """
    chosen = as_mapping(with_values(DEFAULT, single))
    values = {name: chosen[name] for name in single}
    names = [f"{name}={_shown(value)}" for name, value in values.items()]
    if profile is None:
        return Asked(", ".join(names), values)
    loaded = load_profile(profile)
    known = as_mapping(loaded.readings)
    of_profile = {
        name: value
        for name, value in known.items()
        if name not in loaded.unknown and _has_effect(name, known)
    }
    strict = profile == DEFAULT_NAME
    return Asked(", ".join([loaded.name, *names]), of_profile | values, loaded.accepted, strict)


def deviations(learnt: "Learnt", asked: Asked) -> Iterator[Finding]:
    """A finding for each reading that is known to differ from the one that was asked for."""
    for name, wanted in asked.values.items():
        value, evidence = learnt.values[name], learnt.evidence[name]
        if value is None or value == wanted:
            continue
        question = questions()[name]
        meaning = f" ({question.meanings[wanted]})" if question.meanings else ""
        cause = Cause(
            Severity.DEVIATION,
            key=f"reading-{name}",
            title=f"{name} is {_shown(value)}, not {_shown(wanted)}",
            rule=(
                f"The document leaves this open: {question.text}"
                f" Asked for is {_shown(wanted)}{meaning}."
            ),
            reading=name,
        )
        message = f"{evidence.sent} got {evidence.status}"
        yield Finding(cause, message, evidence.curl, evidence.excerpt)


def _has_effect(name: str, values: Mapping[str, Value]) -> bool:
    other, value = _ONLY_WITH.get(name, (name, values[name]))
    return values[other] == value


def _shown(value: Value) -> str:
    return shorten(printable(str(value)), _MAX_TEXT)
