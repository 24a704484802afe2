"""A case: one situation, what is sent in it, and the response it must get."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from stepstub.contract_tests.cases.witness import Witness
from stepstub.contract_tests.expectations import UNAUTHORISED
from stepstub.contract_tests.findings import Cause, Finding, NotCovered, Severity
from stepstub.contract_tests.needs import Need
from stepstub.contract_tests.response import Response
from stepstub.contract_tests.server import NoResponse, Server
from stepstub.contract_tests.steps import StepPool
from stepstub.contract_tests.unknown import known

OF_BAD_PARAMS = ("shape-200-data-params", "two-ways-type-names", "two-ways-long-range")
"""The keys of causes that are part of a server's being lax, where it has accepted bad params."""

NOTHING_COMPLETED = "no step could be completed in this run, with or without refusals"
"""Why a refusal says nothing: perhaps none of the steps that were given is STARTED."""


Send = Callable[[Server, str], Response]
"""Sends a request about the step with an id."""

Check = Callable[["RunContext", str, Response], Iterator[tuple[Cause, str]]]
"""What is wrong, beside its status, with the response to a request about the step with an id."""


class Doubtful(Exception):
    """Nobody knows whether a request was processed once or twice; the case needs another step."""


@dataclass(frozen=True)
class RunContext:
    """What the cases of one run share.

    `examples` limits what a generated case tries. `completions` are those that learning made, as
    the id of the step and the response.
    """

    server: Server
    steps: StepPool
    witness: Witness
    seed: int
    examples: int
    completions: Sequence[tuple[str, Response]] = ()

    def note(self, step_id: str, response: Response) -> None:
        """Tell the pool what became of a step that was taken from it."""
        if response.status == 200:
            self.steps.completed(step_id, response.named_step)
        else:
            self.steps.give_back(step_id)


class Expect(Protocol):
    """The status that a case gets."""

    def wrong(self, case: "Case", context: RunContext, response: Response) -> Cause | None:
        """Why a response must not have the status that it has; None where it may."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One situation and the status it gets.

    `status` is what it is by our readings; `expect` says what it may be by the server's, and
    `reading` names the one that decides it. `topic` is what the situation has in common with
    others, in words: they share their causes. `steps` is the number of STARTED steps that the case
    completes at most.
    """

    name: str
    status: int
    situation: str
    topic: str
    expect: Expect
    reading: str = ""
    need: Need = Need.STARTED
    send: Send = Server.complete
    checks: tuple[Check, ...] = ()
    steps: int = 1

    @property
    def requests(self) -> int:
        """About how many requests it sends."""
        return max(1, self.steps)

    def run(self, context: RunContext) -> Iterator[Finding]:
        """Send the request and judge the response.

        Raises `NotCovered` when there is no step in the state that the case needs, and `Doubtful`
        when another step is needed.
        """
        step_id = context.steps.take(self.need)
        response = certain(self.send(context.server, step_id))
        context.note(step_id, response)
        yield from self.judge(context, step_id, response)

    def judge(self, context: RunContext, step_id: str, response: Response) -> Iterator[Finding]:
        """What is wrong with one response. Raises `NotCovered` where it says nothing."""
        is_refused = 400 <= response.status < 500 and response.status != UNAUTHORISED
        if self.steps and is_refused and not context.steps.used:
            raise NotCovered(NOTHING_COMPLETED)
        cause = self.expect.wrong(self, context, response)
        is_lax = cause is not None and cause.severity in (Severity.NOTE, Severity.DEVIATION)
        for each in response.findings:
            if not (is_lax and each.cause.key in OF_BAD_PARAMS):
                yield each
        if cause:
            message = f"{self.situation} got {response.status}: {response.excerpt}"
            yield response.shows(cause, message)
            return
        worse = (Severity.VIOLATION, Severity.INCONSISTENCY)
        if any(each.cause.severity in worse for each in response.findings):
            return  # the members that the checks look at may be missing
        for check in self.checks:
            for cause, message in check(context, step_id, response):
                yield response.shows(cause, message)


@dataclass(frozen=True, kw_only=True)
class Refusal(Case):
    """A request that is refused; `StillStarted` finds out later whether it has changed anything.

    It is about the step that all refusals share, or an unknown one where there are no more. A body
    that `names_step` may then be refused because of the step, which says nothing about the body.
    """

    steps: int = 0
    names_step: bool = False

    def run(self, context: RunContext) -> Iterator[Finding]:
        step_id, response = ask_about_witness(context, self.situation, self.send)
        is_a_step = known(step_id) and context.steps.used
        if self.names_step and not is_a_step and _refuses_step(context, response):
            raise NotCovered("the step was refused, not the body: no STARTED step was left")
        yield from self.judge(context, "", response)


def _refuses_step(context: RunContext, response: Response) -> bool:
    """Whether a response has the status of an unknown step, which is not that of a bad body."""
    value = context.server.expectations.value
    return response.status == value("unknown-step") != value("bad-body")


def ask_about_witness(context: RunContext, situation: str, send: Send) -> tuple[str, Response]:
    """Send a request about the step that all refusals share; the id of that step, which may be an
    unknown one, and the response. Raises `Doubtful` and `NoResponse`.
    """
    step_id = context.witness.step()
    try:
        response = certain(send(context.server, step_id))
    except (Doubtful, NoResponse):
        context.witness.replace()
        raise
    context.witness.note(situation, send, response)
    return step_id, response


def certain(response: Response) -> Response:
    """A response that tells what its request did. Raises `Doubtful`."""
    if response.repeated:
        raise Doubtful
    return response


Rows = Iterable[tuple[str, str, Send]]
"""Requests in tables: name, situation, and how each is sent."""
