"""The cost of one completion in a stub with a given number of steps; prints one JSON object.

The application is called in-process, so that sockets do not hide small differences. A stub with few
steps is soon used up and is then replaced by another one.
"""

import argparse
import json
import statistics
import time
from collections.abc import Iterator
from typing import Any

from serve_seeded import processes
from servers import PATH, TOKEN, completion, step_id

from stepstub.app import create_app
from stepstub.concurrency import run_inline
from stepstub.stub import Stub

_SAMPLES = 5000
_STUBS = 25


def scope(body: bytes) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": PATH,
        "raw_path": PATH.encode(),
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 1),
        "headers": [
            (b"host", b"127.0.0.1"),
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"authorization", f"Bearer {TOKEN}".encode()),
        ],
    }


def call(app: Stub, body: bytes) -> tuple[int, float]:
    """Status and duration in microseconds."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    request = scope(body)
    began = time.perf_counter_ns()
    run_inline(app(request, receive, send))
    return sent[0]["status"], (time.perf_counter_ns() - began) / 1000


def completions(steps: int) -> Iterator[float]:
    """Durations of single completions, each of which starts a next step."""
    count = max(1, steps // 10)
    for _ in range(_STUBS):
        app = create_app(tuple(processes(count, steps // count + 1)))
        call(app, completion("unknown"))  # Connexion builds its stack on the first request
        for position in range(min(steps, _SAMPLES)):
            status, taken = call(app, completion(step_id(position % count, position // count)))
            if status != 200:
                raise SystemExit(f"position {position} of {steps}: {status}")
            yield taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, required=True)
    steps = parser.parse_args().steps
    warm = create_app(tuple(processes(1, 501)))
    for position in range(500):
        call(warm, completion(step_id(0, position)))
    times = [taken for taken, _ in zip(completions(steps), range(_SAMPLES), strict=False)]
    low, median, high = statistics.quantiles(times, n=4) if len(times) > 1 else times * 3
    print(json.dumps({"steps": steps, "low": low, "median": median, "high": high}))


if __name__ == "__main__":
    main()
