"""A server with FastAPI: pydantic checks the body, and `HTTPException` makes the refusals."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel

from foreign.workflow import TOKEN, NotStarted, UnknownStep, Workflow


class ParamType(StrEnum):
    STRING = "STRING"
    LONG = "LONG"
    DOUBLE = "DOUBLE"


class Param(BaseModel):
    strValue: str | None = None  # noqa: N815 - the document's name
    longValue: int | None = None  # noqa: N815
    doubleValue: float | None = None  # noqa: N815
    type: ParamType | None = None


class Completion(BaseModel):
    processStepId: str  # noqa: N815
    params: dict[str, Param] = {}


class StartedStep(BaseModel):
    processId: str  # noqa: N815
    processStepId: str | None  # noqa: N815
    params: dict[str, Param]


class StepCompleted(BaseModel):
    message: str
    timestamp: str
    data: StartedStep
    version: str


def authorize(credentials: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]) -> None:
    if credentials.credentials != TOKEN:
        raise HTTPException(401, "Unauthorized request", {"WWW-Authenticate": "Bearer"})


def create_app(workflow: Workflow) -> FastAPI:
    app = FastAPI()

    @app.post("/api/v1/processes/complete-step", dependencies=[Depends(authorize)])
    def complete_step(body: Completion) -> StepCompleted:
        try:
            step, following = workflow.complete(body.processStepId)
        except UnknownStep as error:
            raise HTTPException(404, f"Step {error} not found") from error
        data = StartedStep(processId=step.process_id, processStepId=None, params={})
        if following:
            data.processStepId, data.params = following.id, body.params
        return StepCompleted(message="Success", timestamp=now(), data=data, version="1.0.0")

    @app.exception_handler(NotStarted)
    def not_started(_: Any, error: NotStarted) -> JSONResponse:
        return JSONResponse(
            {"message": "Precondition failed", "timestamp": now(), "data": {}, "version": "1.0.0"},
            status_code=412,
        )

    @app.post("/seeds")
    def seeds() -> dict[str, list[str]]:
        return workflow.seeds()

    return app


def now() -> str:
    return datetime.now(UTC).isoformat()
