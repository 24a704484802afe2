"""What can go wrong, each with a plain sentence and, where there is one, the remedy.

`responses` turns them into responses, `cli` prints them.
"""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from stepstub.model import Status


class StepstubError(Exception):
    """Base of everything the stub raises on purpose."""


class Violation(Struct, frozen=True, omit_defaults=True):
    """One member of a 412's `data`: what is wrong with one field or subject."""

    code: str
    detail: str
    status: str | None = None
    expected: str | None = None
    actual: str | None = None


class Refusal(Struct, frozen=True):
    """Why a step is not moved.

    `status` is None for a step that does not exist. `moved_by` numbers the exchange that brought
    the step to its status, `failure` says why it is FAILED.
    """

    step_id: str
    attempted: Literal["completed", "failed"]
    status: Status | None = None
    failure: str | None = None
    moved_by: int | None = None


class PreconditionFailed(StepstubError):
    """The request is authorised but cannot be carried out."""


class BodyRefused(PreconditionFailed):
    """The body is not what the operation takes.

    `violations` maps a place in the body to what is wrong there.
    """

    def __init__(self, violations: Mapping[str, Violation]) -> None:
        self.violations = violations
        super().__init__(" ".join([violation.detail for violation in violations.values()]))


class StepRefused(PreconditionFailed):
    """A step is unknown, or not in the status that was needed; `refusal` has the facts."""

    def __init__(self, refusal: Refusal) -> None:
        self.refusal = refusal
        super().__init__(f"step {refusal.step_id} cannot be {refusal.attempted}")


class ClientDisconnected(StepstubError):
    """The client went away before its request was whole; there is nobody to respond to."""

    def __init__(self) -> None:
        super().__init__("The client went away before its request was whole.")


class Received(Struct, frozen=True):
    """What of a response had come when it broke off: status, headers and a part of the body.

    `in_head`: it was not even a whole head.
    """

    status: int
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""
    in_head: bool = False


class Disconnected(StepstubError):
    """A fault broke the connection, in a stub without a socket.

    `reset`: by a reset (TCP's RST). `received` is None before the first byte of a response.
    """

    def __init__(
        self, message: str, *, received: Received | None = None, reset: bool = False
    ) -> None:
        self.received = received
        self.reset = reset
        super().__init__(message)


class TimedOut(StepstubError):
    """A fault delayed the response beyond the client's time-out, in a stub without a socket.

    `received` is None before the whole head of a response.
    """

    def __init__(self, message: str, *, received: Received | None = None) -> None:
        self.received = received
        super().__init__(message)


class NeedsServer(StepstubError):
    """A stub without a socket is asked for what only one that listens can do."""


class CannotServe(StepstubError):
    """There can be no workers here, or each of them ends before it accepts connections."""


class Unauthorized(StepstubError):
    """No token, a malformed one, or one that nobody has been given: 401."""


class DelegateFailed(StepstubError):
    """The delegate of a step could not be called.

    `stands` says whether the completion stands all the same, and the next step is FAILED; otherwise
    both steps are as they were.
    """

    stands = False


class HttpRefusal(StepstubError):
    """A refusal outside the document, with the status that HTTP has for it."""

    def __init__(self, status: int, detail: str, *, allow: str | None = None) -> None:
        self.status = status
        self.allow = allow
        super().__init__(detail)


def nothing_here() -> HttpRefusal:
    """The refusal of a request whose path leads nowhere."""
    return HttpRefusal(404, "There is nothing at this path.")


def method_not_allowed(allow: str) -> HttpRefusal:
    """The refusal of a method where the path takes `allow`, a list such as `GET, POST`."""
    return HttpRefusal(405, f"This path takes {allow} only.", allow=allow)


class StoreUnavailable(StepstubError):
    """The store of shared state did not do what it was asked. Says which one, and why."""


class WorldReplaced(StepstubError):
    """A sandbox was reset, deleted or changed by another process since it was looked up."""


class BadRequest(StepstubError):
    """The control API is asked for something that means nothing."""


class NotFound(StepstubError):
    """The control API is asked about something that is not there."""


class InConflict(StepstubError):
    """The control API is asked for something that cannot be done as things stand."""


class Mistake(Struct, frozen=True):
    """One thing that is wrong with a file: what, and where if that is known."""

    detail: str
    line: int | None = None
    field: str = ""

    def describe(self, file: str) -> str:
        """`mine.yaml, line 4: processes[0].steps[0].status: must be one of ...`"""
        place = file if self.line is None else f"{file}, line {self.line}"
        return ": ".join(filter(None, (place, self.field, self.detail)))


class FileError(StepstubError):
    """A file that cannot be used. Says all that is wrong, a line for each in their order."""

    def __init__(self, *mistakes: Mistake, file: str) -> None:
        in_order = sorted(mistakes, key=lambda mistake: mistake.line or 0)
        super().__init__("\n".join([mistake.describe(file) for mistake in in_order]))


class ScenarioError(FileError):
    """A scenario that cannot be used."""


class InvalidReadings(StepstubError):
    """A reading's name or value that does not exist. Says which are near."""


class InvalidVariations(StepstubError):
    """A seed, or a kind of variation, that does not exist. Says which are near."""


class ProfileError(FileError, InvalidReadings):
    """A profile of readings that cannot be used."""


class UnknownScenario(StepstubError):
    """A scenario name that is neither built in nor a file."""
