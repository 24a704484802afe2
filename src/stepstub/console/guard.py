"""Who may see the console, and which forms it accepts.

It can do what the control API can, so it is guarded alike. A browser sends cookies to every port of
a host, and counts a page of another port as the same site; so the cookie's name has the port, and a
form is accepted from a page of the console alone.
"""

import secrets
from urllib.parse import urlsplit

from flask import Blueprint, Flask, Response, abort, redirect, render_template, request, session
from flask import current_app as app
from flask.sessions import SecureCookieSessionInterface
from flask.typing import ResponseReturnValue

from stepstub.errors import Unauthorized
from stepstub.handlers.credentials import check_control_token

PREFIX = "/_stub/console"

_SAFE = {"GET", "HEAD", "OPTIONS"}
_FOR_ALL = {"static", "guard.log_in"}
_HEADERS = {
    "Content-Security-Policy": "; ".join(
        [
            "default-src 'none'",
            "style-src 'self'",
            "script-src 'self'",
            "connect-src 'self'",
            "img-src 'self'",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        ]
    ),
    # With no-referrer, forms would be sent with the origin null.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}

guard = Blueprint("guard", __name__, url_prefix=PREFIX)


def guarded(pages: Flask, control_token: str | None) -> None:
    """Have a site ask for the control token, where there is one."""
    pages.config.update(
        CONTROL_TOKEN=control_token,
        SECRET_KEY=secrets.token_bytes(32),
        SESSION_COOKIE_PATH=PREFIX,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Strict",
    )
    pages.session_interface = _Sessions()
    pages.before_request(_check_origin)
    pages.before_request(_check_session)
    pages.after_request(_with_headers)
    pages.register_blueprint(guard)


class _Sessions(SecureCookieSessionInterface):
    """Sessions in a signed cookie, whose name has the port that the browser sees."""

    def get_cookie_name(self, app: Flask) -> str:
        return f"stepstub-console-{urlsplit(f'//{request.host}').port or 80}"


def _check_origin() -> None:
    if request.method in _SAFE:
        return
    origin = urlsplit(request.headers.get("Origin", ""))
    if origin.scheme not in ("http", "https") or origin.netloc.lower() != request.host.lower():
        abort(
            403,
            "This form did not come from a page of this console: the request has no Origin of its"
            " own. Programs use the control API.",
        )


def _check_session() -> ResponseReturnValue | None:
    if app.config["CONTROL_TOKEN"] is None or session.get("entered"):
        return None
    if request.endpoint in _FOR_ALL:
        return None
    if request.method != "GET" or request.endpoint == "pages.live":
        abort(401, "Log in first: the session has ended, or the stub was restarted.")
    return redirect(f"{PREFIX}/login?{_asked_for()}")


def _asked_for() -> str:
    from urllib.parse import urlencode

    return urlencode({"back": request.full_path.rstrip("?")})


def _with_headers(response: Response) -> Response:
    response.headers.update(_HEADERS)
    if request.endpoint != "static":
        response.headers["Cache-Control"] = "no-store"
    return response


def local(address: str | None) -> str:
    """The address to go back to, if it is one of this console; else its entrance."""
    if address and address.startswith((f"{PREFIX}/", f"{PREFIX}?")) and "\\" not in address:
        return address
    return PREFIX


@guard.route("/login", methods=["GET", "POST"])
def log_in() -> ResponseReturnValue:
    back = local(request.values.get("back"))
    if app.config["CONTROL_TOKEN"] is None:
        return redirect(back)
    if request.method == "GET":
        return render_template("login.html", back=back, refused=False)
    try:
        check_control_token(app.config["CONTROL_TOKEN"], request.form.get("token", "").encode())
    except Unauthorized:
        return render_template("login.html", back=back, refused=True), 401
    session["entered"] = True
    return redirect(back, 303)


@guard.post("/logout")
def log_out() -> ResponseReturnValue:
    session.clear()
    return redirect(f"{PREFIX}/login", 303)
