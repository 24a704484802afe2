"""Cases whose bodies some servers accept and others refuse."""

from collections.abc import Iterator
from dataclasses import dataclass

from stepstub.contract_tests.cases.case import NOTHING_COMPLETED, Case, RunContext, certain
from stepstub.contract_tests.cases.senders import complete
from stepstub.contract_tests.causes import REFUSED_BUT_CHANGED
from stepstub.contract_tests.findings import Finding, NotCovered
from stepstub.contract_tests.needs import Need
from stepstub.contract_tests.response import Response


@dataclass(frozen=True, kw_only=True)
class Trial(Case):
    """A body about a STARTED step, which is completed all the same where the body is refused."""

    def run(self, context: RunContext) -> Iterator[Finding]:
        step_id = context.steps.take(Need.STARTED)
        response = certain(self.send(context.server, step_id))
        if response.status == 200:
            context.steps.completed(step_id, response.named_step)
        yield from self.judge(context, step_id, response)
        if response.status >= 400:
            yield from still_started(context, step_id, self.situation, response)


def still_started(
    context: RunContext, step_id: str, situation: str, refused: Response
) -> Iterator[Finding]:
    """Complete a step about which a request was refused: it must be as it was.

    Raises `NotCovered` where no step could be completed yet, refused before or not.
    """
    response = certain(complete(context.server, step_id))
    if response.status < 300:
        context.steps.completed(step_id, response.named_step)
        return
    if not context.steps.used:
        raise NotCovered(NOTHING_COMPLETED)
    yield changed(f"{situation} got {refused.status}", refused, response)


def changed(refusal: str, refused: Response, afterwards: Response) -> Finding:
    """A request was refused, as `refusal` says, and the step cannot be completed `afterwards`."""
    message = (
        f"{refusal}, but the step could no longer be completed afterwards"
        f" ({afterwards.status}: {afterwards.excerpt})"
    )
    return Finding(REFUSED_BUT_CHANGED, message, refused.curl, afterwards.excerpt)
