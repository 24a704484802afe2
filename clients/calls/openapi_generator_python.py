"""Calls through the client that openapi-generator's `python` generates."""

import sys
from datetime import timedelta

from complete_step import (
    ApiClient,
    ApiException,
    Completion,
    Configuration,
    InternalServerError,
    Param,
    ParamType,
    PreconditionFailed,
    ProcessesApi,
    StartedStep,
    StepCompleted,
    Unauthorized,
    Violation,
)
from report import report

_, URL, TOKEN = sys.argv

api = ProcessesApi(ApiClient(Configuration(host=URL, access_token=TOKEN)))


def refusal(api: ProcessesApi, step: str) -> ApiException:
    try:
        answer = api.complete_step(Completion(process_step_id=step))
    except ApiException as error:
        return error
    raise AssertionError(f"not refused: {answer}")


def next_step() -> None:
    params = {
        "decision": Param(str_value="approved", type=ParamType.STRING),
        "remark": Param(str_value=None, type=None),
        "volume": Param(double_value=1e300, type=ParamType.DOUBLE),
        "distance": Param(double_value=3e9, type=ParamType.DOUBLE),
    }
    answer = api.complete_step(Completion(process_step_id="order-1-approve", params=params))

    assert isinstance(answer, StepCompleted)
    assert answer.message == "Success"
    assert answer.timestamp.utcoffset() == timedelta(0)
    assert isinstance(answer.data, StartedStep)
    assert answer.data.process_id == "order-1"
    assert answer.data.process_step_id == "order-1-ship"
    assert answer.data.params["decision"].type is ParamType.STRING
    assert answer.data.params["carrier"].str_value == "Parcel Post"
    assert answer.data.params["carrier"].long_value is None
    assert answer.data.params["weight"].double_value == 2.5
    assert answer.data.params["volume"].double_value == 1e300
    assert answer.data.params["distance"].double_value == 3e9
    assert answer.data.params["remark"].type is None


def last_step() -> None:
    answer = api.complete_step(Completion(process_step_id="order-2-ship", params=None))

    assert isinstance(answer, StepCompleted)
    assert answer.data.process_id == "order-2"
    assert answer.data.process_step_id is None
    assert answer.data.params == {}


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

    # What another server may add is kept.
    added = Violation.from_dict({"code": "BUSY", "retryAfter": 5})
    assert added.additional_properties == {"retryAfter": 5}


def internal_server_error() -> None:
    error = refusal(api, "order-3-approve")

    assert error.status == 500
    assert isinstance(error.data, InternalServerError)
    assert error.data.message == "Internal Server Error"
    assert "delegate" in error.data.data


def int64() -> None:
    params = {"least": Param(long_value=-(2**63), type=ParamType.LONG)}
    answer = api.complete_step(Completion(process_step_id="order-4-approve", params=params))

    assert answer.data.params["least"].long_value == -(2**63)
    assert answer.data.params["total"].long_value == 2**53 + 1


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
