"""Draws both plots from results.json in the given directory; needs matplotlib."""

import json
import sys
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams |= {
    "svg.hashsalt": "stepstub",  # makes the files reproducible
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
}

from matplotlib import pyplot as plt  # noqa: E402 - after the backend has been chosen

_OURS, _OTHERS = "#0b6e4f", "#9aa5b1"
_NAMES = {
    "stub": "Stepstub",
    "bare": "bare ASGI, static response",
    "bare-http1": "the same on Stepstub's HTTP/1.1",
    "prism": "Prism",
    "wiremock": "WireMock, schema matcher",
    "connexion": "Connexion AsyncApp, defaults",
}


def comparison(results: dict[str, Any]) -> plt.Figure:
    """Completions per second of every server, with the range over the rounds."""
    rates = {
        cell["server"]: [one["rate"] for one in cell["rounds"]]
        for cell in results["comparison"]
        if cell["load"] == "success" and cell["connections"] == 16
    }
    compared = "prism" in rates
    if compared:  # round by round, as in the table
        rates = {
            name: [rate / prism for rate, prism in zip(seen, rates["prism"], strict=True)]
            for name, seen in rates.items()
        }
    ordered = sorted(rates, key=lambda name: median(rates[name]))
    figure, axes = plt.subplots(figsize=(8, 0.9 + 0.5 * len(ordered)), layout="constrained")
    for row, name in enumerate(ordered):
        values = rates[name]
        middle = median(values)
        axes.barh(row, middle, color=_OURS if name == "stub" else _OTHERS)
        axes.plot([min(values), max(values)], [row, row], color="black", linewidth=1)
        axes.annotate(
            f"{middle:.2f}" if compared else f"{middle:.0f}",
            (max(values), row),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
        )
    axes.set_yticks(range(len(ordered)), [_NAMES[name] for name in ordered])
    axes.set_xlabel(
        "requests per second, Prism = 1; the line is the range over the rounds"
        if compared
        else "requests per second"
    )
    axes.margins(x=0.12)
    return figure


def cost(results: dict[str, Any]) -> plt.Figure:
    """Microseconds per completion by number of steps in the stub."""
    points = results["cost"]
    steps = [point["steps"] for point in points]
    figure, axes = plt.subplots(figsize=(8, 3), layout="constrained")
    axes.fill_between(
        steps,
        [point["low"] for point in points],
        [point["high"] for point in points],
        color=_OURS,
        alpha=0.2,
        linewidth=0,
    )
    axes.plot(steps, [point["median"] for point in points], color=_OURS, marker="o")
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("steps in the stub")
    axes.set_ylabel("µs per completion")
    return figure


def main(folder: Path) -> None:
    results = json.loads((folder / "results.json").read_text())
    for name, draw in (("comparison", comparison), ("cost", cost)):
        draw(results).savefig(folder / f"{name}.svg", metadata={"Date": None})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
