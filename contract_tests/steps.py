"""Where the steps come from that the cases complete."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Any, Protocol

from stepstub.contract_tests.findings import CouldNotRun, NotCovered
from stepstub.contract_tests.needs import STATES, WHY_STUB_ONLY, Need, remedy
from stepstub.contract_tests.seeding import SeedCommand, SeedFailed

OWN_PARAMS = {"own": {"strValue": "of the step"}, "both": {"strValue": "of the step"}}
"""The params of the step after one that `Need.NEXT_HAS_PARAMS` asks for."""

MAX_STEPS_OF_A_PROCESS = 100
"""How far a process is followed; one that goes on may have no end."""

_NO_TIME = 0.0001  # seconds; a deadline is rounded to milliseconds, so this one passes at once

# The steps of a process, and which of them is in the state that is needed.
_ON_A_STUB: Mapping[Need, tuple[list[dict[str, Any]], int]] = {
    Need.STARTED: ([{}, {}, {}], 0),
    Need.LAST: ([{}], 0),
    Need.PENDING: ([{}, {}], 1),
    Need.FAILED: ([{"status": "FAILED"}], 0),
    Need.TIME_IS_OVER: ([{"timeOutInSeconds": _NO_TIME}], 0),
    Need.NEXT_HAS_PARAMS: ([{}, {"params": OWN_PARAMS}], 0),
    Need.NEXT_FAILS: ([{}, {"delegate": "failing"}], 0),
}

_NOT_COMPLETED = (Need.PENDING, Need.FAILED, Need.TIME_IS_OVER)


class ProcessStarter(Protocol):
    """A stub under test, which starts processes with steps as in a scenario file."""

    def start_process(self, steps: Sequence[dict[str, Any]]) -> list[str]:
        """Start a process; returns the ids of its steps. Raises `CouldNotRun`."""


class StepPool:
    """Steps in the states that cases need, as far as possible a different one for each that asks.

    STARTED ones come from these sources, in this order:

    1. those that were given;
    2. the seed command, or else the stub, at each time a process of its own;
    3. those that were given back, which requests were sent about;
    4. those that a 200 has named as started, of which nobody knows more.

    Where there is no second source, the third goes before the first: requests that are refused then
    share a step, and the others stay as they were.

    `others` are steps in other states than STARTED, or of which more is known. A stub provides
    steps in every state. Without one, `hint` says how to get access to it, where there is a way.
    `redact` removes secrets from what is quoted of the seed command's output.
    """

    def __init__(
        self,
        given: Iterable[str] = (),
        seed_command: str | None = None,
        stub: ProcessStarter | None = None,
        hint: str = "",
        others: Mapping[Need, Iterable[str]] = MappingProxyType({}),
        redact: Callable[[str], str] = str,
    ) -> None:
        self.stub = stub
        self._hint = hint
        self._seed = SeedCommand(seed_command, STATES, redact) if seed_command else None
        self._seeded: set[Need] = set()
        self._barren: set[Need] = set()
        self._known: set[str] = set()
        self._ready: dict[Need, deque[str]] = {need: deque() for need in STATES.values()}
        for need, ids in others.items():
            self._add(need, ids)
        self._add(Need.STARTED, given)
        self.given: Mapping[Need, int] = {need: len(ids) for need, ids in self._ready.items()}
        """The number of ids that were given for each state."""
        self._given_back: deque[str] = deque()
        self._named: dict[str, str] = {}  # and the step whose 200 has named it
        self._trusts_named = True
        self._taken: dict[str, Need] = {}
        self._completed: dict[str, None] = {}

    @property
    def used(self) -> int:
        """The number of STARTED steps that were taken and completed."""
        return len(self._completed)

    @property
    def is_endless(self) -> bool:
        """Whether there is a fresh STARTED step for each that asks."""
        return self._seed is not None or self.stub is not None

    @property
    def has_given(self) -> bool:
        """Whether there are STARTED steps that do not depend on what a 200 says."""
        return self.is_endless or bool(self._ready[Need.STARTED] or self._given_back)

    @property
    def has_seed_command(self) -> bool:
        """Whether there is a command that may print steps in any of the `STATES`."""
        return self._seed is not None

    @property
    def seed_failure(self) -> str:
        """Why the seed command failed first, empty where it did not."""
        return self._seed.failure if self._seed else ""

    @property
    def supply(self) -> str:
        """Where STARTED steps come from, in words."""
        count = self.given[Need.STARTED]
        sources = [f"{count} {'id' if count == 1 else 'ids'} given"] if count else []
        if self._seed is not None:
            sources.append("the seed command")
        elif self.stub is not None:
            sources.append("the control API of the stub")
        elif count:
            sources.append("the steps that 200s name as started")
        return ", then ".join(sources) or "nowhere, unless the server is a Stepstub"

    def require_started(self) -> None:
        """Raises `CouldNotRun` unless there is a STARTED step to begin with."""
        if self._ready[Need.STARTED]:
            return
        try:
            self._ready[Need.STARTED].append(self._started())
        except NotCovered as error:
            lack = self.lack("no started step: give one with --started-step, or a --seed-command")
            raise CouldNotRun(str(lack if self._seed is None else error)) from error

    def take(self, need: Need) -> str:
        """A step in the state that is needed.

        Raises `NotCovered`, and `CouldNotRun` if the seed command fails before there was ever a
        STARTED step, or the stub can no longer be driven.
        """
        match need:
            case Need.STARTED:
                return self._take(self._started(), need)
            case Need.COMPLETED:
                if not self._completed:
                    raise NotCovered("no step has been completed in this run")
                return next(iter(self._completed))
            case Need.NAMED:
                if not self._named:
                    raise NotCovered("no 200 of this run has named a next step that is not used")
                return self._take(self._named.popitem()[0], need)
            case Need.LAST if not self.has_certain(need):
                return self._take(self._started(), Need.STARTED)
            case _:
                return self.take_certain(need)

    def has_certain(self, need: Need) -> bool:
        """Whether there is a step of which more is known than that it is STARTED."""
        on_a_stub = self.stub is not None and need in _ON_A_STUB
        return bool(self._ready.get(need)) or need in self._seeded or on_a_stub

    def take_certain(self, need: Need) -> str:
        """A step that is certainly in the state that is needed. Raises `NotCovered`.

        The seed command is called for states that it has printed before, and once to see what it
        prints. A step whose completions are refused is handed out again where there is no other.
        """
        ready = self._ready.get(need, deque())
        try:
            if ready or self._seed_for(need):
                return self._take(ready.popleft(), need)
        except SeedFailed as error:
            raise NotCovered(f"no id of {need} was left: {error}") from error
        if self.stub is not None and need in _ON_A_STUB:
            return self._take(_start(self.stub, need), need)
        for step_id, taken in self._taken.items():
            if taken is need and need in _NOT_COMPLETED and step_id not in self._completed:
                return step_id
        why = WHY_STUB_ONLY[need]
        raise self.lack(f"{why} ({remedy(need)})" if need in self._ready else why)

    def before_call(self, url: str) -> str:
        """A STARTED step before one whose delegate is a POST to `url`. Raises `NotCovered`."""
        if self.stub is None:
            raise self.lack(WHY_STUB_ONLY[Need.NEXT_CALLS])
        return self.stub.start_process([{}, {"delegate": {"http": url}}])[0]

    def before_late(self) -> tuple[str, str]:
        """A STARTED step, and the next one, which has no time. Raises `NotCovered`."""
        if self.stub is None:
            raise self.lack(WHY_STUB_ONLY[Need.NEXT_IS_LATE])
        first, late = self.stub.start_process([{}, {"timeOutInSeconds": _NO_TIME}])
        return first, late

    def next_of(self, step_id: str) -> str | None:
        """The step that the 200 for this one has named; None if it named none or another has it."""
        for named, completed in self._named.items():
            if completed == step_id:
                del self._named[named]
                return self._take(named, Need.NAMED)
        return None

    def take_spare(self) -> str:
        """A STARTED step, but not the last of those that were given. Raises `NotCovered`."""
        if not self.is_endless and len(self._ready[Need.STARTED]) + len(self._given_back) == 1:
            if not self._named:
                raise NotCovered("the STARTED step that was left is kept for the cases")
            return self._take(self._oldest_named(), Need.STARTED)
        return self.take(Need.STARTED)

    def distrust_named(self) -> None:
        """Note that a step that a 200 has named was not STARTED: no such step is handed out."""
        self._trusts_named = False
        self._named.clear()

    def completed(self, step_id: str, named: str | None) -> None:
        """Note that a step was completed, and which one its 200 says was started."""
        self._completed[step_id] = None
        if named is None or not self._trusts_named:
            return
        if named not in self._known or self._forget_pending(named):
            self._known.add(named)
            self._named[named] = step_id

    def give_back(self, step_id: str) -> None:
        """Note that a step that was taken is still in the state it was taken in."""
        need = self._taken.get(step_id)
        if need in (Need.STARTED, Need.NAMED):
            self._given_back.append(step_id)
        elif need is not None and need in self._ready:
            self._ready[need].appendleft(step_id)

    def lack(self, message: str) -> NotCovered:
        """What is missing, with the hint where there is one."""
        return NotCovered(f"{message}; {self._hint}" if self._hint else message)

    def _add(self, need: Need, ids: Iterable[str]) -> None:
        for step_id in ids:
            if step_id not in self._known:
                self._known.add(step_id)
                self._ready[need].append(step_id)

    def _forget_pending(self, step_id: str) -> bool:
        """Stop handing out a step as PENDING; whether it was thought to be."""
        if self._taken.get(step_id) is Need.PENDING:
            del self._taken[step_id]
        elif step_id not in self._ready[Need.PENDING]:
            return False
        with suppress(ValueError):
            self._ready[Need.PENDING].remove(step_id)
        return True

    def _take(self, step_id: str, need: Need) -> str:
        self._known.add(step_id)
        self._taken[step_id] = need
        return step_id

    def _started(self) -> str:
        if self._given_back and not self.is_endless:
            return self._given_back.pop()
        if self._ready[Need.STARTED]:
            return self._ready[Need.STARTED].popleft()
        if self.stub is not None and self._seed is None:
            return _start(self.stub, Need.STARTED)
        lack = None
        try:
            if self._seed_for(Need.STARTED):
                return self._ready[Need.STARTED].popleft()
        except SeedFailed as error:
            if Need.STARTED not in self._taken.values():
                raise CouldNotRun(str(error)) from error
            lack = NotCovered(f"no STARTED step was left: {error}")
        if self._given_back:
            return self._given_back.popleft()
        if self._named:
            return self._oldest_named()
        if lack is None and Need.STARTED in self._barren:
            lack = NotCovered("the seed command printed no id of a STARTED step")
        raise lack or self.lack("no STARTED step was left; give more, or a --seed-command")

    def _oldest_named(self) -> str:
        oldest = next(iter(self._named))
        del self._named[oldest]
        return oldest

    def _seed_for(self, need: Need) -> bool:
        """Whether the seed command was called and printed a step in a state.

        Raises `SeedFailed`. A state that it was called for in vain, it is not called for again.
        """
        if self._seed is None or need in self._barren:
            return False
        is_worth_it = self.stub is None and not self._seed.called
        if not (need in {Need.STARTED, *self._seeded} or is_worth_it):
            return False
        for state, ids in self._seed.call().items():
            self._seeded.add(STATES[state])
            self._add(STATES[state], ids)
        if not self._ready[need]:
            self._barren.add(need)
            self._seeded.discard(need)
        return bool(self._ready[need])


def _start(stub: ProcessStarter, need: Need) -> str:
    """A step in a state, of a process that is started for it."""
    steps, position = _ON_A_STUB[need]
    return stub.start_process(steps)[position]
