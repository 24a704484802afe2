"""The cases whose requests Schemathesis generates from the contract, and whose responses it checks.

Every check of Schemathesis is on, set to what the document says: 412 is the refusal, and only a
run that provokes it takes a 500. A failure does not end a run: all examples are tried, and of
each kind of failure the one with the smallest body is reported.
"""

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import hypothesis
import hypothesis.errors
from hypothesis import HealthCheck, Phase

from stepstub.contract_tests.cases import Case, RunContext, note
from stepstub.contract_tests.findings import (
    DOCUMENT,
    Expectations,
    Finding,
    NotCovered,
    finding,
)
from stepstub.contract_tests.server import Response
from stepstub.contract_tests.steps import Need

with warnings.catch_warnings():  # what it imports is none of its user's business
    warnings.simplefilter("ignore")
    import schemathesis
    from schemathesis import GenerationMode
    from schemathesis.core.failures import Failure, FailureGroup


_WRONG_STATUS = {
    "AcceptedNegativeData",
    "RejectedPositiveData",
    "ServerError",
    "UndefinedStatusCode",
}


_SECONDS_TO_SHRINK = 0.05  # for each example of the run


class _Failed(Exception):
    """Tells Hypothesis that an example is worth shrinking."""


class _Enough(BaseException):
    """Stops Hypothesis, which catches an `Exception` and goes on."""


@dataclass(frozen=True, kw_only=True)
class Generated(Case):
    """Many generated bodies, each sent for a step in the state that is needed."""

    mode: GenerationMode
    share: float = 1.0
    """How many of the examples are tried; a case that uses up steps tries fewer."""

    def run(self, context: RunContext) -> Iterator[Finding]:
        smallest: dict[str, Finding] = {}
        seen = 0
        lack: NotCovered | None = None

        def attempt(case: schemathesis.Case[Any]) -> bool:
            """Whether nothing was found."""
            nonlocal seen, lack
            if lack is not None:
                return True
            if self.mode is GenerationMode.NEGATIVE and context.server.expectations.allows(
                case.body
            ):
                return True  # 1e16, a number to Schemathesis, is an integer to JSON Schema
            try:
                response, findings = self._attempt(context, case)
            except NotCovered as error:
                lack = error
                return True
            seen += response.status == self.status
            for kind, found in findings:
                if kind not in smallest or len(found.curl) < len(smallest[kind].curl):
                    smallest[kind] = found
            return not findings

        self._drive(context, attempt)
        if smallest:
            with suppress(_Failed, _Enough, hypothesis.errors.Flaky):
                self._drive(context, attempt, shrink=True)
        yield from smallest.values()
        if not seen and not smallest:
            raise lack or NotCovered("no example could be made up")

    def _drive(
        self,
        context: RunContext,
        attempt: Callable[[schemathesis.Case[Any]], bool],
        *,
        shrink: bool = False,
    ) -> None:
        """Try all examples; or come to the first failure once more, and make it smaller."""
        examples = max(1, round(context.examples * self.share))
        patience = time.monotonic() + context.examples * _SECONDS_TO_SHRINK

        def test(case: schemathesis.Case[Any]) -> None:
            if shrink and time.monotonic() > patience:
                raise _Enough
            if not attempt(case) and shrink:
                raise _Failed

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            cases = _operation(
                context.server.expectations, context.server.url, self.status
            ).as_strategy(generation_mode=self.mode)
            settings = hypothesis.settings(
                max_examples=examples,
                phases=[Phase.generate, Phase.shrink],
                database=None,
                deadline=None,
                derandomize=False,
                report_multiple_bugs=False,
                suppress_health_check=list(HealthCheck),
                verbosity=hypothesis.Verbosity.quiet,
            )
            hypothesis.seed(context.seed)(settings(hypothesis.given(case=cases)(test)))()

    def _attempt(
        self, context: RunContext, case: schemathesis.Case[Any]
    ) -> tuple[Response, list[tuple[str, Finding]]]:
        body: Any = case.body
        step_id = self.prepare(context)
        if isinstance(body, dict) and isinstance(body.get("processStepId"), str):
            case.body = body = {**body, "processStepId": step_id}
        authorization = context.server.authorization
        try:
            response, received = context.server.send(
                **case.as_transport_kwargs(base_url=context.server.url, headers=authorization)
            )
        except BaseException:
            context.steps.give_back(step_id)
            raise
        note(context, self, step_id, response)
        findings = [(found.words, found) for found in response.findings]
        try:
            case.validate_response(received, headers=authorization)
        except FailureGroup as group:
            findings += [
                self._explained(context.server.expectations, failure, body, response)
                for failure in group.exceptions
                if isinstance(failure, Failure)
            ]
        findings += [(found.words, found) for found in self._blames(response)]
        return response, findings

    def _explained(
        self, expectations: Expectations, failure: Failure, body: Any, response: Response
    ) -> tuple[str, Finding]:
        """A failure of Schemathesis in our words, by its kind."""
        kind = type(failure).__name__
        said = " ".join(f"{failure.title}. {failure.message}".split())
        rule = DOCUMENT
        match kind, response.status:
            case "AcceptedNegativeData", 200 if not expectations.must_be_refused(body):
                rule = "reading 1 or 2"
            case "RejectedPositiveData", 412 if not expectations.must_be_accepted(body):
                rule = "reading 1, 3 or 4"
            case "JsonSchemaError", _ if response.findings:
                rule = response.findings[0].rule
        if kind in _WRONG_STATUS:  # one finding, whichever of the checks have noticed
            kind = f"{response.status} {rule}"
            said = f"got {response.status} instead of {self.status}: {response.excerpt}"
        return kind, finding(rule, f"{self.situation}: {said}", response.curl)

    def _blames(self, response: Response) -> Iterator[Finding]:
        """A 412 to a body that the contract allows can only be about the step."""
        if self.mode is not GenerationMode.POSITIVE or response.status != 412:
            return
        if isinstance(response.data, dict) and set(response.data) != {"processStepId"}:
            yield finding(
                "reading 6",
                "the 412 to a body that the contract allows names something else than"
                f" processStepId: {', '.join(response.data) or 'nothing'}",
                response.curl,
            )


def _operation(expectations: Expectations, url: str, status: int) -> Any:
    """The operation as Schemathesis sees it, where `status` is what is expected."""
    expected = {"expected-statuses": [str(status)]}
    config = schemathesis.Config.from_dict(
        {
            "base-url": url,
            "generation": {"with-security-parameters": False},
            "checks": {
                "positive_data_acceptance": expected,
                "negative_data_rejection": expected,
                "not_a_server_error": expected,
            },
        }
    )
    schema = schemathesis.openapi.from_dict(expectations.document, config=config)
    return schema[expectations.path]["POST"]


ASKING: tuple[Case, ...] = (
    Generated(
        name="generated-bad-bodies",
        status=412,
        situation="generated bodies that the contract refuses",
        mode=GenerationMode.NEGATIVE,
    ),
    Generated(
        name="generated-unknown-steps",
        status=412,
        situation="generated bodies that the contract allows, for steps that there are not",
        need=Need.NOTHING,
        mode=GenerationMode.POSITIVE,
        share=0.5,
    ),
)

COMPLETING: tuple[Case, ...] = (
    Generated(
        name="generated-completions",
        status=200,
        situation="generated bodies that the contract allows, for STARTED steps",
        mode=GenerationMode.POSITIVE,
    ),
    Generated(
        name="generated-delegate-failures",
        status=500,
        situation="generated bodies for a step whose next one cannot be started",
        need=Need.NEXT_FAILS,
        mode=GenerationMode.POSITIVE,
        share=0.2,
    ),
)
