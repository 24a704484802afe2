"""What no reading names and every correct client tolerates, and what is drawn of it by a seed.

This file is the one home of the kinds and of their meanings: `stepstub variations`, the checks of
what is asked for and the tests of `docs/variations.md` take them from here. What a kind does to a
response is in `responses/varied.py`, and how it goes over a connection in `framing.py`.
"""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, Literal

from msgspec import Struct

from stepstub.errors import InvalidVariations
from stepstub.readings import nearest

MAX_SEED = 2**63 - 1


class Kind(Struct, frozen=True):
    """One kind of variation: what a client sees of it, and what it does to be safe.

    `on_the_wire` says whether it takes a connection.
    """

    meaning: str
    to_be_safe: str
    on_the_wire: bool = False


KINDS: Mapping[str, Kind] = {
    "member-order": Kind(
        "the members of every object are in another order",
        "Take members by their names.",
    ),
    "extra-members": Kind(
        "the envelope, the data of a 200, each param and each entry of a 412 have members that no"
        " client knows",
        "Ignore what you do not know: `FAIL_ON_UNKNOWN_PROPERTIES` off in Jackson, no"
        ' `extra="forbid"` in pydantic.',
    ),
    "unknown-codes": Kind(
        "the entries of a 412 have codes that no client knows",
        "Treat a code as a text, and one that you do not know as a refusal or, after a lost"
        " response, as one that leaves open whether the step is completed. No enum.",
    ),
    "more-entries": Kind(
        "a 412 has entries besides its own",
        "Look at all entries; do not expect one, or a certain one first.",
    ),
    "spacing": Kind(
        "there is white space between the tokens of the JSON",
        "Use a JSON parser; do not search the text, or read it by lines.",
    ),
    "escapes": Kind(
        "characters of names and texts are escaped in the JSON",
        "Use a JSON parser.",
    ),
    "media-type": Kind(
        "the media type has a charset",
        "Compare the media type without its parameters.",
    ),
    "extra-headers": Kind(
        "the response has headers that no client asked for",
        "Ignore them.",
    ),
    "header-case": Kind(
        "the names of the headers are in another case",
        "Compare names of headers without regard to case.",
    ),
    "header-order": Kind(
        "the headers are in another order",
        "Take headers by their names.",
    ),
    "chunked": Kind(
        "the body is sent in chunks, without a Content-Length",
        "Leave framing to an HTTP library. A chunk may end within a character.",
        on_the_wire=True,
    ),
    "until-close": Kind(
        "the body has no Content-Length and ends with the connection",
        "Do not require a Content-Length.",
        on_the_wire=True,
    ),
    "connection-close": Kind(
        "the connection is closed after the response",
        "Be able to open another connection.",
        on_the_wire=True,
    ),
}
"""Every kind by its name, in the order in which they are applied."""


class Vary(Struct, frozen=True, kw_only=True):
    """That the responses of a sandbox vary, and how.

    Without `only` each response varies in about half of the kinds, drawn for it. The kinds that
    `only` names vary every response in which they can.
    """

    seed: int
    only: tuple[str, ...] = ()

    @property
    def without_a_connection(self) -> bool:
        """Whether any of its kinds can be seen without one."""
        return not self.only or any(not KINDS[name].on_the_wire for name in self.only)

    def draw(self, number: int) -> dict[str, Random]:
        """The kinds in which exchange `number` varies, each with what makes its choices.

        Each draws for itself, so `only` leaves the choices of a kind as they were.
        """
        drawn = {}
        for name in KINDS:
            random = Random(f"{self.seed}/{number}/{name}")  # noqa: S311 - it has to be repeatable
            if self.only and name not in self.only:
                continue
            if random.random() < 0.5 or self.only:
                drawn[name] = random
        return drawn


class Variation(Struct, frozen=True):
    """One variation of one response: its kind, and what was chosen."""

    name: str
    choice: str

    def describe(self) -> str:
        """`member-order (alphabetical)`"""
        return f"{self.name} ({self.choice})"


VaryChoice = int | Mapping[str, Any] | Vary | Literal[False] | None
"""A seed; a seed and kinds, `{"seed": 1, "only": ["chunked"]}`; False for none; None: unchanged."""


def chosen(choice: VaryChoice, base: Vary | None = None) -> Vary | None:
    """What a caller asks for; None is no variation at all. Raises `InvalidVariations`."""
    if choice is None:
        return base
    if choice is False:
        return None
    if isinstance(choice, Vary):
        return choice
    if not isinstance(choice, Mapping):
        return checked(choice)
    if unknown := set(choice) - {"seed", "only"}:
        raise InvalidVariations(
            f"Variations have a seed and, if you like, only: not {', '.join(map(str, unknown))}."
        )
    if "seed" not in choice:
        raise InvalidVariations('Variations need a seed: {"seed": 1}.')
    return checked(choice["seed"], choice.get("only") or ())


def checked(seed: object, only: Sequence[str] = ()) -> Vary:
    """Variations by their seed, and the names of kinds. Raises `InvalidVariations`."""
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= MAX_SEED:
        raise InvalidVariations(f"{seed!r} is no seed: it takes an integer from 0 to {MAX_SEED}.")
    if isinstance(only, str) or not isinstance(only, Sequence):
        raise InvalidVariations('only takes a list of kinds: ["member-order"].')
    for name in only:
        if name not in KINDS:
            raise InvalidVariations(f"There is no variation {name!r}: {nearest(str(name), KINDS)}")
    return Vary(seed=seed, only=tuple(name for name in KINDS if name in only))
