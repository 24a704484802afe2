"""The measurements: load by wrk, cold starts, memory, and cost by number of steps."""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from servers import (
    HERE,
    TOKEN,
    BenchError,
    Running,
    Server,
    completion,
    post,
    request,
    running,
    step_id,
)

_WRK_GRACE = 30  # seconds that wrk may take beyond the slice


# Token and body of each kind of load; the body names a completed step. For success, each request
# names a different step.
_DONE = step_id(0, 0)
LOADS = {
    "success": (TOKEN, completion(_DONE)),
    "second": (TOKEN, completion(_DONE)),
    "bad-body": (TOKEN, completion(_DONE, 12.5)),
    "bad-token": ("wrong-token", completion(_DONE)),
}


@dataclass(frozen=True)
class Cell:
    """One row of the comparison: a server under one kind of load from `LOADS`."""

    server: str
    load: str
    connections: int


@dataclass(frozen=True)
class Slice:
    """The result of one run of wrk. Milliseconds; `generator` is how busy wrk's own core was."""

    rate: float
    p50: float
    p99: float
    generator: float


def cores() -> tuple[int | None, int | None]:
    """Cores for the server and the generator; None if there is only one."""
    available = sorted(os.sched_getaffinity(0))
    return (available[0], available[1]) if len(available) > 1 else (None, None)


def probe(target: Running) -> dict[str, int]:
    """The statuses that the refused kinds of load really get from a server."""
    return {
        kind: post(target.port, body, token)[0]
        for kind, (token, body) in LOADS.items()
        if kind != "success"
    }


def load(
    target: Running,
    kind: str,
    connections: int,
    seconds: int,
    core: int | None,
    lane: int = 1,
    *,
    token: str | None = None,
) -> Slice:
    """Run wrk against a server for some seconds, and check the statuses that it got.

    A success slice completes the steps of the next `lane` processes. They are not used again:
    requests in flight when wrk stopped may or may not be completed, so a process may be stuck.
    """
    server = target.server
    pin = ["taskset", "--cpu-list", str(core)] if core is not None else []
    usual_token, body = LOADS[kind]
    steps = server.steps_each - 1 if server.keeps_state else 2**31
    command = [
        *pin,
        *("wrk", "--threads", "1", "--connections", str(connections)),
        *("--duration", f"{seconds}s", "--script", str(HERE / "load.lua")),
        f"http://127.0.0.1:{target.port}",
        *("--", token or usual_token, body.decode(), str(target.used)),
        *(str(lane if kind == "success" else 0), str(steps)),
    ]
    if kind == "success":
        target.used += lane
    began, before = time.perf_counter(), os.times()
    run = subprocess.run(command, capture_output=True, timeout=seconds + _WRK_GRACE, check=False)
    elapsed, after = time.perf_counter() - began, os.times()
    if run.returncode:
        raise BenchError(f"wrk failed: {run.stderr.decode(errors='replace')[:500]}")
    seen = json.loads(run.stdout.splitlines()[-1])
    wanted = 0 if kind == "success" or not server.keeps_state else seen["requests"]
    if seen["broken"] or not seen["requests"] or seen["refused"] != wanted:
        raise BenchError(f"{server.name}, {kind}: unexpected responses: {seen}")
    if kind == "success" and seen["requests"] >= lane * steps:
        # wrk includes its idle time in the rate.
        raise BenchError(f"{server.name} used up all its steps: {seen}")
    used = after.children_user + after.children_system
    used -= before.children_user + before.children_system
    return Slice(
        rate=seen["requests"] / seen["seconds"],
        p50=seen["p50"],
        p99=seen["p99"],
        generator=used / elapsed,
    )


def compare(
    targets: dict[str, Running], cells: Sequence[Cell], *, rounds: int, seconds: int
) -> list[dict[str, Any]]:
    """Measure all cells in every round, in random order, after one slice to warm up each server."""
    _, core = cores()
    completing = [cell for cell in cells if cell.load == "success"]
    lane = min(
        (targets[name].server.processes - 1)
        // (1 + sum(rounds for cell in completing if cell.server == name))
        for name in {cell.server for cell in completing}
        if targets[name].server.keeps_state
    )

    def hit(cell: Cell) -> Slice:
        return load(targets[cell.server], cell.load, cell.connections, seconds, core, lane)

    for warm_up in {cell.server: cell for cell in reversed(cells)}.values():
        hit(warm_up)
    slices: dict[Cell, list[Slice]] = {cell: [] for cell in cells}
    for number in range(rounds):
        print(f"  round {number + 1} of {rounds}", flush=True)
        for cell in random.sample(cells, len(cells)):
            slices[cell].append(hit(cell))
    return [
        {**asdict(cell), "rounds": [asdict(one) for one in seen]} for cell, seen in slices.items()
    ]


def cold_starts(
    servers: Sequence[tuple[Server, str]], build: Path, *, rounds: int
) -> dict[str, list[float]]:
    """Seconds from process start to first 200; the servers take turns and are not pinned."""
    seen: dict[str, list[float]] = {server.name: [] for server, _ in servers}
    for _ in range(rounds):
        for server, first_step in servers:
            with running(server, build, core=None, first_step=first_step) as target:
                seen[server.name].append(target.seconds)
    return seen


def soak(target: Running, requests: int, seconds: int) -> dict[str, Any]:
    """Resident memory before and after many refused requests, which must not accumulate."""
    _, core = cores()
    kinds = ("second", "bad-body", "bad-token")
    for kind in kinds:
        load(target, kind, 16, seconds, core)
    before, count = target.rss(), 0
    while count < requests:
        for kind in kinds:
            count += round(load(target, kind, 16, seconds, core).rate * seconds)
    return {"requests": count, "before": before, "after": target.rss()}


def sandboxes(target: Running, *, rounds: int, seconds: int) -> list[dict[str, float]]:
    """The rate of each of two sandboxes under load together, relative to its rate alone.

    The load is completions of an unknown step, which reach the sandbox's engine. `total` is both
    together, relative to one alone.
    """
    _, core = cores()
    tokens = [create_sandbox(target) for _ in range(2)]

    def rate(token: str) -> float:
        return load(target, "second", 16, seconds, core, token=token).rate

    seen = []
    with ThreadPoolExecutor(2) as pool:
        for _ in range(rounds):
            alone = [rate(token) for token in tokens]
            both = list(pool.map(rate, tokens))
            first, second = (part / whole for part, whole in zip(both, alone, strict=True))
            seen.append({"first": first, "second": second, "total": 2 * sum(both) / sum(alone)})
    for token in tokens:
        request(target.port, "DELETE", "/_stub/sandboxes/current", token=token)
    return seen


def given_back(target: Running, *, steps: int, cycles: int) -> list[dict[str, int]]:
    """Resident memory before a sandbox is created, with `steps` steps, and after its deletion."""
    at_once = 2000
    specs = [
        {"params": {"decision": {"strValue": f"approved by the reader number {number}"}}}
        for number in range(at_once)
    ]
    body = json.dumps({"steps": specs}).encode()
    seen = []
    for _ in range(cycles):
        before = target.rss()
        token = create_sandbox(target)
        for _ in range(max(1, steps // at_once)):
            status, _ = request(target.port, "POST", "/_stub/processes", body, token)
            if status != 201:
                raise BenchError(f"a process could not be started: {status}")
        loaded = target.rss()
        request(target.port, "DELETE", "/_stub/sandboxes/current", token=token)
        seen.append({"before": before, "loaded": loaded, "after": target.rss()})
    return seen


def create_sandbox(target: Running) -> str:
    """The token of a new sandbox on a stub."""
    status, body = request(target.port, "POST", "/_stub/sandboxes", b"{}")
    if status != 201:
        raise BenchError(f"a sandbox could not be created: {status}")
    token: str = json.loads(body)["token"]
    return token


def script(name: str, *options: str) -> Any:
    """The JSON value that a script of the benchmark prints; pinned to the core of the servers."""
    core, _ = cores()
    pin = ["taskset", "--cpu-list", str(core)] if core is not None else []
    command = [*pin, sys.executable, str(HERE / name), *options]
    run = subprocess.run(command, capture_output=True, timeout=300, check=False)
    if run.returncode:
        raise BenchError(f"{name} failed: {run.stderr.decode(errors='replace')[-500:]}")
    return json.loads(run.stdout)


def cost(sizes: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Microseconds per completion, in-process, for stubs with these numbers of steps."""
    for size in sizes:
        yield script("cost.py", f"--steps={size}")
