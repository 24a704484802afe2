"""`stepstub serve --log-level warning`, with as many steps as the benchmark needs.

The processes are the same as from a scenario file, without the time that reading a million steps
from YAML would take. Ids match `load.lua`: process p000007, step p000007-0001.
"""

import argparse
from collections.abc import Iterator

from stepstub import logs, scenario
from stepstub.app import create_app
from stepstub.concurrency import EventLoopConcurrency
from stepstub.model import Process
from stepstub.serving.server import listen, serve
from stepstub.settings import Settings


def processes(count: int, steps_each: int) -> Iterator[Process]:
    """Processes with three params in each step; the first step of each is STARTED."""
    for number in range(count):
        process_id = f"p{number:06}"
        specs = [
            {
                "id": f"{process_id}-{position + 1:04}",
                "params": {
                    "decision": {"strValue": f"step {position}", "type": "STRING"},
                    "approvedAmount": {"longValue": 1_000_000 + position, "type": "LONG"},
                    "confidence": {"doubleValue": position + 0.5, "type": "DOUBLE"},
                },
            }
            for position in range(steps_each)
        ]
        yield Process(process_id, scenario.steps(specs, process_id))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--processes", type=int, required=True)
    parser.add_argument("--steps-each", type=int, required=True)
    parser.add_argument("--metrics", action="store_true", help="count exchanges for Prometheus")
    options = parser.parse_args()
    listener = listen("127.0.0.1", options.port)
    logs.configure("text", "warning")
    app = create_app(
        tuple(processes(options.processes, options.steps_each)),
        Settings(with_metrics=options.metrics),
        concurrency=EventLoopConcurrency(),
    )
    serve(app, listener, lambda: None)


if __name__ == "__main__":
    main()
