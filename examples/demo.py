"""A whole process over real sockets: the stub on one side, a third-party application on the other.

The application is `third_party_app.py`, the process the one of the scenario `third-party`.
"""

import argparse
import logging
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import QueueHandler
from queue import Empty, SimpleQueue
from typing import Any

import requests
import third_party_app
from flask import Flask
from msgspec import json
from msgspec.structs import replace
from werkzeug.serving import make_server

from stepstub import scenario
from stepstub.app import DEFAULT_TOKEN, create_app
from stepstub.clock import timestamp
from stepstub.concurrency import EventLoopConcurrency
from stepstub.model import Process
from stepstub.sandbox import Sandbox
from stepstub.serving.server import listen, serve_in_thread, url_of

TIME_OUT = 10.0  # seconds
ORDER = {
    "customer": {"strValue": "Ada Lovelace", "type": "STRING"},
    "amount": {"longValue": 1250, "type": "LONG"},
    "items": {"longValue": 4, "type": "LONG"},
}


def main() -> str | None:
    """Run the demo; returns what went wrong, None if nothing did."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--port", type=int, default=8090, help="of the third-party application; 0 picks a free one"
    )
    port = parser.parse_args().port
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    try:
        listener = listen("127.0.0.1", port)
    except OSError as error:
        return f"Cannot listen on port {port}: {error.strerror}. --port 0 picks a free one."
    with listener:
        sandbox = run(listener)
    print("\n".join(timeline(sandbox)))
    if not is_over(sandbox):
        return f"The process did not come to its end within {TIME_OUT:g} s: {standing(sandbox)}."
    print(f"\nThe process has come to its end: {standing(sandbox)}.")
    return None


def run(listener: socket.socket) -> Sandbox:
    """Complete the first step, and let the application on `listener` do the rest.

    Returns the sandbox it happened in, when the process is at its end or the time is over.
    """
    (process,) = scenario.load("third-party").processes
    process = moved(process, to=f"{url_of(listener)}/steps")
    stub = create_app([process], concurrency=EventLoopConcurrency())
    sandbox = stub.sandboxes.default
    with (
        serve_in_thread(stub) as url,
        serving(third_party_app.create_app(url, DEFAULT_TOKEN), listener),
        exchanges() as ended,
    ):
        requests.post(
            f"{url}/api/v1/processes/complete-step",
            json={"processStepId": process.steps[0].id, "params": ORDER},
            headers={"Authorization": f"Bearer {DEFAULT_TOKEN}", "User-Agent": "demo"},
            timeout=TIME_OUT,
        )
        deadline = time.monotonic() + TIME_OUT
        while not is_over(sandbox):
            try:
                ended.get(timeout=max(0, deadline - time.monotonic()))
            except Empty:
                break
    return sandbox


def moved(process: Process, to: str) -> Process:
    """The process with `to` in place of the URL that the scenario gives its http delegates."""
    steps = (
        replace(step, delegate=replace(step.delegate, url=to)) if step.delegate.url else step
        for step in process.steps
    )
    return replace(process, steps=tuple(steps))


@contextmanager
def serving(app: Flask, listener: socket.socket) -> Iterator[None]:
    server = make_server("127.0.0.1", 0, app, threaded=True, fd=listener.fileno())
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def exchanges() -> Iterator["SimpleQueue[logging.LogRecord]"]:
    """A queue that gets an item whenever the stub has dealt with a request."""
    ended: SimpleQueue[logging.LogRecord] = SimpleQueue()
    handler = QueueHandler(ended)
    log = logging.getLogger("stepstub.access")
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    try:
        yield ended
    finally:
        log.removeHandler(handler)


def is_over(sandbox: Sandbox) -> bool:
    """Whether all steps are COMPLETED and every request has its response."""
    return all(entry.status for entry in sandbox.journal) and all(
        step.status == "COMPLETED" for process in sandbox.engine for step in process.steps
    )


def standing(sandbox: Sandbox) -> str:
    return ", ".join(
        f"{step.id} is {step.status}" for process in sandbox.engine for step in process.steps
    )


def timeline(sandbox: Sandbox) -> Iterator[str]:
    """Each request, followed by the delegate call it led to."""
    callers = {b"demo": "demo", b"third-party-app": "application"}
    seen: dict[str, Any] = {}

    def line(at: int, who: str, what: str, outcome: object, params: dict[str, Any]) -> str:
        new = {name: param for name, param in params.items() if seen.get(name) != param}
        seen.update(new)
        shown = ", ".join(f"{name}={value(param)}" for name, param in new.items())
        return f"{timestamp(at)[11:23]}  {who:19}  {what:29}  {outcome:<7}  {shown}".rstrip()

    yield f"{'time':12}  {'who calls whom':19}  {'what':29}  {'outcome':7}  params that are new"
    for entry in sandbox.journal:
        who = callers.get(dict(entry.headers).get(b"user-agent", b""), "?")
        what = f"complete {entry.step_id}"
        params = json.decode(entry.body)["params"]
        yield line(entry.received_at, f"{who} -> stub", what, entry.status, params)
        if entry.reason:
            yield f"{'':14}{entry.reason}"
        for call in sandbox.delegates:
            if call.exchange == entry.number:
                what = f"start {call.start.process_step_id}"
                params = json.decode(json.encode(call.start.params))
                yield line(call.called_at, "stub -> application", what, call.outcome, params)


def value(param: dict[str, Any]) -> object:
    return next(
        param[field] for field in ("strValue", "longValue", "doubleValue") if field in param
    )


if __name__ == "__main__":
    sys.exit(main())
