"""A server with Flask: the body is used as it comes, and Werkzeug writes the error pages."""

from datetime import UTC, datetime
from typing import Any

from flask import Flask, abort, jsonify, request
from flask.typing import ResponseReturnValue

from foreign.workflow import TOKEN, NotStarted, UnknownStep, Workflow


def create_app(workflow: Workflow) -> Flask:
    app = Flask(__name__)

    @app.post("/api/v1/processes/complete-step")
    def complete_step() -> ResponseReturnValue:
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return envelope(401, "Unauthorized request", "A valid token is required.")
        body = request.get_json()
        if not body or "processStepId" not in body:
            abort(400, "processStepId is required")
        params = body.get("params") or {}
        try:
            step, following = workflow.complete(body["processStepId"])
        except UnknownStep:
            return envelope(412, "Precondition failed", {"processStepId": "unknown step"})
        except NotStarted as error:
            return envelope(412, "Precondition failed", {"status": str(error)})
        data = {"processId": step.process_id, "processStepId": None, "params": params}
        if following:
            following.params = {**following.params, **params}
            data |= {"processStepId": following.id, "params": following.params}
        return envelope(200, "OK", data)

    @app.post("/seeds")
    def seeds() -> ResponseReturnValue:
        return jsonify(workflow.seeds())

    return app


def envelope(status: int, message: str, data: Any) -> ResponseReturnValue:
    # What datetime.utcnow().isoformat() + "Z" writes, which is deprecated by now.
    timestamp = datetime.now(UTC).replace(tzinfo=None).isoformat() + "Z"
    body = {"message": message, "timestamp": timestamp, "data": data, "version": "1.0"}
    return jsonify(body), status
