"""Builds results.md from the measurements."""

from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

_LOADS = {
    "success": "completions, 200",
    "bad-body": "bad body, 412",
    "bad-token": "wrong token, 401",
    "second": "second completion, 412",
}
_BUSY = 0.9  # above this, the generator counts as the bottleneck


class Comparison:
    """The cells of the comparison. Ratios are computed per round, so that drift cancels out."""

    def __init__(self, cells: Sequence[dict[str, Any]]) -> None:
        self._cells = {
            (cell["server"], cell["load"], cell["connections"]): cell["rounds"] for cell in cells
        }

    def __iter__(self) -> Any:
        return iter(self._cells)

    def __contains__(self, key: object) -> bool:
        return key in self._cells

    def median(self, key: tuple[str, str, int], value: str) -> float:
        return median(one[value] for one in self._cells[key])

    def ratios(
        self, key: tuple[str, str, int], other: tuple[str, str, int], value: str = "rate"
    ) -> list[float]:
        pairs = zip(self._cells[key], self._cells[other], strict=True)
        return [one[value] / another[value] for one, another in pairs]

    def bottlenecks(self) -> list[tuple[str, str, int]]:
        return [key for key in self._cells if self.median(key, "generator") > _BUSY]


def spread(values: Sequence[float], digits: int = 2) -> str:
    """`4.1 (3.9 to 4.4)`: median, minimum and maximum."""
    low, middle, high = (
        f"{value:.{digits}f}" for value in (min(values), median(values), max(values))
    )
    return f"{middle} ({low} to {high})"


def markdown(results: dict[str, Any]) -> str:
    """The whole page."""
    comparison = Comparison(results["comparison"])
    parts = [
        "# Benchmark results\n",
        _introduction(results),
        table(("", ""), results["machine"].items()),
        "## Targets\n",
        table(("metric", "target", "measured", ""), _targets(results, comparison)),
        "## Completions\n",
        _completions(results, comparison),
        _notes(results, comparison),
        "## Kinds of load on the stub\n",
        table(
            ("server", "load", "relative to completions", "requests/s", "p50 ms", "p99 ms"),
            _kinds(results, comparison),
        ),
        "## Cold start: process start to first 200, ms\n",
        table(
            ("server", "median (minimum to maximum)"),
            (
                (name, spread([1000 * seconds for seconds in seen], 0))
                for name, seen in results["coldStarts"].items()
            ),
        ),
        "## Memory\n",
        table(("", ""), _memory(results["memory"])),
        "## Cost of one completion by number of steps\n",
        "In-process, no sockets; microseconds: median (lower to upper quartile).\n",
        table(
            ("steps", "µs"),
            (
                (
                    f"{point['steps']:,}",
                    f"{point['median']:.0f} ({point['low']:.0f} to {point['high']:.0f})",
                )
                for point in results["cost"]
            ),
        ),
    ]
    return "\n".join(parts).rstrip("\n") + "\n"


def _introduction(results: dict[str, Any]) -> str:
    plan = results["plan"]
    return (
        f"`{results['command']}`, {results['at']}. All servers run at once on one core, wrk on"
        f" another; they take turns under load in slices of {plan['seconds']} s in random order,"
        f" {plan['rounds']} rounds. Ratios are computed per round: median (minimum to maximum)."
        " Absolute figures are valid for this machine and this run only. The method is described"
        " in [README.md](README.md).\n"
    )


def _targets(results: dict[str, Any], comparison: Comparison) -> Iterable[Sequence[str]]:
    stub = ("stub", "success", 16)

    def row(name: str, wanted: str, values: Sequence[float], *, met: bool) -> Sequence[str]:
        return (name, wanted, spread(values), "met" if met else "**missed**")

    for peer, least in (("prism", 2.5), ("bare", 0.35), ("wiremock", 1.0)):
        if (peer, "success", 16) in comparison:
            values = comparison.ratios(stub, (peer, "success", 16))
            met = median(values) >= least
            yield row(f"throughput relative to {peer}", f"at least {least}", values, met=met)
    for connections in (16, 32):
        if ("prism", "success", connections) in comparison:
            values = comparison.ratios(
                ("stub", "success", connections), ("prism", "success", connections), "p99"
            )
            name = f"p99 relative to prism, {connections} connections"
            yield row(name, "at most 0.5", values, met=median(values) <= 0.5)
    for kind in ("bad-body", "bad-token"):
        values = comparison.ratios(("stub", kind, 16), stub)
        name = f"{_LOADS[kind]}: throughput relative to completions"
        yield row(name, "at least 1", values, met=median(values) >= 0.97)
    values = comparison.ratios(("stub", "second", 16), ("stub-10", "second", 16))
    steps = f"{results['memory']['steps']:,}"
    met = median(values) >= 0.95
    yield row(f"second completion, {steps} steps relative to 10", "1 within noise", values, met=met)
    starts = results["coldStarts"]
    if "prism" in starts:
        ours, theirs = (starts[name] for name in ("stepstub-serve", "prism"))
        values = [one / other for one, other in zip(ours, theirs, strict=True)]
        yield row("cold start relative to prism", "at most 0.5", values, met=median(values) <= 0.5)
    values = [one["plugin"] / one["bare"] for one in results["plugin"]]
    name = "call through the plugin relative to a bare callback of responses"
    yield row(name, "at most 1.5", values, met=median(values) <= 1.5)
    values = [min(one["first"], one["second"]) for one in results["sandboxes"]]
    name = "the slower of two sandboxes under load, relative to its rate alone"
    yield row(name, "at least 0.45", values, met=median(values) >= 0.45)
    memory = results["memory"]
    idle = memory["idle"] / 2**20
    yield row("idle memory, MiB", "at most 80", [idle], met=idle <= 80)
    each = (memory["loaded"] - memory["few"]) / memory["steps"]
    yield row("bytes per step with three params", "at most 1000", [each], met=each <= 1000)
    kept = _kept(memory["sandbox"])
    name = f"memory kept after {len(memory['sandbox'])} deleted sandboxes, relative to one sandbox"
    yield row(name, "at most 0.25", [kept], met=kept <= 0.25)
    if "soak" in memory:
        ratio = memory["soak"]["after"] / memory["soak"]["before"]
        yield row("memory after the soak relative to before", "1", [ratio], met=ratio <= 1.02)


def _kept(sandboxes: Sequence[dict[str, int]]) -> float:
    """Memory still held after the last sandbox was deleted, relative to the first sandbox."""
    first, last = sandboxes[0], sandboxes[-1]
    took = first["loaded"] - first["before"]
    return (last["after"] - first["before"]) / max(took, 1)


def _completions(results: dict[str, Any], comparison: Comparison) -> str:
    rows = []
    for key in comparison:
        server, kind, connections = key
        if kind != "success":
            continue
        against = [
            spread(comparison.ratios(key, (peer, kind, connections)))
            if (peer, kind, connections) in comparison
            else ""
            for peer in ("prism", "bare")
        ]
        probes = results["probes"][server]
        rows.append(
            (
                results["titles"][server],
                connections,
                *against,
                f"{comparison.median(key, 'rate'):.0f}",
                f"{comparison.median(key, 'p50'):.2f}",
                f"{comparison.median(key, 'p99'):.2f}",
                probes["bad-body"],
                probes["bad-token"],
                probes["second"],
            )
        )
    return table(
        (
            *("server", "connections", "relative to Prism", "relative to bare ASGI"),
            *("requests/s", "p50 ms", "p99 ms"),
            *("bad body gets", "wrong token gets", "second completion gets"),
        ),
        rows,
    )


def _notes(results: dict[str, Any], comparison: Comparison) -> str:
    busiest = comparison.bottlenecks()
    notes = [
        "The generator was **the bottleneck** (its core more than"
        f" {_BUSY:.0%} busy), so these servers are faster than shown: "
        + ", ".join(f"{server} ({kind}, {connections})" for server, kind, connections in busiest)
        + "."
        if busiest
        else "The generator was not the bottleneck: its core was at most"
        f" {max(comparison.median(key, 'generator') for key in comparison):.0%} busy."
    ]
    notes += [f"Left out: {name}, {why}." for name, why in results["leftOut"].items()]
    return "\n".join(notes) + "\n"


def _kinds(results: dict[str, Any], comparison: Comparison) -> Iterable[Sequence[object]]:
    for key in comparison:
        server, kind, connections = key
        if server.startswith("stub") and connections == 16:
            yield (
                results["titles"][server],
                _LOADS[kind],
                spread(comparison.ratios(key, ("stub", "success", 16))),
                f"{comparison.median(key, 'rate'):.0f}",
                f"{comparison.median(key, 'p50'):.2f}",
                f"{comparison.median(key, 'p99'):.2f}",
            )


def _memory(memory: dict[str, Any]) -> Iterable[Sequence[object]]:
    yield "`stepstub serve`, idle, after one request", f"{memory['idle'] / 2**20:.0f} MiB"
    yield f"with {memory['steps']:,} steps", f"{memory['loaded'] / 2**20:.0f} MiB"
    each = (memory["loaded"] - memory["few"]) / memory["steps"]
    yield "a step with three params, including its ids and strings", f"{each:.0f} bytes"
    first, last = memory["sandbox"][0], memory["sandbox"][-1]
    yield (
        "before, with and after a sandbox that is then deleted",
        ", ".join(f"{first[moment] / 2**20:.0f} MiB" for moment in ("before", "loaded", "after")),
    )
    yield f"after {len(memory['sandbox'])} such sandboxes", f"{last['after'] / 2**20:.0f} MiB"
    if "soak" in memory:
        soak = memory["soak"]
        yield (
            f"before and after {soak['requests']:,} refused requests",
            f"{soak['before'] / 2**20:.1f} and {soak['after'] / 2**20:.1f} MiB",
        )


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"
