"""A person's tasks, in a browser: pages stay up to date, and all is a few clicks away."""

import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

import stepstub
from chromium import EXECUTABLE, chromium
from console_support import CONSOLE, DEFAULT, SECRET, Visitor, complete
from npm_packages import install
from stepstub.live import LiveServer
from stepstub.serving.server import serve_in_thread
from stepstub.settings import Limits
from support import ROOT, asgi_call, live_app

playwright = pytest.importorskip("playwright.sync_api")
from playwright.sync_api import Browser, Page, expect  # noqa: E402

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        EXECUTABLE is None and not os.environ.get("CI"), reason="Chromium is not installed"
    ),
]

STEP, NEXT = "order-1-approve", "order-1-ship"
AXE = ROOT / "build" / "axe"
UNFOLD = "document.querySelectorAll('details').forEach((each) => each.open = true)"
SIZES = [(390, 844), (768, 1024), (1366, 900), (1920, 1080)]

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """Opens pages; no page of a test may have broken the policy or raised an error."""
    contexts, complaints = [], []

    def opened(address: str, **options: object) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1366, "height": 900}, **options})
        context.set_default_timeout(10_000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.on(
            "console",
            lambda message: (
                complaints.append(message.text)
                if message.type == "error" and "Failed to load resource" not in message.text
                else None
            ),
        )
        page.goto(address)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def home(open_page: Open, visitor: Visitor) -> Page:
    return open_page(visitor.url + CONSOLE)


def row(page: Page, number: int) -> object:
    return page.locator(f"#exchange-{number}")


# Tasks


def test_why_was_the_second_completion_refused_and_who_moved_the_step(
    home: Page, sandbox: stepstub.Sandbox
) -> None:
    complete(sandbox, STEP)
    complete(sandbox, STEP)
    home.get_by_role("link", name=re.compile("412 order-1-approve")).click()  # the first click
    expect(home.locator(".reason")).to_have_text(
        f"Step {STEP} is COMPLETED; only a STARTED step can be completed."
    )
    expect(home.locator(".detail")).to_contain_text("Exchange #1 moved the step there.")
    home.get_by_role("link", name="Exchange #1").click()  # the second
    expect(home.get_by_role("heading", level=1)).to_contain_text(f"200 {STEP}")
    home.get_by_role("link", name=f"{NEXT}", exact=True).last.click()  # the third
    expect(home.locator(".history")).to_contain_text("Exchange #1 started it")


def test_the_next_response_is_lost_and_the_retry_is_watched(
    home: Page, sandbox: stepstub.Sandbox
) -> None:
    home.get_by_role("button", name="Lose the next response").click()
    expect(home.get_by_role("link", name="Faults 1")).to_be_visible()
    assert complete(sandbox, STEP) is None
    expect(row(home, 1)).to_contain_text("after: connection broken")
    expect(home.locator("#lanes")).to_contain_text("✓ approve")
    assert complete(sandbox, STEP) == 412
    expect(row(home, 2)).to_contain_text("only a STARTED step can be completed")
    expect(home.get_by_role("link", name="Faults", exact=True)).to_be_visible()
    row(home, 2).click()
    home.get_by_role("link", name="#1 diff").click()
    expect(home.locator("#diff")).to_contain_text("The request is the same.")
    expect(home.locator("#diff .this").first).to_contain_text("412")


def test_a_step_fails_when_the_clock_passes_its_time_out(
    home: Page, sandbox: stepstub.Sandbox
) -> None:
    sandbox.start_process([{"timeOutInSeconds": 50}, {}], id="loan-1")
    lane = home.locator(".lane", has_text="loan-1")
    expect(lane).to_contain_text(re.compile(r"(50|49|48) s left"))
    home.get_by_role("button", name="Freeze").click()
    expect(home.get_by_role("button", name="Resume")).to_be_visible()
    expect(home.get_by_role("button", name="Freeze")).to_have_count(0)
    home.get_by_role("button", name="+60 s").click()
    expect(home.locator(".lane", has_text="loan-1")).to_contain_text("✕ 1 FAILED")
    home.get_by_role("link", name=re.compile("1 FAILED")).click()
    expect(home.locator(".reason")).to_contain_text("it was not completed within 50 s")


def test_a_step_that_times_out_by_itself_is_shown_to_have_failed(
    home: Page, sandbox: stepstub.Sandbox
) -> None:
    """No change tells the page of it: the time alone does."""
    sandbox.start_process([{"timeOutInSeconds": 2.5}, {}], id="short")
    expect(home.locator(".lane", has_text="short")).to_contain_text("s left")
    expect(home.locator(".lane", has_text="short")).to_contain_text("✕ 1 FAILED")


def test_two_sandboxes_side_by_side_do_not_mix(
    open_page: Open, server: stepstub.LiveServer
) -> None:
    with server.sandbox("two-steps", name="one") as one, server.sandbox("two-steps", name="two"):
        left, right = (open_page(f"{server.url}{CONSOLE}/sandboxes") for _ in range(2))
        left.get_by_role("link", name="one", exact=True).click()
        right.get_by_role("link", name="two", exact=True).click()
        complete(one, STEP)
        expect(row(left, 1)).to_contain_text("200")
        right.get_by_role("button", name="Fail the next call").click()
        expect(right.get_by_role("link", name="Faults 1")).to_be_visible()
        assert complete(one, NEXT) == 200
        expect(row(left, 2)).to_contain_text("200")
        expect(right.locator(".empty")).to_contain_text("Nothing has come in yet.")
        expect(left.get_by_role("link", name="Faults", exact=True)).to_be_visible()


def test_logging_in_with_the_control_token(open_page: Open, guarded: Visitor) -> None:
    page = open_page(f"{guarded.url}{CONSOLE}{DEFAULT}")
    page.get_by_label("Control token").fill("wrong")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_have_text("That is not the control token.")
    page.get_by_label("Control token").fill(SECRET)
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{guarded.url}{CONSOLE}{DEFAULT}")
    sandbox = stepstub.Sandbox(guarded.url, "stub-token", control_token=SECRET)
    complete(sandbox, STEP)
    expect(row(page, 1)).to_contain_text("200")
    assert SECRET not in page.content()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("Control token")).to_be_visible()


@contextmanager
def another_site(target: str) -> Iterator[str]:
    """A page on another port of this host, with a form that resets the stub."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = f'<form method="post" action="{target}"><button>Win a prize</button></form>'
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(page.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


def test_the_form_of_another_port_is_refused_although_it_bears_the_cookie(
    open_page: Open, guarded: Visitor
) -> None:
    sandbox = stepstub.Sandbox(guarded.url, "stub-token", control_token=SECRET)
    complete(sandbox, STEP)
    page = open_page(f"{guarded.url}{CONSOLE}/login")
    page.get_by_label("Control token").fill(SECRET)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("button", name="Log out")).to_be_visible()
    with another_site(f"{guarded.url}{CONSOLE}{DEFAULT}/reset") as elsewhere:
        page.goto(elsewhere)
        with page.expect_request("**/reset") as sent:
            page.get_by_role("button", name="Win a prize").click()
        assert "stepstub-console" in sent.value.all_headers()["cookie"]
        expect(page.get_by_role("alert")).to_contain_text(
            "did not come from a page of this console"
        )
    assert sandbox.journal()


def test_a_replay_leads_to_a_fresh_sandbox(home: Page, sandbox: stepstub.Sandbox) -> None:
    complete(sandbox, STEP)
    complete(sandbox, STEP)
    row(home, 2).click()
    home.get_by_role("button", name="Replay in a fresh sandbox").click()
    expect(home.locator(".sandbox")).to_contain_text("replay of #2 in default")
    expect(home.locator(".reason")).to_contain_text("only a STARTED step can be completed")


def test_yaml_with_mistakes_is_mended_and_started(home: Page, sandbox: stepstub.Sandbox) -> None:
    home.get_by_role("link", name="Start", exact=True).click()
    scenario = home.get_by_role("textbox", name="Scenario")
    scenario.fill("processes:\n- id: loan-1\n  steps: [{timeOut: 5}]\n")
    home.get_by_role("button", name="Start", exact=True).click()
    expect(home.get_by_role("alert")).to_contain_text("line 3")
    expect(scenario).to_have_value(re.compile("timeOut: 5"))
    scenario.fill("processes:\n- id: loan-1\n  steps: [{}, {}]\n")
    home.get_by_role("button", name="Start", exact=True).click()
    expect(home.locator(".lane", has_text="loan-1")).to_be_visible()


# Staying up to date


@contextmanager
def many(exchanges: int, open_page: Open) -> Iterator[tuple[str, Page]]:
    """The URL of a stub that has so many exchanges, and the page that lists them."""
    app = live_app(limits=Limits(journal=10_000))
    for _ in range(exchanges):
        asgi_call(app, "GET", "/nowhere", b"", [])
    with serve_in_thread(app) as url:
        yield url, open_page(url + CONSOLE)


def test_ten_thousand_exchanges_stay_fluent(open_page: Open) -> None:
    """However many are shown, an older page adds its own rows, and a new exchange only its one."""
    with many(10_000, open_page) as (url, page):
        rows = page.locator("li[data-number]")
        for last in range(60, 660, 60):
            rows.evaluate_all("(rows) => rows.forEach((row) => { row.kept = true; })")
            page.get_by_role("link", name="Older").click()
            expect(rows).to_have_count(last + 60)
            assert rows.evaluate_all("(rows) => rows.filter((row) => row.kept).length") == last
        rows.evaluate_all("(rows) => rows.forEach((row) => { row.kept = true; })")
        requests.get(f"{url}/nowhere", timeout=10)
        expect(row(page, 10_001)).to_be_visible()
        expect(rows).to_have_count(661)
        assert rows.evaluate_all("(rows) => rows.filter((row) => !row.kept).length") == 1


def test_older_exchanges_stay_while_new_ones_come(home: Page, sandbox: stepstub.Sandbox) -> None:
    for _ in range(70):
        complete(sandbox, "nowhere")
    expect(row(home, 70)).to_be_visible()
    home.get_by_role("link", name="Older").click()
    expect(row(home, 1)).to_be_visible()
    complete(sandbox, STEP)
    expect(row(home, 71)).to_be_visible()
    numbers = home.locator("li[data-number]").evaluate_all(
        "rows => rows.map(row => Number(row.dataset.number))"
    )
    assert numbers == list(range(71, 0, -1))


def test_no_exchange_is_missing_after_the_oldest_rows_were_dropped(open_page: Open) -> None:
    """However many were loaded, and also if there were none older."""
    with many(1300, open_page) as (url, page):
        rows, older = page.locator("li[data-number]"), page.get_by_role("link", name="Older")
        for shown in [*range(120, 1300, 60), 1300]:
            older.click()
            expect(rows).to_have_count(shown)
        expect(older).to_have_count(0)
        requests.get(f"{url}/nowhere", timeout=10)
        expect(row(page, 1301)).to_be_visible()
        expect(rows).to_have_count(1060)
        for shown in [*range(1120, 1301, 60), 1301]:
            older.click()
            expect(rows).to_have_count(shown)
        numbers = rows.evaluate_all("rows => rows.map(row => Number(row.dataset.number))")
        assert numbers == list(range(1301, 0, -1))


def test_the_page_recovers_when_the_stub_restarts(open_page: Open) -> None:
    with LiveServer("two-steps") as first:
        port = urlsplit(first.url).port or 0
        for _ in range(5):
            complete(first.default_sandbox(), "nowhere")
        page = open_page(first.url + CONSOLE)
        expect(row(page, 5)).to_be_visible()
    expect(page.locator("#state")).to_have_text("No response; trying again")
    with LiveServer("last-step", port=port) as second:
        complete(second.default_sandbox(), "invoice-1-archive")
        expect(page.locator("#lanes")).to_contain_text("invoice-1", timeout=20_000)
        expect(page.locator("li[data-number]")).to_have_count(1)
        expect(row(page, 1)).to_contain_text("invoice-1-archive")
        expect(page.locator("#state")).to_have_text("Live")


def test_a_deleted_sandbox_is_said_to_be_gone(open_page: Open, server: stepstub.LiveServer) -> None:
    with server.sandbox(name="short-lived"):
        page = open_page(f"{server.url}{CONSOLE}/sandboxes")
        page.get_by_role("link", name="short-lived").click()
        expect(page.locator("#state")).to_have_text("Live")
    expect(page.locator("#state")).to_have_text("This sandbox is gone")


def test_a_paused_page_stays_as_it_is(home: Page, sandbox: stepstub.Sandbox) -> None:
    home.get_by_role("button", name="Pause").click()
    polls: list[str] = []
    home.on("request", lambda request: polls.append(request.url))
    complete(sandbox, STEP)
    home.wait_for_timeout(2500)
    assert polls == []
    expect(home.locator("li[data-number]")).to_have_count(0)
    home.locator(".actions").get_by_role("button", name="Resume").click()
    expect(row(home, 1)).to_be_visible()


def test_a_hidden_page_asks_for_nothing(open_page: Open, visitor: Visitor) -> None:
    page = open_page(visitor.url + CONSOLE)
    page.evaluate(
        "Object.defineProperty(document, 'hidden', { get: () => window.away, configurable: true });"
        "window.away = true"
    )
    page.wait_for_timeout(1500)
    polls: list[str] = []
    page.on("request", lambda request: polls.append(request.url))
    page.wait_for_timeout(2500)
    assert polls == []
    page.evaluate("window.away = false; document.dispatchEvent(new Event('visibilitychange'))")
    with page.expect_request("**/live*"):
        pass


def test_what_has_the_focus_and_what_is_unfolded_stay_so(
    home: Page, sandbox: stepstub.Sandbox
) -> None:
    complete(sandbox, STEP)
    complete(sandbox, NEXT)
    expect(row(home, 2)).to_be_visible()
    home.locator("#lanes-more summary").click()
    row(home, 1).focus()
    sandbox.start_process([{}], id="loan-1")
    expect(home.locator("#lanes")).to_contain_text("loan-1")
    expect(row(home, 1)).to_be_focused()
    expect(home.locator("#lanes-more")).to_have_attribute("open", "")


def test_an_exchange_is_up_to_date_and_what_is_read_in_it_stays(
    open_page: Open, visitor: Visitor, sandbox: stepstub.Sandbox
) -> None:
    complete(sandbox, STEP)
    page = open_page(f"{visitor.url}{CONSOLE}{DEFAULT}/exchanges/1")
    page.get_by_text("As curl", exact=True).click()
    page.get_by_role("link", name="#1", exact=True).focus()
    complete(sandbox, STEP)
    expect(page.locator(".attempts")).to_contain_text("#2 412")
    expect(page.locator("#curl")).to_have_attribute("open", "")
    expect(page.locator("#curl").get_by_role("button", name="Copy")).to_be_visible()
    expect(page.get_by_role("link", name="#1", exact=True)).to_be_focused()
    page.evaluate("getSelection().selectAllChildren(document.querySelector('#curl-text'))")
    complete(sandbox, STEP)
    expect(row(page, 3)).to_be_visible()
    expect(page.locator(".attempts")).not_to_contain_text("#3")
    assert "curl -i" in page.evaluate("getSelection().toString()")
    page.evaluate("getSelection().empty()")
    expect(page.locator(".attempts")).to_contain_text("#3 412")


def test_an_exchange_in_progress_is_shown_when_it_has_ended(
    open_page: Open, visitor: Visitor, sandbox: stepstub.Sandbox
) -> None:
    sandbox.fault("before", "delay", seconds=3)
    client = threading.Thread(target=complete, args=(sandbox, STEP))
    client.start()
    page = open_page(visitor.url + CONSOLE)
    row(page, 1).click()
    expect(page.locator(".detail")).to_contain_text("in progress")
    expect(page.locator(".detail h1")).to_contain_text("200")
    expect(page.locator(".detail")).not_to_contain_text("in progress")
    client.join()


def test_an_exchange_that_a_reset_took_is_said_to_be_gone(
    open_page: Open, visitor: Visitor, sandbox: stepstub.Sandbox
) -> None:
    complete(sandbox, STEP)
    page = open_page(f"{visitor.url}{CONSOLE}{DEFAULT}/exchanges/1")
    expect(page.locator("#state")).to_have_text("Live")
    sandbox.reset()
    complete(sandbox, "another")  # which has the same number
    expect(page.locator(".detail .alert")).to_contain_text("This is gone")
    page.get_by_role("link", name="Back to the exchanges").click()
    expect(row(page, 1)).to_contain_text("another")


def test_a_step_and_the_processes_are_up_to_date(
    open_page: Open, visitor: Visitor, sandbox: stepstub.Sandbox
) -> None:
    processes = open_page(f"{visitor.url}{CONSOLE}{DEFAULT}/processes")
    sandbox.start_process([{"id": "short-1", "timeOutInSeconds": 4}, {}], id="short")
    step = open_page(f"{visitor.url}{CONSOLE}{DEFAULT}/steps?id=short-1")
    expect(step.locator("h1")).to_contain_text("STARTED")
    expect(processes.locator(".lane", has_text="short")).to_be_visible()
    expect(processes.locator(".tabs [aria-current]")).to_contain_text("Processes")
    expect(step.locator("h1")).to_contain_text("FAILED")
    expect(processes.locator(".lane", has_text="short")).to_contain_text("FAILED")


# Keys


def test_the_keys(open_page: Open, visitor: Visitor, sandbox: stepstub.Sandbox) -> None:
    for step_id in (STEP, STEP, "nowhere"):
        complete(sandbox, step_id)
    page = open_page(visitor.url + CONSOLE, permissions=["clipboard-read", "clipboard-write"])
    page.keyboard.press("j")
    expect(row(page, 3)).to_be_focused()
    page.keyboard.press("j")
    expect(row(page, 2)).to_be_focused()
    page.keyboard.press("k")
    expect(row(page, 3)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("412 nowhere")
    expect(page.locator("#state")).to_have_text("Live")  # the script of this page hears the keys
    page.keyboard.press("j")
    expect(page.get_by_role("heading", level=1)).to_contain_text(f"412 {STEP}")
    expect(page.locator("#state")).to_have_text("Live")
    page.keyboard.press("c")
    expect(page.locator("#said")).to_have_text("Copied.")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("curl -i -X POST")
    assert "$TOKEN" in copied
    page.keyboard.press("Escape")
    expect(page).to_have_url(f"{visitor.url}{CONSOLE}{DEFAULT}")
    expect(page.locator("#state")).to_have_text("Live")
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox", name="Text")).to_be_focused()
    page.keyboard.type("jk?c")
    expect(page.get_by_role("searchbox", name="Text")).to_have_value("jk?c")
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_the_focus_is_visible(home: Page) -> None:
    for _ in range(12):
        home.keyboard.press("Tab")
        outline = home.evaluate(
            "getComputedStyle(document.activeElement).outlineStyle + ' ' +"
            " getComputedStyle(document.activeElement).outlineWidth"
        )
        assert outline == "solid 2px"


# How it looks


@pytest.fixture
def filled(sandbox: stepstub.Sandbox) -> stepstub.Sandbox:
    """A sandbox with something of everything, not all of it kind."""
    sandbox.start_process("every-status")
    sandbox.start_process("long-chain")
    sandbox.start_process([{"timeOutInSeconds": 300, "params": {"n": {"longValue": 1}}}, {}])
    sandbox.start_process([{"id": "\u202e<script>alert(1)<script>"}], id="<img onerror=alert(1)>")
    sandbox.fault("after", "disconnect")
    for step_id in (STEP, STEP, "x" * 3000, "<b>\u202e", "chain-1-01", "chain-1-02"):
        complete(sandbox, step_id, params={"p" * 300: {"strValue": "v" * 3000}})
    sandbox.fault("before", "delay", step_id="y" * 300)
    for _ in range(40):
        complete(sandbox, STEP)
    return sandbox


PAGES = [DEFAULT, f"{DEFAULT}/exchanges/2", f"{DEFAULT}/exchanges/2?diff=1", "/sandboxes"]
PAGES += [f"{DEFAULT}/exchanges/3", f"{DEFAULT}/steps?id={STEP}", f"{DEFAULT}/processes"]
PAGES += [f"{DEFAULT}/readings", f"{DEFAULT}/faults", f"{DEFAULT}/start", f"{DEFAULT}/reset"]
PAGES += ["/nowhere"]


def test_nothing_is_wider_than_the_screen(
    open_page: Open, visitor: Visitor, filled: stepstub.Sandbox
) -> None:
    page = open_page(visitor.url + CONSOLE)
    for width, height in SIZES:
        page.set_viewport_size({"width": width, "height": height})
        for path in PAGES:
            page.goto(visitor.url + CONSOLE + path)
            page.evaluate(
                "document.querySelectorAll('details').forEach((each) => each.open = true)"
            )
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (path, width)


@pytest.mark.parametrize("width", [320, 390])
def test_the_time_of_a_frozen_clock_is_one_line_on_a_narrow_screen(
    open_page: Open, visitor: Visitor, sandbox: stepstub.Sandbox, width: int
) -> None:
    """With every button that a clock can have, there is the least room beside the time."""
    sandbox.start_process([{"timeOutInSeconds": 300}, {}])
    sandbox.clock.freeze()
    page = open_page(visitor.url + CONSOLE, viewport={"width": width, "height": 844})
    expect(page.get_by_role("button", name="To time-out")).to_be_visible()
    time, button = page.locator(".now").bounding_box(), page.locator("#clock-run").bounding_box()
    assert time is not None
    assert button is not None
    assert time["height"] <= button["height"]
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", [390, 900])
def test_a_narrow_page_of_an_exchange_says_whether_it_is_up_to_date(
    open_page: Open, visitor: Visitor, sandbox: stepstub.Sandbox, width: int
) -> None:
    complete(sandbox, STEP)
    address = f"{visitor.url}{CONSOLE}{DEFAULT}/exchanges/1"
    page = open_page(address, viewport={"width": width, "height": 500})
    state = page.locator("#state")
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    for key, text in {"p": "Paused", "c": "Copied"}.items():
        page.keyboard.press(key)
        expect(state).to_have_text(text)
        expect(state).to_be_in_viewport()
    expect(page.get_by_role("button", name="Lose the next")).to_be_hidden()
    expect(page.get_by_role("search")).to_be_hidden()


def test_thirty_exchanges_fit_on_a_screen(
    open_page: Open, visitor: Visitor, filled: stepstub.Sandbox
) -> None:
    page = open_page(visitor.url + CONSOLE)
    boxes = [each.bounding_box() for each in page.locator("a.row").all()]
    assert sum(box is not None and box["y"] + box["height"] <= 900 for box in boxes) >= 30
    assert {box["height"] for box in boxes if box} == {22}


LONG = ("identity-verification", "credit-check", "contract-signature", "account-opening")
LONG += ("card-production", "dispatch-of-the-card", "welcome-letter")


@pytest.mark.parametrize("more", [0, 3], ids=["few", "folded"])
def test_the_legend_overprints_nothing(
    open_page: Open, visitor: Visitor, sandbox: stepstub.Sandbox, more: int
) -> None:
    for number in range(more):
        sandbox.start_process([{}], id=f"other-{number}")
    sandbox.start_process([{"id": f"loan-1-{name}"} for name in LONG], id="loan-1")
    page = open_page(visitor.url + CONSOLE)
    for width in (700, 1024, 1366):
        page.set_viewport_size({"width": width, "height": 900})
        legend = page.locator("#lanes .legend").bounding_box()
        assert legend is not None
        for lane in page.locator("#lanes .lane:visible, #lanes summary").all():
            box = lane.bounding_box()
            assert box is not None
            apart_in_y = box["y"] + box["height"] <= legend["y"] + 1
            assert apart_in_y or box["x"] + box["width"] <= legend["x"], width


@pytest.mark.parametrize("width", [320, 390, 768])
def test_the_step_at_which_a_process_is_can_be_seen(
    open_page: Open, visitor: Visitor, sandbox: stepstub.Sandbox, width: int
) -> None:
    """However long the names of those before it are."""
    names = [f"loan-1-{number}-{name}" for number, name in enumerate(LONG * 2)]
    sandbox.start_process([{"id": name, "timeOutInSeconds": 300} for name in names], id="loan-1")
    for name in names[:5]:
        complete(sandbox, name)
    page = open_page(visitor.url + CONSOLE, viewport={"width": width, "height": 900})
    lane = page.locator("#lanes .lane", has_text="loan-1")
    chips = lane.locator(".chips").bounding_box()
    chip = lane.locator(".started").bounding_box()
    assert chips is not None
    assert chip is not None
    assert chip["x"] + chip["width"] <= chips["x"] + chips["width"]
    assert chip["width"] > 100


@pytest.fixture(scope="module")
def axe() -> str:
    install([Path(__file__).parent / "package.json"], AXE)
    return (AXE / "node_modules" / "axe-core" / "axe.min.js").read_text("utf-8")


def violations_of(page: Page, axe: str) -> list[object]:
    """What axe finds on a page, with all of it unfolded."""
    page.evaluate(UNFOLD)
    page.evaluate(axe)
    found: list[object] = page.evaluate(
        "axe.run().then(({ violations }) => violations.map(({ id, nodes }) =>"
        " [id, nodes.slice(0, 3).map(({ html, failureSummary }) => html + failureSummary)]))"
    )
    return found


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1366])
def test_axe_finds_nothing(
    open_page: Open,
    visitor: Visitor,
    filled: stepstub.Sandbox,
    axe: str,
    scheme: str,
    width: int,
) -> None:
    page = open_page(
        visitor.url + CONSOLE,
        viewport={"width": width, "height": 900},
        color_scheme=scheme,
        bypass_csp=True,
    )
    for path in [*PAGES, f"{DEFAULT}?status=many"]:
        page.goto(visitor.url + CONSOLE + path)
        assert violations_of(page, axe) == [], path


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_where_something_was_refused(
    open_page: Open, visitor: Visitor, guarded: Visitor, axe: str, scheme: str
) -> None:
    page = open_page(f"{visitor.url}{CONSOLE}{DEFAULT}/start", color_scheme=scheme, bypass_csp=True)

    def refused(button: str) -> None:
        page.get_by_role("button", name=button, exact=True).click()
        expect(page.get_by_role("alert")).to_be_visible()
        assert violations_of(page, axe) == [], button

    page.get_by_role("textbox", name="Scenario").fill("processes:\n- steps: [{timeOut: 5}]\n")
    refused("Start")
    page.goto(f"{visitor.url}{CONSOLE}{DEFAULT}/faults")
    page.get_by_label("Status").fill("500")
    page.get_by_label("What").select_option("delay")
    refused("Add the fault")
    page.goto(guarded.url + CONSOLE)
    assert violations_of(page, axe) == []
    page.get_by_label("Control token").fill("wrong")
    refused("Log in")


def test_everything_works_without_script(
    open_page: Open, visitor: Visitor, sandbox: stepstub.Sandbox
) -> None:
    page = open_page(visitor.url + CONSOLE, java_script_enabled=False)
    page.get_by_role("button", name="Lose the next response").click()
    expect(page.get_by_role("link", name="Faults 1")).to_be_visible()
    assert complete(sandbox, STEP) is None
    assert complete(sandbox, STEP) == 412
    page.reload()
    page.get_by_role("searchbox", name="Status").fill("412")
    page.get_by_role("button", name="Filter").click()
    page.get_by_role("link", name=re.compile("412")).click()
    page.get_by_text("As curl", exact=True).click()
    expect(page.locator("#curl-text")).to_contain_text("curl -i")
    expect(page.get_by_role("button", name="Pause")).to_be_hidden()
    page.get_by_role("button", name="Freeze").click()
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    page.get_by_role("link", name="Reset…").click()
    page.get_by_role("button", name="Reset", exact=True).click()
    expect(page.locator(".empty")).to_contain_text("Nothing has come in yet.")
    assert sandbox.step(STEP).status == "STARTED"
