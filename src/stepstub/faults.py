"""Misbehaviour on purpose: the rules, and which one applies to a request.

A fault strikes `before` anything has moved, or `after` the step was completed, when only the
response is lost. The difference is what a client's retry has to live with. In between, it strikes
the call of the next step's `delegate`.
"""

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from operator import attrgetter
from random import Random
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from stepstub.errors import BadRequest, InConflict

Phase = Literal["before", "after", "delegate"]
Action = Literal[
    "respond",
    "gateway",
    "malformed",
    "delay",
    "disconnect",
    "reset",
    "stall",
    "drip",
    "wrong-length",
    "twice",
    "late",
]
Place = Literal["start", "head", "after-head", "body"]
"""Where a response breaks off: before it, inside its head, between head and body, half-way."""

MAX_FAULTS = 1000
NO_LIMIT = 1_000_000
"""Strikes of a fault that says how often it strikes by its schedule alone."""
MAX_STEPS_COUNTED = 10_000
"""Steps that a fault of `each_step` tells apart; it strikes no others."""

_MEMBERS: Mapping[Action, frozenset[str]] = {
    "respond": frozenset({"status", "body", "headers"}),
    "gateway": frozenset({"status", "headers"}),
    "malformed": frozenset(),
    "delay": frozenset({"seconds"}),
    "disconnect": frozenset({"at", "after_bytes"}),
    "reset": frozenset({"at", "after_bytes"}),
    "stall": frozenset({"seconds", "at", "after_bytes"}),
    "drip": frozenset({"bytes_per_second"}),
    "wrong-length": frozenset({"extra_bytes"}),
    "twice": frozenset(),
    "late": frozenset({"seconds"}),
}
_OF_DELEGATES = ("twice", "late")
"""The actions of the phase `delegate`, which has no others."""
_DEFAULTS: Mapping[Action, Mapping[str, int | float | str]] = {
    "respond": {"status": 500},
    "gateway": {"status": 502},
    "delay": {"seconds": 1.0},
    "stall": {"seconds": 60.0},
    "drip": {"bytes_per_second": 10},
    "wrong-length": {"extra_bytes": 100},
    "late": {"seconds": 1.0},
}
_WHAT: Mapping[Action, str] = {
    "respond": "respond {fault.status}",
    "gateway": "a gateway's page, {fault.status}",
    "malformed": "malformed JSON",
    "delay": "delay of {fault.seconds:g} s",
    "disconnect": "connection broken{where}",
    "reset": "connection reset{where}",
    "stall": "stall of at most {fault.seconds:g} s{where}",
    "drip": "drip of {fault.bytes_per_second} bytes a second",
    "wrong-length": "Content-Length too large by {fault.extra_bytes}",
    "twice": "called twice",
    "late": "called {fault.seconds:g} s late",
}
_PLACES = {
    "start": "before the response",
    "head": "inside the head",
    "after-head": "after the head",
    "body": "half-way through the body",
}
_FRAMING = {"connection", "content-length", "transfer-encoding"}
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110, section 5.6.2
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


class Fault(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One rule: what goes wrong, and at which requests.

    Which members go with which action, `settled` says. `process_step_id` of None means any step.
    The schedule counts the requests that phase and step let through (of `after`: completions, of
    `delegate`: those that really call one), for each step on its own if `each_step`: the first
    strike is at request `nth`, further ones at each or at every `every`-th after it, each with
    `probability` drawn from `seed`. `remaining` counts the strikes still to come (of one step, if
    `each_step`), `struck` those there were.

    The store gives it its `id`.
    """

    id: str = ""
    phase: Phase
    action: Action
    status: int | None = None
    body: str | None = None
    headers: Mapping[str, str] | None = None
    seconds: float | None = None
    at: Place | None = None
    after_bytes: int | None = None
    bytes_per_second: int | None = None
    extra_bytes: int | None = None
    process_step_id: str | None = None
    nth: int | None = None
    every: int | None = None
    probability: float | None = None
    seed: int | None = None
    each_step: bool = False
    remaining: int
    struck: int = 0

    @property
    def is_scheduled(self) -> bool:
        """Whether requests have to be counted to say if it strikes."""
        return self.each_step or (self.nth, self.every, self.probability) != (None, None, None)

    def describe(self) -> str:
        """`after: respond 500`, for the journal."""
        what = _WHAT[self.action].format(fault=self, where=self._where())
        return f"{self.phase}: {what}{self._when()}"

    def _where(self) -> str:
        if self.after_bytes is not None:
            return f" after {self.after_bytes} bytes of the body"
        return "" if self.at in (None, "start") else f" {_PLACES[self.at or 'start']}"

    def _when(self) -> str:
        when = []
        if self.nth is not None:
            when.append(
                f"from request {self.nth} on" if self.remaining > 1 else f"request {self.nth}"
            )
        if self.every is not None:
            when.append(f"every {self.every}")
        if self.probability is not None:
            when.append(f"probability {self.probability:g}, seed {self.seed}")
        if self.each_step:
            when.append("each step")
        return f" ({', '.join(when)})" if when else ""


def settled(fault: Fault) -> Fault:
    """The fault with the defaults of its action; raises `BadRequest` for what has no meaning."""
    if (fault.phase == "delegate") != (fault.action in _OF_DELEGATES):
        raise BadRequest(
            f"The actions {' and '.join(_OF_DELEGATES)} go with the phase delegate, and it with"
            f" them alone: not {fault.action} with {fault.phase}."
        )
    allowed = _MEMBERS[fault.action]
    for member, actions in _ACTIONS_OF.items():
        if getattr(fault, member) is not None and member not in allowed:
            raise BadRequest(
                f"{_camel(member)} goes with the action {' or '.join(actions)},"
                f" not with {fault.action}."
            )
    if fault.at is not None and fault.after_bytes is not None:
        raise BadRequest("Give either at or afterBytes.")
    if fault.seed is not None and fault.probability is None:
        raise BadRequest("seed goes with probability.")
    for name, value in (fault.headers or {}).items():
        _check_header(name, value)
    missing = {
        member: value
        for member, value in _DEFAULTS.get(fault.action, {}).items()
        if getattr(fault, member) is None
    }
    if fault.probability is not None and fault.seed is None:
        missing["seed"] = 0
    return replace(fault, **missing)


_ACTIONS_OF = {
    member: [action for action, members in _MEMBERS.items() if member in members]
    for member in dict.fromkeys(chain.from_iterable(map(sorted, _MEMBERS.values())))
}


def _camel(member: str) -> str:
    first, *rest = member.split("_")
    return first + "".join(map(str.capitalize, rest))


def _check_header(name: str, value: str) -> None:
    if not _NAME.fullmatch(name):
        raise BadRequest(f"headers: {name!r} is not the name of a header.")
    if name.lower() in _FRAMING:
        raise BadRequest(
            f"headers: {name} is the stub's own; use the action wrong-length or disconnect."
        )
    if not _VALUE.fullmatch(value):
        raise BadRequest(f"headers: the value of {name} has characters that a header cannot have.")


class Rule(Struct):
    """A fault and how far it has got.

    `seen` and `strikes` are counted by step, where `each_step` has it so, else under None.
    """

    number: int
    fault: Fault
    seen: dict[str | None, int] = {}
    strikes: dict[str | None, int] = {}

    def is_due(self, step_id: str) -> bool:
        """Count a request that is about this step; whether the fault strikes it."""
        fault = self.fault
        key = step_id if fault.each_step else None
        if len(self.seen) >= MAX_STEPS_COUNTED and key not in self.seen:
            return False
        self.seen[key] = seen = self.seen.get(key, 0) + 1
        every = fault.every or 1
        first = fault.nth or every
        if seen < first or (seen - first) % every:
            return False
        if fault.each_step and self.strikes.get(key, 0) >= fault.remaining:
            return False
        if fault.probability is None:
            return True
        # Drawn anew from seed and number, so that nothing but the number has to be kept.
        draw = Random(f"{fault.seed}:{seen}").random()  # noqa: S311 - for tests to repeat
        return draw < fault.probability

    def strike(self, step_id: str) -> Fault:
        """Count a strike; the fault as it was before."""
        fault = self.fault
        if fault.each_step:
            self.strikes[step_id] = self.strikes.get(step_id, 0) + 1
            self.fault = replace(fault, struck=fault.struck + 1)
        else:
            self.fault = replace(fault, struck=fault.struck + 1, remaining=fault.remaining - 1)
        return fault


class Faults:
    """The faults of a sandbox, tried in the order they came. Not safe for several threads at once.

    Kept by phase and step, so what a completion pays does not depend on how many there are for
    others. Those with a schedule are kept apart: all that apply count the request.
    """

    def __init__(self) -> None:
        # Under each key in the order they came; the rule's number says so across the keys.
        self._plain: dict[tuple[Phase, str | None], deque[Rule]] = {}
        self._scheduled: dict[tuple[Phase, str | None], deque[Rule]] = {}
        self._length = 0
        self._last = 0

    @classmethod
    def of(cls, rules: Iterable[Rule]) -> "Faults":
        """The faults that have got as far as these rules, which are in their order."""
        faults = cls()
        for rule in rules:
            faults._put(rule)
        return faults

    def add(self, fault: Fault) -> None:
        """Add one more. Raises `InConflict` when there are a thousand already."""
        if self._length >= MAX_FAULTS:
            raise InConflict(f"There are {MAX_FAULTS} faults already; clear some first.")
        self._put(Rule(self._last + 1, fault))

    def _put(self, rule: Rule) -> None:
        fault = rule.fault
        self._last = rule.number
        self._length += 1
        rules = self._scheduled if fault.is_scheduled else self._plain
        rules.setdefault((fault.phase, fault.process_step_id), deque()).append(rule)

    def take(self, phase: Phase, step_id: str) -> Fault | None:
        """The first fault that applies; it is counted down by one."""
        keys = (phase, step_id), (phase, None)
        due = [queue[0] for key in keys if (queue := self._plain.get(key))]
        if self._scheduled:
            due += [
                rule
                for key in keys
                for rule in self._scheduled.get(key, ())
                if rule.is_due(step_id)
            ]
        if not due:
            return None
        rule = min(due, key=attrgetter("number"))
        fault = rule.strike(step_id)
        if not rule.fault.remaining:
            self._remove(rule)
        return fault

    def _remove(self, rule: Rule) -> None:
        fault = rule.fault
        rules, key = (
            self._scheduled if fault.is_scheduled else self._plain,
            (fault.phase, fault.process_step_id),
        )
        rules[key].remove(rule)
        self._length -= 1
        if not rules[key]:
            del rules[key]

    def clear(self) -> None:
        """Remove all of them."""
        self._plain.clear()
        self._scheduled.clear()
        self._length = 0

    @property
    def rules(self) -> list[Rule]:
        """In the order they are tried."""
        queues = chain(self._plain.values(), self._scheduled.values())
        return sorted(chain.from_iterable(queues), key=attrgetter("number"))

    def __iter__(self) -> Iterator[Fault]:
        """In the order they are tried."""
        return iter([rule.fault for rule in self.rules])

    def __len__(self) -> int:
        return self._length
