"""The gate as one ASGI application: routing -> credentials -> body -> the stub's dispatch."""

import warnings
from functools import cache

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stepstub import contract
from stepstub.concurrency import run_inline
from stepstub.exchange import exchange_of
from stepstub.gate.body import BodyAndParameters, JsonBody
from stepstub.gate.credentials import Bearer, ControlToken, Credentials
from stepstub.gate.routing import Routing, convertors_restored
from stepstub.operations import OPERATIONS

with warnings.catch_warnings():  # Connexion imports what Starlette deprecates
    warnings.simplefilter("ignore")
    from connexion import ConnexionMiddleware
    from connexion.resolver import Resolver


@cache
def gate(*, with_control: bool) -> ASGIApp:
    """The gate to the contract's operation and, where asked for, to the control API (ASGI).

    The exchange of a request has to be in its scope (`exchange_of`); `operation`, `chosen`,
    `parameters`, `content` and `body` are set on the way. A refusal is raised, as one of `errors`.
    """
    stack = ConnexionMiddleware(
        _dispatch,
        middlewares=[Routing, Credentials, BodyAndParameters],
        # Connexion asks at the start whether each operation has a handler.
        resolver=Resolver(lambda operation_id: OPERATIONS[operation_id].handler),
        security_map={"bearer": Bearer, "apiKey": ControlToken},
        validator_map={"body": {"application/json": JsonBody}},
    )
    stack.add_api(contract.load().document)
    stack.add_api(contract.control_document() if with_control else contract.public_document())
    # Connexion builds lazily, and two first requests could race.
    with convertors_restored():
        run_inline(stack({"type": "lifespan"}, _receive_nothing, _send_nothing))
    return stack  # type: ignore[no-any-return]


async def _dispatch(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        exchange = exchange_of(scope)
        await exchange.stub.dispatch(exchange, scope, receive, send)


async def _receive_nothing() -> Message:
    raise NotImplementedError


async def _send_nothing(message: Message) -> None:
    raise NotImplementedError
