"""Who may see the console, which forms it accepts, and what never leaves it."""

import subprocess
import sys
from http.cookiejar import Cookie

import pytest
import requests

import stepstub
from console_support import CONSOLE, DEFAULT, SECRET, Visitor, complete, text_of
from stepstub.app import create_app
from stepstub.client import Sandbox
from stepstub.serving.server import serve_in_thread
from stepstub.views import SandboxView
from support import TIMEOUT, asgi_call, live_app, processes

PAGES = ["", "/sandboxes", DEFAULT, f"{DEFAULT}/exchanges/1", f"{DEFAULT}/processes"]
PAGES += [f"{DEFAULT}/steps?id=order-1-approve", f"{DEFAULT}/readings", f"{DEFAULT}/faults"]
PAGES += [f"{DEFAULT}/start", f"{DEFAULT}/reset", f"{DEFAULT}/live"]
PAGES += [f"{DEFAULT}/exchanges/1/test", f"{DEFAULT}/exchanges/1/scenario"]
PAGES += ["/nowhere", "/sandboxes/nobody"]
FORMS = {
    f"{DEFAULT}/clock": {"action": "freeze"},
    f"{DEFAULT}/faults": {"phase": "before", "action": "respond"},
    f"{DEFAULT}/faults/clear": {},
    f"{DEFAULT}/start": {"scenario": "last-step"},
    f"{DEFAULT}/steps/fail": {"id": "order-1-approve"},
    f"{DEFAULT}/reset": {},
    f"{DEFAULT}/exchanges/1/replay": {},
}


# The control token


@pytest.mark.parametrize("page", PAGES)
def test_a_stub_with_a_control_token_shows_nothing_before_it_is_given(
    guarded: Visitor, page: str
) -> None:
    response = guarded.get(page)
    if page.endswith("/live"):
        assert response.status_code == 401
    else:
        assert response.url.startswith(f"{guarded.url}{CONSOLE}/login?back=")
    assert "order-1" not in text_of(response)


@pytest.mark.parametrize("form", FORMS)
def test_and_accepts_no_form(guarded: Visitor, form: str) -> None:
    response = guarded.post(form, FORMS[form])
    assert response.status_code == 401
    assert "Log in first" in text_of(response)
    sandbox = Sandbox(guarded.url, "stub-token", control_token=SECRET)
    assert sandbox.step("order-1-approve").status == "STARTED"
    assert sandbox.unused_faults() == []


def test_logging_in_leads_to_the_page_that_was_asked_for(guarded: Visitor) -> None:
    asked = f"{CONSOLE}{DEFAULT}?step=order-1-approve"
    page = guarded.get(f"{DEFAULT}?step=order-1-approve")
    assert 'type="password"' in page.text
    response = guarded.post("/login", {"token": SECRET, "back": asked})
    assert response.url == guarded.url + asked
    assert "order-1" in text_of(response)
    assert guarded.post(f"{DEFAULT}/clock", FORMS[f"{DEFAULT}/clock"]).status_code == 200
    guarded.post("/logout")
    assert "/login" in guarded.get(DEFAULT).url


@pytest.mark.parametrize("token", ["", SECRET[:-1], f"{SECRET}x", "stub-token", "sch\xe4tz\u202e"])
def test_another_word_is_not_the_control_token(guarded: Visitor, token: str) -> None:
    response = guarded.post("/login", {"token": token})
    assert response.status_code == 401
    assert "That is not the control token." in text_of(response)
    assert "/login" in guarded.get(DEFAULT).url


@pytest.mark.parametrize(
    "elsewhere",
    [
        *("http://example.org/", "//example.org/_stub/console/", "/", "/_stub/console\\x", ""),
        *(
            "/_stub/console/../../docs",
            "/_stub/console/%2e%2E/%2e./docs",
            "/_stub/console/\r\nX: y",
        ),
    ],
)
def test_logging_in_leads_nowhere_else(guarded: Visitor, elsewhere: str) -> None:
    response = guarded.post("/login", {"token": SECRET, "back": elsewhere})
    assert response.url == f"{guarded.url}{CONSOLE}{DEFAULT}"


def test_what_no_browser_sends_is_no_error_of_the_stub(guarded: Visitor) -> None:
    address = f"{guarded.url}{CONSOLE}"
    for headers in (
        {"Cookie": "a=\xff"},
        {"Cookie": b"a=\xff"},
        {"Host": "localhost:99999"},
    ):
        for path in ("/login", "/static/base.css", f"{DEFAULT}/live"):
            status = requests.get(f"{address}{path}", headers=headers, timeout=10).status_code
            assert status < 500, (headers, path)
    for origin in ("http://[", "http://localhost:x", "\xff"):
        assert guarded.post("/login", {"token": SECRET}, origin=origin).status_code == 403


def cookie_of(visitor: Visitor) -> Cookie:
    visitor.post("/login", {"token": SECRET})
    (cookie,) = visitor.session.cookies
    return cookie


def test_the_cookie_is_for_this_port_and_for_no_script(guarded: Visitor) -> None:
    cookie = cookie_of(guarded)
    assert cookie.name == f"stepstub-console-{guarded.url.rpartition(':')[2]}"
    assert cookie.path == CONSOLE
    assert cookie.has_nonstandard_attr("HttpOnly")
    assert cookie.get_nonstandard_attr("SameSite") == "Strict"
    assert cookie.expires is None
    for secret in (SECRET, "stub-token"):
        assert secret not in str(cookie.value)


def test_the_cookie_of_one_stub_opens_no_other(guarded: Visitor) -> None:
    cookie = cookie_of(guarded)
    with serve_in_thread(live_app(processes("two-steps"), control_token=SECRET)) as url:
        other = Visitor(url)
        other.session.cookies.set(f"stepstub-console-{url.rpartition(':')[2]}", str(cookie.value))
        assert "/login" in other.get(DEFAULT).url


def test_logging_out_ends_the_session_for_good(guarded: Visitor) -> None:
    cookie = cookie_of(guarded)
    guarded.post("/logout")
    guarded.session.cookies.set(cookie.name, str(cookie.value), path=CONSOLE)
    assert "/login" in guarded.get(DEFAULT).url


def test_nobody_else_is_told_even_that_nothing_has_changed(guarded: Visitor) -> None:
    sandbox = Sandbox(guarded.url, "stub-token", control_token=SECRET)
    revision = sandbox.call("GET", "sandboxes/current", SandboxView).revision
    poll = f"{DEFAULT}/live?seen={revision}"
    assert guarded.get(poll).status_code == 401
    guarded.post("/login", {"token": SECRET})
    assert guarded.get(poll).status_code == 204


def test_without_a_control_token_nobody_logs_in(visitor: Visitor) -> None:
    assert visitor.get(DEFAULT).status_code == 200
    assert visitor.get("/login").url == f"{visitor.url}{CONSOLE}{DEFAULT}"
    assert not visitor.session.cookies


# Where a form comes from


@pytest.mark.parametrize(
    "origin", [None, "null", "http://example.org", "http://127.0.0.1:1", "file://{host}", "{host}"]
)
def test_a_form_of_another_origin_changes_nothing(
    server: stepstub.LiveServer, origin: str | None
) -> None:
    visitor, sandbox = Visitor(server.url), server.default_sandbox()
    complete(sandbox, "nowhere")
    before = sandbox.call("GET", "sandboxes/current", dict)
    host = server.url.removeprefix("http://")
    for form in (*FORMS, "/login", "/logout"):
        response = visitor.post(form, FORMS.get(form), origin and origin.format(host=host))
        assert response.status_code == 403, form
        assert "did not come from a page of this console" in text_of(response)
    assert sandbox.call("GET", "sandboxes/current", dict) == before


def test_what_changes_something_is_never_a_get(visitor: Visitor, sandbox: stepstub.Sandbox) -> None:
    complete(sandbox, "nowhere")
    before = sandbox.call("GET", "sandboxes/current", dict)
    for form in FORMS:
        visitor.get(form)
    assert sandbox.call("GET", "sandboxes/current", dict) == before


def test_a_host_that_the_stub_does_not_serve_sees_no_console(visitor: Visitor) -> None:
    address = f"{visitor.url}{CONSOLE}{DEFAULT}"
    response = requests.get(address, headers={"Host": "rebound.example"}, timeout=TIMEOUT)
    assert response.status_code == 421


# What a page may do


@pytest.mark.parametrize("page", [*PAGES, "/static/console.js", "/login"])
def test_a_page_may_load_nothing_from_elsewhere_and_run_nothing_of_its_own(
    visitor: Visitor, sandbox: stepstub.Sandbox, page: str
) -> None:
    complete(sandbox, "nowhere")
    response = visitor.get(page, allow_redirects=False)
    policy = dict(
        each.split(" ", 1) for each in response.headers["Content-Security-Policy"].split("; ")
    )
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    for directive in ("script-src", "style-src", "connect-src", "img-src", "form-action"):
        assert policy[directive] == "'self'"
    assert response.headers["Referrer-Policy"] == "same-origin"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    if "static" not in page:
        assert response.headers["Cache-Control"] == "no-store"
    for inline in (" style=", "<style", " onclick", "<script>", "javascript:"):
        assert inline not in response.text


def test_no_token_is_on_any_page(server: stepstub.LiveServer) -> None:
    visitor = Visitor(server.url)
    with server.sandbox("two-steps", name="a test") as sandbox:
        complete(sandbox, "order-1-approve")
        complete(sandbox, "order-1-approve")
        (sandbox_id,) = {
            each["id"]
            for each in sandbox.call("GET", "sandboxes", dict)["sandboxes"]
            if each["id"] != "default"
        }
        of_it = [page.replace("/default", f"/{sandbox_id}") for page in PAGES]
        for page in {*PAGES, *of_it, f"/sandboxes/{sandbox_id}/exchanges/2?diff=1"}:
            response = visitor.get(page)
            for secret in (sandbox.token, server.token):
                assert secret not in response.text + response.url + str(response.headers), page


def test_the_console_leaves_no_trace_in_a_journal_or_a_log(
    visitor: Visitor, sandbox: stepstub.Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    for page in [*PAGES, "/static/favicon.svg", "/static/nowhere"]:
        visitor.get(page)
    assert sandbox.journal() == []
    assert [record for record in caplog.records if record.name.startswith("stepstub")] == []
    for page in (DEFAULT, "/nowhere", "/login"):
        assert 'rel="icon" href="/_stub/console/static/favicon.svg"' in visitor.get(page).text


def test_what_a_browser_asks_for_by_itself_is_an_icon_and_no_exchange(
    visitor: Visitor, sandbox: stepstub.Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    """Browsers do so wherever no page names an icon, as where one looks at a response."""
    caplog.set_level("INFO")
    icon = requests.get(f"{visitor.url}/favicon.ico", timeout=TIMEOUT)
    assert (icon.status_code, icon.headers["Content-Type"]) == (200, "image/png")
    assert sandbox.journal() == []
    assert [record for record in caplog.records if record.name.startswith("stepstub")] == []
    assert requests.get(f"{visitor.url}/favicon.icon", timeout=TIMEOUT).status_code == 404
    assert [exchange.path for exchange in sandbox.journal()] == ["/favicon.icon"]


# Where there is none


def test_without_control_there_is_no_console() -> None:
    with serve_in_thread(live_app(with_control=False)) as url:
        for page in [*PAGES, "/static/console.js", "/login"]:
            response = Visitor(url).get(page)
            assert response.status_code == 404
            assert response.json()["detail"] == "There is nothing at this path."


def test_a_stub_without_an_event_loop_has_none() -> None:
    response = asgi_call(create_app(), "GET", CONSOLE, b"", [])
    assert response.status == 404


def test_a_path_that_only_begins_like_it_is_nothing(visitor: Visitor) -> None:
    response = requests.get(f"{visitor.url}{CONSOLE}s", timeout=TIMEOUT)
    assert (response.status_code, response.headers["Content-Type"]) == (
        404,
        "application/problem+json",
    )


def test_a_form_is_bounded(visitor: Visitor, sandbox: stepstub.Sandbox) -> None:
    before = sandbox.processes()
    assert visitor.post(f"{DEFAULT}/start", {"yaml": "x" * 1_100_000}).status_code == 413
    assert visitor.post(f"{DEFAULT}/start", {"yaml": "x" * 900_000}).status_code == 400
    assert sandbox.processes() == before


def test_the_console_is_imported_when_a_page_of_it_is_asked_for() -> None:
    """Connexion imports Flask and a2wsgi by itself where they are installed."""
    code = """
import sys
import stepstub.cli.serve
from stepstub.app import create_app
create_app()
print([name for name in sys.modules if name.startswith("stepstub.console")])
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
