"""Where the steps come from that the cases complete."""

import subprocess
from collections import deque
from collections.abc import Iterable
from enum import StrEnum

from stepstub.contract_tests.findings import CouldNotRun, NotCovered
from stepstub.contract_tests.stub import RemoteStub

_CALLS = 200  # of the seed command, in one run
_CHAIN = 40  # steps of a process on a stub


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
    Need.PENDING: "the documented operation tells no id of a PENDING step",
    Need.FAILED: "the documented operation tells no id of a FAILED step",
    Need.TIME_IS_OVER: "the documented operation does not say how long a step may take",
    Need.NEXT_HAS_PARAMS: "the documented operation does not tell a step's own params",
    Need.NEXT_FAILS: "the documented operation cannot make a server fail",
}


class StepPool:
    """STARTED steps: those given, those that a 200 has named, then those of the seed command.

    `hint` says what would give access to a stub, where there is none.
    """

    def __init__(
        self,
        given: Iterable[str] = (),
        seed_command: str | None = None,
        stub: RemoteStub | None = None,
        hint: str = "",
    ) -> None:
        self.stub = stub
        self._hint = hint
        self._given = deque(given)
        self._named: deque[str] = deque()
        self._seed_command = seed_command
        self._calls = 0
        self._completed: str | None = None

    def take(self, need: Need) -> str:
        """A step in the state that is needed. Raises `NotCovered`."""
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
            case Need.LAST:
                return self._started() if self.stub is None else self._process(need)
            case _:
                return self._process(need)

    def before_call(self, url: str) -> str:
        """A STARTED step before one whose delegate is a POST to `url`. Raises `NotCovered`."""
        if self.stub is None:
            raise self._lack("the documented operation does not say what a delegate calls")
        return self.stub.start_process([{}, {"delegate": {"http": url}}])[0]

    def completed(self, step_id: str, named: str | None) -> None:
        """Note that a step was completed, and which one its 200 says was started."""
        self._completed = step_id
        if named is not None and named != step_id:
            self._named.append(named)

    def give_back(self, step_id: str) -> None:
        """Note that a STARTED step was not completed after all."""
        self._given.appendleft(step_id)

    def _started(self) -> str:
        if not self._given and not self._named:
            self._refill()
        pool = self._given or self._named
        if not pool:
            raise self._lack("no STARTED step was left; give more, or a --seed-command")
        return pool.popleft()

    def _refill(self) -> None:
        if self._seed_command is not None:
            if self._calls < _CALLS:
                self._calls += 1
                self._given.extend(_output(self._seed_command))
        elif self.stub is not None:
            self._given.append(self.stub.start_process([{} for _ in range(_CHAIN)])[0])

    def _process(self, need: Need) -> str:
        if self.stub is None:
            raise self._lack(_STUB_ONLY[need])
        own = {"own": {"strValue": "of the step"}, "both": {"strValue": "of the step"}}
        match need:
            case Need.LAST:
                return self.stub.start_process([{}])[0]
            case Need.PENDING:
                return self.stub.start_process([{}, {}])[1]
            case Need.FAILED:
                return self.stub.start_process([{"status": "FAILED"}])[0]
            case Need.TIME_IS_OVER:
                # A deadline is rounded to whole milliseconds, so this one is over at once.
                return self.stub.start_process([{"timeOutInSeconds": 0.0001}])[0]
            case Need.NEXT_HAS_PARAMS:
                return self.stub.start_process([{}, {"params": own}])[0]
            case _:
                return self.stub.start_process([{}, {"delegate": "failing"}])[0]

    def _lack(self, words: str) -> NotCovered:
        return NotCovered(f"{words}; {self._hint}" if self._hint else words)


def _output(command: str) -> list[str]:
    """The lines a command prints. Raises `CouldNotRun` when it fails."""
    try:
        done = subprocess.run(
            command, shell=True, capture_output=True, text=True, timeout=60, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise CouldNotRun("the seed command did not end within 60 s") from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise CouldNotRun(f"the seed command ended with status {done.returncode}: {last}")
    return done.stdout.split()
