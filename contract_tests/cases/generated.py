"""Cases whose requests Schemathesis generates from the contract as the server's readings have it.

A finding does not end the case: every example is tried, and for each cause the one with the
shortest request is reported. What should be refused but completes a step ends it where the steps
are numbered, for a hundred examples would leave none to the other cases.
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

from stepstub.contract_tests.cases.case import (
    OF_BAD_PARAMS,
    Case,
    Doubtful,
    RunContext,
    ask_about_witness,
    certain,
)
from stepstub.contract_tests.cases.checks import lost_or_changed
from stepstub.contract_tests.cases.expect import ByReading, DelegateFails, Documented, Invalid
from stepstub.contract_tests.cases.trials import still_started
from stepstub.contract_tests.causes import BAD_BODY, STARTED, inconsistency, violation
from stepstub.contract_tests.expectations import REFUSALS
from stepstub.contract_tests.findings import Cause, CouldNotRun, Finding, NotCovered
from stepstub.contract_tests.needs import Need
from stepstub.contract_tests.response import Response
from stepstub.contract_tests.server import NoResponse, Server
from stepstub.contract_tests.unknown import known, unknown_step

with warnings.catch_warnings():  # deprecations in its dependencies do not concern our user
    warnings.simplefilter("ignore")
    import schemathesis
    from schemathesis import GenerationMode

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

    def tries(self, examples: int) -> int:
        """The number of bodies that are tried in a run of so many examples."""
        return max(1, round(examples * self.share))

    def run(self, context: RunContext) -> Iterator[Finding]:
        shortest: dict[str, Finding] = {}
        seen = 0
        end: Exception | None = None

        def attempt(body: Any) -> bool:
            """Whether nothing was found. Hypothesis must see no exception of the suite's own."""
            nonlocal seen, end
            if end is not None:
                return True
            used = context.steps.used
            try:
                found = list(self._attempt(context, body))
            except Doubtful:
                return True  # the next example has another step
            except (NotCovered, NoResponse, CouldNotRun) as error:
                end = error
                return True
            seen += 1
            end = self._lost_a_step(context, used)
            for one in found:
                key = one.cause.key
                if key not in shortest or len(one.curl) < len(shortest[key].curl):
                    shortest[key] = one
            return not found

        self._drive(context, attempt)
        if shortest:
            with suppress(_Failed, _OutOfTime, hypothesis.errors.Flaky):
                self._drive(context, attempt, shrink=True)
        yield from shortest.values()
        if end is not None and not (seen and isinstance(end, NotCovered)):
            raise end
        if not seen:
            raise NotCovered("no example could be generated")

    def _lost_a_step(self, context: RunContext, used: int) -> NotCovered | None:
        """What ends the case where it should complete no step, but has, and there are not many."""
        if self.steps or context.steps.used == used or context.steps.is_endless:
            return None
        return NotCovered("the STARTED steps that are left are kept for the other cases")

    def _drive(
        self, context: RunContext, attempt: Callable[[Any], bool], *, shrink: bool = False
    ) -> None:
        """Try all examples; or, with `shrink`, only reproduce the first failure and shrink it."""
        deadline = time.monotonic() + context.examples * _SHRINK_SECONDS

        def test(example: _Example) -> None:
            if shrink and time.monotonic() > deadline:
                raise _OutOfTime
            if not attempt(example.body) and shrink:
                raise _Failed

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            settings = hypothesis.settings(
                max_examples=self.tries(context.examples),
                phases=[Phase.generate, Phase.shrink],
                database=None,
                deadline=None,
                derandomize=False,
                report_multiple_bugs=False,
                suppress_health_check=list(HealthCheck),
                verbosity=hypothesis.Verbosity.quiet,
            )
            expectations = context.server.expectations
            valid = self.mode is GenerationMode.POSITIVE
            document = expectations.accepted_document if valid else expectations.possible_document
            examples = _operation(document, expectations.path).as_strategy(
                generation_mode=self.mode
            )
            hypothesis.seed(context.seed)(settings(hypothesis.given(example=examples)(test)))()

    def _attempt(self, context: RunContext, body: Any) -> Iterator[Finding]:
        """Send one body about a step in the state that is needed, and judge the response."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class GeneratedRefusals(Generated):
    """Bodies that no unknown reading of the server accepts."""

    mode: GenerationMode = GenerationMode.NEGATIVE
    steps: int = 0

    def _attempt(self, context: RunContext, body: Any) -> Iterator[Finding]:
        names_step = isinstance(body, dict) and isinstance(body.get("processStepId"), str)
        if names_step:
            body = {**body, "processStepId": context.witness.step()}
        if context.server.expectations.may_accept(body):
            return  # 1e16 is a number to Schemathesis but an integer to JSON Schema

        def send(server: Server, step_id: str) -> Response:
            named = {**body, "processStepId": step_id} if names_step else body
            return server.post(named, step=known(step_id))

        _, response = ask_about_witness(context, self.situation, send)
        if response.status != 200:
            yield from self.judge(context, "", response)
            return
        for each in response.findings:
            if each.cause.key not in OF_BAD_PARAMS:
                yield each
        cause = self._too_lax(context, body, names_step=names_step)
        shown = f"{self.situation} got 200: {response.excerpt}"
        yield response.shows(cause, shown)

    def _too_lax(self, context: RunContext, body: Any, *, names_step: bool) -> Cause:
        """Why a body must not be accepted."""
        if not names_step:
            return ByReading("bad-body").accepted(self, context)
        if name := context.server.expectations.reading_that_accepts(body):
            return inconsistency(name, context.server.expectations.value(name))
        return Invalid().accepted(self, context)


@dataclass(frozen=True, kw_only=True)
class GeneratedCompletions(Generated):
    """Bodies that the server accepts, whatever its unknown readings are."""

    mode: GenerationMode = GenerationMode.POSITIVE

    def _attempt(self, context: RunContext, body: Any) -> Iterator[Finding]:
        if not context.server.expectations.must_accept({**body, "processStepId": "any"}):
            return
        unknown = self.need is Need.NOTHING
        step_id = unknown_step() if unknown else context.steps.take(self.need)
        body = {**body, "processStepId": step_id}
        response = certain(context.server.post(body, step=known(step_id)))
        if not unknown and response.status == 200:
            context.steps.completed(step_id, response.named_step)
        if self._is_refused(context, response):
            if not unknown:
                yield from still_started(context, step_id, self.situation, response)
            message = f"{self.situation} got {response.status}: {response.excerpt}"
            yield from response.findings
            yield response.shows(self._too_strict(context, body), message)
            return
        yield from self.judge(context, step_id, response)
        if response.status == 200 and isinstance(response.data, dict) and not response.findings:
            is_last = None if response.named_step in (None, step_id) else False
            found = lost_or_changed(context.server.expectations, body, response, is_last=is_last)
            for cause, message in found:
                yield response.shows(cause, message)

    def _is_refused(self, context: RunContext, response: Response) -> bool:
        """Whether a response refuses the body, and not the step."""
        value = context.server.expectations.value
        of_step = value("unknown-step") if self.need is Need.NOTHING else None
        return response.status in REFUSALS and response.status == value("bad-body") != of_step

    def _too_strict(self, context: RunContext, body: Any) -> Cause:
        """Why a body must not be refused."""
        expectations = context.server.expectations
        name = expectations.reading_that_refuses(body)
        if name and not self._is_refused(context, self._send_plain(context, body)):
            return inconsistency(name, expectations.value(name))
        return violation(
            "refuses-valid-bodies",
            "Valid bodies are refused",
            f"{expectations.says(200)} The body is as the document describes it.",
        )

    def _send_plain(self, context: RunContext, body: Any) -> Response:
        """Send params of the same names and texts, in a form that no reading refuses."""
        unknown = self.need is Need.NOTHING
        step_id = unknown_step() if unknown else context.steps.take(self.need)
        plain = {
            name: {"strValue": text if isinstance(text, str) else "", "type": "STRING"}
            for name, param in (body.get("params") or {}).items()
            for text in [param.get("strValue") if isinstance(param, dict) else None]
        }
        response = certain(context.server.complete(step_id, plain))
        if not unknown:
            context.note(step_id, response)
        return response


def _operation(document: Any, path: str) -> Any:
    """The operation as Schemathesis sees it."""
    config = schemathesis.Config.from_dict({"generation": {"with-security-parameters": False}})
    return schemathesis.openapi.from_dict(document, config=config)[path]["POST"]


REFUSALS_GENERATED: tuple[Case, ...] = (
    GeneratedRefusals(
        name="generated-bad-bodies",
        status=412,
        situation="generated invalid bodies",
        topic=BAD_BODY,
        reading="bad-body",
        expect=ByReading("bad-body", or_by="unknown-step"),
    ),
    GeneratedCompletions(
        name="generated-unknown-steps",
        status=412,
        situation="generated valid bodies for unknown steps",
        topic="an unknown step",
        reading="unknown-step",
        expect=ByReading("unknown-step"),
        need=Need.NOTHING,
        share=0.5,
        steps=0,
    ),
)

COMPLETIONS_GENERATED: tuple[Case, ...] = (
    GeneratedCompletions(
        name="generated-completions",
        status=200,
        situation="generated valid bodies for STARTED steps",
        topic=STARTED,
        expect=Documented(),
    ),
    GeneratedCompletions(
        name="generated-delegate-failures",
        status=500,
        situation="generated valid bodies for a step whose next one cannot be started",
        topic="a delegate's failure",
        reading="delegate-failure",
        expect=DelegateFails(),
        need=Need.NEXT_FAILS,
        share=0.2,
        steps=0,
    ),
)
