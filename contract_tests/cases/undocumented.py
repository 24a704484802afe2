"""Cases whose requests match no operation, so the document has no response to them."""

from collections.abc import Iterator
from dataclasses import dataclass

from stepstub.contract_tests.cases.case import Case, RunContext
from stepstub.contract_tests.findings import (
    DOCUMENT,
    UNDOCUMENTED,
    Finding,
    NotCovered,
    finding,
)
from stepstub.contract_tests.server import NoResponse, Response
from stepstub.contract_tests.steps import Need


@dataclass(frozen=True, kw_only=True)
class Undocumented(Case):
    """A request that matches no operation.

    Whatever is wrong with the response deviates from a reading, except a 5xx, which is an internal
    error wherever it comes from.
    """

    rule: str = UNDOCUMENTED
    need: Need = Need.NOTHING

    def run(self, context: RunContext) -> Iterator[Finding]:
        try:
            yield from super().run(context)
        except NoResponse as error:
            yield finding(self.rule, f"{self.situation}: {error}")

    def judge(self, context: RunContext, step_id: str, response: Response) -> Iterator[Finding]:
        if response.status != self.status:
            message = f"{self.situation} got {response.status} instead of {self.status}"
            rule = DOCUMENT if response.status >= 500 else self.rule
            yield finding(rule, f"{message}: {response.excerpt}", response.curl)
            return
        yield from response.findings
        for rule, message in context.server.examine_form(response):
            yield finding(rule, f"the {response.status} {message}", response.curl)
        for check in self.checks:
            for rule, message in check(step_id, response):
                yield finding(rule, message, response.curl)


@dataclass(frozen=True, kw_only=True)
class TooLarge(Undocumented):
    """A body beyond the default limit of a stub; the limit of another server may be higher."""

    def judge(self, context: RunContext, step_id: str, response: Response) -> Iterator[Finding]:
        # A server that refuses such a body without reading it may close the connection.
        context.server.close()
        if response.status == 412:
            raise NotCovered("the server accepts bodies of more than 1 MiB: it has a higher limit")
        yield from super().judge(context, step_id, response)
