"""The control API's requests and responses as types, for its handlers and for its client.

A member that is None is left out of the JSON. Times are RFC 3339 in UTC.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Self

from msgspec import Struct

from stepstub.delegates import DelegateCall
from stepstub.errors import InvalidVariations, Violation
from stepstub.faults import NO_LIMIT, Action, Fault, Phase, Place, settled
from stepstub.journal import Entry
from stepstub.model import Delegate, Params, Process, Status, Step
from stepstub.readings import Readings, Value, as_mapping, questions
from stepstub.shaping import shaping
from stepstub.stores.protocol import ClockState
from stepstub.variations import Variation, Vary, checked

_USERINFO = re.compile(r"(?<=//)[^/?#]*(?=@)")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class _Request(Struct, frozen=True, rename="camel", omit_defaults=True):
    """A request; a member that was not given is not sent."""


class _Response(Struct, frozen=True, rename="camel", omit_defaults=True):
    """A response; a member without a default is always there."""


# --- requests


class VaryView(_Request, frozen=True, kw_only=True):
    """How responses vary: by a seed, in the kinds of `only` or in all. Without a seed: not."""

    seed: int | None = None
    only: tuple[str, ...] = ()

    @classmethod
    def of(cls, vary: Vary | None) -> Self:
        return cls() if vary is None else cls(seed=vary.seed, only=vary.only)

    @property
    def vary(self) -> Vary | None:
        """What it says. Raises `InvalidVariations`."""
        if self.seed is None and self.only:
            raise InvalidVariations('Variations need a seed: {"seed": 1}.')
        return None if self.seed is None else checked(self.seed, self.only)


class SandboxStart(_Request, frozen=True, kw_only=True):
    """How a sandbox begins: a built-in scenario, processes as in a scenario file, or empty."""

    scenario: str | None = None
    processes: Sequence[Mapping[str, Any]] | None = None
    readings: Mapping[str, Any] = {}
    vary: VaryView | None = None


class SandboxRequest(SandboxStart, frozen=True, kw_only=True):
    """A sandbox to create: how it begins, and what people are to call it."""

    name: str | None = None


class ProcessStart(_Request, frozen=True, kw_only=True):
    """What to start: a built-in scenario, processes as in a file, or one from its steps."""

    scenario: str | None = None
    processes: Sequence[Mapping[str, Any]] | None = None
    id: str | None = None
    steps: Sequence[Mapping[str, Any]] | None = None


class StepSpec(_Request, frozen=True, kw_only=True):
    """A step as in a scenario file, with nothing left to be understood."""

    id: str
    status: Status
    delegate: str | Mapping[str, str]
    params: Params
    time_out_in_seconds: float = 0

    @classmethod
    def of(cls, step: Step) -> Self:
        delegate = step.delegate
        return cls(
            id=step.id,
            status=step.status,
            delegate=delegate.kind if delegate.url is None else {delegate.kind: delegate.url},
            params=step.params,
            time_out_in_seconds=step.time_out_in_seconds,
        )


class ProcessSpec(_Request, frozen=True, kw_only=True):
    """A process as in a scenario file."""

    id: str
    steps: tuple[StepSpec, ...]

    @classmethod
    def of(cls, process: Process) -> Self:
        return cls(id=process.id, steps=tuple(map(StepSpec.of, process.steps)))


class FaultRequest(_Request, frozen=True, kw_only=True):
    """A fault to add; `faults.Fault` says what its members mean.

    `times` of None is 1, or no limit with `every` or `probability`.
    """

    phase: Phase
    action: Action = "respond"
    status: int | None = None
    body: str | None = None
    headers: Mapping[str, str] | None = None
    seconds: float | None = None
    at: Place | None = None
    after_bytes: int | None = None
    bytes_per_second: int | None = None
    extra_bytes: int | None = None
    process_step_id: str | None = None
    times: int | None = None
    nth: int | None = None
    every: int | None = None
    probability: float | None = None
    seed: int | None = None
    each_step: bool = False

    def as_fault(self) -> Fault:
        """The fault that is asked for. Raises `BadRequest` for members without meaning."""
        many = (self.every, self.probability) != (None, None)
        given = {name: getattr(self, name) for name in self.__struct_fields__ if name != "times"}
        given["headers"] = self.headers or None  # generated clients send an empty one for none
        return settled(Fault(**given, remaining=self.times or (NO_LIMIT if many else 1)))


class VerificationRequest(_Request, frozen=True, kw_only=True):
    """A step that should have been completed so many times, now or within some seconds."""

    process_step_id: str
    times: int = 1
    within_seconds: float = 0


class TokenRequest(_Request, frozen=True, kw_only=True):
    """How long a token is good, and for how many requests; None: without limit."""

    expires_in_seconds: float | None = None
    requests: int | None = None


class ConnectionRefusal(_Request, frozen=True, kw_only=True):
    """For how long nobody can connect."""

    seconds: float


class ClockChange(_Request, frozen=True, kw_only=True):
    """Move the time forward, then freeze or resume it."""

    advance_seconds: float | None = None
    frozen: bool | None = None


# --- responses


class HealthView(_Response, frozen=True, kw_only=True):
    """The stub is up. `contract_violations` counts its own responses that broke the contract."""

    status: Literal["ok"]
    name: str
    version: str
    contract_version: str
    contract_violations: int
    sandboxes: int


class ReadinessView(_Response, frozen=True, kw_only=True):
    """The stub accepts requests."""

    status: Literal["ready"]


class DelegateView(_Response, frozen=True, kw_only=True):
    """What starts a step; a password in `url` is not shown."""

    kind: Literal["recorded", "http", "python", "failing"]
    url: str | None = None

    @classmethod
    def of(cls, delegate: Delegate) -> Self:
        """Without the password of its URL."""
        url = delegate.url and _USERINFO.sub(_without_password, delegate.url, count=1)
        return cls(kind=delegate.kind, url=url)


class StepView(_Response, frozen=True, kw_only=True):
    """A step as it was when it was asked for."""

    id: str
    process_id: str
    status: Status
    delegate: DelegateView
    params: Params
    time_out_in_seconds: float
    times_out_at: datetime | None = None
    moved_by: int | None = None
    failure: str | None = None

    @classmethod
    def of(cls, step: Step) -> Self:
        return cls(
            id=step.id,
            process_id=step.process_id,
            status=step.status,
            delegate=DelegateView.of(step.delegate),
            params=step.params,
            time_out_in_seconds=step.time_out_in_seconds,
            times_out_at=None if step.deadline is None else instant(step.deadline),
            moved_by=step.moved_by,
            failure=step.failure,
        )


class ProcessView(_Response, frozen=True, kw_only=True):
    """A process as it was when it was asked for."""

    id: str
    steps: tuple[StepView, ...]

    @classmethod
    def of(cls, process: Process) -> Self:
        return cls(id=process.id, steps=tuple(map(StepView.of, process.steps)))


class ProcessList(_Response, frozen=True, kw_only=True):
    """Some processes; `total` counts all that the sandbox has."""

    processes: tuple[ProcessView, ...]
    total: int

    @classmethod
    def of(cls, processes: Sequence[Process], total: int) -> Self:
        return cls(processes=tuple(map(ProcessView.of, processes)), total=total)


class SandboxCreated(_Response, frozen=True, kw_only=True):
    """A new sandbox: its token, which is told only here, and its processes."""

    id: str
    token: str
    processes: tuple[ProcessView, ...]


class RefusalView(_Response, frozen=True, kw_only=True):
    """A refused request in short; the journal has the rest under its number."""

    exchange_number: int
    reason: str
    status: int | None = None

    @classmethod
    def of(cls, entry: Entry) -> Self:
        return cls(
            exchange_number=entry.number, reason=entry.reason or "", status=entry.status or None
        )


class SandboxView(_Response, frozen=True, kw_only=True):
    """A sandbox in short, by an id that gives no access. `exchanges` counts the dropped ones, too.

    `revision` is another whenever something has changed but the time.
    """

    id: str
    name: str | None = None
    created_at: datetime
    processes: int
    exchanges: int
    faults: int
    revision: str
    last_refusal: RefusalView | None = None


class SandboxList(_Response, frozen=True, kw_only=True):
    """A page of sandboxes; `total` counts all that there are."""

    sandboxes: tuple[SandboxView, ...]
    total: int


class TokenView(_Response, frozen=True, kw_only=True):
    """A further token of a sandbox, which is told only here."""

    token: str


class DelegateCallView(_Response, frozen=True, kw_only=True):
    """One call of a delegate; `exchange_number` is that of the exchange that caused it.

    `times` says how often it was made.
    """

    called_at: datetime
    kind: str
    process_id: str
    process_step_id: str
    params: Params
    outcome: str
    exchange_number: int | None = None
    times: int = 1

    @classmethod
    def of(cls, call: DelegateCall) -> Self:
        return cls(
            called_at=instant(call.called_at),
            kind=call.kind,
            process_id=call.start.process_id,
            process_step_id=call.start.process_step_id,
            params=call.start.params,
            outcome=call.outcome,
            exchange_number=call.exchange_number,
            times=call.times,
        )


class DelegateCallList(_Response, frozen=True, kw_only=True):
    """A page of delegate calls; `total` counts all that are remembered."""

    delegate_calls: tuple[DelegateCallView, ...]
    total: int


class ReadingUse(_Response, frozen=True, kw_only=True):
    """A reading that shaped a response: its number, its name and the value in force."""

    number: int
    name: str
    value: Value

    @classmethod
    def of(cls, name: str, readings: Readings) -> Self:
        value = as_mapping(readings)[name]
        return cls(number=questions()[name].number, name=name, value=value)


class ExchangeView(_Response, frozen=True, kw_only=True):
    """One request and its response, as the journal has them. `status` is None while in progress."""

    number: int
    received_at: datetime
    wall_clock: datetime
    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: str
    body_size: int
    operation: str | None = None
    status: int | None = None
    response: str | None = None
    duration_ms: float | None = None
    process_step_id: str | None = None
    step_before: Status | None = None
    step_after: Status | None = None
    fault: str | None = None
    reason: str | None = None
    violations: Mapping[str, Violation] = {}
    moved_by: int | None = None
    delegate_call: DelegateCallView | None = None
    readings: tuple[ReadingUse, ...] = ()
    variations: tuple[Variation, ...] = ()

    @classmethod
    def of(cls, entry: Entry, call: DelegateCall | None, readings: Readings) -> Self:
        return cls(
            number=entry.number,
            received_at=instant(entry.received_at),
            wall_clock=instant(entry.wall_clock),
            method=entry.method,
            path=entry.path,
            headers=tuple(
                (name.decode("latin-1"), value.decode("latin-1")) for name, value in entry.headers
            ),
            body=entry.body.decode("utf-8", "replace"),
            body_size=entry.body_size,
            operation=entry.operation,
            status=entry.status or None,
            response=entry.response.decode("utf-8", "replace") if entry.status else None,
            duration_ms=round(entry.duration * 1000, 3) if entry.duration else None,
            process_step_id=entry.step_id,
            step_before=entry.step_before,
            step_after=entry.step_after,
            fault=entry.fault,
            reason=entry.reason,
            violations=entry.violations or {},
            moved_by=entry.moved_by,
            delegate_call=DelegateCallView.of(call) if call else None,
            readings=tuple(
                ReadingUse.of(name, readings) for name in shaping(entry, call, readings)
            ),
            variations=entry.variations,
        )


class ExchangeList(_Response, frozen=True, kw_only=True):
    """A page of exchanges. `next` is the `after` of the next page, or newest first its `before`."""

    exchanges: tuple[ExchangeView, ...]
    dropped: int
    next: int | None = None


class FaultList(_Response, frozen=True, kw_only=True):
    """The faults that are still to strike, in the order they are tried."""

    faults: tuple[Fault, ...]


class ReadingsView(_Response, frozen=True, kw_only=True):
    """Every reading of a sandbox with its value, and how its responses vary."""

    readings: Mapping[str, Value]
    vary: VaryView


class ClockView(_Response, frozen=True, kw_only=True):
    """The time of a sandbox."""

    now: datetime
    frozen: bool

    @classmethod
    def of(cls, state: ClockState) -> Self:
        return cls(now=instant(state.now), frozen=state.frozen)


def instant(milliseconds: int) -> datetime:
    """A sandbox's time as a `datetime`; exact, which dividing by 1000 is not."""
    return _EPOCH + timedelta(milliseconds=milliseconds)


def _without_password(userinfo: re.Match[str]) -> str:
    user, colon, _ = userinfo[0].partition(":")
    return f"{user}:***" if colon else "***"
