"""Histories of clients of a stub with several workers, recorded from outside: by HTTP alone.

Every history has a sandbox of its own with one process or two, of three steps each. Its clients
complete steps, fail them, look at a process and perhaps reset the sandbox, by chance but as a seed
has it. A completion is told to have called its delegate by the application that is called.
"""

import http.client
import json
import random
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, Self

from linearizability import NEVER, UNKNOWN, Operation
from process_model import is_linearizable
from support import Connection, Response, head, post
from third_party import third_party

CLIENTS = 3
_RENEWED_AFTER = 20  # requests on one connection, so that all workers get some
_BROKEN = (OSError, ValueError, LookupError, http.client.HTTPException)

ticks = count(1)
"""Orders everything that this process sees."""


class Client:
    """A client that connects anew now and then, and whenever its connection has broken."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: Connection | None = None
        self._requests = 0
        self.workers: Counter[str] = Counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, request: bytes) -> Response | None:
        """The response; None where the connection broke, and nobody knows what has happened."""
        if self._requests % _RENEWED_AFTER == 0:
            self.close()
        self._requests += 1
        try:
            self._connection = self._connection or Connection(self._url)
            response = self._connection.ask(request)
            json.loads(response.body or b"null")
        except _BROKEN:
            self.close()
            return None
        self.workers[response.headers["worker"]] += 1
        return response

    def surely(self, request: bytes, *statuses: int) -> Response:
        """The response, asked for until it comes: of what does no harm twice."""
        for _ in range(20):
            response = self.ask(request)
            if response is not None and response.status in statuses:
                return response
        raise AssertionError(f"no response to {request[:100]!r} but {response}")

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@dataclass(frozen=True)
class Act:
    """What a client does: to which process and to which of its steps."""

    client: int
    what: str
    process: str
    index: int
    number: int


@dataclass
class History:
    """What happened in one sandbox."""

    seed: int
    token: str
    refusing: dict[tuple[str, int], bool]
    """Whether the delegate of a step refuses its calls, by the process and the step's place."""
    operations: list[Operation] = field(default_factory=list)
    acknowledged: list[tuple[str, int]] = field(default_factory=list)
    """The steps whose completions got a 200, in a sandbox that nobody has reset."""
    is_reset: bool = False
    trouble: list[str] = field(default_factory=list)

    def add(self, act: Act, name: str, result: str, start: int, end: int) -> None:
        arguments: tuple[Any, ...] = (act.process,)
        if name not in ("look", "reset"):
            arguments += (act.index, act.number)
        end = NEVER if result == UNKNOWN else end
        self.operations.append(Operation(act.client, name, arguments, result, start, end))

    def judge(self) -> None:
        """Note all that is wrong with it."""
        if not is_linearizable(self.explained()):
            self.trouble.append("it is not linearizable")
        if not self.is_reset:
            for step, times in Counter(self.acknowledged).items():
                if times > 1:
                    self.trouble.append(f"step {step} was completed {times} times")

    def compare(self, process: str, letters: str) -> None:
        """Note what was acknowledged and is lost, of a process as it is in the end."""
        for name, index in self.acknowledged:
            if not self.is_reset and name == process and letters[index] != "C":
                self.trouble.append(f"step {name, index} was completed, and is {letters} now")

    def explained(self) -> list[Operation]:
        """The operations without those that ended in a world that was reset meanwhile.

        What is undone there, if anything, nobody can see.
        """
        resets = [each for each in self.operations if each.name == "reset"]
        found = []
        for each in self.operations:
            was_reset = any(r.start < each.end and each.start < r.end for r in resets)
            if was_reset and each.result == "gone":
                continue
            hidden = each.name == "settle" and any(r.start < each.end for r in resets)
            found.append(replace(each, result=UNKNOWN, end=NEVER) if hidden else each)
        return found


class Recording:
    """Records histories against a stub at `url`, several at a time if they are asked for."""

    def __init__(self, url: str, application: str, called: dict[str, int]) -> None:
        self._url = url
        self._application = application
        self._called = called
        self._numbers = count(1)
        self._threads = ThreadPoolExecutor(CLIENTS)
        self._clients = [Client(url) for _ in range(CLIENTS)]
        self.seen: Counter[tuple[str, str]] = Counter()
        """How often each operation had each result."""

    @property
    def workers(self) -> Counter[str]:
        """How many requests each worker has responded to."""
        return sum((client.workers for client in self._clients), Counter())

    def close(self) -> None:
        self._threads.shutdown()
        for client in self._clients:
            client.close()

    def record(self, seed: int) -> History:
        """The history of a seed, judged; `finish` is to follow."""
        chance = random.Random(seed)
        history = self._begun(seed, chance)
        barrier = threading.Barrier(CLIENTS)

        def work(acts: Sequence[Act]) -> None:
            barrier.wait(30)
            for act in acts:
                self._do(act, history)

        list(self._threads.map(work, self._plan(chance, history)))
        self._look_at_all(history)
        history.judge()
        for each in history.operations:
            if each.name != "look":
                self.seen[each.name, str(each.result)] += 1
        return history

    def finish(self, history: History) -> None:
        """Look once more, when all calls have ended, and delete the sandbox."""
        self._look_at_all(history, is_last=True)
        request = head(method="DELETE", target="/_stub/sandboxes/current", token=history.token)
        self._clients[0].surely(request, 204, 401)

    def _begun(self, seed: int, chance: random.Random) -> History:
        kinds: list[tuple[Any, bool]] = [
            ("recorded", False),
            ("failing", True),
            ({"http": f"{self._application}/accept"}, False),
            ({"http": f"{self._application}/refuse"}, True),
        ]
        refusing: dict[tuple[str, int], bool] = {}
        processes = []
        for name in "pq"[: chance.choice((1, 2))]:
            steps: list[dict[str, Any]] = [{"id": f"{name}1"}]
            for index in (1, 2):
                delegate, refuses = chance.choices(kinds, (3, 2, 1, 2))[0]
                steps.append({"id": f"{name}{index + 1}", "delegate": delegate})
                refusing[name, index] = refuses
            processes.append({"id": name, "steps": steps})
        body = {"processes": processes}
        made = self._clients[0].surely(post(body, target="/_stub/sandboxes"), 201)
        return History(seed, made.json["token"], refusing)

    def _plan(self, chance: random.Random, history: History) -> list[list[Act]]:
        """What each client does. Everybody begins at the beginning, so that they meet."""
        names = sorted({name for name, _ in history.refusing})
        history.is_reset = chance.random() < 0.2
        return [
            [
                Act(
                    client,
                    chance.choices(
                        ["complete", "look", "fail", "reset"], [12, 6, 1, history.is_reset]
                    )[0],
                    chance.choice(names),
                    min(chance.randrange(turn + 1), 2),
                    next(self._numbers),
                )
                for turn in range(4)
            ]
            for client in range(CLIENTS)
        ]

    def _do(self, act: Act, history: History) -> None:
        match act.what:
            case "complete":
                self._complete(act, history)
            case "fail":
                self._fail(act, history)
            case "reset":
                self._reset(act, history)
            case _:
                self._look(act, history)

    def _complete(self, act: Act, history: History) -> None:
        body = {"processStepId": f"{act.process}{act.index + 1}"}
        request = post(body, f"Baggage: act={act.number}", token=history.token)
        start = next(ticks)
        response = self._clients[act.client].ask(request)
        end = next(ticks)
        called = self._called.pop(f"act={act.number}", None)
        refuses = history.refusing.get((act.process, act.index + 1), False)
        result, settled = _read(response)
        if result == "done" and response is not None and response.status == 200:
            history.acknowledged.append((act.process, act.index))
        if result.startswith("?"):
            history.trouble.append(f"{act} got {result}")
        between = called or end
        history.add(act, "complete", result, start, between)
        if result == UNKNOWN or (result == "done" and refuses):
            if refuses:
                history.add(act, "settle", settled or "completed", called or start, end)
        elif settled:
            history.trouble.append(f"{act} was settled, but its delegate accepts")

    def _fail(self, act: Act, history: History) -> None:
        target = f"/_stub/steps/{act.process}{act.index + 1}/fail"
        start = next(ticks)
        request = post(b"", target=target, token=history.token)
        response = self._clients[act.client].ask(request)
        if response is None or response.status == 500:
            result = UNKNOWN
        elif response.status == 200:
            result = "done"
        else:
            result = _letter(response.body)
        history.add(act, "fail", result, start, next(ticks))

    def _reset(self, act: Act, history: History) -> None:
        start = next(ticks)
        request = post({}, target="/_stub/reset", token=history.token)
        response = self._clients[act.client].ask(request)
        end = next(ticks)
        is_done = response is not None and response.status == 200
        for name in sorted({name for name, _ in history.refusing}):
            each = Act(act.client, "reset", name, 0, act.number)
            history.add(each, "reset", "done" if is_done else UNKNOWN, start, end)

    def _look(self, act: Act, history: History, *, is_last: bool = False) -> None:
        request = head(method="GET", target=f"/_stub/processes/{act.process}", token=history.token)
        client = self._clients[act.client]
        start = next(ticks)
        response = client.surely(request, 200, 404) if is_last else client.ask(request)
        if response is None or response.status == 500:
            return
        if response.status != 200:
            history.trouble.append(f"{act} got {response.status}")
            return
        letters = "".join(step["status"][0] for step in response.json["steps"])
        if is_last:
            history.compare(act.process, letters)
        else:
            history.add(act, "look", letters, start, next(ticks))

    def _look_at_all(self, history: History, *, is_last: bool = False) -> None:
        for name in sorted({name for name, _ in history.refusing}):
            self._look(Act(0, "look", name, 0, 0), history, is_last=is_last)


def _read(response: Response | None) -> tuple[str, str]:
    """What a completion came to, and what became of it after a delegate that refused."""
    if response is None:
        return UNKNOWN, UNKNOWN
    text = response.body
    if response.status == 200:
        return "done", ""
    if response.status == 412:
        return _letter(text), ""
    if b"both steps are as they were" in text:
        return "done", "undone"
    if b"the step is COMPLETED" in text:
        return "done", "stands"
    if response.status == 500 and b"The store at" in text:
        return UNKNOWN, UNKNOWN
    return f"?{response.status} {text.decode(errors='replace')}", ""


def _letter(body: bytes) -> str:
    """The status that was in the way."""
    for status in (b"PENDING", b"COMPLETED", b"FAILED"):
        if b"is " + status in body:
            return chr(status[0])
    return "gone"


@contextmanager
def recording(url: str) -> Iterator[Recording]:
    """Records histories, with an application that tells when its delegates are called."""
    called: dict[str, int] = {}

    def note(_: str, baggage: str) -> None:
        called.setdefault(baggage, next(ticks))

    with third_party(note) as application:
        made = Recording(url, application, called)
        try:
            yield made
        finally:
            made.close()
