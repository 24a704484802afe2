"""What went wrong, in words: the sentences that envelope, problem details and journal share."""

import logging
from http import HTTPStatus

from msgspec import Struct

from stepstub.errors import (
    BodyRefused,
    DelegateFailed,
    HttpRefusal,
    Refusal,
    StepRefused,
    StoreUnavailable,
    Unauthorized,
    Violation,
)
from stepstub.model import Status
from stepstub.responses import Explained, Headers
from stepstub.schema import shorten

log = logging.getLogger("stepstub")

INJECTED = "Injected fault."
"""The sentence of a fault's response."""


def phrase(status: int) -> str:
    """The name of a status; a fault's need not have one."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unassigned"


class Failure(Struct, frozen=True):
    """An error as every form of response tells it: the status, a sentence, further headers."""

    status: int
    detail: str
    headers: Headers = ()

    @property
    def phrase(self) -> str:
        return phrase(self.status)


def failure(error: Exception) -> Failure:
    """An error that means the same wherever it occurs; one that nobody foresaw is a logged 500."""
    match error:
        case Unauthorized():
            return Failure(401, str(error), ((b"www-authenticate", b"Bearer"),))
        case HttpRefusal():
            allow: Headers = ((b"allow", error.allow.encode()),) if error.allow else ()
            return Failure(error.status, str(error), allow)
        case StoreUnavailable():
            return Failure(500, str(error))
        case _:
            log.error("unexpected error", exc_info=error)
            return Failure(500, "Something unexpected went wrong in the stub; its log says what.")


def explain(error: Exception) -> Explained:
    """The sentences of an error."""
    match error:
        case StepRefused():
            violation = _violation(error.refusal)
            return Explained(error, violation.detail, {"processStepId": violation})
        case BodyRefused():
            return Explained(error, str(error), error.violations)
        case DelegateFailed():
            fate = (
                "the step is COMPLETED, and the next one is FAILED"
                if error.stands
                else "both steps are as they were"
            )
            reason = f"The delegate of the next step could not be called: {error}; {fate}."
            return Explained(error, reason)
        case _:
            return Explained(error, str(error))


def _violation(refusal: Refusal) -> Violation:
    if refusal.status is None:
        shown = shorten(refusal.step_id)
        return Violation(
            code="UNKNOWN_STEP",
            detail=f"There is no step {shown}. Ids belong to one token; is it the right one?",
            expected="id of a STARTED step",
            actual=shown,
        )
    because = f", because {refusal.failure}" if refusal.failure else ""
    return Violation(
        code=f"STEP_{refusal.status}",
        detail=f"Step {shorten(refusal.step_id)} is {refusal.status}{because};"
        f" only a STARTED step can be {refusal.attempted}.",
        status=refusal.status,
        expected=Status.STARTED,
        actual=refusal.status,
    )
