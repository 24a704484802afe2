"""A case: one situation, what is sent in it, and the response it must get."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from uuid import uuid4

from stepstub.contract_tests.findings import DOCUMENT, Finding, Problem, finding
from stepstub.contract_tests.server import Response, Server
from stepstub.contract_tests.steps import Need, StepPool

Send = Callable[[Server, str], Response]
"""Sends a request about the step with an id."""

Rows = Iterable[tuple[str, str, str, Send]]
"""Requests in tables: name, situation, rule, and how each is sent."""

Check = Callable[[str, Response], Iterator[Problem]]
"""What is wrong with the response to a request about the step with an id."""


@dataclass(frozen=True)
class RunContext:
    """What the cases of one run share. `examples` limits what a generated case tries."""

    server: Server
    steps: StepPool
    seed: int
    examples: int


@dataclass(frozen=True, kw_only=True)
class Case:
    """One situation and the status it gets.

    `rule` is where the status comes from: the document, or the reading with that number.
    """

    name: str
    status: int
    situation: str
    rule: str = DOCUMENT
    need: Need = Need.STARTED
    send: Send = Server.complete
    checks: tuple[Check, ...] = ()

    def run(self, context: RunContext) -> Iterator[Finding]:
        """Send the request and judge the response.

        Raises `NotCovered` when there is no step in the state that the case needs.
        """
        step_id = self.prepare(context)
        response = self.send(context.server, step_id)
        self.note(context, step_id, response)
        yield from self.judge(context, step_id, response)

    def prepare(self, context: RunContext) -> str:
        """The id of the step that the request names."""
        if self.need is Need.NOTHING:
            return unknown_step()
        return context.steps.take(self.need)

    def note(self, context: RunContext, step_id: str, response: Response) -> None:
        """Tell the pool what became of a step taken from it."""
        if response.status == 200:
            context.steps.completed(step_id, response.named_step)
        elif self.need in (Need.STARTED, Need.NAMED, Need.LAST):
            context.steps.give_back(step_id)

    def judge(self, context: RunContext, step_id: str, response: Response) -> Iterator[Finding]:
        """What is wrong with one response."""
        yield from response.findings
        if response.status != self.status:
            yield self.wrong_status(context, response)
            return
        if any(found.rule == DOCUMENT for found in response.findings):
            return  # the members that the checks look at may be missing
        for check in self.checks:
            for rule, message in check(step_id, response):
                yield finding(rule, message, response.curl)

    def wrong_status(self, context: RunContext, response: Response) -> Finding:
        """The finding that a response has another status than that of the case."""
        rule = self.rule
        message = f"{self.situation} got {response.status} instead of {self.status}"
        if response.status not in context.server.expectations.statuses:
            rule = DOCUMENT
            message += f"; the document has no {response.status}"
        elif response.status >= 500:
            rule = DOCUMENT
            message += "; a foreseeable request must not cause an internal error"
        return finding(rule, f"{message}: {response.excerpt}", response.curl)


def cases_of(status: int, rows: Rows, *checks: Check) -> Iterator[Case]:
    """A case for each request of a table, all of which get the same status."""
    for name, situation, rule, send in rows:
        yield Case(
            name=name, status=status, situation=situation, rule=rule, send=send, checks=checks
        )


def unknown_step() -> str:
    """An id that no step has."""
    return f"conformance-{uuid4().hex[:8]}"
