"""The handler of `completeStep`, the contract's one operation."""

from stepstub.exchange import Exchange
from stepstub.stores.protocol import Applied
from stepstub.transitions import Completion


async def complete_step(exchange: Exchange) -> tuple[Completion, Applied]:
    """Complete the step that the body names, with the params it brings."""
    sandbox = exchange.sandbox
    params = sandbox.read_params(exchange.content, exchange.body)
    return await sandbox.complete(params, exchange.loaded, exchange.entry)
