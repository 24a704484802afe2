"""Cases whose requests Schemathesis generates from the contract, and whose responses it checks.

All of Schemathesis' checks are enabled and told what the document says: a refusal is a 412, and a
500 is expected only where the case provokes it. A failure does not end the case: every example is
tried, and for each kind of failure the one with the smallest body is reported.
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

from stepstub.contract_tests.cases.case import Case, RunContext
from stepstub.contract_tests.expectations import Expectations
from stepstub.contract_tests.findings import DOCUMENT, Finding, NotCovered, finding
from stepstub.contract_tests.server import Response
from stepstub.contract_tests.steps import Need

with warnings.catch_warnings():  # deprecations in its dependencies do not concern our user
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
"""The failures of Schemathesis that come down to a wrong status."""

_SHRINK_SECONDS = 0.05  # for each example of the run

_Example = schemathesis.Case[Any]


class _Failed(Exception):
    """Tells Hypothesis that an example is worth shrinking."""


class _OutOfTime(BaseException):
    """Stops Hypothesis, which would catch an `Exception` and go on."""


@dataclass(frozen=True, kw_only=True)
class Generated(Case):
    """Many generated bodies, each sent for a step in the state that is needed."""

    mode: GenerationMode
    share: float = 1.0
    """The share of the run's examples that is tried: less in a case that uses up steps."""

    def run(self, context: RunContext) -> Iterator[Finding]:
        smallest: dict[str, Finding] = {}
        seen = 0
        lack: NotCovered | None = None

        def attempt(example: _Example) -> bool:
            """Whether nothing was found."""
            nonlocal seen, lack
            if lack is not None:
                return True
            if self.mode is GenerationMode.NEGATIVE and context.server.expectations.allows(
                example.body
            ):
                return True  # 1e16 is a number to Schemathesis but an integer to JSON Schema
            try:
                response, findings = self._attempt(context, example)
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
            with suppress(_Failed, _OutOfTime, hypothesis.errors.Flaky):
                self._drive(context, attempt, shrink=True)
        yield from smallest.values()
        if not seen and not smallest:
            raise lack or NotCovered("no example could be generated")

    def _drive(
        self, context: RunContext, attempt: Callable[[_Example], bool], *, shrink: bool = False
    ) -> None:
        """Try all examples; or, with `shrink`, only reproduce the first failure and shrink it."""
        deadline = time.monotonic() + context.examples * _SHRINK_SECONDS

        def test(example: _Example) -> None:
            if shrink and time.monotonic() > deadline:
                raise _OutOfTime
            if not attempt(example) and shrink:
                raise _Failed

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            operation = _operation(context.server.expectations, context.server.url, self.status)
            settings = hypothesis.settings(
                max_examples=max(1, round(context.examples * self.share)),
                phases=[Phase.generate, Phase.shrink],
                database=None,
                deadline=None,
                derandomize=False,
                report_multiple_bugs=False,
                suppress_health_check=list(HealthCheck),
                verbosity=hypothesis.Verbosity.quiet,
            )
            examples = operation.as_strategy(generation_mode=self.mode)
            hypothesis.seed(context.seed)(settings(hypothesis.given(example=examples)(test)))()

    def _attempt(
        self, context: RunContext, example: _Example
    ) -> tuple[Response, list[tuple[str, Finding]]]:
        """Send one example; its response, and what was found by kind."""
        body: Any = example.body
        step_id = self.prepare(context)
        if isinstance(body, dict) and isinstance(body.get("processStepId"), str):
            example.body = body = {**body, "processStepId": step_id}
        authorization = context.server.authorization
        try:
            response, received = context.server.send(
                **example.as_transport_kwargs(base_url=context.server.url, headers=authorization)
            )
        except BaseException:
            context.steps.give_back(step_id)
            raise
        self.note(context, step_id, response)
        findings = [(found.message, found) for found in response.findings]
        try:
            example.validate_response(received, headers=authorization)
        except FailureGroup as group:
            findings += [
                self._explain(context.server.expectations, failure, body, response)
                for failure in group.exceptions
                if isinstance(failure, Failure)
            ]
        findings += [(found.message, found) for found in self._blames(response)]
        return response, findings

    def _explain(
        self, expectations: Expectations, failure: Failure, body: Any, response: Response
    ) -> tuple[str, Finding]:
        """The kind of a failure of Schemathesis, and the finding that it amounts to."""
        kind = type(failure).__name__
        message = " ".join(f"{failure.title}. {failure.message}".split())
        rule = DOCUMENT
        match kind, response.status:
            case "AcceptedNegativeData", 200 if not expectations.must_be_refused(body):
                rule = "reading 1 or 2"
            case "RejectedPositiveData", 412 if not expectations.must_be_accepted(body):
                rule = "reading 1, 3 or 4"
            case "JsonSchemaError", _ if response.findings:
                rule = response.findings[0].rule
        if kind in _WRONG_STATUS:  # one finding, however many of the checks noticed it
            kind = f"{response.status} {rule}"
            message = f"got {response.status} instead of {self.status}: {response.excerpt}"
        return kind, finding(rule, f"{self.situation}: {message}", response.curl)

    def _blames(self, response: Response) -> Iterator[Finding]:
        """A 412 to a body that the contract allows can only be about the step."""
        if self.mode is not GenerationMode.POSITIVE or response.status != 412:
            return
        if isinstance(response.data, dict) and set(response.data) != {"processStepId"}:
            yield finding(
                "reading 6",
                "the 412 to a body that the contract allows blames something other than"
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


REFUSALS: tuple[Case, ...] = (
    Generated(
        name="generated-bad-bodies",
        status=412,
        situation="generated invalid bodies",
        mode=GenerationMode.NEGATIVE,
    ),
    Generated(
        name="generated-unknown-steps",
        status=412,
        situation="generated valid bodies for unknown steps",
        need=Need.NOTHING,
        mode=GenerationMode.POSITIVE,
        share=0.5,
    ),
)

COMPLETIONS: tuple[Case, ...] = (
    Generated(
        name="generated-completions",
        status=200,
        situation="generated valid bodies for STARTED steps",
        mode=GenerationMode.POSITIVE,
    ),
    Generated(
        name="generated-delegate-failures",
        status=500,
        situation="generated valid bodies for a step whose next one cannot be started",
        need=Need.NEXT_FAILS,
        mode=GenerationMode.POSITIVE,
        share=0.2,
    ),
)
