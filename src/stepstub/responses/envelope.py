"""The one place that builds `{message, timestamp, data, version}`."""

from collections.abc import Mapping

from msgspec import Struct, json

from stepstub.clock import timestamp
from stepstub.errors import DelegateFailed, HttpRefusal, PreconditionFailed, Unauthorized, Violation
from stepstub.model import Params
from stepstub.responses import Explained, Headers, Response, explanations
from stepstub.sandbox import Completion


class StartedStep(Struct, frozen=True, rename="camel"):
    """The `data` of a 200: the process that goes on, and the step started in it.

    `process_step_id` is None, and `params` empty, when the completed step was the last.
    """

    process_id: str
    process_step_id: str | None
    params: Params


class _Envelope(Struct):
    message: str
    timestamp: str
    data: StartedStep | Mapping[str, Violation] | str
    version: str


class Envelope:
    """The form of the contract's responses; `version` is the contract's."""

    def __init__(self, version: str) -> None:
        self._version = version

    def success(self, value: object, status: int, now: int) -> Response:
        """The 200 for a `Completion`."""
        if not isinstance(value, Completion):
            raise TypeError(f"a 200 is the response to a completion, not to {value!r}")
        return self._response(status, "Success", started_step(value), now)

    def failure(self, explained: Explained, now: int) -> Response:
        error = explained.error
        match error:
            case PreconditionFailed():
                data = explained.violations or {}
                return self._response(412, "Precondition failed", data, now)
            case Unauthorized():
                known = explanations.failure(error)
                message = "Unauthorized request"
                return self._response(401, message, known.detail, now, known.headers)
            case DelegateFailed():
                return self._response(500, "Internal Server Error", explained.reason, now)
            case _:
                known = explanations.failure(error)
                return self._response(known.status, known.phrase, known.detail, now, known.headers)

    def injected(self, status: int, now: int) -> Response:
        """The response of a fault, whose status need not be one the contract knows."""
        detail = explanations.INJECTED
        error = Unauthorized(detail) if status == 401 else HttpRefusal(status, detail)
        return self.failure(explanations.explain(error), now)

    def _response(
        self,
        status: int,
        message: str,
        data: StartedStep | Mapping[str, Violation] | str,
        now: int,
        headers: Headers = (),
    ) -> Response:
        envelope = _Envelope(message, timestamp(now), data, self._version)
        return Response(status, json.encode(envelope), headers)


def started_step(completion: Completion) -> StartedStep:
    """What the 200 says of a completion."""
    started = completion.started
    if started is None:
        return StartedStep(completion.completed.process_id, None, {})
    return StartedStep(started.process_id, started.id, started.params)
