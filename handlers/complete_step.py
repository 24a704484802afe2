"""The handler of `completeStep`, the contract's one operation."""

from msgspec import Struct, ValidationError, json

from stepstub.exchange import Exchange
from stepstub.model import Param, Params
from stepstub.sandbox import Completion
from stepstub.scenario import params


class _Submitted(Struct):
    params: dict[str, Param] | None = None


_submitted = json.Decoder(_Submitted)


async def complete_step(exchange: Exchange) -> Completion:
    """Complete the step that the body names, with the params it brings."""
    return await exchange.sandbox.complete(_params(exchange), exchange.loaded, exchange.entry)


def _params(exchange: Exchange) -> Params:
    try:
        return _submitted.decode(exchange.content).params or {}
    except ValidationError:  # a long written as 3.0, which the contract takes for an integer
        return params(exchange.body["params"])
