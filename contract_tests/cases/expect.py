"""The statuses that situations get, and what it means when one gets another; each is an `Expect`.

What the document describes must be as described. What it leaves open must be as it was learnt, and
may be anything sensible where that is unknown.
"""

from dataclasses import dataclass, replace

from stepstub.contract_tests.cases.case import Case, RunContext
from stepstub.contract_tests.causes import (
    BAD_BODY,
    STARTED,
    capitalised,
    inconsistency,
    not_as_documented,
    slug,
    violation,
)
from stepstub.contract_tests.expectations import REFUSALS, UNAUTHORISED
from stepstub.contract_tests.findings import Cause
from stepstub.contract_tests.response import Response
from stepstub.readings import Value


@dataclass(frozen=True)
class Documented:
    """The status of a situation that the document describes."""

    def wrong(self, case: Case, context: RunContext, response: Response) -> Cause | None:
        if response.status == case.status:
            return None
        if response.status < 300:  # it was completed, whatever was known of it
            case = replace(case, topic=STARTED)
        return internal_error(case, context, response) or _not_as_documented(case, context)


@dataclass(frozen=True)
class Unauthorised:
    """401; where the server needs no credentials, anything but an internal error.

    `lenient`: a server may find the credentials good enough.
    """

    lenient: bool = False

    def wrong(self, case: Case, context: RunContext, response: Response) -> Cause | None:
        needs_none = context.server.expectations.value("credentials") == "none"
        if response.status == UNAUTHORISED or (needs_none and response.status < 500):
            return None
        if self.lenient and response.status < 300:
            return context.server.examiner.difference(
                "lenient-credentials",
                "Credentials are accepted in other forms",
                "The document does not say how a request is authorised; a client should not rely"
                " on more than one form.",
            )
        return internal_error(case, context, response) or _not_as_documented(case, context)


@dataclass(frozen=True)
class UnauthorisedAndBad:
    """A bad body without credentials: 401 or the status of bad bodies, whichever goes first."""

    def wrong(self, case: Case, context: RunContext, response: Response) -> Cause | None:
        first = context.server.expectations.value("checked-first")
        if response.status == UNAUTHORISED:
            return inconsistency("checked-first", first) if first == "body" else None
        if response.status not in REFUSALS:
            return Unauthorised().wrong(case, context, response)
        if context.server.expectations.value("credentials") == "none":
            return ByReading("bad-body").wrong(case, context, response)
        if first == "credentials":
            return inconsistency("checked-first", first)
        return ByReading("bad-body").wrong(case, context, response)


@dataclass(frozen=True)
class ByReading:
    """A refusal whose status is a reading; `or_by` names another whose status is as good."""

    reading: str
    or_by: str = ""

    def wrong(self, case: Case, context: RunContext, response: Response) -> Cause | None:
        status, value = response.status, context.server.expectations.value
        known = value(self.reading)
        if status == known or (self.or_by and status == value(self.or_by)):
            return None
        if cause := internal_error(case, context, response):
            return cause
        if status < 300:
            return self.accepted(case, context)
        if status == UNAUTHORISED:
            return _authorised(context)
        if known is None and 400 <= status < 500:
            return None
        return inconsistency(self.reading, known)

    def accepted(self, case: Case, context: RunContext) -> Cause:
        """Why the request must not be accepted."""
        return violation(
            f"accepts-{slug(case.topic)}",
            f"{capitalised(case.topic)} is accepted",
            f"{context.server.expectations.says(200)} This request names no step to complete.",
        )


@dataclass(frozen=True)
class Invalid(ByReading):
    """A body that is refused under every reading; `key` and `title` are those of a lax server.

    Accepting it is no violation, for the document does not say that it is refused.
    """

    reading: str = "bad-body"
    key: str = "unchecked-params"
    title: str = "Params are accepted that the document's types do not allow"

    def accepted(self, case: Case, context: RunContext) -> Cause:
        rule = "The document gives each field a type; what becomes of other values it does not say."
        return context.server.examiner.difference(self.key, self.title, rule)


@dataclass(frozen=True)
class AcceptedIf:
    """A body that is accepted if a reading has one of some values.

    With `where`, another reading must have a certain value as well.
    """

    reading: str
    values: tuple[Value, ...]
    where: tuple[str, Value] | None = None

    def wrong(self, case: Case, context: RunContext, response: Response) -> Cause | None:
        known = context.server.expectations.value(self.reading)
        if self.where and context.server.expectations.value(self.where[0]) != self.where[1]:
            known = known if known not in self.values else None
        if response.status == 200:
            return None if known in (None, *self.values) else inconsistency(self.reading, known)
        if known in self.values and response.status in REFUSALS:
            return inconsistency(self.reading, known)
        if response.status < 300:
            return not_as_documented(STARTED, 200, context.server.expectations.says(200))
        if known not in self.values:
            case = replace(case, topic=BAD_BODY)
        return ByReading("bad-body").wrong(case, context, response)


@dataclass(frozen=True)
class Lenient:
    """A body that we accept; another server may refuse it, which no reading names."""

    key: str
    reading: str = ""

    def wrong(self, case: Case, context: RunContext, response: Response) -> Cause | None:
        if response.status == 200:
            return None
        if response.status < 300:
            return not_as_documented(STARTED, 200, context.server.expectations.says(200))
        if response.status in REFUSALS:
            return context.server.examiner.difference(
                self.key,
                f"{capitalised(case.situation)} is refused",
                "JSON Schema counts a number without a fraction as an integer, however it is"
                " written; the document does not say.",
            )
        return ByReading("bad-body").wrong(case, context, response)


@dataclass(frozen=True)
class Late:
    """The completion of a step whose time is over: refused as a FAILED one, or accepted."""

    def wrong(self, case: Case, context: RunContext, response: Response) -> Cause | None:
        known = context.server.expectations.value("time-out")
        if response.status == 200:
            return inconsistency("time-out", known) if known == "fails" else None
        if known == "ignored":
            return inconsistency("time-out", known)
        return ByReading("failed-step").wrong(case, context, response)


@dataclass(frozen=True)
class DelegateFails:
    """A completion after which the next step cannot be started."""

    def wrong(self, case: Case, context: RunContext, response: Response) -> Cause | None:
        known = context.server.expectations.value("delegate-failure")
        expected = 200 if known == "hidden" else case.status
        return None if response.status == expected else _not_as_documented(case, context)


@dataclass(frozen=True)
class Repeatable:
    """A second completion: refused by the reading `completed-step`, or the same 200 again."""

    def wrong(self, case: Case, context: RunContext, response: Response) -> Cause | None:
        known = context.server.expectations.value("completed-step")
        if response.status == 200:
            return inconsistency("completed-step", known) if known not in (None, "repeat") else None
        return ByReading("completed-step").wrong(case, context, response)


@dataclass(frozen=True)
class Unmatched:
    """The standard status of a request that matches no operation, or any other refusal."""

    def wrong(self, case: Case, context: RunContext, response: Response) -> Cause | None:
        strict = context.server.expectations.strict
        if response.status == case.status or (400 <= response.status < 500 and not strict):
            return None
        if response.status != 501 and (cause := internal_error(case, context, response)):
            return cause
        return context.server.examiner.difference(
            f"status-{slug(case.name)}",
            f"{capitalised(case.situation)} does not get {case.status}",
            f"HTTP says {case.status} (RFC 9110); the document says nothing of such requests.",
        )


def internal_error(case: Case, context: RunContext, response: Response) -> Cause | None:
    """The cause of a 5xx, which no situation of a client's making gets; None for another status."""
    if response.status < 500:
        return None
    return violation(
        f"internal-error-{slug(case.topic)}",
        f"{capitalised(case.topic)} gets {response.status}",
        f"{context.server.expectations.says(500)} A server expects what any client can send.",
    )


def _not_as_documented(case: Case, context: RunContext) -> Cause:
    says = context.server.expectations.says(case.status)
    return not_as_documented(case.topic, case.status, says)


def _authorised(context: RunContext) -> Cause:
    return violation(
        "status-authorised-request",
        "A request with good credentials gets 401",
        context.server.expectations.says(UNAUTHORISED),
    )
