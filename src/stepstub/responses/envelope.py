"""The contract's responses: `{message, timestamp, data, version}`, as a set of readings has it."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from msgspec import UNSET, Struct, UnsetType, json, to_builtins
from msgspec.structs import fields

from stepstub.contract import Contract
from stepstub.errors import (
    BodyRefused,
    DelegateFailed,
    HttpRefusal,
    Refusal,
    StepRefused,
    Unauthorized,
    Violation,
)
from stepstub.model import Param, Params, Status
from stepstub.responses import Explained, Headers, Response, explanations
from stepstub.responses.undocumented import undocumented
from stepstub.transitions import Completion

_UNSET_AS_NULL = {field.encode_name: None for field in fields(Param)}
_CHALLENGES = {"bearer": b"Bearer", "basic": b'Basic realm="stepstub"', "api-key": b"ApiKey"}


class StartedStep(Struct, frozen=True, rename="camel"):
    """The `data` of a 200: the process, and the step that it names.

    By default that is the step that was started; its id is None, and `params` empty, when the
    completed step was the last.
    """

    process_id: str
    process_step_id: str | None | UnsetType
    params: Mapping[str, object] | None


class _Envelope(Struct):
    message: str
    timestamp: str
    data: object
    version: str


class Envelope:
    """The form of the contract's responses under one set of readings."""

    def __init__(self, contract: Contract) -> None:
        self._readings = contract.readings
        self._timestamp = contract.timestamp.write

    def success(self, value: object, status: int, now: int) -> Response:
        """The 200 for a `Completion`."""
        if not isinstance(value, Completion):
            raise TypeError(f"a 200 is the response to a completion, not to {value!r}")
        data = StartedStep(value.completed.process_id, self._step_id(value), self._params(value))
        return self._response(status, self._readings.success_message, data, now)

    def failure(self, explained: Explained, now: int, path: str) -> Response:
        error = explained.error
        match error:
            case StepRefused():
                return self._refusal(self._step_status(error.refusal), explained, now, path)
            case BodyRefused():
                return self._refusal(self._readings.bad_body, explained, now, path)
            case Unauthorized():
                return self._response(
                    401, "Unauthorized request", explained.reason, now, self._challenge()
                )
            case DelegateFailed():
                return self._internal_error(explained.reason, now)
            case _:
                known = explanations.failure(error)
                if known.status == 500:
                    return self._internal_error(known.detail, now)
                return self._undocumented(known.status, known.detail, now, path, known.headers)

    def injected(self, status: int, now: int, path: str) -> Response:
        """The response of a fault, whose status need not be one the contract knows."""
        detail = explanations.INJECTED
        error = Unauthorized(detail) if status == 401 else HttpRefusal(status, detail)
        return self.failure(explanations.explain(error), now, path)

    # --- the 200

    def _step_id(self, completion: Completion) -> str | None | UnsetType:
        readings, started = self._readings, completion.started
        if readings.named_step == "completed":
            return completion.completed.id
        if started is not None:
            return started.id
        match readings.last_step_id:
            case "null":
                return None
            case "absent":
                return UNSET
            case "empty":
                return ""
            case "completed":
                return completion.completed.id

    def _params(self, completion: Completion) -> Mapping[str, object] | None:
        readings = self._readings
        params: Params | None
        if completion.started is None:
            match readings.last_step_params:
                case "empty":
                    params = {}
                case "submitted":
                    params = completion.submitted
                case "null":
                    params = None
        else:
            match readings.returned_params:
                case "merged":
                    params = completion.started.params
                case "submitted":
                    params = completion.submitted
                case "own":
                    params = completion.own
        if params and readings.unset_fields == "null":
            return {name: _with_nulls(param) for name, param in params.items()}
        return params

    # --- refusals

    def _step_status(self, refusal: Refusal) -> int:
        readings = self._readings
        match refusal.status:
            case Status.COMPLETED:
                return 412 if readings.completed_step == "repeat" else readings.completed_step
            case Status.PENDING:
                return readings.pending_step
            case Status.FAILED:
                return readings.failed_step
            case _:
                return readings.unknown_step

    def _refusal(self, status: int, explained: Explained, now: int, path: str) -> Response:
        if status != 412:
            return self._undocumented(status, explained.reason, now, path)
        data: Mapping[str, Violation | Mapping[str, str]]
        match self._readings.refusal_data:
            case "by-field":
                data = explained.violations or {}
            case "empty":
                data = {}
            case "message":
                data = {"error": {"message": explained.reason}}
        return self._response(412, "Precondition failed", data, now)

    def _challenge(self) -> Headers:
        if self._readings.challenge == "absent":
            return ()
        scheme = _CHALLENGES.get(self._readings.credentials, b"Bearer")
        return ((b"www-authenticate", scheme),)

    def _undocumented(
        self, status: int, detail: str, now: int, path: str, headers: Headers = ()
    ) -> Response:
        form = self._readings.undocumented_form
        if form == "envelope":
            phrase = explanations.Failure(status, detail).phrase
            return self._response(status, phrase, detail, now, headers)
        return undocumented(
            form, status, detail, path=path, timestamp=self._timestamp(now), headers=headers
        )

    def _internal_error(self, explanation: str, now: int) -> Response:
        return self._response(500, "Internal Server Error", explanation, now)

    def _response(
        self, status: int, message: str, data: object, now: int, headers: Headers = ()
    ) -> Response:
        envelope = _Envelope(message, self._timestamp(now), data, self._readings.version)
        return Response(status, json.encode(envelope), headers)


def _with_nulls(param: Param) -> dict[str, Any]:
    return {**_UNSET_AS_NULL, **to_builtins(param)}


@lru_cache(maxsize=1000)
def envelope(contract: Contract) -> Envelope:
    """The form of the responses that a contract describes."""
    return Envelope(contract)
