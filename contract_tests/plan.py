"""What a run will use, and what it will not cover, said before anything is sent."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap

from stepstub.contract_tests.cases import ALL_CASES
from stepstub.contract_tests.cases.case import Case
from stepstub.contract_tests.cases.generated import Generated
from stepstub.contract_tests.needs import WHY_STUB_ONLY, Need, remedy
from stepstub.contract_tests.steps import StepPool

LEARNING_REQUESTS = 29
LEARNING_STEPS = 10
"""What learning takes of a server that reads everything as we do; a laxer one takes more steps."""

MIN_EXAMPLES = 5
"""Fewer bodies than these are not worth generating."""

_CHAINED = (Need.STARTED, Need.NAMED, Need.LAST)
_TAKEN_BY_LEARNING = (Need.LAST, Need.NEXT_HAS_PARAMS)


@dataclass(frozen=True)
class Cost:
    """What a case takes at most: STARTED steps that it completes, and about how many requests."""

    steps: int
    requests: int


@dataclass(frozen=True)
class Planned:
    """A case with its cost. `lack` is what it needs and does not get; empty if it is covered.

    With `perhaps`, the server or the seed command may turn out to provide it.
    """

    case: Case
    cost: Cost
    lack: str = ""
    perhaps: bool = False


@dataclass(frozen=True)
class Plan:
    """The cases of a run, after learning, and where their steps come from.

    Where nothing is given, only a Stepstub can be verified, which provides everything.
    """

    cases: Sequence[Planned]
    supply: str
    examples: int
    is_for_a_stub: bool

    @property
    def steps(self) -> int:
        """The number of STARTED steps that are completed at most."""
        return LEARNING_STEPS + sum(each.cost.steps for each in self._run)

    @property
    def requests(self) -> int:
        """About how many requests are sent."""
        return LEARNING_REQUESTS + sum(each.cost.requests for each in self._run)

    @property
    def summary(self) -> str:
        """`Uses up to 60 STARTED steps and about 400 requests`"""
        return f"Uses up to {self.steps} STARTED steps and about {self.requests} requests"

    def lines(self) -> list[str]:
        """The whole plan."""
        width = max([len("learning"), *(len(each.case.name) for each in self.cases)])
        rows = [("learning", Cost(LEARNING_STEPS, LEARNING_REQUESTS))]
        rows += [(each.case.name, each.cost) for each in self._run]
        return [
            f"{'':{width}}  steps  requests",
            *(f"{name:{width}}  {cost.steps:5}  {cost.requests:8}" for name, cost in rows),
            "",
            f"{self.summary}, with up to {self.examples} generated bodies a case.",
            f"Steps come from: {self.supply}.",
            *self._lacks("Perhaps not covered, for want of", perhaps=True),
            *self._lacks("Not covered, except on a Stepstub, for want of", perhaps=False),
            "",
            "Nothing was sent, and the seed command was not called.",
        ]

    @property
    def _run(self) -> Iterator[Planned]:
        return (each for each in self.cases if not each.lack or each.perhaps or self.is_for_a_stub)

    def _lacks(self, title: str, *, perhaps: bool) -> list[str]:
        lacking: dict[str, list[str]] = {}
        for each in self.cases:
            if each.lack and each.perhaps is perhaps:
                lacking.setdefault(each.lack, []).append(each.case.name)
        lines = ["", f"{title}:"] if lacking else []
        for lack, names in lacking.items():
            lines += [f"  {lack}:", *_wrapped(", ".join(names))]
        return lines


def plan(cases: Sequence[Case], pool: StepPool, examples: int) -> Plan:
    """What a run of these cases takes from the pool, which is left as it is."""
    left = Counter(pool.given)
    certain = [need for need in _TAKEN_BY_LEARNING if left[need]]
    left.subtract({**dict.fromkeys(certain, 1), Need.STARTED: LEARNING_STEPS - len(certain)})
    planned = []
    for case in cases:
        each = Planned(case, cost(case, examples), *_lack(case, pool, left))
        left[Need.STARTED if case.need in _CHAINED else case.need] -= each.cost.steps
        planned.append(each)
    nothing_given = not (pool.is_endless or pool.given[Need.STARTED])
    return Plan(planned, pool.supply, examples, nothing_given or pool.stub is not None)


def _lack(case: Case, pool: StepPool, left: Mapping[Need, int]) -> tuple[str, bool]:
    """What a case needs and does not get, and whether it perhaps does."""
    need = case.need
    if pool.stub is not None or need is Need.NOTHING or (need is Need.STARTED and not case.steps):
        return "", False
    if need in _CHAINED or need is Need.COMPLETED:
        if not (pool.is_endless or pool.given[Need.STARTED]):
            return f"{Need.STARTED} ({remedy(Need.STARTED)})", False
        if pool.is_endless or need is Need.COMPLETED or left[Need.STARTED] > 0:
            return "", False
        return f"more STARTED steps, if 200s do not name enough ({remedy(Need.STARTED)})", True
    if need not in pool.given:
        return f"{need}; {WHY_STUB_ONLY[need]}", False
    if left[need] > 0:
        return "", False
    lack = f"{need} ({remedy(need)})"
    if pool.given[need]:
        lack += "; learning completes the one that is given"
    return lack, pool.has_seed_command


def _wrapped(text: str) -> list[str]:
    indent = " " * 4
    return wrap(text, 96, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)


def cost(case: Case, examples: int) -> Cost:
    """What a case takes where that many bodies are generated for a case."""
    if not isinstance(case, Generated):
        return Cost(case.steps, case.requests)
    tries = case.tries(examples)
    return Cost(tries if case.steps else 0, tries)


def examples_within(
    latency: float, examples: int, seconds: float = 60, cases: Sequence[Case] = ALL_CASES
) -> int:
    """How many bodies to generate, at most `examples`, for all cases to take that long together.

    `latency` is the time that one response takes, in seconds. The number is never below
    `MIN_EXAMPLES`, unless `examples` is.
    """
    share = sum(case.share for case in cases if isinstance(case, Generated))
    possible = int(seconds / (latency * share)) if latency * share > 0 else examples
    return min(examples, max(possible, MIN_EXAMPLES))
