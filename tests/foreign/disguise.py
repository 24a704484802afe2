"""A stub that does not say it is one: the documented operation, and no control API."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from mutants import Change, mutated
from stepstub import scenario
from stepstub.app import create_app
from stepstub.concurrency import EventLoopConcurrency
from stepstub.contract_tests.needs import Need
from stepstub.contract_tests.steps import OWN_PARAMS
from stepstub.model import Process
from stepstub.readings import DEFAULT, Readings
from stepstub.settings import Settings

_STARTED = 60
_GIVEN = 3
_CONTROL_API = "/_stub"

# The steps of a process, and the number of the one in the state that is needed.
_OTHERS: Mapping[Need, tuple[list[dict[str, Any]], int]] = {
    Need.NEXT_HAS_PARAMS: ([{}, {"params": OWN_PARAMS}], 1),
    Need.LAST: ([{}], 1),
    Need.PENDING: ([{}, {}], 2),
    Need.FAILED: ([{"status": "FAILED"}], 1),
    Need.TIME_IS_OVER: ([{"timeOutInSeconds": 0.0001}], 1),
}


@dataclass
class Host:
    """One ASGI application for many, each below `/` and its name in `apps`."""

    apps: dict[str, ASGIApp] = field(default_factory=dict)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        _, first, rest = scope["path"].split("/", 2)
        path = f"/{rest}"
        if first not in self.apps or path.startswith(_CONTROL_API):
            await PlainTextResponse("Nothing here", 404)(scope, receive, send)
            return
        await self.apps[first]({**scope, "path": path, "raw_path": path.encode()}, receive, send)


def disguised(change: Change | None = None, readings: Readings = DEFAULT) -> ASGIApp:
    """A stub with the steps that `steps` names, and with `change` between it and its client."""
    app = create_app(_processes(), Settings(readings=readings), concurrency=EventLoopConcurrency())
    return mutated(app, change) if change else app


def started_steps() -> Sequence[str]:
    """The STARTED steps, each the first of a process of four."""
    return [f"started-{number}-1" for number in range(_STARTED)]


def other_steps() -> Mapping[Need, Sequence[str]]:
    """The steps that are in another state than STARTED, or of which more is known."""
    return {
        need: [f"{need.name.lower()}-{number}-{position}" for number in range(_GIVEN)]
        for need, (_, position) in _OTHERS.items()
    }


def _processes() -> Sequence[Process]:
    processes = {f"started-{number}": [{}] * 4 for number in range(_STARTED)}
    for need, (steps, _) in _OTHERS.items():
        processes |= {f"{need.name.lower()}-{number}": steps for number in range(_GIVEN)}
    return [Process(name, scenario.steps(steps, name)) for name, steps in processes.items()]
