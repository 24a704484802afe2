"""What can go wrong, each with a plain sentence and, where there is one, the remedy.

`envelope.py` is the one place that turns them into responses, `cli.py` the one that prints them.
"""

from collections.abc import Mapping

from msgspec import Struct


class StepstubError(Exception):
    """Base of everything the stub raises on purpose."""


class Violation(Struct, frozen=True, omit_defaults=True):
    """One member of a 412's `data`: what is wrong with one field or subject."""

    code: str
    detail: str
    status: str | None = None
    expected: str | None = None
    actual: str | None = None


class PreconditionFailed(StepstubError):
    """The request is authorised but cannot be carried out: 412.

    `violations` maps the field or subject at fault to what is wrong with it. `moved_by` is the
    number of the exchange that put the step in the status that refused this one, if one did.
    """

    def __init__(self, violations: Mapping[str, Violation], moved_by: int | None = None) -> None:
        self.violations = violations
        self.moved_by = moved_by
        super().__init__(" ".join([violation.detail for violation in violations.values()]))


class BodyRefused(PreconditionFailed):
    """The body is not what the operation takes; the keys of `violations` are places in it."""


class ClientDisconnected(StepstubError):
    """The client went away before its request was whole; there is nobody to response."""

    def __init__(self) -> None:
        super().__init__("The client went away before its request was whole.")


class Unauthorized(StepstubError):
    """No token, a malformed one, or one that nobody has been given: 401."""


class DelegateFailed(StepstubError):
    """The delegate of the next step could not be called; nothing has changed: 500."""


NOTHING_HERE = "There is nothing at this path."


class HttpRefusal(StepstubError):
    """A refusal outside the document, with the status HTTP has for it."""

    def __init__(self, status: int, detail: str, *, allow: str | None = None) -> None:
        self.status = status
        self.allow = allow
        super().__init__(detail)


class BadRequest(StepstubError):
    """The control API is asked for something that means nothing."""


class NotFound(StepstubError):
    """The control API is asked about something that is not there."""


class Conflict(StepstubError):
    """The control API is asked for something that cannot be done as things stand."""


class ScenarioError(StepstubError):
    """A scenario that cannot be used. Names the file, the line and the field."""

    def __init__(self, detail: str, *, file: str, line: int | None = None, field: str = "") -> None:
        place = file if line is None else f"{file}, line {line}"
        super().__init__(f"{place}: {field}: {detail}" if field else f"{place}: {detail}")


class UnknownScenario(StepstubError):
    """A scenario name that is neither shipped nor a file."""
