"""The benchmark: how fast the stub is compared with other servers, and how well it scales.

All servers run at once, share one core, and take turns under load: short slices in a random order,
round after round. A change of the machine's speed affects all of them, so ratios are reliable even
if absolute figures are not. See README.md.
"""

import argparse
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
import venv
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import measure
import report
import servers
from measure import Cell

ROOT = servers.HERE.parent
BUILD = ROOT / "build" / "bench"
PEERS = ("prism", "bare", "bare-http1", "wiremock", "connexion")


@dataclass(frozen=True)
class Plan:
    """The amount of work. Each cell of the comparison takes `rounds` times `seconds`.

    `soak` is a number of requests, `sandbox` the number of steps in a sandbox that is created and
    deleted again.
    """

    rounds: int
    seconds: int
    steps: int
    sizes: tuple[int, ...]
    cold_starts: int
    sandbox: int = 20_000
    soak: int = 0
    connections: tuple[int, ...] = (16,)


FULL = Plan(
    rounds=9,
    seconds=2,
    steps=1_000_000,
    sizes=(1, 10, 100, 1_000, 10_000, 100_000, 1_000_000),
    cold_starts=11,
    sandbox=200_000,
    soak=2_000_000,
    connections=(16, 32),
)
QUICK = Plan(rounds=5, seconds=1, steps=200_000, sizes=(1, 100, 10_000, 100_000), cold_starts=3)
# The figures of a smoke run are meaningless; it only shows that the benchmark works.
SMOKE = Plan(rounds=1, seconds=1, steps=100_000, sizes=(1, 100), cold_starts=1, sandbox=2_000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="under two minutes; rough figures")
    size.add_argument(
        "--smoke",
        action="store_true",
        help="a few seconds, no plots; shows that the benchmark works",
    )
    parser.add_argument(
        "--servers",
        default=",".join(PEERS),
        help="servers to compare the stub with; default: %(default)s",
    )
    parser.add_argument("--output", type=Path, default=None, help="directory for the results")
    options = parser.parse_args()
    plan = QUICK if options.quick else SMOKE if options.smoke else FULL
    peers = [name for name in options.servers.split(",") if name]
    # A quick run must not replace the published figures.
    output = options.output or (servers.HERE if plan is FULL else BUILD)
    try:
        run(plan, peers, output)
    except servers.BenchError as error:
        raise SystemExit(f"bench: {error}") from error


def run(plan: Plan, peers: list[str], output: Path) -> None:
    """Measure everything, and write results.json, results.md and the plots into `output`."""
    unknown = [name for name in peers if name not in PEERS]
    if unknown:
        raise servers.BenchError(f"unknown: {', '.join(unknown)}; known: {', '.join(PEERS)}")
    BUILD.mkdir(parents=True, exist_ok=True)
    output.mkdir(parents=True, exist_ok=True)
    servers.install_wrk()
    if {"prism", "wiremock"} & set(peers):
        servers.install_npm(BUILD)
    left_out = {}
    if "wiremock" in peers and not shutil.which("java"):
        peers.remove("wiremock")
        left_out["wiremock"] = "Java is not installed"

    results: dict[str, Any] = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["python", *(Path(arg).name for arg in sys.argv[:1]), *sys.argv[1:]]),
        "machine": machine(),
        "plan": asdict(plan),
        "leftOut": left_out,
    }
    _say("comparison")
    results |= comparison(plan, peers)
    _say("cold starts")
    starts = [(servers.stub_command(), "order-1-approve")]
    if "prism" in peers:
        starts.append((servers.prism(BUILD), "order-1-approve"))
    results["coldStarts"] = measure.cold_starts(starts, BUILD, rounds=plan.cold_starts)
    _say("cost against the number of steps")
    results["cost"] = list(measure.cost(plan.sizes))
    _say("calls through the pytest plugin")
    results["plugin"] = measure.script("plugin.py", f"--rounds={4 * plan.rounds}")

    (output / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    text = report.markdown(results)
    (output / "results.md").write_text(text)
    print(text)
    if plan is not SMOKE:
        draw(output)


def comparison(plan: Plan, peers: list[str]) -> dict[str, Any]:
    """Throughput and latency of all servers, and the memory of the stub meanwhile."""
    core, _ = measure.cores()
    with ExitStack() as stack:

        def start(server: servers.Server, first_step: str | None = None) -> measure.Running:
            context = servers.running(server, BUILD, core=core, first_step=first_step)
            return stack.enter_context(context)

        idle = start(servers.stub_command(), "order-1-approve")
        few = start(servers.stub(10, name="stub-10"))
        many = start(servers.stub(plan.steps))
        memory = {"idle": idle.rss(), "steps": plan.steps, "loaded": many.rss(), "few": few.rss()}
        response = BUILD / "response.json"
        response.write_bytes(many.response)
        make = {
            "prism": lambda: servers.prism(BUILD),
            "bare": lambda: servers.bare(response),
            "bare-http1": lambda: servers.bare_http1(response),
            "wiremock": lambda: servers.wiremock(BUILD, response),
            "connexion": lambda: servers.connexion(response),
        }
        targets = {"stub": many} | {name: start(make[name]()) for name in peers}
        probes = {name: measure.probe(target) for name, target in targets.items()}
        if probes["stub"] != {"second": 412, "bad-body": 412, "bad-token": 401}:
            raise servers.BenchError(f"the stub does not respond as expected: {probes['stub']}")
        cells = [
            Cell(name, "success", connections)
            for connections in plan.connections
            for name in targets
            if connections == 16 or name in {"stub", "prism", "bare"}
        ]
        cells += [Cell("stub", kind, 16) for kind in ("bad-body", "bad-token", "second")]
        cells.append(Cell("stub-10", "second", 16))
        warm = {**targets, "stub-10": few}
        compared = measure.compare(warm, cells, rounds=plan.rounds, seconds=plan.seconds)
        _say("two sandboxes")
        shares = measure.sandboxes(many, rounds=plan.rounds, seconds=plan.seconds)
        memory["sandbox"] = measure.given_back(few, steps=plan.sandbox, cycles=5)
        if plan.soak:
            _say("soak")
            memory["soak"] = measure.soak(many, plan.soak, plan.seconds)
        return {
            "titles": {name: target.server.title for name, target in targets.items()}
            | {"stub-10": few.server.title},
            "probes": probes,
            "responseBytes": len(many.response),
            "comparison": compared,
            "sandboxes": shares,
            "memory": memory,
        }


def machine() -> dict[str, str]:
    """A description of the machine."""
    server, generator = measure.cores()
    pinned = f"servers on core {server}, wrk on core {generator}"
    libraries = ("stepstub", "connexion", "uvicorn", "uvloop", "httptools")
    return {
        "processor": _processor(),
        "cores": f"{len(os.sched_getaffinity(0))}; "
        + (pinned if generator is not None else "not pinned: only one core"),
        "system": f"{platform.system()} {platform.release()}",
        "load before": f"{os.getloadavg()[0]:.2f}",
        "python": platform.python_version(),
        "libraries": ", ".join(f"{name} {metadata.version(name)}" for name in libraries),
        "node": _first_line("node", "--version"),
        "java": _first_line("java", "-version"),
        "wrk": _first_line("wrk", "-v").partition(" Copyright")[0],
    }


def draw(output: Path) -> None:
    """Draw the plots, with matplotlib in a separate environment."""
    python = BUILD / "venv" / "bin" / "python"
    wanted = servers.HERE / "requirements.txt"
    installed = BUILD / "venv" / "requirements.txt"
    if not installed.exists() or installed.read_bytes() != wanted.read_bytes():
        venv.create(BUILD / "venv", with_pip=True, clear=True)
        quiet = ["--quiet", "--disable-pip-version-check"]
        subprocess.run(
            [python, "-m", "pip", "install", *quiet, "--require-hashes", "-r", wanted], check=True
        )
        shutil.copy(wanted, installed)
    subprocess.run([python, servers.HERE / "plots.py", output], check=True)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _first_line(*command: str) -> str:
    if not shutil.which(command[0]):
        return "none"
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return next(iter((run.stdout or run.stderr).splitlines()), "unknown")


def _say(what: str) -> None:
    print(f"{what} ...", flush=True)


if __name__ == "__main__":
    main()
