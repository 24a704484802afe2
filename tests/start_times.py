"""Measures each way of the README from nothing to a first 200, and writes the times into its table.

Each run begins in a fresh checkout: with nothing cached, and then with the packages, or the layers
of an image, that an earlier run has fetched. The base of the images is there in both. All runs are
in benchmarks/start_times.json; the README has their medians.
"""

import argparse
import json
import os
import re
import sys
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from engine import Engine, engine, make_archive
from support import ROOT
from ways import IN_CONTAINERS, Place, Row, first_200, rows

RESULTS = ROOT / "benchmarks" / "start_times.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    rounds = parser.parse_args().rounds
    measured = {}
    with TemporaryDirectory() as name:
        folder = Path(name)
        base = folder / "base.tar"
        make_archive(base)
        for number, row in enumerate(rows().values()):
            seen = measure(row, folder / str(number), base, rounds)
            measured[row.name] = seen
            print(f"{row.name}: {shown(seen['cold'])}, {shown(seen['warm'])}", flush=True)
    results = {
        "python": ".".join(map(str, sys.version_info[:3])),
        "cores": len(os.sched_getaffinity(0)),
        "loadAfter": round(os.getloadavg()[2], 1),
        "seconds": measured,
    }
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    page = ROOT / "README.md"
    page.write_text(with_times(page.read_text("utf-8"), measured), "utf-8")


def measure(row: Row, folder: Path, base: Path, rounds: int) -> dict[str, list[float]]:
    """Seconds of all runs; those with caches use what the last one without them has left."""
    folder.mkdir()
    seen: dict[str, list[float]] = {"cold": [], "warm": []}
    for number in range(rounds):
        with ExitStack() as stack:
            caches = folder / f"caches-{number}"
            docker = started(stack, folder / f"engine-{number}", row, base)
            runs = [("cold", 1), ("warm", rounds if number == rounds - 1 else 0)]
            for kind, times in runs:
                for again in range(times):
                    place = Place(folder / f"{number}-{kind}-{again}", caches, docker)
                    seen[kind].append(round(first_200(row, place), 2))
    return seen


def started(stack: ExitStack, folder: Path, row: Row, base: Path) -> Engine | None:
    """An engine without images but the base, if the way is one of containers."""
    if row.name not in IN_CONTAINERS:
        return None
    folder.mkdir()
    return stack.enter_context(engine(folder, base))


def shown(seconds: list[float]) -> str:
    """The median, as the README has it."""
    value = median(seconds)
    return f"{value:.0f} s" if value >= 9.95 else f"{value:.1f} s"


def with_times(page: str, measured: dict[str, dict[str, list[float]]]) -> str:
    """The page with these times in the last two cells of each row."""
    for row in rows().values():
        seen = measured[row.name]
        times = f"| {row.needs} | {shown(seen['cold'])} | {shown(seen['warm'])} |"
        before = re.escape(f"| `{row.command}` | {row.needs} |")
        page = re.sub(
            rf"{before}.*", lambda _, row=row, times=times: f"| `{row.command}` {times}", page
        )
    return page


if __name__ == "__main__":
    main()
