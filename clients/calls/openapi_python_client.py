"""Calls through the client that openapi-python-client generates."""

import sys
from datetime import timedelta
from http import HTTPStatus

from complete_step_client import AuthenticatedClient
from complete_step_client.api.processes import complete_step
from complete_step_client.models import (
    Completion,
    InternalServerError,
    ParamType,
    PreconditionFailed,
    StartedStep,
    StepCompleted,
    SubmittedParam,
    SubmittedParams,
    SubmittedParamType,
    Unauthorized,
    Violation,
)
from complete_step_client.types import UNSET
from report import report

_, URL, TOKEN = sys.argv

client = AuthenticatedClient(base_url=URL, token=TOKEN)


def next_step() -> None:
    params = SubmittedParams()
    params["decision"] = SubmittedParam(str_value="approved", type_=SubmittedParamType.STRING)
    params["remark"] = SubmittedParam(str_value=None, type_=None)
    result = complete_step.sync(client=client, body=Completion("order-1-approve", params))

    assert isinstance(result, StepCompleted)
    assert result.message == "Success"
    assert result.timestamp.utcoffset() == timedelta(0)
    assert isinstance(result.data, StartedStep)
    assert result.data.process_id == "order-1"
    assert result.data.process_step_id == "order-1-ship"
    assert result.data.params["decision"].type_ is ParamType.STRING
    assert result.data.params["carrier"].str_value == "Parcel Post"
    assert result.data.params["carrier"].long_value is UNSET
    assert result.data.params["weight"].double_value == 2.5
    assert result.data.params["remark"].type_ is None


def last_step() -> None:
    result = complete_step.sync(client=client, body=Completion("order-2-ship", params=None))

    assert isinstance(result, StepCompleted)
    assert result.data.process_id == "order-2"
    assert result.data.process_step_id is None
    assert result.data.params.additional_keys == []


def unauthorized() -> None:
    stranger = AuthenticatedClient(base_url=URL, token="nobody's")
    response = complete_step.sync_detailed(client=stranger, body=Completion("order-2-ship"))

    assert response.status_code == HTTPStatus.UNAUTHORIZED
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert isinstance(response.parsed, Unauthorized)
    assert response.parsed.message == "Unauthorized request"
    assert "token" in response.parsed.data


def precondition_failed() -> None:
    result = complete_step.sync(client=client, body=Completion("order-2-approve"))

    assert isinstance(result, PreconditionFailed)
    assert result.data.additional_keys == ["processStepId"]
    violation = result.data["processStepId"]
    assert isinstance(violation, Violation)
    assert violation.code == "STEP_COMPLETED"
    assert violation.status == "COMPLETED"

    # Unknown members that another server may add are kept.
    assert Violation.from_dict({"code": "BUSY", "retryAfter": 5})["retryAfter"] == 5


def internal_server_error() -> None:
    result = complete_step.sync(client=client, body=Completion("order-3-approve"))

    assert isinstance(result, InternalServerError)
    assert result.message == "Internal Server Error"
    assert "delegate" in result.data


def int64() -> None:
    params = SubmittedParams()
    params["least"] = SubmittedParam(long_value=-(2**63), type_=SubmittedParamType.LONG)
    result = complete_step.sync(client=client, body=Completion("order-4-approve", params))

    assert isinstance(result, StepCompleted)
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
