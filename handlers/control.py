"""The handlers of the control API: how a test drives the stub.

Each takes the exchange and returns what goes out as JSON, or None for nothing.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from http import HTTPStatus
from itertools import islice
from typing import Any

from msgspec import structs

from stepstub.clock import timestamp
from stepstub.delegates import DelegateCall
from stepstub.engine import Engine
from stepstub.errors import BadRequest, NotFound
from stepstub.exchange import Exchange
from stepstub.faults import Fault
from stepstub.journal import Entry
from stepstub.model import Process, Step
from stepstub.sandbox import Sandboxes, Verification
from stepstub.scenario import build, load_built_in

Json = dict[str, Any]
Handler = Callable[["Control", Exchange], Awaitable[Any]]


class Control:
    """The handlers, over the sandboxes they drive."""

    def __init__(self, sandboxes: Sandboxes, health: Callable[[], Json]) -> None:
        self._sandboxes = sandboxes
        self._health = health

    async def get_health(self, exchange: Exchange) -> Json:
        return {
            "status": "ok",
            "name": "stepstub",
            **self._health(),
            "sandboxes": len(self._sandboxes),
        }

    async def create_sandbox(self, exchange: Exchange) -> Json:
        sandbox = self._sandboxes.create(_start_of(exchange.body) or ())
        return {"token": sandbox.token, "processes": [process_view(p) for p in sandbox.engine]}

    async def delete_sandbox(self, exchange: Exchange) -> None:
        self._sandboxes.delete(exchange.sandbox)

    async def reset_sandbox(self, exchange: Exchange) -> Json:
        sandbox = self._sandboxes.reset(exchange.sandbox, _start_of(exchange.body))
        return _process_list(tuple(sandbox.engine), sandbox.engine)

    async def list_processes(self, exchange: Exchange) -> Json:
        engine = exchange.sandbox.engine
        return _process_list(engine.page(*_page(exchange.parameters)), engine)

    async def start_process(self, exchange: Exchange) -> Json:
        sandbox, body = exchange.sandbox, exchange.body
        if ("scenario" in body) == ("steps" in body):
            raise BadRequest("Give either the name of a scenario or steps.")
        if "scenario" in body:
            if "id" in body:
                raise BadRequest("An id goes with steps; a scenario brings its own.")
            started = await sandbox.start_scenario(load_built_in(body["scenario"]).processes)
        else:
            process_id = body.get("id") or sandbox.free_id("process")
            (process,) = _processes([{"id": process_id, "steps": body["steps"]}])
            started = [await sandbox.start_process(process)]
        return _process_list(started, sandbox.engine)

    async def get_process(self, exchange: Exchange) -> Json:
        process_id = exchange.parameters["processId"]
        process = exchange.sandbox.engine.process(process_id)
        if process is None:
            raise NotFound(f"There is no process {process_id} in this sandbox.")
        return process_view(process)

    async def get_step(self, exchange: Exchange) -> Json:
        return _step_view(exchange.sandbox.engine.step(exchange.parameters["processStepId"]))

    async def fail_step(self, exchange: Exchange) -> Json:
        exchange.sandbox.fail_step(exchange.parameters["processStepId"])
        return await self.get_step(exchange)

    async def list_exchanges(self, exchange: Exchange) -> Json:
        wanted, journal = exchange.parameters, exchange.sandbox.journal
        calls = {call.exchange: call for call in exchange.sandbox.delegates}
        matching = (entry for entry in journal if _matches(entry, wanted))
        limit = wanted.get("limit", 100)
        page = list(islice(matching, limit + 1))
        view: Json = {
            "exchanges": [exchange_view(entry, calls.get(entry.number)) for entry in page[:limit]],
            "dropped": journal.dropped,
        }
        return {**view, "next": page[limit - 1].number} if len(page) > limit else view

    async def clear_journal(self, exchange: Exchange) -> None:
        exchange.sandbox.journal.clear()
        exchange.sandbox.delegates.clear()

    async def verify_completed(self, exchange: Exchange) -> Verification:
        body = exchange.body
        return await exchange.sandbox.verify(
            body["processStepId"], int(body.get("times", 1)), body.get("withinSeconds", 0)
        )

    async def list_faults(self, exchange: Exchange) -> Json:
        return {"faults": list(exchange.sandbox.faults)}

    async def add_fault(self, exchange: Exchange) -> Fault:
        body, sandbox = exchange.body, exchange.sandbox
        action = body.get("action", "respond")
        for member, belongs_to in (("status", "respond"), ("seconds", "delay")):
            if member in body and action != belongs_to:
                raise BadRequest(f"{member} goes with the action {belongs_to}, not with {action}.")
        fault = Fault(
            id=sandbox.ids.next("fault"),
            phase=body["phase"],
            action=action,
            status=int(body.get("status", 500)) if action == "respond" else None,
            seconds=body.get("seconds", 1) if action == "delay" else None,
            process_step_id=body.get("processStepId"),
            remaining=int(body.get("times", 1)),
        )
        sandbox.faults.add(fault)
        return fault

    async def clear_faults(self, exchange: Exchange) -> None:
        exchange.sandbox.faults.clear()

    async def get_clock(self, exchange: Exchange) -> Json:
        clock = exchange.sandbox.clock
        return {"now": timestamp(clock.now()), "frozen": clock.frozen}

    async def set_clock(self, exchange: Exchange) -> Json:
        clock, body = exchange.sandbox.clock, exchange.body
        try:  # first, for it can be refused, and then nothing changes
            clock.advance(body.get("advanceSeconds", 0))
        except ValueError as error:
            raise BadRequest(f"The clock cannot be moved: {error}.") from error
        if body.get("frozen") is True:
            clock.freeze()
        elif body.get("frozen") is False:
            clock.resume()
        return await self.get_clock(exchange)

    async def list_delegate_calls(self, exchange: Exchange) -> Json:
        calls = list(exchange.sandbox.delegates)
        offset, limit = _page(exchange.parameters)
        page = calls[offset : offset + limit]
        return {"delegateCalls": [_call_view(call) for call in page], "total": len(calls)}


STATUS = {
    "createSandbox": HTTPStatus.CREATED,
    "startProcess": HTTPStatus.CREATED,
    "addFault": HTTPStatus.CREATED,
    "deleteSandbox": HTTPStatus.NO_CONTENT,
    "clearJournal": HTTPStatus.NO_CONTENT,
    "clearFaults": HTTPStatus.NO_CONTENT,
}
"""Success statuses by operation id, where they are not 200."""


def process_view(process: Process) -> Json:
    return {"id": process.id, "steps": [_step_view(step) for step in process.steps]}


def exchange_view(entry: Entry, call: DelegateCall | None) -> Json:
    return _without_none(
        {
            "number": entry.number,
            "receivedAt": timestamp(entry.received_at),
            "wallClock": timestamp(entry.wall_clock),
            "operation": entry.operation,
            "method": entry.method,
            "path": entry.path,
            "headers": [
                (name.decode("latin-1"), value.decode("latin-1")) for name, value in entry.headers
            ],
            "body": entry.body.decode("utf-8", "replace"),
            "bodySize": entry.body_size,
            "status": entry.status or None,
            "response": entry.response.decode("utf-8", "replace") if entry.status else None,
            "durationMs": round(entry.duration * 1000, 3) if entry.duration else None,
            "processStepId": entry.step_id,
            "stepBefore": entry.step_before,
            "stepAfter": entry.step_after,
            "fault": entry.fault,
            "reason": entry.reason,
            "violations": entry.violations,
            "movedBy": entry.moved_by,
            "delegateCall": _call_view(call) if call else None,
        }
    )


def _step_view(step: Step) -> Json:
    return _without_none(
        {
            "id": step.id,
            "processId": step.process_id,
            "status": step.status,
            "delegate": _without_none(structs.asdict(step.delegate)),
            "params": step.params,
            "timeOutInSeconds": step.time_out_in_seconds,
            "timesOutAt": timestamp(step.deadline) if step.deadline is not None else None,
            "movedBy": step.moved_by,
            "failure": step.failure,
        }
    )


def _call_view(call: DelegateCall) -> Json:
    return _without_none(
        {
            "calledAt": timestamp(call.called_at),
            "kind": call.kind,
            "processId": call.start.process_id,
            "processStepId": call.start.process_step_id,
            "params": call.start.params,
            "outcome": call.outcome,
            "exchange": call.exchange,
        }
    )


def _process_list(processes: Sequence[Process], engine: Engine) -> Json:
    return {"processes": [process_view(process) for process in processes], "total": len(engine)}


def _without_none(view: Json) -> Json:
    return {name: value for name, value in view.items() if value is not None}


def _page(parameters: Json) -> tuple[int, int]:
    return parameters.get("offset", 0), parameters.get("limit", 100)


def _matches(entry: Entry, wanted: Json) -> bool:
    return (
        entry.number > wanted.get("after", 0)
        and wanted.get("processStepId") in (None, entry.step_id)
        and wanted.get("status") in (None, entry.status)
        and wanted.get("operation") in (None, entry.operation)
    )


def _start_of(body: Json | None) -> Sequence[Process] | None:
    """The processes that a body names or brings; None when it says nothing."""
    if not body:
        return None
    if len(body) > 1:
        raise BadRequest("Give either the name of a scenario or processes.")
    return (
        load_built_in(body["scenario"]).processes
        if "scenario" in body
        else _processes(body["processes"])
    )


def _processes(specs: Sequence[Json]) -> Sequence[Process]:
    return build({"processes": list(specs)}, name="request", file="the request").processes


@cache
def handler(operation_id: str) -> Handler:
    """The handler of an operation: that of `getStep` is `Control.get_step`."""
    function: Handler = getattr(Control, re.sub("([A-Z])", r"_\1", operation_id).lower())
    return function
