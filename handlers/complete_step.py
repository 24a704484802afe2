"""The handler of `completeStep`, the contract's one operation."""

from stepstub.engine import StartedStep
from stepstub.exchange import Exchange
from stepstub.scenario import params


async def complete_step(exchange: Exchange) -> StartedStep:
    """Complete the step that the body names, with the params it brings."""
    body = exchange.body
    return await exchange.sandbox.complete_step(
        body["processStepId"], params(body.get("params")), exchange.entry
    )
