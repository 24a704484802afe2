"""What clients of a stub with several workers see could have happened one thing after the other.

Real processes, real sockets, a real state server. The same histories are drawn each time, but how
their requests meet is up to the machine.

`make torture` records more of them, while workers are killed at random moments. It is resumed by
STEPSTUB_SEED, the first history to record, and STEPSTUB_HISTORIES, how many.
"""

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from broken_scripts import BREAKS
from served_stub import Served, served
from shared_histories import History, Recording, recording
from state_servers import StateServer
from stepstub.stores.valkey.store import OWED
from support import until

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")

HISTORIES = 1000
TORTURED = 20_000
CAUGHT_WITHIN = 100
"""Histories of a broken store, of which one at least has to look wrong."""
LEASE = 1  # seconds
BATCH = 100


def check(recorder: Recording, seeds: range, state: StateServer) -> None:
    """Record histories; every call has ended when they are looked at for the last time."""
    for first in seeds[::BATCH]:
        batch = [recorder.record(seed) for seed in seeds if first <= seed < first + BATCH]
        until(lambda: not state.run("ZCARD", OWED))
        for history in batch:
            recorder.finish(history)
        failed = [history for history in batch if history.trouble]
        assert not failed, told(failed[0])


def told(history: History) -> str:
    lines = [f"history {history.seed}", *history.trouble, *map(str, history.explained())]
    return "\n  ".join(lines)


@pytest.mark.proof
def test_what_clients_of_two_workers_see_is_linearizable(state_server: StateServer) -> None:
    with served("--state", state_server.url, "--lease", str(LEASE)) as stub:
        with recording(stub.url) as recorder:
            check(recorder, range(HISTORIES), state_server)
            seen, workers = set(recorder.seen), recorder.workers
        assert stub.stop() == ""

    assert {(name, result) for name, result in seen if result not in ("gone", "F")} == {
        *(("complete", result) for result in ["done", "P", "C"]),
        *(("fail", result) for result in ["done", "P", "C"]),
        *(("settle", result) for result in ["undone", "stands", "completed"]),
        ("reset", "done"),
    }
    assert min(workers[str(pid)] for pid in stub.pids.values()) > HISTORIES


@pytest.mark.proof
@pytest.mark.parametrize("broken", BREAKS)
def test_a_store_with_a_broken_script_is_caught(broken: str, state_server: StateServer) -> None:
    with (
        served("--state", state_server.url, "--break", broken) as stub,
        recording(stub.url) as recorder,
    ):
        for seed in range(CAUGHT_WITHIN):
            history = recorder.record(seed)
            recorder.finish(history)
            if history.trouble:
                print(f"{broken}: caught by history {seed + 1}")
                return
    pytest.fail(f"{CAUGHT_WITHIN} histories of a store that is broken look right")


@contextmanager
def killing(stub: Served, seed: int) -> Iterator[list[int]]:
    """Kill one worker after the other while the context lasts; the pids of those."""
    chance, ended, killed = random.Random(seed), threading.Event(), []

    def kill() -> None:
        while not ended.wait(chance.uniform(0.05, 1)):
            number = chance.choice([1, 2])
            os.kill(stub.pids[number], signal.SIGKILL)
            killed.append(stub.pids[number])
            stub.worker()

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        yield killed
    finally:
        ended.set()
        killer.join()


@pytest.mark.torture
@pytest.mark.parametrize("state_server", ["valkey"], indirect=True)
def test_nothing_is_lost_when_workers_are_killed(state_server: StateServer, tmp_path: Path) -> None:
    first = int(os.environ.get("STEPSTUB_SEED", "0"))
    histories = int(os.environ.get("STEPSTUB_HISTORIES", str(TORTURED)))
    began = time.monotonic()
    with (
        (tmp_path / "log").open("w+") as log,
        served("--state", state_server.url, "--lease", str(LEASE), log=log) as stub,
        recording(stub.url) as recorder,
        killing(stub, first) as killed,
    ):
        for start in range(first, first + histories, 1000):
            seeds, before = range(start, min(start + 1000, first + histories)), len(killed)
            check(recorder, seeds, state_server)
            assert len(killed) > before
            print(
                f"to {seeds.stop}: {len(killed)} killed, {time.monotonic() - began:.0f} s",
                dict(recorder.seen),
                flush=True,
            )
    assert recorder.seen["complete", "unknown"]
    assert "Traceback" not in (tmp_path / "log").read_text()
