"""Cases about no step: requests that match no operation, or name none that exists."""

from collections.abc import Iterator
from dataclasses import dataclass

from stepstub.contract_tests.cases.case import Case, Refusal, RunContext
from stepstub.contract_tests.findings import Finding, NotCovered
from stepstub.contract_tests.needs import Need
from stepstub.contract_tests.response import Response
from stepstub.contract_tests.unknown import unknown_step


@dataclass(frozen=True, kw_only=True)
class Undocumented(Case):
    """A request about an unknown step, so nothing is at stake."""

    need: Need = Need.NOTHING
    steps: int = 0

    def run(self, context: RunContext) -> Iterator[Finding]:
        step_id = unknown_step()
        response = self.send(context.server, step_id)
        yield from self.judge(context, step_id, response)


@dataclass(frozen=True, kw_only=True)
class TooLarge(Undocumented):
    """A body beyond the default limit of a stub; the limit of another server may be higher."""

    def judge(self, context: RunContext, step_id: str, response: Response) -> Iterator[Finding]:
        # A server that refuses such a body without reading it may close the connection.
        context.server.close()
        known = context.server.expectations.value("unknown-step")
        if response.status == known and response.status != self.status:
            raise NotCovered("the server accepts bodies of more than 1 MiB: it has a higher limit")
        yield from super().judge(context, step_id, response)


@dataclass(frozen=True, kw_only=True)
class OtherScheme(Refusal):
    """An Authorization header that only a server with bearer tokens would look at."""

    def run(self, context: RunContext) -> Iterator[Finding]:
        if context.server.credentials.form != "bearer":
            raise NotCovered("the token is not sent as a bearer token")
        yield from super().run(context)
