"""A sandbox as a test sees it: `Sandbox` drives it through the control API.

It is the same object whether the stub runs in this very process, without a socket, or as a server
here or elsewhere; only what carries the calls differs.
"""

import asyncio
import http.client
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import msgspec
from msgspec import Struct
from msgspec.structs import asdict

from stepstub import profiles
from stepstub.delegates import StepStart
from stepstub.errors import StepstubError, Violation
from stepstub.faults import Action, Fault, Phase, Place
from stepstub.readings import DEFAULT, Readings, as_mapping, credentials_headers, with_values
from stepstub.scenario import load
from stepstub.variations import VaryChoice, chosen
from stepstub.verification import Verification, settles
from stepstub.views import (
    ClockChange,
    ClockView,
    ConnectionRefusal,
    DelegateCallList,
    DelegateCallView,
    ExchangeList,
    ExchangeView,
    FaultList,
    FaultRequest,
    ProcessList,
    ProcessSpec,
    ProcessStart,
    ProcessView,
    ReadingsView,
    SandboxCreated,
    SandboxRequest,
    SandboxStart,
    SandboxView,
    StepView,
    TokenRequest,
    TokenView,
    VaryView,
    VerificationRequest,
)
from stepstub.yaml_source import is_file

T = TypeVar("T")

_OURS = as_mapping(DEFAULT)

ReadingsChoice = str | Path | Mapping[str, Any] | Readings | None
"""A profile by name or path, single values by the names of readings, or a whole set."""

_TURN = 0.25
"""Seconds that a thread waits for a verification before the event loop is asked again."""

MAX_NAME = 200
"""Characters of the name of a sandbox."""

COMPLETE_STEP = "/api/v1/processes/complete-step"
"""Path of the contract's one operation."""


class ControlFailed(StepstubError):
    """The control API refused a call; the message says why. `status` is the HTTP status.

    `violations` are the fields of the body that are wrong, if that is why.
    """

    def __init__(
        self, status: int, detail: str, violations: Mapping[str, Violation] | None = None
    ) -> None:
        self.status = status
        self.violations = violations or {}
        super().__init__(detail)


class NotEntered(StepstubError, AttributeError):
    """Something was used before the with statement that it needs."""


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

    This is the one that has the token; `create` makes a fresh one. `control_token` is what
    `serve --control-token` was given.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        control_token: str | None = None,
        transport: Transport | None = None,
        register: Callable[[str, Callable[[StepStart], None] | None], None] | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self.token = token
        self.clock = SandboxClock(self)
        self._control_token = control_token
        self._transport = transport or over_http(self.url)
        self._register = register
        self._readings: Readings | None = None
        self._faults: set[str] = set()
        self.was_reset = False
        """Whether `reset` was called, so that the journal has not everything any more."""

    @staticmethod
    def create(
        url: str,
        token: str,
        *,
        scenario: str | Path | None = None,
        readings: ReadingsChoice = None,
        vary: VaryChoice = None,
        name: str | None = None,
        control_token: str | None = None,
    ) -> "NewSandbox":
        """A fresh sandbox on the stub at `url`, for a with statement, which deletes it in the end::

            with stepstub.Sandbox.create("http://127.0.0.1:8080", "stub-token") as sandbox:
                process = sandbox.start_process("two-steps")

        `token` is that of any sandbox there is. Without a scenario, a built-in one's name or a
        file's path, it begins empty. `readings` are a profile, by name or path, or single values
        in place of those of the stub: `{"last-step-id": "absent"}`. `vary` is a seed, or a seed and
        kinds, by which responses vary: `{"seed": 1, "only": ["member-order"]}`. `name` is what the
        console calls it, cut at 200 characters.
        """
        origin = Sandbox(url, token, control_token=control_token)
        return NewSandbox(origin, scenario, readings, vary, name)

    def _sibling(self, token: str) -> "Sandbox":
        return Sandbox(
            self.url,
            token,
            control_token=self._control_token,
            transport=self._transport,
            register=self._register,
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {self.url}, token {_shown(self.token)}>"

    @property
    def complete_step_url(self) -> str:
        """Where a client of the contract posts to."""
        return self.url + COMPLETE_STEP

    @property
    def headers(self) -> dict[str, str]:
        """What a client of the contract has to send: the token, as the sandbox's readings ask."""
        try:
            readings = self.readings
        except ControlFailed:  # a stub without a control API
            readings = DEFAULT
        return credentials_headers(readings, self.token)

    @property
    def readings(self) -> Readings:
        """How this sandbox reads what the document leaves open."""
        if self._readings is None:
            values = self.call("GET", "readings", ReadingsView).readings
            self._readings = with_values(DEFAULT, values)
        return self._readings

    def start_process(
        self,
        scenario_or_steps: str | Path | Sequence[Mapping[str, Any]],
        *,
        id: str | None = None,  # noqa: A002
    ) -> ProcessView:
        """Start a process and return it as it is then.

        From a scenario, by its name or the path of its file (the first of its processes is
        returned), or from steps as in a scenario file: `[{"timeOutInSeconds": 5}, {}]`. Without a
        `status` the first step is started by its delegate and the others are PENDING. Raises
        `ScenarioError` for a file that is not a scenario.
        """
        if isinstance(scenario_or_steps, str | Path):
            scenario = _start(scenario_or_steps)
            start = ProcessStart(scenario=scenario.scenario, processes=scenario.processes, id=id)
        else:
            start = ProcessStart(steps=list(scenario_or_steps), id=id)
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

    def console_url(self, exchange_number: int | None = None) -> str:
        """Where the console shows this sandbox, or one of its exchanges, to a person."""
        sandbox_id = self.call("GET", "sandboxes/current", SandboxView).id
        url = f"{self.url}/_stub/console/sandboxes/{sandbox_id}"
        return url if exchange_number is None else f"{url}/exchanges/{exchange_number}"

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
        body: str | None = None,
        headers: Mapping[str, str] | None = None,
        seconds: float | None = None,
        at: Place | None = None,
        after_bytes: int | None = None,
        bytes_per_second: int | None = None,
        extra_bytes: int | None = None,
        times: int | None = None,
        step_id: str | None = None,
        nth: int | None = None,
        every: int | None = None,
        probability: float | None = None,
        seed: int | None = None,
        each_step: bool = False,
    ) -> None:
        """Make the stub misbehave `times` times, for one step or for any.

        `before`: nothing has moved when it strikes. `after`: the step was completed, and only the
        response is lost. It strikes at request `nth` and those after it, at `every` such request,
        with a `probability` (drawn from `seed`), for `each_step` on its own. `times` is 1, or no
        limit with `every` or `probability`. docs/faults.md says what goes with which action; raises
        `ControlFailed` for what does not.
        """
        request = FaultRequest(
            phase=phase,
            action=action,
            status=status,
            body=body,
            headers=headers,
            seconds=seconds,
            at=at,
            after_bytes=after_bytes,
            bytes_per_second=bytes_per_second,
            extra_bytes=extra_bytes,
            times=times,
            process_step_id=step_id,
            nth=nth,
            every=every,
            probability=probability,
            seed=seed,
            each_step=each_step,
        )
        added = self.call("POST", "faults", Fault, request)
        self._faults.add(added.id)

    def unused_faults(self) -> list[Fault]:
        """The faults of `fault` that have not struck once, and were not cleared.

        A misspelt step id is the usual reason.
        """
        if not self._faults:
            return []
        left = self.call("GET", "faults", FaultList).faults
        return [fault for fault in left if fault.id in self._faults and not fault.struck]

    def clear_faults(self) -> None:
        """Remove all faults."""
        self.call("DELETE", "faults", NoneType)
        self._faults.clear()

    def new_token(
        self, *, expires_in: float | None = None, requests: int | None = None
    ) -> "Sandbox":
        """The same sandbox with a further token, in `token` and `headers` of what is returned.

        It is good for `expires_in` seconds of the sandbox's clock and for so many `requests`, else
        until a reset.
        """
        limits = TokenRequest(expires_in_seconds=expires_in, requests=requests)
        return self._sibling(self.call("POST", "tokens", TokenView, limits).token)

    def limit_token(self, *, expires_in: float | None = None, requests: int | None = None) -> None:
        """Have this token expire in so many seconds, or be revoked after so many requests.

        Clients get 401 then; this object goes on to work. Without limits the token is good again.
        """
        limits = TokenRequest(expires_in_seconds=expires_in, requests=requests)
        self.call("POST", "tokens/current", NoneType, limits)

    def rotate_token(self) -> "Sandbox":
        """As `new_token`, and this token is revoked."""
        renewed = self.new_token()
        self.limit_token(requests=0)
        return renewed

    def refuse_connections(self, seconds: float) -> None:
        """Let nobody connect to the whole stub for so long, this object included.

        Connections that are idle are closed. Only where the stub listens; one in this process
        without a socket raises `ControlFailed`.
        """
        self.headers  # noqa: B018 - for which the stub could not be asked meanwhile
        self.call("POST", "refuse-connections", NoneType, ConnectionRefusal(seconds=seconds))

    def verify_completed(self, step_id: str, times: int = 1, within: float = 0) -> Verification:
        """Check that a step was completed `times` times, waiting up to `within` seconds for it.

        Raises `NotCompletedAsExpected`, an AssertionError, with what was seen and why. It blocks
        the thread; in a coroutine use `verify_completed_async`.
        """
        verification = self._verification(step_id, times, within)
        if verification.holds:
            return verification
        explanation = verification.explanation
        if within and _in_event_loop():
            explanation += (
                " The event loop stood still while this waited;"
                " await verify_completed_async there, so that the client can go on."
            )
        raise NotCompletedAsExpected(explanation)

    async def verify_completed_async(
        self, step_id: str, times: int = 1, within: float = 0
    ) -> Verification:
        """As `verify_completed`, but the event loop goes on: the waiting is done by a thread.

        The thread waits for a quarter of a second at a time, so cancelling takes no longer. Works
        on asyncio and trio.
        """
        import anyio.to_thread

        end = time.monotonic() + within
        left = within
        while True:
            verification = await anyio.to_thread.run_sync(
                self._verification, step_id, times, min(left, _TURN)
            )
            if settles(verification.completed, times) or left <= _TURN:
                break
            left = max(end - time.monotonic(), 0)
        if not verification.holds:
            raise NotCompletedAsExpected(verification.explanation)
        return verification

    def _verification(self, step_id: str, times: int, within: float) -> Verification:
        request = VerificationRequest(process_step_id=step_id, times=times, within_seconds=within)
        return self.call("POST", "verifications", Verification, request)

    def reset(
        self,
        scenario: str | Path | None = None,
        readings: ReadingsChoice = None,
        vary: VaryChoice = None,
    ) -> None:
        """Back to what the sandbox began with.

        Or to another scenario, by name or path; and to other readings and variations, as in
        `create`. `vary=False` ends variations.
        """
        self.call("POST", "reset", ProcessList, _start(scenario, readings, vary))
        self._readings = None
        self._faults.clear()
        self.was_reset = True

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
        headers = {
            "Authorization": f"Bearer {self.token}",  # whatever the readings ask of a client
            "Content-Type": "application/json",
        }
        if self._control_token is not None:
            headers["X-Stepstub-Control-Token"] = self._control_token
        target = f"/_stub/{path}" + (f"?{urlencode(query)}" if query else "")
        content = b"" if body is None else msgspec.json.encode(body)
        status, response = self._transport(method, target, headers, content)
        if status >= 400:
            raise _failure(status, response)
        return msgspec.json.decode(response or b"null", type=returns)


class NewSandbox:
    """A sandbox that is still to be made: a with statement makes it, gives it and deletes it.

    Unless it is `kept`, for somebody to look at.
    """

    kept = False

    def __init__(
        self,
        origin: Sandbox,
        scenario: str | Path | None,
        readings: ReadingsChoice = None,
        vary: VaryChoice = None,
        name: str | None = None,
    ) -> None:
        self._origin = origin
        self._name = name
        self._scenario = scenario
        self._readings = readings
        self._vary = vary

    def __enter__(self) -> Sandbox:
        start = _start(self._scenario, self._readings, self._vary)
        name = self._name[:MAX_NAME] if self._name else None
        request = SandboxRequest(name=name, **asdict(start))
        created = self._origin.call("POST", "sandboxes", SandboxCreated, request)
        self._made = self._origin._sibling(created.token)  # noqa: SLF001 - of the same module
        return self._made

    def __exit__(self, *_: object) -> None:
        if not self.kept:
            self._made.call("DELETE", "sandboxes/current", NoneType)

    if not TYPE_CHECKING:  # a type checker says so by itself

        def __getattr__(self, name: str) -> Any:
            raise NotEntered(
                "This sandbox has not been made yet. Use it in a with statement:"
                f" `with ... as sandbox:`, then `sandbox.{name}`."
            )


class Server(ABC):
    """A stub that listens, as its tests see it."""

    url: str
    token: str

    @abstractmethod
    def default_sandbox(self) -> Sandbox:
        """The sandbox of the server's own token."""

    @abstractmethod
    def accept_connections(self) -> None:
        """End at once what `refuse_connections` of a sandbox has begun, if that is possible."""

    def sandbox(
        self,
        scenario: str | Path | None = None,
        *,
        readings: ReadingsChoice = None,
        vary: VaryChoice = None,
        name: str | None = None,
    ) -> NewSandbox:
        """A fresh sandbox on this server, for a with statement, which deletes it in the end.

        `readings` are a profile, or single values in place of the server's; `vary` likewise, False
        for responses that do not vary. `name` is what the console calls it.
        """
        return NewSandbox(self.default_sandbox(), scenario, readings, vary, name)


def _start(
    scenario: str | Path | None, readings: ReadingsChoice = None, vary: VaryChoice = None
) -> SandboxStart:
    """What to begin with. A file is read and checked here: the stub may be somewhere else."""
    values = _values(readings)
    varied = None if vary is None else VaryView.of(chosen(vary))
    if scenario is None:
        return SandboxStart(readings=values, vary=varied)
    if not is_file(scenario):
        return SandboxStart(scenario=str(scenario), readings=values, vary=varied)
    specs = [ProcessSpec.of(process) for process in load(scenario).processes]
    return SandboxStart(processes=msgspec.to_builtins(specs), readings=values, vary=varied)


def _values(readings: ReadingsChoice) -> Mapping[str, Any]:
    """The readings to ask for: of a profile all of them, for the stub's own may differ."""
    if readings is None or isinstance(readings, Mapping):
        return readings or {}
    return as_mapping(profiles.chosen(readings))


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _shown(token: str) -> str:
    """Enough of a token to tell it from others."""
    token = token.removeprefix("sandbox-")  # which every generated token begins with
    return f"{token[: min(8, len(token) // 2)]}..."


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
        if used := [each for each in exchange.readings if each.value != _OURS[each.name]]:
            named = ", ".join(f"{each.name}: {each.value} ({each.number})" for each in used)
            lines.append(f"   readings: {named}")
        if exchange.variations:
            varied = ", ".join(each.describe() for each in exchange.variations)
            lines.append(f"   variations: {varied}")
        if exchange.reason:
            by = f" (moved there by #{exchange.moved_by})" if exchange.moved_by else ""
            lines.append(f"   why: {exchange.reason}{by}")
    return "\n".join(lines) or "(no exchanges)"


class _Problem(Struct):
    """The problem details of a refusal."""

    detail: str
    violations: dict[str, Violation] = {}


def _failure(status: int, response: bytes) -> ControlFailed:
    try:
        problem = msgspec.json.decode(response, type=_Problem)
    except msgspec.DecodeError:
        return ControlFailed(status, f"the control API responded {status}")
    return ControlFailed(status, problem.detail, problem.violations)
