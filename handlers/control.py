"""The handlers of the control API: how a test drives the stub.

Each takes the exchange and returns one of `views`, or None for nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import convert

from stepstub import contract
from stepstub.errors import BadRequest, NeedsServer, NotFound
from stepstub.exchange import Exchange
from stepstub.faults import Fault
from stepstub.journal import ExchangeQuery
from stepstub.metrics import MEDIA_TYPE
from stepstub.model import Process
from stepstub.readings import as_mapping, with_values
from stepstub.responses.problem import Document
from stepstub.sandbox import Sandbox
from stepstub.scenario import build, load_built_in
from stepstub.variations import Vary
from stepstub.verification import Verification, verify
from stepstub.views import (
    ClockChange,
    ClockView,
    ConnectionRefusal,
    DelegateCallList,
    DelegateCallView,
    ExchangeList,
    ExchangeView,
    FaultList,
    FaultRequest,
    HealthView,
    ProcessList,
    ProcessStart,
    ProcessView,
    ReadinessView,
    ReadingsView,
    RefusalView,
    SandboxCreated,
    SandboxList,
    SandboxRequest,
    SandboxStart,
    SandboxView,
    StepView,
    TokenRequest,
    TokenView,
    VaryView,
    VerificationRequest,
    instant,
)

MAX_STEPS = 10_000
"""Steps that one call may bring."""

_PAGE_SIZE = 100
_LAST = ExchangeQuery(newest_first=True, limit=1)
_LAST_REFUSED = ExchangeQuery(refused=True, newest_first=True, limit=1)


async def get_health(exchange: Exchange) -> HealthView:
    return await exchange.stub.health()


async def get_readiness(exchange: Exchange) -> ReadinessView:
    await exchange.stub.sandboxes.check()
    return ReadinessView(status="ready")


async def get_metrics(exchange: Exchange) -> Document:
    stub = exchange.stub
    if stub.metrics is None:
        raise NotFound("There are no metrics: start the stub with --metrics.")
    sandboxes = await stub.sandboxes.count()
    text = stub.metrics.render(contract_violations=stub.violations, sandboxes=sandboxes)
    return Document(text, MEDIA_TYPE)


async def get_control_document(exchange: Exchange) -> Document:
    return Document(contract.control_text(), "application/yaml")


async def list_sandboxes(exchange: Exchange) -> SandboxList:
    sandboxes = exchange.stub.sandboxes
    page = await sandboxes.page(*_page(exchange.parameters))
    views = [await _in_short(sandbox) for sandbox in page]
    return SandboxList(sandboxes=tuple(views), total=await sandboxes.count())


async def get_sandbox(exchange: Exchange) -> SandboxView:
    return await _in_short(exchange.sandbox)


async def create_sandbox(exchange: Exchange) -> SandboxCreated:
    wanted = convert(exchange.body or {}, SandboxRequest, strict=False)
    sandboxes = exchange.stub.sandboxes
    readings = with_values(sandboxes.readings, wanted.readings)
    vary = _vary(wanted, sandboxes.vary)
    sandbox, token = await sandboxes.create(
        _processes_of(wanted) or (), readings, vary, wanted.name
    )
    processes, _ = await sandbox.store.page(0, len(sandbox.scenario))
    return SandboxCreated(
        id=sandbox.id,
        token=token,
        processes=tuple(map(ProcessView.of, processes)),
    )


async def delete_sandbox(exchange: Exchange) -> None:
    await exchange.stub.sandboxes.delete(exchange.sandbox)


async def reset_sandbox(exchange: Exchange) -> ProcessList:
    wanted = convert(exchange.body or {}, SandboxStart, strict=False)
    before = exchange.sandbox
    sandbox = await exchange.stub.sandboxes.reset(
        before,
        _processes_of(wanted),
        with_values(before.reset_readings, wanted.readings),
        _vary(wanted, before.reset_vary),
    )
    return ProcessList.of(*await sandbox.store.page(0, len(sandbox.scenario)))


async def get_readings(exchange: Exchange) -> ReadingsView:
    sandbox = exchange.sandbox
    return ReadingsView(readings=as_mapping(sandbox.readings), vary=VaryView.of(sandbox.vary))


async def list_processes(exchange: Exchange) -> ProcessList:
    return ProcessList.of(*await exchange.sandbox.store.page(*_page(exchange.parameters)))


async def start_process(exchange: Exchange) -> ProcessList:
    sandbox, wanted = exchange.sandbox, convert(exchange.body, ProcessStart, strict=False)
    # Typed clients send an empty list for one that they have not been given.
    given = [each for each in (wanted.scenario, wanted.processes, wanted.steps) if each]
    if len(given) != 1:
        needs = "A process needs a step. " if wanted.steps == [] and not given else ""
        raise BadRequest(f"{needs}Give one of the name of a scenario, processes, and steps.")
    if not wanted.steps:
        if wanted.id is not None:
            raise BadRequest("An id goes with steps; a scenario brings its own.")
        processes = (
            _processes(wanted.processes or ())
            if wanted.scenario is None
            else load_built_in(wanted.scenario).processes
        )
        started = await sandbox.start_scenario(processes)
    else:
        process_id = wanted.id or await sandbox.free_id("process")
        (process,) = _processes([{"id": process_id, "steps": wanted.steps}])
        started = [await sandbox.start_process(process)]
    _, total = await sandbox.store.page(0, 0)
    return ProcessList.of(started, total)


async def get_process(exchange: Exchange) -> ProcessView:
    process_id = exchange.parameters["processId"]
    process = await exchange.sandbox.store.process(process_id)
    if process is None:
        raise NotFound(f"There is no process {process_id} in this sandbox.")
    return ProcessView.of(process)


async def get_step(exchange: Exchange) -> StepView:
    return StepView.of(await exchange.sandbox.step(exchange.parameters["processStepId"]))


async def fail_step(exchange: Exchange) -> StepView:
    return StepView.of(await exchange.sandbox.fail_step(exchange.parameters["processStepId"]))


async def list_exchanges(exchange: Exchange) -> ExchangeList:
    wanted, sandbox = exchange.parameters, exchange.sandbox
    store, readings = sandbox.store, sandbox.readings
    limit = wanted.get("limit", _PAGE_SIZE)
    query = ExchangeQuery(
        step_id=wanted.get("processStepId"),
        status=wanted.get("status"),
        operation=wanted.get("operation"),
        refused=wanted.get("refused"),
        text=wanted.get("text"),
        after=wanted.get("after", 0),
        before=wanted.get("before"),
        newest_first=wanted.get("order") == "newest-first",
        limit=limit + 1,
    )
    found, dropped = await store.exchanges(query)
    page = found[:limit]
    calls = await store.calls_of(entry.number for entry in page)
    return ExchangeList(
        exchanges=tuple(
            ExchangeView.of(entry, calls.get(entry.number), readings) for entry in page
        ),
        dropped=dropped,
        next=page[-1].number if len(found) > limit else None,
    )


async def clear_journal(exchange: Exchange) -> None:
    await exchange.sandbox.store.clear_journal()


async def verify_completed(exchange: Exchange) -> Verification:
    wanted = convert(exchange.body, VerificationRequest, strict=False)
    return await verify(
        exchange.sandbox, wanted.process_step_id, wanted.times, wanted.within_seconds
    )


async def list_faults(exchange: Exchange) -> FaultList:
    return FaultList(faults=tuple(await exchange.sandbox.store.faults()))


async def add_fault(exchange: Exchange) -> Fault:
    wanted = convert(exchange.body, FaultRequest, strict=False)
    return await exchange.sandbox.store.add_fault(wanted.as_fault())


async def clear_faults(exchange: Exchange) -> None:
    await exchange.sandbox.store.clear_faults()


async def issue_token(exchange: Exchange) -> TokenView:
    wanted, sandbox = convert(exchange.body, TokenRequest, strict=False), exchange.sandbox
    limit = await sandbox.limit_of(wanted.expires_in_seconds, wanted.requests)
    return TokenView(token=await exchange.stub.sandboxes.issue(sandbox, limit))


async def limit_token(exchange: Exchange) -> None:
    wanted, sandbox = convert(exchange.body, TokenRequest, strict=False), exchange.sandbox
    limit = await sandbox.limit_of(wanted.expires_in_seconds, wanted.requests)
    await exchange.stub.sandboxes.limit(sandbox, exchange.token, limit)


async def refuse_connections(exchange: Exchange) -> None:
    if exchange.wire is None:
        raise NeedsServer("There are no connections to refuse here.")
    wanted = convert(exchange.body, ConnectionRefusal, strict=False)
    await exchange.wire.refuse_connections(wanted.seconds)


async def get_clock(exchange: Exchange) -> ClockView:
    return ClockView.of(await exchange.sandbox.store.clock())


async def set_clock(exchange: Exchange) -> ClockView:
    wanted = convert(exchange.body, ClockChange, strict=False)
    try:
        state = await exchange.sandbox.store.change_clock(
            wanted.advance_seconds or 0, wanted.frozen
        )
    except ValueError as error:
        raise BadRequest(f"The clock cannot be moved: {error}.") from error
    await exchange.sandbox.make_owed_calls()
    return ClockView.of(state)


async def list_delegate_calls(exchange: Exchange) -> DelegateCallList:
    step_id = exchange.parameters.get("processStepId")
    calls = [
        call
        for call in await exchange.sandbox.store.calls()
        if step_id in (None, call.start.process_step_id)
    ]
    offset, limit = _page(exchange.parameters)
    page = calls[offset : offset + limit]
    return DelegateCallList(delegate_calls=tuple(map(DelegateCallView.of, page)), total=len(calls))


async def _in_short(sandbox: Sandbox) -> SandboxView:
    store = sandbox.store
    revision = await store.revision()  # first, so that it is never newer than what goes with it
    _, processes = await store.page(0, 0)
    last, dropped = await store.exchanges(_LAST)
    refused, _ = await store.exchanges(_LAST_REFUSED)
    return SandboxView(
        id=sandbox.id,
        name=sandbox.name,
        created_at=instant(sandbox.created_at),
        processes=processes,
        exchanges=last[0].number if last else dropped,  # numbers have no gaps
        faults=len(await store.faults()),
        revision=revision,
        last_refusal=RefusalView.of(refused[0]) if refused else None,
    )


def _page(parameters: Mapping[str, Any]) -> tuple[int, int]:
    return parameters.get("offset", 0), parameters.get("limit", _PAGE_SIZE)


def _vary(wanted: SandboxStart, base: Vary | None) -> Vary | None:
    return base if wanted.vary is None else wanted.vary.vary


def _processes_of(wanted: SandboxStart) -> Sequence[Process] | None:
    """The processes that a request names or brings; None when it says nothing."""
    if wanted.scenario is not None and wanted.processes is not None:
        raise BadRequest("Give either the name of a scenario or processes.")
    if wanted.scenario is not None:
        return load_built_in(wanted.scenario).processes
    return None if wanted.processes is None else _processes(wanted.processes)


def _processes(specs: Sequence[Mapping[str, Any]]) -> Sequence[Process]:
    # Everybody waits while they are put in place, the tests in other sandboxes too.
    if sum(len(spec["steps"]) for spec in specs) > MAX_STEPS:
        raise BadRequest(f"One call may bring {MAX_STEPS} steps at most; make several.")
    return build({"processes": list(specs)}, name="request", file="the request").processes
