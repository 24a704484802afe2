"""What the console shows."""

from typing import Any

from flask import Blueprint, abort, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from msgspec import Struct

from stepstub.console import retelling
from stepstub.console.guard import PREFIX, calling
from stepstub.console.here import about_a_sandbox, base_url, sandbox
from stepstub.console.lanes import lane
from stepstub.console.live import (
    Filter,
    exchange,
    exchanges,
    process_of,
    shown,
    shown_live,
    summary,
)
from stepstub.model import Status
from stepstub.readings import DEFAULT, as_mapping, questions
from stepstub.views import (
    DelegateCallList,
    ExchangeView,
    ProcessList,
    ProcessView,
    ReadingsView,
    SandboxList,
)

_PAGE = 100  # sandboxes, or processes
_STEPS = 500  # of one process
_ATTEMPTS = 12  # beside an exchange
_HISTORY = 50  # attempts at a step

overview = Blueprint("overview", __name__, url_prefix=PREFIX)
pages = about_a_sandbox("pages", __name__)


@overview.get("")
@overview.get("/")
def entrance() -> ResponseReturnValue:
    if _sandboxes(0, 1).total == 1:
        return redirect(url_for("pages.home", sandbox_id="default"))
    return redirect(url_for("overview.sandboxes"))


@overview.get("/sandboxes")
def sandboxes() -> ResponseReturnValue:
    """The newest first, but for the default one, which is on top of every page."""
    total = _sandboxes(0, 1).total
    end = min(request.args.get("end", total, type=int), total)
    start = max(end - _PAGE, 1)
    page = _sandboxes(start, end - start).sandboxes if end > start else ()
    (default,) = _sandboxes(0, 1).sandboxes
    return render_template(
        "sandboxes.html",
        sandboxes=[default, *reversed(page)],
        total=total,
        older=start if start > 1 else None,
    )


def _sandboxes(offset: int, limit: int) -> SandboxList:
    default = calling().sandbox("default", base_url())
    if default is None:
        abort(404)
    query = {"offset": offset, "limit": limit}
    return default.call("GET", "sandboxes", SandboxList, query=query)


@pages.get("")
def home() -> ResponseReturnValue:
    chosen = Filter.of(request.args)
    return shown_live("home.html", chosen, None)


@pages.get("/live")
def live() -> ResponseReturnValue:
    """What an open page replaces; nothing, if there has been no change since it was asked last."""
    if request.args.get("seen") == summary(sandbox()).revision:
        return "", 204
    chosen = Filter.of(request.args)
    number = request.args.get("number", type=int)
    place: dict[str, Any] = {**chosen.arguments, **({"number": number} if number else {})}
    page = url_for("pages.one" if number else "pages.home", **place)
    return shown_live("live.html", chosen, number, back_to=page)


@pages.get("/exchanges/<int:number>")
def one(number: int) -> ResponseReturnValue:
    found = _found(number)
    other = request.args.get("diff", type=int)
    compared = exchange(sandbox(), other) if other is not None else None
    process, readings = process_of(found), sandbox().readings
    chosen, is_whole = Filter.of(request.args), retelling.is_whole(found)
    is_unread = retelling.is_unread(found)
    can_be_copied = is_whole or is_unread
    is_long = retelling.is_long(process)
    return shown_live(
        "exchange.html",
        chosen,
        number,
        exchange=found,
        process=process,
        attempts=_attempts(found, process),
        other=compared,
        differences=retelling.differences(found, compared) if compared else None,
        is_whole=is_whole,
        is_unread=is_unread,
        can_be_copied=can_be_copied,
        curl=retelling.as_curl(found, base_url(), readings) if can_be_copied else "",
        is_long=is_long,
        test=retelling.as_test(found, process, readings) if can_be_copied and not is_long else "",
        scenario="" if is_long else retelling.as_scenario(found, process),
        has_later_params=retelling.has_later_params(found, process),
    )


def _found(number: int) -> ExchangeView:
    found = exchange(sandbox(), number)
    if found is None:
        abort(
            404,
            f"The journal has no exchange {number}: it may be too old, or there was a reset.",
        )
    return found


@pages.get("/exchanges/<int:number>/<any(test, scenario):what>")
def copy(number: int, what: str) -> ResponseReturnValue:
    """What is copied from an exchange, as text, where it is too long for the page of that."""
    found = _found(number)
    process = process_of(found)
    if what == "scenario":
        text = retelling.as_scenario(found, process)
    elif retelling.is_whole(found) or retelling.is_unread(found):
        text = retelling.as_test(found, process, sandbox().readings)
    else:
        abort(409, "The journal does not have the whole body of this request.")
    return text, {"Content-Type": "text/plain; charset=utf-8"}


class Attempts(Struct, frozen=True):
    """Attempts at one step, in their order; `has_more` where these are not all."""

    exchanges: tuple[ExchangeView, ...] = ()
    has_more: bool = False


def _attempts(found: ExchangeView, process: ProcessView | None) -> Attempts:
    """Those around an exchange, for it to be compared with, and the one that completed the step."""
    step_id, number = found.process_step_id, found.number
    if step_id is None:
        return Attempts()
    query = {"processStepId": step_id, "limit": _ATTEMPTS}
    before = exchanges(sandbox(), before=number, **query)
    after = exchanges(sandbox(), order="oldest-first", after=number, **query)
    count = min(len(after.exchanges), max(_ATTEMPTS // 2, _ATTEMPTS - len(before.exchanges) - 1))
    around = [*after.exchanges[:count][::-1], found, *before.exchanges][:_ATTEMPTS]
    has_more = len(around) < len(before.exchanges) + 1 + len(after.exchanges)
    moved_by = [each.moved_by for each in process.steps if each.id == step_id] if process else []
    shown_already = {each.number for each in around}
    for mover in {found.moved_by, *moved_by}:
        if mover is None or mover in shown_already:
            continue
        completion = exchange(sandbox(), mover)
        if completion is not None and completion.process_step_id == step_id:
            around.append(completion)
    around.sort(key=lambda each: each.number)
    return Attempts(tuple(around), has_more)


@pages.get("/steps")
def step() -> ResponseReturnValue:
    """One step with its history. The id is no part of the path, where `..` would mean another."""
    step_id = request.args.get("id", "")
    found = sandbox().step(step_id)
    query = {"processStepId": step_id, "limit": 20}
    calls = sandbox().call("GET", "delegate-calls", DelegateCallList, query=query)
    newest = exchanges(sandbox(), processStepId=step_id, limit=_HISTORY)
    completed_by = found.moved_by if found.status is Status.COMPLETED else None
    if completed_by in [each.number for each in newest.exchanges]:
        completed_by = None  # it is among those that are listed anyway
    return shown(
        "step.html",
        step=found,
        process=sandbox().process(found.process_id),
        calls=calls.delegate_calls,
        attempts=newest.exchanges,
        has_more=newest.next is not None,
        completed_by=completed_by,
        completion=exchange(sandbox(), completed_by) if completed_by else None,
    )


@pages.get("/processes")
def processes() -> ResponseReturnValue:
    offset = max(request.args.get("offset", 0, type=int), 0)
    query = {"offset": offset, "limit": _PAGE}
    page = sandbox().call("GET", "processes", ProcessList, query=query)
    return shown(
        "processes.html",
        lanes=[lane(process, around=_STEPS) for process in page.processes],
        offset=offset,
        next=offset + _PAGE if offset + _PAGE < page.total else None,
        total=page.total,
    )


@pages.get("/readings")
def readings() -> ResponseReturnValue:
    found = sandbox().call("GET", "readings", ReadingsView)
    ours = as_mapping(DEFAULT)
    names = sorted(questions(), key=lambda name: found.readings[name] == ours[name])
    changed = sum(found.readings[name] != ours[name] for name in names)
    return shown(
        "readings.html",
        names=names,
        changed=changed,
        questions=questions(),
        values=found.readings,
        ours=ours,
        vary=found.vary,
    )
