"""Where the steps come from that the cases complete."""

import subprocess
from collections import deque
from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from stepstub.contract_tests.findings import CouldNotRun, NotCovered
from stepstub.contract_tests.stub import RemoteStub

_MAX_SEED_CALLS = 200  # of one run
_SEED_TIMEOUT = 60  # seconds
_STEPS_OF_A_PROCESS = 40  # on a stub

OWN_PARAMS = {"own": {"strValue": "of the step"}, "both": {"strValue": "of the step"}}
"""The params of the step after one that `Need.NEXT_HAS_PARAMS` asks for."""


class Need(StrEnum):
    """The state a case needs a step in."""

    NOTHING = "nothing"
    STARTED = "a STARTED step"
    COMPLETED = "a step that has been completed"
    NAMED = "a step that a 200 has named as started"
    LAST = "the last step of a process"
    PENDING = "a PENDING step"
    FAILED = "a FAILED step"
    TIME_IS_OVER = "a step that was not completed in time"
    NEXT_HAS_PARAMS = "a STARTED step before one with params of its own"
    NEXT_FAILS = "a STARTED step before one that cannot be started"


_STUB_ONLY = {
    Need.LAST: "the documented operation does not say which step is the last of its process",
    Need.PENDING: "the documented operation does not reveal the id of a PENDING step",
    Need.FAILED: "the documented operation does not reveal the id of a FAILED step",
    Need.TIME_IS_OVER: "the documented operation does not say how long a step may take",
    Need.NEXT_HAS_PARAMS: "the documented operation does not reveal a step's own params",
    Need.NEXT_FAILS: "the documented operation cannot make a server fail",
}

# The steps of a process, and which of them is in the state that is needed.
_ON_A_STUB: dict[Need, tuple[list[dict[str, Any]], int]] = {
    Need.LAST: ([{}], 0),
    Need.PENDING: ([{}, {}], 1),
    Need.FAILED: ([{"status": "FAILED"}], 0),
    # A deadline is rounded to whole milliseconds, so this one has passed at once.
    Need.TIME_IS_OVER: ([{"timeOutInSeconds": 0.0001}], 0),
    Need.NEXT_HAS_PARAMS: ([{}, {"params": OWN_PARAMS}], 0),
    Need.NEXT_FAILS: ([{}, {"delegate": "failing"}], 0),
}


class StepPool:
    """STARTED steps: those given, those that a 200 has named, then those of the seed command.

    `others` are steps that are in another state than STARTED, or of which more is known. A stub
    provides steps in every state. Without one, `hint` says how to get access to it, where there is
    a way.
    """

    def __init__(
        self,
        given: Iterable[str] = (),
        seed_command: str | None = None,
        stub: RemoteStub | None = None,
        hint: str = "",
        others: Mapping[Need, Iterable[str]] = MappingProxyType({}),
    ) -> None:
        self.stub = stub
        self._others = {need: deque(ids) for need, ids in others.items()}
        self._hint = hint
        self._given = deque(given)
        self._named: deque[str] = deque()
        self._seed_command = seed_command
        self._seed_calls = 0
        self._completed: str | None = None

    def take(self, need: Need) -> str:
        """A step in the state that is needed.

        Raises `NotCovered`, and `CouldNotRun` when the seed command fails.
        """
        match need:
            case Need.STARTED:
                return self._started()
            case Need.COMPLETED:
                if self._completed is None:
                    raise NotCovered("no step has been completed in this run")
                return self._completed
            case Need.NAMED:
                if not self._named:
                    raise NotCovered("no 200 of this run has named a next step")
                return self._named.pop()
            case Need.LAST if not self.has_certain(need):
                return self._started()
            case _:
                return self.take_certain(need)

    def has_certain(self, need: Need) -> bool:
        """Whether there is a step of which more is known than that it is STARTED."""
        return bool(self._others.get(need)) or (self.stub is not None and need in _ON_A_STUB)

    def take_certain(self, need: Need) -> str:
        """A step that is certainly in the state that is needed. Raises `NotCovered`."""
        given = self._others.get(need)
        return given.popleft() if given else self._on_a_stub(need)

    def before_call(self, url: str) -> str:
        """A STARTED step before one whose delegate is a POST to `url`. Raises `NotCovered`."""
        if self.stub is None:
            raise self.lack("the documented operation does not say what a delegate calls")
        return self.stub.start_process([{}, {"delegate": {"http": url}}])[0]

    def completed(self, step_id: str, named: str | None) -> None:
        """Note that a step was completed, and which one its 200 says was started."""
        self._completed = step_id
        if named is not None and named != step_id:
            self._named.append(named)

    def give_back(self, step_id: str) -> None:
        """Note that a step that was taken is still STARTED."""
        self._given.appendleft(step_id)

    def _started(self) -> str:
        if not self._given and not self._named:
            self._refill()
        pool = self._given or self._named
        if not pool:
            raise self.lack("no STARTED step was left; give more, or a --seed-command")
        return pool.popleft()

    def _refill(self) -> None:
        if self._seed_command is not None:
            if self._seed_calls < _MAX_SEED_CALLS:
                self._seed_calls += 1
                self._given.extend(_output(self._seed_command))
        elif self.stub is not None:
            self._given.append(self.stub.start_process([{}] * _STEPS_OF_A_PROCESS)[0])

    def _on_a_stub(self, need: Need) -> str:
        if self.stub is None:
            raise self.lack(_STUB_ONLY[need])
        steps, position = _ON_A_STUB[need]
        return self.stub.start_process(steps)[position]

    def lack(self, message: str) -> NotCovered:
        """What is missing, with the hint where there is one."""
        return NotCovered(f"{message}; {self._hint}" if self._hint else message)


def _output(command: str) -> list[str]:
    """The words that a shell command prints. Raises `CouldNotRun` when it fails."""
    try:
        done = subprocess.run(
            command,
            shell=True,
            capture_output=True,
            text=True,
            timeout=_SEED_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise CouldNotRun(f"the seed command did not end within {_SEED_TIMEOUT} s") from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it printed no error"])[-1]
        raise CouldNotRun(f"the seed command ended with status {done.returncode}: {last}")
    return done.stdout.split()
