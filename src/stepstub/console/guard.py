"""Who may see the console, and which forms it accepts.

It can do what the control API can, so it is guarded alike. A browser counts a page of another port
of the same host as the same site, and sends the cookie with its forms; so a form is accepted from
a page of the console alone.
"""

from urllib.parse import unquote, urlencode, urlsplit

from flask import (
    Blueprint,
    Flask,
    Response,
    abort,
    current_app,
    g,
    make_response,
    redirect,
    render_template,
    request,
)
from flask.typing import ResponseReturnValue

from stepstub.console.calling import Calling
from stepstub.console.sessions import Sessions, cookie_name
from stepstub.errors import Unauthorized

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


def guarded(pages: Flask) -> None:
    """Have a site ask for the control token, where there is one."""
    pages.before_request(_check_origin)
    pages.before_request(_check_session)
    pages.after_request(_with_headers)
    pages.register_blueprint(guard)


def _sessions() -> Sessions:
    found: Sessions = current_app.config["SESSIONS"]
    return found


def calling() -> Calling:
    """What calls the control API, and whatever else takes the event loop."""
    found: Calling = current_app.config["CALLING"]
    return found


def _check_origin() -> None:
    if request.method in _SAFE:
        return
    if not _is_own(request.headers.get("Origin", "")):
        abort(
            403,
            "This form did not come from a page of this console: the request has no Origin of its"
            " own. Programs use the control API.",
        )


def _is_own(address: str) -> bool:
    try:
        origin = urlsplit(address)
    except ValueError:
        return False
    return origin.scheme in ("http", "https") and origin.netloc.lower() == request.host.lower()


def _check_session() -> ResponseReturnValue | None:
    if request.endpoint in _FOR_ALL or is_admitted():
        return None
    if request.method != "GET" or request.endpoint == "pages.live":
        abort(401, "Log in first: the session has ended, or the stub was restarted.")
    asked_for = urlencode({"back": request.full_path.rstrip("?")})
    return redirect(f"{PREFIX}/login?{asked_for}")


def is_admitted() -> bool:
    """Whether who sends the present request may see the console; asked once for each."""
    if "is_admitted" not in g:
        g.is_admitted = calling().run(_sessions().admit(request.host, request.cookies))
    admitted: bool = g.is_admitted
    return admitted


def _with_headers(response: Response) -> Response:
    response.headers.update(_HEADERS)
    if request.endpoint != "static":
        response.headers["Cache-Control"] = "no-store"
    return response


def local(address: str | None) -> str:
    """The address to go back to, if it is one of this console; else its entrance."""
    if not address or not address.startswith((f"{PREFIX}/", f"{PREFIX}?")):
        return PREFIX
    path = unquote(address.partition("?")[0])
    # A browser takes a backslash for a slash, and leaves out what .. leads away from.
    leads_away = "\\" in address or ".." in path.split("/") or not address.isprintable()
    return PREFIX if leads_away else address


@guard.route("/login", methods=["GET", "POST"])
def log_in() -> ResponseReturnValue:
    back = local(request.values.get("back"))
    if not _sessions().are_needed:
        return redirect(back)
    if request.method == "GET":
        return render_template("login.html", back=back, refused=False)
    try:
        session = calling().run(_sessions().begin(request.form.get("token", "")))
    except Unauthorized:
        return render_template("login.html", back=back, refused=True), 401
    response = make_response(redirect(back, 303))
    response.set_cookie(
        cookie_name(request.host), session, path=PREFIX, httponly=True, samesite="Strict"
    )
    return response


@guard.post("/logout")
def log_out() -> ResponseReturnValue:
    calling().run(_sessions().end(request.host, request.cookies))
    return redirect(f"{PREFIX}/login", 303)
