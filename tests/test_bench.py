"""A smoke run of the bench: that it works, not how fast anything is."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from state_servers import executable

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def bench_path() -> str:
    return str(BENCHMARKS / "bench.py")


@pytest.mark.bench
@pytest.mark.skipif(not shutil.which("wrk"), reason="wrk is not installed")
def test_a_smoke_run_measures_the_stub_and_writes_the_page(bench_path: str, tmp_path: Path) -> None:
    command = [sys.executable, bench_path, "--smoke", "--servers=bare", f"--output={tmp_path}"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stdout + run.stderr

    results = json.loads((tmp_path / "results.json").read_text())
    assert results["probes"]["stub"] == {"second": 412, "bad-body": 412, "bad-token": 401}
    assert all(one["rate"] > 0 for cell in results["comparison"] for one in cell["rounds"])
    assert all(point["median"] > 0 for point in results["cost"])
    page = (tmp_path / "results.md").read_text()
    assert "throughput relative to bare" in page
    assert "second completion, 412" in page


@pytest.mark.bench
@pytest.mark.skipif(not shutil.which("wrk"), reason="wrk is not installed")
def test_the_cost_of_metrics_is_measured_over_http() -> None:
    command = [sys.executable, str(BENCHMARKS / "metrics.py"), "--rounds=2"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    figures = re.findall(r"^(.*): [\d.]+ with, [\d.]+ without; ", run.stdout, re.MULTILINE)
    assert figures == ["completions per second", "microseconds of processor time"]


@pytest.mark.parametrize(
    "script", ["serve_seeded.py", "cost.py", "serve_bare.py", "metrics.py", "shared_state.py"]
)
def test_every_script_says_how_it_is_called(script: str) -> None:
    command = [sys.executable, str(BENCHMARKS / script), "--help"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    assert "usage:" in run.stdout


def test_a_peer_it_does_not_know_is_refused(bench_path: str, tmp_path: Path) -> None:
    command = [sys.executable, bench_path, "--smoke", "--servers=nginx", f"--output={tmp_path}"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 1
    assert "unknown: nginx" in run.stderr


def test_the_page_of_results_is_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import report

    results = json.loads((BENCHMARKS / "results.json").read_text("utf-8"))
    assert (BENCHMARKS / "results.md").read_text("utf-8") == report.markdown(results)


def test_the_page_of_shared_state_is_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import shared_state

    results = json.loads((BENCHMARKS / "shared_state.json").read_text("utf-8"))
    page = (BENCHMARKS / "shared_state.md").read_text("utf-8")
    assert page == shared_state.markdown(results)


@pytest.mark.parametrize(
    ("workers", "rate", "bottleneck"),
    [
        (1, 2500, "the workers"),
        (3, 7500, "the workers"),
        (4, 10_000, "the store"),
        (16, 10_000, "the store"),
    ],
)
def test_workers_add_up_until_the_store_is_busy(
    workers: int, rate: int, bottleneck: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import shared_state

    # 400 µs of a worker's time, and 100 µs of the store's, for a completion
    assert shared_state.estimate(400, 100, workers) == (workers, rate, bottleneck)


@pytest.mark.bench
@pytest.mark.skipif(not shutil.which("wrk"), reason="wrk is not installed")
def test_the_cost_of_shared_state_is_measured_over_http(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCHMARKS / "shared_state.py"), "--rounds=1"]
    options = [f"--server={executable('redis')}", f"--output={tmp_path}"]
    run = subprocess.run(
        [*command, *options], capture_output=True, text=True, timeout=120, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    rounds = json.loads((tmp_path / "shared_state.json").read_text())["rounds"]
    assert list(rounds) == ["memory", "shared, 1 worker", "shared, 2 workers"]
    for name, turns in rounds.items():
        assert all(turn["rate"] > 0 and turn["stub"] > 0 for turn in turns)
        assert name == "memory" or all(turn["store"] > 0 for turn in turns)
    assert "estimate" in (tmp_path / "shared_state.md").read_text()


FIGURES = {
    "completions per second, relative to Prism": "throughput relative to prism",
    "completions per second, relative to a bare": "throughput relative to bare",
    "99th percentile at 16 connections": "p99 relative to prism, 16 connections",
    "time from process start to first 200": "cold start relative to prism",
    "a call through the fixture": "call through the plugin",
    "memory when idle": "idle memory, MiB",
    "memory per step": "bytes per step",
}


@pytest.mark.parametrize(("said", "measured"), FIGURES.items(), ids=FIGURES)
def test_the_page_says_what_was_measured(said: str, measured: str) -> None:
    shown = (BENCHMARKS / "README.md").read_text("utf-8")
    page = (BENCHMARKS / "results.md").read_text("utf-8")
    figure = re.search(rf"^\| {re.escape(said)}.* \| ([\d.]+).* \|$", shown, re.MULTILINE)
    median = re.search(rf"^\| {re.escape(measured)}.* \| .* \| ([\d.]+) \(", page, re.MULTILINE)
    assert figure
    assert median
    digits = len(figure[1].partition(".")[2])
    assert round(float(median[1]), digits) == float(figure[1])
