"""The state of a sandbox at one moment, as far as a page shows it."""

from collections.abc import Mapping
from typing import Any

from flask import render_template
from msgspec import Struct

from stepstub.client import ControlFailed, Sandbox
from stepstub.console.here import sandbox
from stepstub.console.lanes import Lanes, is_open, lanes
from stepstub.readings import DEFAULT, as_mapping
from stepstub.views import (
    ClockView,
    ExchangeList,
    ExchangeView,
    ProcessList,
    ProcessView,
    ReadingUse,
    SandboxView,
)

EXCHANGES = 60
"""Exchanges of one page."""

_PROCESSES = 200  # the newest, of which lanes are drawn whatever has become of them
# Among how many of the newest, and up to how many steps of theirs, running ones are looked for:
# that takes 9 ms for each 1,000 processes, upon each change.
_LOOKED_AT, _STEPS_LOOKED_AT = 5000, 20_000
_OURS = as_mapping(DEFAULT)


class Filter(Struct, frozen=True, omit_defaults=True):
    """Which exchanges are shown, as the address of the page says it."""

    step: str = ""
    status: str = ""
    text: str = ""
    refused: str = ""
    before: str = ""

    @classmethod
    def of(cls, arguments: Mapping[str, str]) -> "Filter":
        return cls(**{name: arguments.get(name, "").strip() for name in cls.__struct_fields__})

    @property
    def arguments(self) -> dict[str, str]:
        """What goes into an address; what does not filter is left out."""
        values = {name: getattr(self, name) for name in self.__struct_fields__}
        return {name: value for name, value in values.items() if value}

    @property
    def kept(self) -> dict[str, str]:
        """The same without the place in the list."""
        return {name: value for name, value in self.arguments.items() if name != "before"}

    @property
    def query(self) -> dict[str, Any]:
        """The parameters of the control API."""
        names = {"step": "processStepId", "refused": "refused"}
        query = {names.get(name, name): value for name, value in self.arguments.items()}
        if "refused" in query:
            query["refused"] = "true"
        return query


class State(Struct, frozen=True):
    """A sandbox in short, its clock, its processes and its newest exchanges."""

    view: SandboxView
    clock: ClockView
    lanes: Lanes
    hidden: int
    page: ExchangeList


def state(of: Sandbox, chosen: Filter) -> State:
    """Raises `ControlFailed` for a filter that makes no sense."""
    view = summary(of)  # first: what comes after may be newer than its revision, not older
    drawn = _drawn(of, view.processes)
    return State(
        view=view,
        clock=of.call("GET", "clock", ClockView),
        lanes=lanes(drawn),
        hidden=max(view.processes - len(drawn), 0),
        page=exchanges(of, limit=EXCHANGES, **chosen.query),
    )


def _drawn(of: Sandbox, total: int) -> list[ProcessView]:
    """The newest processes, and older ones that are still open, in the order they came."""
    found: list[ProcessView] = []
    end, looked_at, steps = total, 0, 0
    while end > 0 and looked_at < _LOOKED_AT and steps < _STEPS_LOOKED_AT:
        start = max(end - _PROCESSES, 0)
        query = {"offset": start, "limit": end - start}
        page = of.call("GET", "processes", ProcessList, query=query).processes
        is_newest = end == total
        found[:0] = [each for each in page if is_newest or is_open(each)]
        looked_at += end - start
        steps += sum(len(each.steps) for each in page)
        end = start
    return found


def shown(template: str, **values: Any) -> str:
    """A page about the sandbox, with what the head of each such page needs."""
    if "view" not in values:
        values["view"] = summary(sandbox())
        values["clock"] = sandbox().call("GET", "clock", ClockView)
        drawn = lanes(_drawn(sandbox(), values["view"].processes))
        values["next_time_out"] = drawn.next_time_out
    return render_template(template, **values)


def shown_live(template: str, chosen: Filter, number: int | None, **values: Any) -> str:
    """A page with the processes and exchanges of the sandbox; `number` is of the one it shows."""
    now = state(sandbox(), chosen)
    return shown(
        template,
        state=now,
        view=now.view,
        clock=now.clock,
        next_time_out=now.lanes.next_time_out,
        filter=chosen,
        number=number,
        **values,
    )


def summary(of: Sandbox) -> SandboxView:
    return of.call("GET", "sandboxes/current", SandboxView)


def called(view: SandboxView) -> str:
    """The name of a sandbox; its id if nothing of a name could be seen, or be clicked on."""
    return view.name if view.name and view.name.strip() else view.id


def exchanges(of: Sandbox, **query: Any) -> ExchangeList:
    """A page of exchanges, the newest first."""
    query = {"order": "newest-first", **query}
    return of.call("GET", "journal", ExchangeList, query=query)


def process_of(found: ExchangeView) -> ProcessView | None:
    """The process that the step of an exchange belongs to."""
    if found.process_step_id is None:
        return None
    try:
        return sandbox().process(sandbox().step(found.process_step_id).process_id)
    except ControlFailed:
        return None


def exchange(of: Sandbox, number: int) -> ExchangeView | None:
    """One exchange, unless the journal no longer holds it."""
    page = exchanges(of, after=number - 1, before=number + 1)
    return page.exchanges[0] if page.exchanges else None


def unusual(exchange: ExchangeView) -> list[ReadingUse]:
    """The readings that shaped a response and differ from the default."""
    return [use for use in exchange.readings if use.value != _OURS[use.name]]
