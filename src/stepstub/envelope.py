"""The one place that builds `{message, timestamp, data, version}`."""

import logging
from collections.abc import Mapping
from http import HTTPStatus

from msgspec import Struct, json

from stepstub.clock import timestamp
from stepstub.engine import StartedStep
from stepstub.errors import (
    DelegateFailed,
    HttpRefusal,
    PreconditionFailed,
    Unauthorized,
    Violation,
)
from stepstub.exchange import Headers, Response

log = logging.getLogger("stepstub")

_CHALLENGE: Headers = ((b"www-authenticate", b"Bearer"),)
_UNEXPECTED = "Something unexpected went wrong in the stub; its log says what."


class _Envelope(Struct):
    message: str
    timestamp: str
    data: StartedStep | Mapping[str, Violation] | str
    version: str


class Envelopes:
    """Builds responses. `now` is always milliseconds since the epoch, on the sandbox's clock."""

    def __init__(self, version: str) -> None:
        self._version = version

    def success(self, started: StartedStep, now: int) -> Response:
        return self._response(200, "Success", started, now)

    def refusal(self, error: Exception, now: int) -> Response:
        """The response to an exchange that ended in `error`, an unforeseen one included."""
        match error:
            case PreconditionFailed():
                return self._response(412, "Precondition failed", error.violations, now)
            case Unauthorized():
                return self._response(401, "Unauthorized request", str(error), now, _CHALLENGE)
            case DelegateFailed():
                return self.internal_error(
                    f"The delegate of the next step could not be called: {error};"
                    " both steps are as they were.",
                    now,
                )
            case HttpRefusal():
                allow: Headers = ((b"allow", error.allow.encode()),) if error.allow else ()
                phrase = HTTPStatus(error.status).phrase
                return self._response(error.status, phrase, str(error), now, allow)
            case _:
                log.error("unexpected error", exc_info=error)
                return self.internal_error(_UNEXPECTED, now)

    def fault(self, status: int, now: int) -> Response:
        """The response of a fault, which need not be one the contract knows."""
        explanation = "A fault was asked for, and this is it."
        match status:
            case 401:
                return self.refusal(Unauthorized(explanation), now)
            case 500:
                return self.internal_error(explanation, now)
            case _:
                return self.refusal(HttpRefusal(status, explanation), now)

    def internal_error(self, explanation: str, now: int) -> Response:
        return self._response(500, "Internal Server Error", explanation, now)

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
