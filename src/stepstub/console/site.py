"""The application: what all its pages share, and what becomes of errors."""

from typing import Any

from flask import (
    Flask,
    current_app,
    g,
    has_request_context,
    make_response,
    render_template,
    request,
)
from flask.typing import ResponseReturnValue
from jinja2 import StrictUndefined
from werkzeug.exceptions import HTTPException

from stepstub.client import ControlFailed
from stepstub.console import text
from stepstub.console.calling import Calling
from stepstub.console.driving import driving
from stepstub.console.guard import PREFIX, guarded, is_admitted
from stepstub.console.lanes import SYMBOLS, short_name
from stepstub.console.live import called, unusual
from stepstub.console.pages import overview, pages
from stepstub.console.sessions import Sessions


def site(calling: Calling, sessions: Sessions) -> Flask:
    """The pages of one stub, as a WSGI application."""
    made = Flask("stepstub.console", static_url_path=f"{PREFIX}/static")
    made.config.update(
        CALLING=calling,
        SESSIONS=sessions,
        PROPAGATE_EXCEPTIONS=True,  # the stub logs what nobody foresaw, and responds
        SEND_FILE_MAX_AGE_DEFAULT=None,
        MAX_FORM_MEMORY_SIZE=None,  # it has been bounded before it came here
    )
    guarded(made)
    for group in (overview, pages, driving):
        made.register_blueprint(group)
    made.register_error_handler(HTTPException, _http_error)
    made.register_error_handler(ControlFailed, _control_failed)
    made.register_error_handler(TimeoutError, _timed_out)
    made.url_defaults(_same_sandbox)
    environment = made.jinja_env
    environment.undefined = StrictUndefined
    environment.trim_blocks = environment.lstrip_blocks = True
    environment.filters |= {
        "line": text.line,
        "plain": text.plain,
        "block": text.block,
        "indented": text.indented,
        "size": text.size,
        "seconds": text.seconds,
        "age": text.age,
        "time": text.time_of_day,
        "stamp": text.stamp,
        "ms": text.milliseconds,
        "class": text.css_class,
        "called": called,
        "unusual": unusual,
        "value": text.value,
        "short": short_name,
    }
    environment.globals["symbols"] = SYMBOLS
    made.context_processor(_common)
    return made


def _same_sandbox(endpoint: str, values: dict[str, Any]) -> None:
    """Links lead to the same sandbox, unless they name another."""
    if endpoint.startswith(("pages.", "driving.")) and has_request_context():
        values.setdefault("sandbox_id", g.get("sandbox_id"))


def _common() -> dict[str, Any]:
    sessions: Sessions = current_app.config["SESSIONS"]
    return {
        "back_to": request.full_path.rstrip("?"),
        "sandbox_id": g.get("sandbox_id"),
        "view": None,
        "can_log_out": sessions.are_needed and is_admitted(),
    }


def _http_error(error: HTTPException) -> ResponseReturnValue:
    if error.response is not None:
        return error  # a redirect
    page = render_template("error.html", status=error.code, detail=error.description)
    response = make_response(page, error.code)
    for name, value in error.get_headers():
        if name.lower() != "content-type":
            response.headers[name] = value
    return response


def _control_failed(failure: ControlFailed) -> ResponseReturnValue:
    return render_template("error.html", status=failure.status, detail=str(failure)), failure.status


def _timed_out(error: TimeoutError) -> ResponseReturnValue:
    detail = "The stub has not done it in time: a delegate may not respond."
    return render_template("error.html", status=504, detail=detail), 504
