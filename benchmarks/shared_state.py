"""The cost of `serve --state`: completions over HTTP, compared with those of a stub in memory.

Three stubs run at once and take turns under load, in a new random order in each round: one in
memory, and one and two workers on a Valkey or Redis server. Writes shared_state.json and
shared_state.md. Needs Linux and `wrk`.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from math import ceil
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import measure
import servers
from bench import BUILD, machine
from report import spread, table

_TICKS = os.sysconf("SC_CLK_TCK")
# The last one is not completed. They are few, so that many processes take turns: a request
# that waits for long must not be one that another one needs to have been there.
_STEPS_EACH = 3
_MAX_RATE = 20_000  # completions per second, of which a core does fewer
_AT_ONCE = 1000  # processes that are started by one call, whose body may have a mebibyte
_WORKERS = (1, 2, 4, 8, 16)
_PARAMS = {
    "decision": {"strValue": "step", "type": "STRING"},
    "approvedAmount": {"longValue": 1_000_000, "type": "LONG"},
    "confidence": {"doubleValue": 0.5, "type": "DOUBLE"},
}
MEMORY, ONE, TWO = "memory", "shared, 1 worker", "shared, 2 workers"
TITLES = {
    MEMORY: "in memory, 1 process",
    ONE: "shared state, 1 worker",
    TWO: "shared state, 2 workers",
}


class Turn(NamedTuple):
    """One slice of load. The costs are microseconds of processor time for a completion."""

    rate: float
    p50: float
    p99: float
    stub: float
    store: float


class Store:
    """A server of Valkey or Redis that keeps nothing on disk."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, version: str) -> None:
        self.process = process
        self.version = version
        self.url = f"valkey://127.0.0.1:{port}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="default: %(default)s")
    parser.add_argument("--seconds", type=int, default=1, help="of a slice; default: %(default)s")
    parser.add_argument("--connections", type=int, default=16, help="default: %(default)s")
    parser.add_argument("--server", help="the executable; default: valkey-server or redis-server")
    parser.add_argument("--output", type=Path, default=servers.HERE, help="directory to write into")
    options = parser.parse_args()
    BUILD.mkdir(parents=True, exist_ok=True)
    servers.install_wrk()
    executable = options.server or shutil.which("valkey-server") or shutil.which("redis-server")
    if not executable:
        raise SystemExit("bench: there is no valkey-server and no redis-server; install one.")
    with store(executable) as its:
        rounds = measured(its, options.rounds, options.seconds, options.connections)
        results = {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": {**machine(), "cores": cores(), "store": its.version},
            "plan": {name: getattr(options, name) for name in ("rounds", "seconds", "connections")},
            "rounds": {name: [turn._asdict() for turn in seen] for name, seen in rounds.items()},
        }
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "shared_state.json").write_text(json.dumps(results, indent=1) + "\n")
    text = markdown(results)
    (options.output / "shared_state.md").write_text(text)
    print(text)


def cores() -> str:
    """How many there are, and what runs where."""
    _, generator = measure.cores()
    pinned = "nothing is pinned" if generator is None else f"wrk on core {generator}"
    return f"{len(os.sched_getaffinity(0))}; {pinned}, the stubs and the store on any"


@contextmanager
def store(executable: str) -> Iterator[Store]:
    """One on a free port, with no core of its own: it is where the scheduler puts it."""
    port = servers.free_port()
    version = subprocess.run([executable, "--version"], capture_output=True, text=True, check=True)
    settings = ["--port", str(port), "--save", "", "--appendonly", "no", "--bind", "127.0.0.1"]
    with subprocess.Popen([executable, *settings], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout
            for line in process.stdout:
                if b"Ready to accept connections" in line:
                    break
            else:
                raise servers.BenchError(f"{executable} did not start")
            yield Store(process, port, " ".join(version.stdout.split()[:3]))
        finally:
            process.terminate()


def stub(name: str, *options: str) -> servers.Server:
    script = Path(sys.executable).with_name("stepstub")
    return servers.Server(
        name.replace(", ", "-").replace(" ", "-"),
        TITLES[name],
        lambda port: [
            *(str(script), "serve", "--port", str(port), "--log-level", "warning", *options),
        ],
        keeps_state=True,
        steps_each=_STEPS_EACH,
    )


def measured(its: Store, rounds: int, seconds: int, connections: int) -> dict[str, list[Turn]]:
    """What each stub did in each round."""
    _, generator = measure.cores()
    kinds = {
        MEMORY: stub(MEMORY),
        ONE: stub(ONE, "--state", f"{its.url}/0"),
        TWO: stub(TWO, "--state", f"{its.url}/1", "--workers", "2"),
    }
    seen: dict[str, list[Turn]] = {name: [] for name in kinds}
    with ExitStack() as stack:
        targets = {
            name: stack.enter_context(
                servers.running(kind, BUILD, core=None, first_step="order-1-approve")
            )
            for name, kind in kinds.items()
        }
        expected = dict.fromkeys(kinds, _MAX_RATE)
        for number in range(rounds + 1):
            print(f"  round {number} of {rounds}", flush=True)
            for name in random.sample(list(kinds), len(kinds)):
                target = targets[name]
                lane = round(expected[name] * seconds) // (_STEPS_EACH - 1) + 1
                add_processes(target, target.used, lane)
                before = processor_time(target.process.pid), processor_time(its.process.pid)
                load = measure.load(target, "success", connections, seconds, generator, lane)
                after = processor_time(target.process.pid), processor_time(its.process.pid)
                expected[name] = max(round(3 * load.rate), 2000)
                if number:  # the first is to warm up
                    costs = [
                        1e6 * (late - early) / (load.rate * seconds)
                        for early, late in zip(before, after, strict=True)
                    ]
                    seen[name].append(Turn(load.rate, load.p50, load.p99, *costs))
    return seen


def add_processes(target: servers.Running, first: int, count: int) -> None:
    """Start the processes that a slice completes, by the control API."""
    for begin in range(first, first + count, _AT_ONCE):
        numbers = range(begin, min(begin + _AT_ONCE, first + count))
        body = {
            "processes": [
                {
                    "id": f"p{number:06}",
                    "steps": [
                        {"id": servers.step_id(number, place), "params": _PARAMS}
                        for place in range(_STEPS_EACH)
                    ],
                }
                for number in numbers
            ]
        }
        raw = json.dumps(body).encode()
        status, response = servers.request(target.port, "POST", "/_stub/processes", raw)
        if status != 201:
            raise servers.BenchError(f"processes could not be started: {status} {response[:300]!r}")


def processor_time(pid: int) -> float:
    """Seconds that a process and its children, the workers, have used so far."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
    ticks = 0
    for each in [pid, *map(int, children)]:
        fields = Path(f"/proc/{each}/stat").read_text("ascii").rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / _TICKS


class Estimate(NamedTuple):
    """Completions per second with so many workers, and what keeps them from being more."""

    workers: int
    rate: float
    bottleneck: str


def estimate(worker: float, store: float, workers: int) -> Estimate:
    """What so many workers could do if each had a core of its own, and the store one as well.

    `worker` and `store` are microseconds of processor time for a completion. The store runs one
    script at a time, so a second core is of no use to it. Nothing is waited for but the processor:
    the network costs nothing, and clients send as much as can be taken.
    """
    of_workers, of_store = workers * 1e6 / worker, 1e6 / store
    bottleneck = "the workers" if of_workers < of_store else "the store"
    return Estimate(workers, min(of_workers, of_store), bottleneck)


def markdown(results: Mapping[str, Any]) -> str:
    """The whole page."""
    rounds, plan = results["rounds"], results["plan"]

    def middle(name: str, value: str) -> float:
        return median(turn[value] for turn in rounds[name])

    def ratios(name: str, value: str) -> str:
        pairs = zip(rounds[name], rounds[MEMORY], strict=True)
        return spread([one[value] / other[value] for one, other in pairs])

    costs = {name: middle(name, "stub") for name in rounds}
    for name in (ONE, TWO):
        costs[name] += middle(name, "store")
    worker, its = middle(ONE, "stub"), middle(ONE, "store")
    estimates = [estimate(worker, its, workers) for workers in _WORKERS]
    introduction = (
        f"`benchmarks/shared_state.py`, {results['at']}. Three stubs take turns under load in"
        f" slices of {plan['seconds']} s in random order, {plan['rounds']} rounds,"
        f" {plan['connections']} connections. Ratios are computed per round: median (minimum to"
        " maximum). Absolute figures are valid for this machine and this run only. With two cores,"
        " wrk, the workers and the store take them from each other, so a second worker cannot show"
        " what it brings; the processor time can.\n"
    )
    caveat = (
        "**This is arithmetic: nothing here has been measured** but the processor time above, of"
        f" one worker ({worker:.0f} µs) and of the store ({its:.0f} µs). It assumes a core for each"
        " worker and one for the store, which runs one script at a time, and that nothing is waited"
        f" for but the processor. The store is as busy as {worker / its:.1f} workers are, so more"
        f" than {ceil(worker / its)} of them bring nothing: from there on it is the bottleneck.\n"
    )
    parts = [
        "# The cost of shared state\n",
        introduction,
        table(("", ""), results["machine"].items()),
        "## Completions\n",
        table(
            (
                *("stub", "completions/s relative to memory", "p99 relative to memory"),
                *("completions/s", "p50 ms", "p99 ms"),
            ),
            (
                (
                    *(TITLES[name], ratios(name, "rate"), ratios(name, "p99")),
                    *(f"{middle(name, 'rate'):.0f}", f"{middle(name, 'p50'):.2f}"),
                    f"{middle(name, 'p99'):.2f}",
                )
                for name in rounds
            ),
        ),
        "## Processor time of a completion, µs\n",
        table(
            ("stub", "stub's processes", "store", "both", "both relative to memory"),
            (
                (
                    *(TITLES[name], f"{middle(name, 'stub'):.0f}"),
                    "" if name == MEMORY else f"{middle(name, 'store'):.0f}",
                    *(f"{costs[name]:.0f}", f"{costs[name] / costs[MEMORY]:.2f}"),
                )
                for name in rounds
            ),
        ),
        "## An estimate for more workers\n",
        caveat,
        table(
            ("workers", "cores", "completions relative to 1 worker", "bottleneck"),
            (
                (
                    *(each.workers, each.workers + 1),
                    *(f"{each.rate / estimates[0].rate:.1f}", each.bottleneck),
                )
                for each in estimates
            ),
        ),
    ]
    return "\n".join(parts).rstrip("\n") + "\n"


if __name__ == "__main__":
    main()
