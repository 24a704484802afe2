"""The cost of `serve --metrics`: completions over HTTP with it, compared with those without.

Two stubs run at once on one core and take turns under load, in a new random order in each round.
On a machine that has other work, the processor time of a completion says more than the completions
per second. Needs Linux and `wrk`.
"""

import argparse
import os
import random
from pathlib import Path
from statistics import median, quantiles

import measure
import servers
from bench import BUILD

_TICKS = os.sysconf("SC_CLK_TCK")
_MAX_RATE = 10_000  # completions per second, of which a core does fewer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40, help="default: %(default)s")
    parser.add_argument("--seconds", type=int, default=1, help="of a slice; default: %(default)s")
    parser.add_argument("--connections", type=int, default=16, help="default: %(default)s")
    options = parser.parse_args()
    BUILD.mkdir(parents=True, exist_ok=True)
    servers.install_wrk()
    without, counting = measured(options.rounds, options.seconds, options.connections)
    for place, what in enumerate(("completions per second", "microseconds of processor time")):
        compare(what, [one[place] for one in without], [one[place] for one in counting])


def measured(rounds: int, seconds: int, connections: int) -> list[list[tuple[float, float]]]:
    """Rate, and microseconds of processor time for a completion, in each round; without first."""
    core, generator = measure.cores()
    lane = _MAX_RATE * seconds // 9 + 1  # processes of ten steps, the last of which is not used
    steps = 10 * lane * (rounds + 2)
    plain, counting = servers.stub(steps), servers.stub(steps, "--metrics", name="stub-metrics")
    seen: list[list[tuple[float, float]]] = [[], []]
    with (
        servers.running(plain, BUILD, core=core) as one,
        servers.running(counting, BUILD, core=core) as other,
    ):
        for number in range(rounds + 1):
            for which in random.sample(range(2), 2):
                target = (one, other)[which]
                before = processor_time(target)
                load = measure.load(target, "success", connections, seconds, generator, lane)
                used = processor_time(target) - before
                if number:  # the first is to warm up
                    seen[which].append((load.rate, 1e6 * used / (load.rate * seconds)))
        status, page = servers.request(other.port, "GET", "/_stub/metrics")
    if status != 200 or b'stepstub_exchanges_total{status="200"' not in page:
        raise servers.BenchError(f"nothing was counted: {status}")
    return seen


def processor_time(target: servers.Running) -> float:
    """Seconds that a server has used so far."""
    fields = Path(f"/proc/{target.process.pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def compare(what: str, plain: list[float], counting: list[float]) -> None:
    """Print the medians and how they compare; half of the rounds are within the range."""
    low, middle, high = quantiles(
        [one / other for one, other in zip(counting, plain, strict=True)], n=4
    )
    print(
        f"{what}: {median(counting):.1f} with, {median(plain):.1f} without; "
        f"ratio of the medians {median(counting) / median(plain):.3f}, "
        f"of a round {middle:.3f} ({low:.3f} to {high:.3f})"
    )


if __name__ == "__main__":
    main()
