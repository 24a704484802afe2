"""Workers killed by SIGKILL under load: what clients see, and that nothing acknowledged is lost.

Starts a stub with two workers whose state is in a Valkey or Redis server. Clients complete steps
with `order_client.py`, which retries, and meanwhile workers are killed. Needs Linux and the extra
`valkey`.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import order_client
import requests

import stepstub

BROKEN = "broken connection"


class Options(NamedTuple):
    """The amount of work: each client has a process of its own, and completes its steps."""

    state: str
    clients: int
    steps: int
    kills: int


class Load:
    """What the clients have seen: of each step the outcomes of its attempts, one by one."""

    def __init__(self) -> None:
        self.attempts: dict[str, list[str]] = {}
        self.total = 0
        self._changed = threading.Condition()
        self._post = requests.post

    def post(self, url: str, **arguments: Any) -> requests.Response:
        """`requests.post`, whose outcome is noted."""
        step_id = arguments["json"]["processStepId"]
        try:
            response = self._post(url, **arguments)
        except requests.RequestException:
            self._note(step_id, BROKEN)
            raise
        code = order_client.code_of(order_client.parsed(response))
        self._note(step_id, f"{response.status_code} {code}".strip())
        return response

    def _note(self, step_id: str, outcome: str) -> None:
        with self._changed:
            self.attempts.setdefault(step_id, []).append(outcome)
            self.total += 1
            self._changed.notify_all()

    def wait_for(self, attempts: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self.total >= attempts, timeout=60)


def main() -> str | None:
    """Run it. Returns an error message, or None on success."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--state", default="valkey://127.0.0.1:6379/0", help="default: %(default)s")
    parser.add_argument("--clients", type=int, default=8, help="default: %(default)s")
    parser.add_argument("--steps", type=int, default=500, help="of each; default: %(default)s")
    parser.add_argument("--kills", type=int, default=5, help="default: %(default)s")
    options = Options(**vars(parser.parse_args()))
    with serving(options) as (url, supervisor):
        lines, problem = run(options, url, supervisor)
    print("\n".join(lines))
    return problem


def run(options: Options, url: str, supervisor: int) -> tuple[list[str], str | None]:
    """Have the clients complete steps in a sandbox of their own, and kill workers meanwhile."""
    load = Load()
    total = options.clients * options.steps
    names = [f"order-{number}" for number in range(options.clients)]
    with stepstub.Sandbox.create(url, "stub-token", name="kill_a_worker") as sandbox:
        for name in names:
            steps = [{"id": f"{name}-{step}"} for step in range(options.steps)]
            sandbox.start_process(steps, id=name)
        with mock.patch("requests.post", load.post), ThreadPoolExecutor(options.clients) as pool:
            work = [pool.submit(complete, sandbox, name, options.steps) for name in names]
            for kill in range(1, options.kills + 1):
                load.wait_for(total * kill // (options.kills + 1))
                os.kill(workers(supervisor)[0], signal.SIGKILL)
            for each in work:
                each.result()
        return report(options, load, sandbox)


def complete(sandbox: stepstub.Sandbox, name: str, steps: int) -> None:
    """What a client does: an exception would say that a step is not completed, or perhaps not."""
    for step in range(steps):
        order_client.complete_step(sandbox.url, sandbox.token, f"{name}-{step}")


@contextmanager
def serving(options: Options) -> Iterator[tuple[str, int]]:
    """The URL of a stub with two workers, and the pid of the process that supervises them."""
    steps = options.clients * options.steps
    command = [
        *(sys.executable, "-m", "stepstub", "serve", "--state", options.state, "--workers", "2"),
        *("--port", "0", "--log-format", "json", "--log-level", "error"),
        *("--journal-size", str(2 * steps)),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as stub:
        try:
            assert stub.stdout
            line = stub.stdout.readline()
            if not line:
                raise SystemExit(1)  # it has said why
            yield json.loads(line)["url"], stub.pid
        finally:
            stub.terminate()


def workers(supervisor: int) -> list[int]:
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children")
    return [int(pid) for pid in children.read_text("ascii").split()]


def report(options: Options, load: Load, sandbox: stepstub.Sandbox) -> tuple[list[str], str | None]:
    """What the clients saw and what the stub has; and what is wrong with that, if anything is."""
    seen = Counter({"200": 0, BROKEN: 0, "500": 0})
    seen.update(outcome for attempts in load.attempts.values() for outcome in attempts)
    retried = [attempts for attempts in load.attempts.values() if BROKEN in attempts]
    ended = Counter(attempts[-1] for attempts in retried)
    steps = {step.id: step.status for each in sandbox.processes() for step in each.steps}
    moved = Counter(
        each.process_step_id
        for each in sandbox.journal()
        if (each.step_before, each.step_after) == ("STARTED", "COMPLETED")
    )
    lost = [step_id for step_id in load.attempts if steps[step_id] != "COMPLETED"]
    twice = [step_id for step_id in steps if moved[step_id] > 1]
    unexplained = [step_id for step_id in load.attempts if not moved[step_id]]
    lines = [
        f"{options.clients} clients, {len(steps)} steps, workers killed: {options.kills}",
        *(f"{count:6} {outcome}" for outcome, count in seen.most_common()),
        f"{len(retried)} steps whose connection broke, by the last response:",
        *(f"{count:6} {outcome}" for outcome, count in ended.most_common()),
        f"acknowledged and lost: {len(lost)}",
        f"completed twice: {len(twice)}",
        f"completed without an exchange in the journal: {len(unexplained)}",
    ]
    wrong = [*lost, *twice, *unexplained]
    return lines, f"Not as promised: {', '.join(wrong)}" if wrong else None


if __name__ == "__main__":
    sys.exit(main())
