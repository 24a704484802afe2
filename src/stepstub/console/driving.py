"""What the console changes: clock, faults, processes, a reset, a replay.

Each form is sent by POST and leads back by a redirect, so that reloading a page repeats nothing.
"""

from collections.abc import Mapping
from types import NoneType

import msgspec
from flask import abort, redirect, request, url_for
from flask.typing import ResponseReturnValue

from stepstub import scenario
from stepstub.client import MAX_NAME, ControlFailed
from stepstub.console import retelling
from stepstub.console.calling import target_of
from stepstub.console.guard import calling, local
from stepstub.console.here import about_a_sandbox, base_url, sandbox
from stepstub.console.lanes import lanes
from stepstub.console.live import called, exchange, process_of, shown, summary
from stepstub.errors import ScenarioError
from stepstub.faults import Fault
from stepstub.readings import as_mapping, credentials_headers
from stepstub.views import (
    FaultList,
    FaultRequest,
    ProcessList,
    ProcessSpec,
    ProcessStart,
    SandboxCreated,
    SandboxRequest,
    VaryView,
)

driving = about_a_sandbox("driving", __name__)

_WITH_HINT = {"status", "seconds", "processStepId", "times", "nth", "every"}
"""Fields of a fault beside which the form says what is wrong with them."""

_EXAMPLE = """processes:
  - id: order-7
    steps:
      - id: order-7-approve
        timeOutInSeconds: 60
      - id: order-7-ship
"""


def _back() -> ResponseReturnValue:
    return redirect(local(request.form.get("back")), 303)


@driving.post("/clock")
def clock() -> ResponseReturnValue:
    time = sandbox().clock
    match request.form.get("action"):
        case "freeze":
            time.freeze()
        case "resume":
            time.resume()
        case "advance":
            time.advance(request.form.get("seconds", 60.0, type=float))
        case "time-out":
            deadline = lanes(sandbox().processes()).next_time_out
            if deadline is None:
                abort(409, "No step has a time-out any more.")
            time.advance(max((deadline - time.now()).total_seconds(), 0))
        case _:
            abort(400, "The clock can be frozen, resumed and advanced.")
    return _back()


# --- faults


@driving.get("/faults")
def faults() -> ResponseReturnValue:
    return _faults_page({"processStepId": request.args.get("step", "")})


def _faults_page(
    entered: Mapping[str, str], failure: ControlFailed | None = None
) -> ResponseReturnValue:
    page = shown(
        "faults.html",
        faults=sandbox().call("GET", "faults", FaultList).faults,
        fields=_WITH_HINT,
        entered=entered,
        failure=failure,
    )
    return page, failure.status if failure else 200


@driving.post("/faults")
def add_fault() -> ResponseReturnValue:
    entered = {
        name: value for name, value in request.form.items() if value.strip() and name != "back"
    }
    try:
        wanted = msgspec.convert(entered, FaultRequest, strict=False)
        sandbox().call("POST", "faults", Fault, wanted)
    except msgspec.ValidationError as error:
        return _faults_page(entered, ControlFailed(400, f"{error}."))
    except ControlFailed as failure:
        return _faults_page(entered, failure)
    return _back()


@driving.post("/faults/clear")
def clear_faults() -> ResponseReturnValue:
    sandbox().clear_faults()
    return redirect(url_for("driving.faults"), 303)


# --- processes


@driving.get("/start")
def start() -> ResponseReturnValue:
    return _start_page(_EXAMPLE)


def _start_page(text: str, errors: str = "", status: int = 200) -> ResponseReturnValue:
    page = shown(
        "start.html",
        scenarios=[scenario.load_built_in(name) for name in scenario.built_in()],
        text=text,
        errors=errors.splitlines(),
    )
    return page, status


@driving.post("/start")
def start_process() -> ResponseReturnValue:
    text = request.form.get("yaml", "").replace("\r\n", "\n")
    try:
        if name := request.form.get("scenario"):
            wanted = ProcessStart(scenario=name)
        else:
            parsed = scenario.parse(text, name="pasted", file="pasted scenario")
            specs = [ProcessSpec.of(process) for process in parsed.processes]
            wanted = ProcessStart(processes=msgspec.to_builtins(specs))
        sandbox().call("POST", "processes", ProcessList, wanted)
    except ScenarioError as error:
        return _start_page(text, str(error), 400)
    except ControlFailed as failure:
        return _start_page(text or _EXAMPLE, str(failure), failure.status)
    return redirect(url_for("pages.home"), 303)


@driving.post("/steps/fail")
def fail_step() -> ResponseReturnValue:
    sandbox().fail_step(request.form.get("id", ""))
    return _back()


# --- a reset


@driving.get("/reset")
def reset() -> ResponseReturnValue:
    return shown("reset.html", scenarios=scenario.built_in())


@driving.post("/reset")
def do_reset() -> ResponseReturnValue:
    sandbox().reset(request.form.get("scenario") or None)
    return redirect(url_for("pages.home"), 303)


# --- a replay


@driving.post("/exchanges/<int:number>/replay")
def replay(number: int) -> ResponseReturnValue:
    """Send the request of an exchange to a fresh sandbox, which stands as this one stood before."""
    found = exchange(sandbox(), number)
    if found is None:
        abort(404, f"The journal has no exchange {number}.")
    if not retelling.is_whole(found):
        abort(409, "The journal does not have the whole body of this request.")
    readings = sandbox().readings
    of = called(summary(sandbox()))
    wanted = SandboxRequest(
        name=f"replay of #{number} in {of}"[:MAX_NAME],
        processes=retelling.processes_before(found, process_of(found)),
        readings=as_mapping(readings),
        vary=VaryView(),
    )
    created = sandbox().call("POST", "sandboxes", SandboxCreated, wanted)
    headers = retelling.headers_to_send(found)
    if found.body and "content-type" not in headers:
        headers["content-type"] = "application/json"
    headers |= credentials_headers(readings, created.token)
    calling()(found.method, target_of(found.path), headers, found.body.encode())
    fresh = calling().sandbox(created.id, base_url())
    # A path that leads to no operation belongs to the default sandbox.
    if fresh is not None and exchange(fresh, 1) is None:
        fresh.call("DELETE", "sandboxes/current", NoneType)
        abort(409, "This request belongs to no sandbox, so it cannot be replayed in one.")
    return redirect(url_for("pages.one", sandbox_id=created.id, number=1), 303)
