"""Calls through the client that openapi-generator's `python` generates."""

import sys
from datetime import timedelta

from complete_step import (
    ApiClient,
    ApiException,
    Completion,
    Configuration,
    InternalServerError,
    ParamType,
    PreconditionFailed,
    ProcessesApi,
    StartedStep,
    StepCompleted,
    SubmittedParam,
    SubmittedParamType,
    Unauthorized,
    Violation,
)
from report import report

_, URL, TOKEN = sys.argv

api = ProcessesApi(ApiClient(Configuration(host=URL, access_token=TOKEN)))


def refusal(api: ProcessesApi, step: str) -> ApiException:
    try:
        result = api.complete_step(Completion(process_step_id=step))
    except ApiException as error:
        return error
    raise AssertionError(f"not refused: {result}")


def next_step() -> None:
    params = {
        "decision": SubmittedParam(str_value="approved", type=SubmittedParamType.STRING),
        "remark": SubmittedParam(str_value=None, type=None),
        "volume": SubmittedParam(double_value=1e300, type=SubmittedParamType.DOUBLE),
        "distance": SubmittedParam(double_value=3e9, type=SubmittedParamType.DOUBLE),
    }
    result = api.complete_step(Completion(process_step_id="order-1-approve", params=params))

    assert isinstance(result, StepCompleted)
    assert result.message == "Success"
    assert result.timestamp.utcoffset() == timedelta(0)
    assert isinstance(result.data, StartedStep)
    assert result.data.process_id == "order-1"
    assert result.data.process_step_id == "order-1-ship"
    assert result.data.params["decision"].type is ParamType.STRING
    assert result.data.params["carrier"].str_value == "Parcel Post"
    assert result.data.params["carrier"].long_value is None
    assert result.data.params["weight"].double_value == 2.5
    assert result.data.params["volume"].double_value == 1e300
    assert result.data.params["distance"].double_value == 3e9
    assert result.data.params["remark"].type is None


def last_step() -> None:
    result = api.complete_step(Completion(process_step_id="order-2-ship", params=None))

    assert isinstance(result, StepCompleted)
    assert result.data.process_id == "order-2"
    assert result.data.process_step_id is None
    assert result.data.params == {}


def unauthorized() -> None:
    stranger = ProcessesApi(ApiClient(Configuration(host=URL, access_token="nobody's")))
    error = refusal(stranger, "order-2-ship")

    assert error.status == 401
    assert error.headers["WWW-Authenticate"] == "Bearer"
    assert isinstance(error.data, Unauthorized)
    assert error.data.message == "Unauthorized request"
    assert "token" in error.data.data


def precondition_failed() -> None:
    error = refusal(api, "order-2-approve")

    assert error.status == 412
    assert isinstance(error.data, PreconditionFailed)
    assert list(error.data.data) == ["processStepId"]
    violation = error.data.data["processStepId"]
    assert isinstance(violation, Violation)
    assert violation.code == "STEP_COMPLETED"
    assert violation.status == "COMPLETED"

    # Unknown members that another server may add are kept.
    added = Violation.from_dict({"code": "BUSY", "retryAfter": 5})
    assert added.additional_properties == {"retryAfter": 5}


def internal_server_error() -> None:
    error = refusal(api, "order-3-approve")

    assert error.status == 500
    assert isinstance(error.data, InternalServerError)
    assert error.data.message == "Internal Server Error"
    assert "delegate" in error.data.data


def int64() -> None:
    params = {"least": SubmittedParam(long_value=-(2**63), type=SubmittedParamType.LONG)}
    result = api.complete_step(Completion(process_step_id="order-4-approve", params=params))

    assert result.data.params["least"].long_value == -(2**63)
    assert result.data.params["total"].long_value == 2**53 + 1


report(
    {
        "200 next step": next_step,
        "200 last step": last_step,
        "401": unauthorized,
        "412": precondition_failed,
        "500": internal_server_error,
        "int64": int64,
    }
)
