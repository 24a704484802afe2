"""What the pages show, to somebody who has no script and no browser."""

import re
import time
from html import unescape
from types import NoneType
from urllib.parse import quote

import pytest
import requests

import stepstub
from console_support import CONSOLE, DEFAULT, Visitor, complete, text_of
from stepstub.journal import MAX_JOURNALED_BODY
from stepstub.serving.server import serve_in_thread
from stepstub.settings import Limits
from stepstub.views import ProcessList, ProcessStart, SandboxList
from support import asgi_call, live_app

STEP, NEXT = "order-1-approve", "order-1-ship"
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{7*7}}{% raw %}",
    "javascript:alert(1)",
    "'; DROP TABLE steps; --",
    "..",
    "a?b#c&d=e%2f%00",
]
INVISIBLE = {
    "\u202e": "\\u202e",
    "\u2066": "\\u2066",
    "\u200b": "\\u200b",
    "\x1b": "\\x1b",
    "\ue000": "\\ue000",
    "\u2028": "\\u2028",
    "\x00": "\\x00",
}


def links(response: requests.Response, start: str) -> list[str]:
    """Where the links of a page lead, those that begin so, from the entrance of the console on."""
    found = re.findall(r'href="([^"]+)"', response.text)
    addresses = [unescape(each).removeprefix(CONSOLE) for each in found]
    return [each for each in addresses if each.startswith(start)]


def forms(response: requests.Response) -> list[str]:
    """Where the forms of a page lead, from the entrance of the console on."""
    found = re.findall(r'action="([^"]+)"', response.text)
    return [unescape(each).removeprefix(CONSOLE) for each in found]


def test_the_entrance_leads_to_the_only_sandbox_or_to_the_list(
    server: stepstub.LiveServer, visitor: Visitor
) -> None:
    assert visitor.get().url.endswith(DEFAULT)
    with server.sandbox(name="a test"):
        assert visitor.get().url.endswith("/sandboxes")


def test_a_refusal_is_found_with_its_reason_and_who_moved_the_step(
    visitor: Visitor, sandbox: stepstub.Sandbox
) -> None:
    complete(sandbox, STEP)
    complete(sandbox, STEP)
    home = visitor.get(DEFAULT)
    reason = f"Step {STEP} is COMPLETED; only a STARTED step can be completed."
    assert text_of(home).count(reason) == 1
    newest, *_ = links(home, f"{DEFAULT}/exchanges/")
    assert newest == f"{DEFAULT}/exchanges/2"
    detail = visitor.get(newest)
    text = text_of(detail)
    assert "Exchange #1 moved the step there." in text
    assert "processStepId STEP_COMPLETED STARTED COMPLETED" in text
    assert f"{DEFAULT}/exchanges/1" in links(detail, DEFAULT)
    (comparison,) = links(detail, f"{DEFAULT}/exchanges/2?diff=1")
    compared = visitor.read(comparison.partition("#")[0])
    assert "The request is the same." in compared
    assert re.search(r"in #1: . 200", compared)
    assert "here: + 412" in compared


def test_an_exchange_is_compared_with_those_around_it_and_with_the_completion(
    visitor: Visitor, sandbox: stepstub.Sandbox
) -> None:
    def offered(number: int) -> list[int]:
        page = visitor.get(f"{DEFAULT}/exchanges/{number}").text
        return [int(each) for each in re.findall(rf"/exchanges/{number}\?diff=(\d+)", page)]

    for _ in range(12):
        complete(sandbox, STEP)
    assert offered(7) == [each for each in range(1, 13) if each != 7]
    assert f'?step={STEP}">all</a>' not in visitor.get(f"{DEFAULT}/exchanges/7").text
    for _ in range(28):
        complete(sandbox, STEP)
    assert offered(2) == [1, *range(3, 13)]
    assert offered(20) == [1, *range(15, 20), *range(21, 27)]
    assert offered(40) == [1, *range(29, 40)]
    assert f'?step={STEP}">all</a>' in visitor.get(f"{DEFAULT}/exchanges/20").text


def test_a_completion_shows_the_delegate_call_that_it_caused(
    visitor: Visitor, sandbox: stepstub.Sandbox
) -> None:
    complete(sandbox, STEP, params={"note": {"strValue": "hello", "type": "STRING"}})
    text = visitor.read(f"{DEFAULT}/exchanges/1")
    assert f"The delegate of {NEXT} (recorded): accepted" in text
    assert "strValue hello, type STRING" in text
    assert "STARTED → COMPLETED" in text


def test_the_history_of_a_step(visitor: Visitor, sandbox: stepstub.Sandbox) -> None:
    complete(sandbox, NEXT)
    complete(sandbox, STEP)
    complete(sandbox, NEXT)
    text = visitor.read(f"{DEFAULT}/steps?id={NEXT}")
    assert "Exchange #2 started it: delegate recorded, accepted" in text
    assert f"Exchange #1 was refused: Step {NEXT} is PENDING" in text
    assert "Exchange #3 completed it" in text
    assert visitor.get(f"{DEFAULT}/steps?id=nowhere").status_code == 404


def test_the_history_of_a_step_has_its_completion_however_often_it_was_tried_again(
    visitor: Visitor, sandbox: stepstub.Sandbox
) -> None:
    page = f"{DEFAULT}/steps?id={STEP}"
    for _ in range(50):
        complete(sandbox, STEP)
    assert "All of them" not in visitor.read(page)
    for _ in range(20):
        complete(sandbox, STEP)
    text = visitor.read(page)
    assert text.count("was refused: ") == 50
    assert "Exchange #1 completed it Only the newest 50 attempts are listed besides." in text
    assert f"{DEFAULT}?step={STEP}" in links(visitor.get(page), DEFAULT)
    sandbox.call("DELETE", "journal", NoneType)
    assert "Exchange #1 completed it; it is no longer in the journal." in visitor.read(page)


def test_a_step_says_how_much_time_is_left_and_then_that_it_failed(
    visitor: Visitor, sandbox: stepstub.Sandbox
) -> None:
    sandbox.clock.freeze()
    process = sandbox.start_process([{"timeOutInSeconds": 90}, {}])
    page = f"{DEFAULT}/steps?id={process.steps[0].id}"
    assert "1 min 30 s left" in visitor.read(page)
    assert "1 min 30 s left" in visitor.read(DEFAULT)
    sandbox.clock.advance(91)
    text = visitor.read(page)
    assert "FAILED: it was not completed within 90 s" in text
    assert "left" not in text


def test_exchanges_are_filtered_by_the_address(visitor: Visitor, sandbox: stepstub.Sandbox) -> None:
    complete(sandbox, STEP)
    complete(sandbox, STEP)
    complete(sandbox, "nowhere")

    def shown(query: str) -> list[int]:
        page = visitor.get(f"{DEFAULT}?{query}")
        assert page.status_code == 200
        return [int(each) for each in re.findall(r'data-number="(\d+)"', page.text)]

    assert shown("") == [3, 2, 1]
    assert shown(f"step={STEP}") == [2, 1]
    assert shown("status=200") == [1]
    assert shown("refused=yes") == [3, 2]
    assert shown("text=NOWHERE") == [3]
    assert shown(f"step={STEP}&status=412") == [2]
    assert shown("text=nothing+has+it") == []
    wrong = visitor.get(f"{DEFAULT}?status=many")
    assert wrong.status_code == 400
    assert "status must be" in text_of(wrong)


def test_older_exchanges_are_a_page_away(visitor: Visitor, sandbox: stepstub.Sandbox) -> None:
    for _ in range(130):
        complete(sandbox, "nowhere")
    seen: list[int] = []
    page = visitor.get(DEFAULT)
    while True:
        seen += [int(each) for each in re.findall(r'data-number="(\d+)"', page.text)]
        older = links(page, f"{DEFAULT}?before=")
        if not older:
            break
        page = visitor.get(older[0])
    assert seen == list(range(130, 0, -1))


def test_running_processes_come_first_and_finished_ones_are_folded(
    visitor: Visitor, sandbox: stepstub.Sandbox
) -> None:
    sandbox.reset("last-step")
    complete(sandbox, "invoice-1-archive")
    sandbox.start_process([{}], id="running")
    failed = sandbox.start_process([{}], id="failed-one")
    sandbox.fail_step(failed.steps[0].id)
    lanes, _, more = visitor.get(DEFAULT).text.partition('<details id="lanes-more">')
    assert lanes.index("running") < lanes.index("failed-one")
    assert "invoice-1" not in lanes
    assert "invoice-1" in more
    assert "1 finished" in more


def test_a_running_process_is_shown_however_many_finished_after_it_began(
    visitor: Visitor, sandbox: stepstub.Sandbox
) -> None:
    steps = [{"id": "old-1", "timeOutInSeconds": 600}]
    done = [{"id": f"done-{n}", "steps": [{"status": "COMPLETED"}]} for n in range(250)]
    sandbox.reset()
    complete(sandbox, STEP)
    complete(sandbox, NEXT)
    sandbox.start_process(steps, id="old")
    sandbox.call("POST", "processes", ProcessList, ProcessStart(processes=done))
    page = visitor.get(DEFAULT)
    lanes, _, more = page.text.partition('<details id="lanes-more">')
    assert "old" in re.findall(r'class="process"><bdi>(.*?)</bdi>', lanes)
    assert "200 finished · 51 older" in more
    assert "To time-out" in text_of(page)


def test_a_long_process_is_one_line_around_where_it_is(
    visitor: Visitor, sandbox: stepstub.Sandbox
) -> None:
    sandbox.reset("long-chain")
    for number in range(1, 8):
        complete(sandbox, f"chain-1-0{number}")
    lane = visitor.read(DEFAULT).partition("chain-1 ")[2]
    assert lane.startswith("✓ 4 before ✓ 05 COMPLETED ✓ 06 COMPLETED ✓ 07 COMPLETED ▶ 08 STARTED")
    assert "○ 11 PENDING 9 after" in lane
    assert "✓ 01 COMPLETED" in visitor.read(f"{DEFAULT}/processes")


def test_sandboxes_are_told_apart_by_name(server: stepstub.LiveServer, visitor: Visitor) -> None:
    with (
        server.sandbox("two-steps", name="test_one") as one,
        server.sandbox("two-steps", name="test_two", readings={"bad-body": 400}) as two,
    ):
        complete(one, "nowhere-one")
        listed = visitor.get("/sandboxes")
        assert "There is no step nowhere-one." in text_of(listed)
        pages = {
            sandbox.name: f"/sandboxes/{sandbox.id}"
            for sandbox in two.call("GET", "sandboxes", SandboxList).sandboxes
        }
        assert set(pages.values()) <= set(links(listed, "/sandboxes/"))
        assert "nowhere-one" in visitor.read(pages["test_one"])
        for page in ("", "/exchanges/1", "/steps?id=order-1-ship", "/readings", "/faults"):
            response = visitor.get(pages["test_one"] + page)
            targets = [*links(response, "/sandboxes/"), *forms(response)]
            assert len(targets) > 5
            assert all(each.startswith(pages["test_one"]) for each in targets)
        assert "nowhere-one" not in visitor.read(pages["test_two"])
        assert "1 of 35 differ" in visitor.read(f"{pages['test_two']}/readings")
        assert "All 35 are the default ones." in visitor.read(f"{pages['test_one']}/readings")
    gone = visitor.get(pages["test_one"])
    assert gone.status_code == 404
    assert "There is no such sandbox" in text_of(gone)


@pytest.mark.parametrize("name", [" ", "\t \u3000"])
def test_a_sandbox_whose_name_cannot_be_seen_is_called_by_its_id(
    server: stepstub.LiveServer, visitor: Visitor, name: str
) -> None:
    with server.sandbox("two-steps", name=name) as sandbox:
        (listed,) = sandbox.call("GET", "sandboxes", SandboxList).sandboxes[1:]
        assert f"<bdi>{listed.id}</bdi></a>" in visitor.get("/sandboxes").text
        assert f"Sandbox {listed.id} Exchanges" in visitor.read(f"/sandboxes/{listed.id}")
        assert f"Reset {listed.id} ?" in visitor.read(f"/sandboxes/{listed.id}/reset")


def test_a_reading_that_differs_comes_first_and_marks_what_it_shaped(
    server: stepstub.LiveServer, visitor: Visitor
) -> None:
    with server.sandbox("two-steps", readings={"unknown-step": 404}, name="x") as sandbox:
        complete(sandbox, "nowhere")
        (listed,) = sandbox.call("GET", "sandboxes", SandboxList).sandboxes[1:]
        page = f"/sandboxes/{listed.id}"
        assert "unknown-step: 404" in visitor.read(page)
        assert "unknown-step: 404" in visitor.read(f"{page}/exchanges/1")
        assert (
            visitor.get(f"{page}/readings")
            .text.partition("<tbody>")[2]
            .lstrip()
            .startswith('<tr id="unknown-step" class="changed">')
        )


def test_an_exchange_that_never_got_a_response_says_so(
    visitor: Visitor, sandbox: stepstub.Sandbox
) -> None:
    sandbox.fault("after", "disconnect")
    assert complete(sandbox, STEP) is None
    assert "after: connection broken" in visitor.read(DEFAULT)
    assert "none: the connection was lost" in visitor.read(f"{DEFAULT}/exchanges/1")


# What an open page asks for


def test_an_open_page_is_told_nothing_as_long_as_nothing_changes(
    visitor: Visitor, sandbox: stepstub.Sandbox
) -> None:
    def revision(text: str) -> str:
        (found,) = re.findall(r'data-revision="([^"]+)"', text)
        return str(found)

    seen = revision(visitor.get(DEFAULT).text)
    live = f"{DEFAULT}/live?seen="
    assert visitor.get(live + seen).status_code == 204
    complete(sandbox, STEP)
    news = visitor.get(live + seen)
    assert news.status_code == 200
    assert f"→ {NEXT}" in text_of(news)
    assert "<html" not in news.text
    assert visitor.get(live + revision(news.text)).status_code == 204
    sandbox.reset()
    assert visitor.get(live + revision(news.text)).status_code == 200


def test_the_forms_of_what_was_polled_lead_back_to_the_page(visitor: Visitor) -> None:
    news = visitor.get(f"{DEFAULT}/live?step={STEP}")
    assert f'name="back" value="{CONSOLE}{DEFAULT}?step={STEP}"' in news.text


# Hostile content


@pytest.mark.parametrize("text", HOSTILE)
def test_whatever_an_id_is_made_of_is_shown_as_it_is(
    visitor: Visitor, sandbox: stepstub.Sandbox, text: str
) -> None:
    step_id = text.replace("/", "\\")
    sandbox.start_process([{"id": step_id}])
    complete(sandbox, step_id)
    complete(sandbox, step_id)
    home = visitor.get(DEFAULT)
    assert text_of(home).count(step_id) >= 3
    (step, *_) = [each for each in links(home, f"{DEFAULT}/steps") if "order-1" not in each]
    for page in (DEFAULT, f"{DEFAULT}/exchanges/2", f"{DEFAULT}/exchanges/2?diff=1", step):
        response = visitor.get(page)
        assert response.status_code == 200
        assert step_id in unescape(response.text)
        for raw in ("<script>alert", "<img src=x"):
            assert raw not in response.text, page


@pytest.mark.parametrize("character", INVISIBLE)
def test_what_cannot_be_seen_or_turns_text_round_is_escaped(
    visitor: Visitor, sandbox: stepstub.Sandbox, character: str
) -> None:
    step_id = f"before{character}after"
    complete(sandbox, step_id)
    sandbox.start_process([{"id": step_id}])
    for page in (DEFAULT, f"{DEFAULT}/exchanges/1", f"{DEFAULT}/steps?id={quote(step_id)}"):
        response = visitor.get(page)
        shown = re.sub(r'(href|value)="[^"]*"', "", response.text)
        assert f"<bdi>before{INVISIBLE[character]}after</bdi>" in shown, page
        assert character not in shown, page


def test_megabytes_are_cut_with_a_note(visitor: Visitor, sandbox: stepstub.Sandbox) -> None:
    long = "x" * 900_000
    complete(sandbox, "nowhere", note=long)
    complete(sandbox, long[:500])
    sandbox.start_process([{"params": {"large": {"strValue": long}}}], id="p")
    page = visitor.get(f"{DEFAULT}/exchanges/1")
    assert f"The first {MAX_JOURNALED_BODY // 1024}.0 KiB of 878.9 KiB." in text_of(page)
    assert "cannot be sent again" in text_of(page)
    assert "As curl" not in text_of(page)
    assert len(page.content) < 120_000
    assert len(visitor.get(DEFAULT).content) < 60_000
    step = visitor.get(f"{DEFAULT}/steps?id=p-1")
    assert "more characters" in text_of(step)
    assert len(step.content) < 60_000


def test_thousands_of_params_are_cut_with_a_note_of_where_they_are(
    visitor: Visitor, sandbox: stepstub.Sandbox
) -> None:
    many = {f"p{number}": {"strValue": "x", "type": "STRING"} for number in range(20_000)}
    first, second = sandbox.start_process([{}, {"id": "a step", "params": many}]).steps
    complete(sandbox, first.id)
    page = visitor.get(f"{DEFAULT}/exchanges/1")
    assert len(page.content) < 100_000
    call = "19,900 more. The control API has all of them: GET /_stub/"
    assert f"{call} delegate-calls?processStepId=a%20step" in text_of(page)
    step = visitor.get(f"{DEFAULT}/steps?id={second.id}")
    assert f"{call} steps/a%20step" in text_of(step)
    assert len(step.content) < 60_000
    for what, text in (("scenario", "p19999:"), ("test", "'p19999'")):
        (copy,) = links(page, f"{DEFAULT}/exchanges/1/{what}")
        response = visitor.get(copy)
        assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert text in response.text


def test_ten_thousand_exchanges_do_not_make_a_page_slower() -> None:
    app = live_app(limits=Limits(journal=10_000))
    for _ in range(10_000):
        asgi_call(app, "GET", "/nowhere", b"", [])
    with serve_in_thread(app) as url:
        visitor = Visitor(url)
        visitor.get(DEFAULT)
        began = time.perf_counter()
        page = visitor.get(DEFAULT)
        assert time.perf_counter() - began < 0.5
        assert "10,000" in text_of(page)
        assert len(page.content) < 100_000
