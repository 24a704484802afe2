"""A sandbox's faults at work on an exchange."""

from stepstub.exchange import Exchange
from stepstub.faults import Fault
from stepstub.responses import Response
from stepstub.wire import gateway_page, shaped


async def handle(exchange: Exchange) -> None:
    """Have a faultable operation handled, with the faults that strike before and after it."""
    operation, entry, sandbox = exchange.operation, exchange.entry, exchange.sandbox
    if operation is None:
        raise RuntimeError("the request matches no operation")
    entry.step_id = step_id = exchange.body["processStepId"]
    exchange.records = loaded = await sandbox.store.load(step_id, entry)
    if loaded.fault is not None:
        if await _strike(exchange, loaded.fault, loaded.now):
            return
        # Time has passed, and the records may have changed.
        exchange.records = await sandbox.store.load(step_id, entry)
    completion, applied = await operation.handler(exchange)
    exchange.response = sandbox.responses.success(completion, operation.status, applied.now)
    if applied.fault is not None:
        await _strike(exchange, applied.fault, applied.now)


async def _strike(exchange: Exchange, fault: Fault, now: int) -> bool:
    """Misbehave as `fault` says; whether that was the end of the exchange."""
    exchange.entry.note_fault(fault.describe())
    match fault.action:
        case "delay":
            await exchange.stub.concurrency.sleep(fault.seconds or 0)
            return False
        case "respond":
            exchange.response = shaped(fault, _injected(exchange, fault, now))
        case "gateway":
            exchange.response = shaped(fault, gateway_page(fault.status or 502))
        case "malformed":
            whole = exchange.response.body if exchange.response else b'{"message":"Success"}'
            exchange.response = Response(200, whole[: len(whole) // 2])
        case _:
            # Before the completion there is nothing true to send but an error.
            exchange.response = exchange.response or _injected(exchange, fault, now)
            exchange.delivery = fault
    return True


def _injected(exchange: Exchange, fault: Fault, now: int) -> Response:
    return exchange.sandbox.responses.injected(fault.status or 500, now, exchange.entry.path)
