"""A sandbox as a test sees it: `Sandbox` drives it through the control API.

It is the same object whether the stub runs in this very process, without a socket, or as a server
here or elsewhere; only what carries the calls differs.
"""

import http.client
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from types import NoneType
from typing import Any, Protocol, Self, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import msgspec
from msgspec import Struct

from stepstub.delegates import StepStart
from stepstub.errors import StepstubError
from stepstub.faults import Action, Fault, Phase
from stepstub.verification import Verification
from stepstub.views import (
    ClockChange,
    ClockView,
    DelegateCallList,
    DelegateCallView,
    ExchangeList,
    ExchangeView,
    FaultRequest,
    ProcessList,
    ProcessStart,
    ProcessView,
    SandboxCreated,
    SandboxStart,
    StepView,
    VerificationRequest,
)

T = TypeVar("T")

COMPLETE_STEP = "/api/v1/processes/complete-step"
"""Path of the contract's one operation."""


class ControlFailed(StepstubError):
    """The control API refused a call; the message says why. `status` is the HTTP status."""

    def __init__(self, status: int, detail: str) -> None:
        self.status = status
        super().__init__(detail)


class NotCompletedAsExpected(AssertionError):
    """A verification does not hold; the message says what was seen. Fails a test."""


class Transport(Protocol):
    """Carries a control call: method, path with query, headers, body -> status and body."""

    def __call__(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, bytes]: ...


def over_http(url: str) -> Transport:
    """Carries calls over a connection of their own each.

    Not with requests, so that a test that intercepts requests' calls does not intercept these.
    """
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.hostname is None:
        raise ValueError(f"{url} is not the http:// address of a stub")
    host, port = parts.hostname, parts.port or 80

    def carry(method: str, path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(host, port, timeout=90)
        try:
            connection.request(method, path, body or None, dict(headers))
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    return carry


class SandboxClock:
    """The time of a sandbox. It runs with the machine's until it is told otherwise."""

    def __init__(self, sandbox: "Sandbox") -> None:
        self._sandbox = sandbox

    def now(self) -> datetime:
        """The time in UTC."""
        return self._sandbox.call("GET", "clock", ClockView).now

    def freeze(self) -> None:
        """Let the time stand still, but for `advance`."""
        self._change(ClockChange(frozen=True))

    def advance(self, seconds: float) -> None:
        """Move the time on at once; a step whose time-out is passed is FAILED then and there."""
        self._change(ClockChange(advance_seconds=seconds))

    def resume(self) -> None:
        """Let the time run again, from where it stands."""
        self._change(ClockChange(frozen=False))

    def _change(self, change: ClockChange) -> None:
        self._sandbox.call("POST", "clock", ClockView, change)


class Sandbox:
    """A world of its own on a stub: its processes, journal, faults and clock.

    As a context manager it makes a fresh sandbox on the stub at `url` and deletes it in the end::

        with stepstub.Sandbox("http://127.0.0.1:8080", "stub-token") as sandbox:
            process = sandbox.start_process("two-steps")

    `token` is that of any sandbox there is, `control_token` what `serve --control-token` was given.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        scenario: str | None = None,
        control_token: str | None = None,
        transport: Transport | None = None,
        register: Callable[[str, Callable[[StepStart], None] | None], None] | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self.token = token
        self.clock = SandboxClock(self)
        self._scenario = scenario
        self._control_token = control_token
        self._transport = transport or over_http(self.url)
        self._register = register

    @property
    def complete_step_url(self) -> str:
        """Where a client of the contract posts to."""
        return self.url + COMPLETE_STEP

    @property
    def headers(self) -> dict[str, str]:
        """What a client of the contract has to send: the bearer token."""
        return {"Authorization": f"Bearer {self.token}"}

    def __enter__(self) -> Self:
        start = SandboxStart(scenario=self._scenario)
        self.token = self.call("POST", "sandboxes", SandboxCreated, start).token
        return self

    def __exit__(self, *_: object) -> None:
        self.call("DELETE", "sandboxes/current", NoneType)

    def start_process(
        self,
        scenario_or_steps: str | Sequence[Mapping[str, Any]],
        *,
        id: str | None = None,  # noqa: A002
    ) -> ProcessView:
        """Start a process and return it as it is then.

        From the name of a scenario (the first of its processes is returned), or from steps as in
        a scenario file: `[{"timeOutInSeconds": 5}, {"delegate": "failing"}]`. Without a `status`
        the first step is started by its delegate and the others are PENDING.
        """
        start = (
            ProcessStart(scenario=scenario_or_steps, id=id)
            if isinstance(scenario_or_steps, str)
            else ProcessStart(steps=list(scenario_or_steps), id=id)
        )
        return self.call("POST", "processes", ProcessList, start).processes[0]

    def processes(self) -> list[ProcessView]:
        """All processes, in the order they came."""
        found: list[ProcessView] = []
        while True:
            query = {"offset": len(found), "limit": 1000}
            page = self.call("GET", "processes", ProcessList, query=query)
            found += page.processes
            if len(found) >= page.total or not page.processes:
                return found

    def process(self, process_id: str) -> ProcessView:
        """The process as it is now. Raises `ControlFailed` when there is none."""
        return self.call("GET", f"processes/{quote(process_id, safe='')}", ProcessView)

    def step(self, step_id: str) -> StepView:
        """The step as it is now. Raises `ControlFailed` when there is none."""
        return self.call("GET", f"steps/{quote(step_id, safe='')}", StepView)

    def fail_step(self, step_id: str) -> StepView:
        """Set a STARTED step to FAILED. Raises `ControlFailed` when it is not STARTED."""
        return self.call("POST", f"steps/{quote(step_id, safe='')}/fail", StepView)

    def journal(
        self, *, step_id: str | None = None, status: int | None = None
    ) -> list[ExchangeView]:
        """The exchanges this sandbox has seen and still remembers, the newest last."""
        query = {"processStepId": step_id, "status": status, "limit": 1000}
        query = {name: value for name, value in query.items() if value is not None}
        page = self.call("GET", "journal", ExchangeList, query=query)
        exchanges = list(page.exchanges)
        while page.next is not None:
            page = self.call("GET", "journal", ExchangeList, query={**query, "after": page.next})
            exchanges += page.exchanges
        return exchanges

    def delegate_calls(self) -> list[DelegateCallView]:
        """The calls of delegates, the newest last."""
        calls: list[DelegateCallView] = []
        while True:
            query = {"offset": len(calls), "limit": 1000}
            page = self.call("GET", "delegate-calls", DelegateCallList, query=query)
            calls += page.delegate_calls
            if len(calls) >= page.total or not page.delegate_calls:
                return calls

    def fault(
        self,
        phase: Phase,
        action: Action = "respond",
        *,
        status: int | None = None,
        seconds: float | None = None,
        times: int = 1,
        step_id: str | None = None,
    ) -> None:
        """Make the stub misbehave `times` times, for one step or for any.

        `before`: nothing has moved when it strikes. `after`: the step was completed, and only the
        response is lost. `status` goes with respond (500 by default), `seconds` with delay.
        """
        request = FaultRequest(
            phase=phase,
            action=action,
            status=status,
            seconds=seconds,
            times=times,
            process_step_id=step_id,
        )
        self.call("POST", "faults", Fault, request)

    def clear_faults(self) -> None:
        """Remove all faults."""
        self.call("DELETE", "faults", NoneType)

    def verify_completed(self, step_id: str, times: int = 1, within: float = 0) -> Verification:
        """Check that a step was completed `times` times, waiting up to `within` seconds for it.

        Raises `NotCompletedAsExpected`, an AssertionError, with what was seen and why.
        """
        request = VerificationRequest(process_step_id=step_id, times=times, within_seconds=within)
        verification = self.call("POST", "verifications", Verification, request)
        if not verification.holds:
            raise NotCompletedAsExpected(verification.explanation)
        return verification

    def reset(self, scenario: str | None = None) -> None:
        """Back to what the sandbox began with, or to another scenario."""
        self.call("POST", "reset", ProcessList, SandboxStart(scenario=scenario))

    def on_delegate(self, function: Callable[[StepStart], None] | None) -> None:
        """Have `function` called whenever a step is started whose delegate is recorded or python.

        An exception it raises is a delegate call that failed: the completion gets 500.
        Only where the stub runs in this process; a stub elsewhere raises `ControlFailed`.
        """
        if self._register is None:
            raise ControlFailed(0, "A Python delegate needs a stub that runs in this process.")
        self._register(self.token, function)

    def call(
        self,
        method: str,
        path: str,
        returns: type[T],
        body: Struct | None = None,
        query: Mapping[str, Any] | None = None,
    ) -> T:
        """Call the control API below `/_stub/`; `returns` is the type of the response."""
        headers = {**self.headers, "Content-Type": "application/json"}
        if self._control_token is not None:
            headers["X-Stepstub-Control-Token"] = self._control_token
        target = f"/_stub/{path}" + (f"?{urlencode(query)}" if query else "")
        content = b"" if body is None else msgspec.json.encode(body)
        status, response = self._transport(method, target, headers, content)
        if status >= 400:
            raise ControlFailed(status, _detail(status, response))
        return msgspec.json.decode(response or b"null", type=returns)


def render_journal(exchanges: Sequence[ExchangeView]) -> str:
    """The journal for a person: a few lines for each exchange."""
    lines: list[str] = []
    for exchange in exchanges:
        status = exchange.status or "no response"
        lines.append(f"#{exchange.number} {exchange.method} {exchange.path} -> {status}")
        if exchange.body:
            lines.append(f"   sent: {exchange.body}")
        if exchange.step_before:
            moved = f"{exchange.step_before} -> {exchange.step_after}"
            unmoved = f"{exchange.step_before}, unchanged"
            changed = exchange.step_before is not exchange.step_after
            lines.append(f"   step {exchange.process_step_id}: {moved if changed else unmoved}")
        if exchange.delegate_call:
            call = exchange.delegate_call
            lines.append(f"   delegate of {call.process_step_id} ({call.kind}): {call.outcome}")
        if exchange.fault:
            lines.append(f"   fault: {exchange.fault}")
        if exchange.reason:
            by = f" (moved there by #{exchange.moved_by})" if exchange.moved_by else ""
            lines.append(f"   why: {exchange.reason}{by}")
    return "\n".join(lines) or "(no exchanges)"


def _detail(status: int, response: bytes) -> str:
    try:
        return str(msgspec.json.decode(response)["detail"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return f"the control API responded {status}"
