"""The bench: how fast the stub is beside its peers, and whether it stays so as the work grows.

Everything is compared in one go: all servers are up at once, share one core, and are hit in short
slices in a random order, round after round. So a change of the machine's speed hits all of them,
and the ratios hold where the absolute figures do not. See README.md.
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
    """How much is done. Each cell of the comparison takes `rounds` times `seconds`.

    `soak` counts requests, `sandbox` steps of a sandbox that is made and deleted again.
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
# Figures of a smoke run mean nothing; it only shows that the bench works.
SMOKE = Plan(rounds=1, seconds=1, steps=100_000, sizes=(1, 100), cold_starts=1, sandbox=2_000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="under two minutes; rough figures")
    size.add_argument(
        "--smoke", action="store_true", help="some seconds, no plots; shows that the bench works"
    )
    parser.add_argument(
        "--servers",
        default=",".join(PEERS),
        help="peers to compare the stub with, of %(default)s",
    )
    parser.add_argument("--output", type=Path, default=None, help="folder for what it writes")
    options = parser.parse_args()
    plan = QUICK if options.quick else SMOKE if options.smoke else FULL
    peers = [name for name in options.servers.split(",") if name]
    # A quick look does not replace the figures that stand beside the code.
    output = options.output or (servers.HERE if plan is FULL else BUILD)
    try:
        run(plan, peers, output)
    except servers.BenchError as error:
        raise SystemExit(f"bench: {error}") from error


def run(plan: Plan, peers: list[str], output: Path) -> None:
    """Measure everything, and write results.json, results.md and the plots into `output`."""
    unknown = [name for name in peers if name not in PEERS]
    if unknown:
        raise servers.BenchError(f"unknown: {', '.join(unknown)}; there are {', '.join(PEERS)}")
    BUILD.mkdir(parents=True, exist_ok=True)
    output.mkdir(parents=True, exist_ok=True)
    servers.install_wrk()
    if {"prism", "wiremock"} & set(peers):
        servers.install_npm(BUILD)
    left_out = {}
    if "wiremock" in peers and not shutil.which("java"):
        peers.remove("wiremock")
        left_out["wiremock"] = "there is no Java on this machine"

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
    """Throughput and latency of all servers, and the stub's memory on the way."""
    core, _ = measure.cores()
    with ExitStack() as stack:

        def start(server: servers.Server, first_step: str | None = None) -> measure.Running:
            context = servers.running(server, BUILD, core=core, first_step=first_step)
            return stack.enter_context(context)

        idle = start(servers.stub_command(), "order-1-approve")
        few = start(servers.stub(10, name="stub-10"))
        many = start(servers.stub(plan.steps))
        memory = {"idle": idle.rss(), "steps": plan.steps, "loaded": many.rss(), "few": few.rss()}
        answer = BUILD / "answer.json"
        answer.write_bytes(many.answer)
        make = {
            "prism": lambda: servers.prism(BUILD),
            "bare": lambda: servers.bare(answer),
            "bare-http1": lambda: servers.bare_http1(answer),
            "wiremock": lambda: servers.wiremock(BUILD, answer),
            "connexion": lambda: servers.connexion(answer),
        }
        targets = {"stub": many} | {name: start(make[name]()) for name in peers}
        probes = {name: measure.probe(target) for name, target in targets.items()}
        if probes["stub"] != {"second": 412, "bad-body": 412, "bad-token": 401}:
            raise servers.BenchError(f"the stub does not answer as it should: {probes['stub']}")
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
            "answerBytes": len(many.answer),
            "comparison": compared,
            "sandboxes": shares,
            "memory": memory,
        }


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    server, generator = measure.cores()
    pinned = f"servers on core {server}, wrk on core {generator}"
    libraries = ("stepstub", "connexion", "uvicorn", "uvloop", "httptools")
    return {
        "processor": _processor(),
        "cores": f"{len(os.sched_getaffinity(0))}; "
        + (pinned if generator is not None else "not pinned: there is only one"),
        "system": f"{platform.system()} {platform.release()}",
        "load before": f"{os.getloadavg()[0]:.2f}",
        "python": platform.python_version(),
        "libraries": ", ".join(f"{name} {metadata.version(name)}" for name in libraries),
        "node": _first_line("node", "--version"),
        "java": _first_line("java", "-version"),
        "wrk": _first_line("wrk", "-v").partition(" Copyright")[0],
    }


def draw(output: Path) -> None:
    """The plots, by matplotlib in an environment of its own."""
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
