"""Calls through the client that openapi-python-client generates."""

import sys
from datetime import timedelta
from http import HTTPStatus

from complete_step_client import AuthenticatedClient
from complete_step_client.api.processes import complete_step
from complete_step_client.models import (
    Completion,
    InternalServerError,
    Param,
    ParamType,
    PreconditionFailed,
    StartedStep,
    StepCompleted,
    SubmittedParams,
    Unauthorized,
    Violation,
)
from complete_step_client.types import UNSET
from report import report

_, URL, TOKEN = sys.argv

client = AuthenticatedClient(base_url=URL, token=TOKEN)


def next_step() -> None:
    params = SubmittedParams()
    params["decision"] = Param(str_value="approved", type_=ParamType.STRING)
    params["remark"] = Param(str_value=None, type_=None)
    answer = complete_step.sync(client=client, body=Completion("order-1-approve", params))

    assert isinstance(answer, StepCompleted)
    assert answer.message == "Success"
    assert answer.timestamp.utcoffset() == timedelta(0)
    assert isinstance(answer.data, StartedStep)
    assert answer.data.process_id == "order-1"
    assert answer.data.process_step_id == "order-1-ship"
    assert answer.data.params["decision"].type_ is ParamType.STRING
    assert answer.data.params["carrier"].str_value == "Parcel Post"
    assert answer.data.params["carrier"].long_value is UNSET
    assert answer.data.params["weight"].double_value == 2.5
    assert answer.data.params["remark"].type_ is None


def last_step() -> None:
    answer = complete_step.sync(client=client, body=Completion("order-2-ship", params=None))

    assert isinstance(answer, StepCompleted)
    assert answer.data.process_id == "order-2"
    assert answer.data.process_step_id is None
    assert answer.data.params.additional_keys == []


def unauthorized() -> None:
    stranger = AuthenticatedClient(base_url=URL, token="nobody's")
    response = complete_step.sync_detailed(client=stranger, body=Completion("order-2-ship"))

    assert response.status_code == HTTPStatus.UNAUTHORIZED
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert isinstance(response.parsed, Unauthorized)
    assert response.parsed.message == "Unauthorized request"
    assert "token" in response.parsed.data


def precondition_failed() -> None:
    answer = complete_step.sync(client=client, body=Completion("order-2-approve"))

    assert isinstance(answer, PreconditionFailed)
    assert answer.data.additional_keys == ["processStepId"]
    violation = answer.data["processStepId"]
    assert isinstance(violation, Violation)
    assert violation.code == "STEP_COMPLETED"
    assert violation.status == "COMPLETED"

    # What another server may add is kept.
    assert Violation.from_dict({"code": "BUSY", "retryAfter": 5})["retryAfter"] == 5


def internal_server_error() -> None:
    answer = complete_step.sync(client=client, body=Completion("order-3-approve"))

    assert isinstance(answer, InternalServerError)
    assert answer.message == "Internal Server Error"
    assert "delegate" in answer.data


def int64() -> None:
    params = SubmittedParams()
    params["least"] = Param(long_value=-(2**63), type_=ParamType.LONG)
    answer = complete_step.sync(client=client, body=Completion("order-4-approve", params))

    assert isinstance(answer, StepCompleted)
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
