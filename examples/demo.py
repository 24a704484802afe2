"""A whole process over real sockets, between the stub and a third-party application.

The application is `third_party_app.py`; the process comes from the scenario `third-party`.
"""

import argparse
import json
import logging
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import requests
import third_party_app
import yaml
from flask import Flask
from werkzeug.serving import make_server

import stepstub

SCENARIO = Path(__file__).parent.parent / "fixtures" / "third-party.yaml"
TIMEOUT = 10.0  # seconds
ORDER = {
    "customer": {"strValue": "Ada Lovelace", "type": "STRING"},
    "amount": {"longValue": 1250, "type": "LONG"},
    "items": {"longValue": 4, "type": "LONG"},
}


class Story(NamedTuple):
    """What happened: the process afterwards, the requests, and the delegate calls."""

    process: stepstub.ProcessView
    exchanges: list[stepstub.ExchangeView]
    calls: list[stepstub.DelegateCallView]


def main() -> str | None:
    """Run the demo. Returns an error message, or None on success."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--port",
        type=int,
        default=8090,
        help="port of the third-party application; 0 picks a free one",
    )
    port = parser.parse_args().port
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    try:
        listener = socket.create_server(("127.0.0.1", port))
    except OSError as error:
        return f"Cannot listen on port {port}: {error.strerror}. --port 0 picks a free one."
    with listener:
        story = run(listener)
    print("\n".join(timeline(story)))
    states = ", ".join(f"{step.id} is {step.status}" for step in story.process.steps)
    if any(step.status != "COMPLETED" for step in story.process.steps):
        return f"The process did not finish within {TIMEOUT:g} s: {states}."
    print(f"\nThe process is finished: {states}.")
    return None


def run(listener: socket.socket) -> Story:
    """Complete the first step; the application on `listener` completes the others."""
    steps = steps_for(f"http://127.0.0.1:{listener.getsockname()[1]}/steps")
    with stepstub.LiveServer() as server, server.sandbox() as sandbox:
        process = sandbox.start_process(steps, id="order-7")
        with serving(third_party_app.create_app(sandbox.url, sandbox.token), listener):
            requests.post(
                sandbox.complete_step_url,
                json={"processStepId": process.steps[0].id, "params": ORDER},
                headers={**sandbox.headers, "User-Agent": "demo"},
                timeout=TIMEOUT,
            )
            with suppress(stepstub.NotCompletedAsExpected):
                sandbox.verify_completed(process.steps[-1].id, within=TIMEOUT)
        return Story(sandbox.process(process.id), sandbox.journal(), sandbox.delegate_calls())


def steps_for(url: str) -> list[dict[str, Any]]:
    """The steps of the scenario, with `url` as the URL of the http delegates."""
    (process,) = yaml.safe_load(SCENARIO.read_text("utf-8"))["processes"]
    return [
        {**step, "delegate": {"http": url}} if "delegate" in step else step
        for step in process["steps"]
    ]


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


def timeline(story: Story) -> Iterator[str]:
    """Each request, followed by the delegate call that it caused."""
    callers = {"demo": "demo", "third-party-app": "application"}
    seen: dict[str, object] = {}

    def line(at: datetime, who: str, what: str, outcome: object, params: dict[str, Any]) -> str:
        values = {name: value(param) for name, param in params.items()}
        new = {name: given for name, given in values.items() if seen.get(name) != given}
        seen.update(new)
        shown = ", ".join(f"{name}={given}" for name, given in new.items())
        return f"{at:%H:%M:%S.%f}"[:12] + f"  {who:19}  {what:29}  {outcome:<8}  {shown}".rstrip()

    yield f"{'time':12}  {'caller -> callee':19}  {'action':29}  {'outcome':8}  new params"
    for exchange in story.exchanges:
        who = callers.get(dict(exchange.headers).get("user-agent", ""), "?")
        what = f"complete {exchange.process_step_id}"
        params = json.loads(exchange.body)["params"]
        yield line(exchange.received_at, f"{who} -> stub", what, exchange.status, params)
        if exchange.reason:
            yield f"{'':14}{exchange.reason}"
        for call in story.calls:
            if call.exchange_number == exchange.number:
                what = f"start {call.process_step_id}"
                yield line(call.called_at, "stub -> application", what, call.outcome, call.params)


def value(param: "dict[str, Any] | stepstub.Param") -> object:
    """The value that is set."""
    values = (
        (param.get("strValue"), param.get("longValue"), param.get("doubleValue"))
        if isinstance(param, dict)
        else (param.str_value, param.long_value, param.double_value)
    )
    return next(given for given in values if isinstance(given, str | int | float))


if __name__ == "__main__":
    sys.exit(main())
