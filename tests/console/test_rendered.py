"""Pages are rendered once for all who look at the same, and never shown to anybody else."""

import asyncio
import re
from typing import Any

import pytest

import stepstub
from console_support import DEFAULT, SECRET, Visitor, complete, text_of
from stepstub.console import pages
from stepstub.console.rendered import LIFE, MAX_BYTES, MAX_PAGES, RenderedPages

STEP = "order-1-approve"


class Renderer:
    """Renders a body, and counts how often; its `now` is the clock of `kept`."""

    def __init__(self, body: bytes = b"page", status: int = 200) -> None:
        self.body, self.status = body, status
        self.now, self.count = 100.0, 0
        self.kept = RenderedPages(lambda: self.now)

    async def __call__(self) -> list[Any]:
        self.count += 1
        await asyncio.sleep(0)
        start = {"type": "http.response.start", "status": self.status, "headers": []}
        return [start, {"type": "http.response.body", "body": self.body}]

    async def get(self, key: object = "key") -> bytes:
        return (await self.kept.page(key, self))[1]


def test_a_page_is_rendered_once_for_all_who_ask_within_a_second() -> None:
    renderer = Renderer()

    async def ask() -> None:
        await asyncio.gather(*[renderer.get() for _ in range(50)])
        renderer.now += LIFE * 0.9
        await renderer.get()
        assert renderer.count == 1
        await renderer.get("another")
        assert renderer.count == 2
        renderer.now += LIFE * 0.2
        await renderer.get()
        assert renderer.count == 3

    asyncio.run(ask())


def test_who_asks_first_and_leaves_does_not_take_the_page_away_from_others() -> None:
    renderer = Renderer()

    async def ask() -> None:
        first = asyncio.create_task(renderer.get())
        second = asyncio.create_task(renderer.get())
        await asyncio.sleep(0)
        first.cancel()
        assert await second == b"page"
        assert renderer.count == 1

    asyncio.run(ask())


def test_an_error_is_not_kept() -> None:
    renderer = Renderer(status=503)

    async def ask() -> None:
        await renderer.get()
        await renderer.get()
        assert renderer.count == 2

    asyncio.run(ask())


def test_a_running_clock_goes_on_and_a_frozen_one_does_not() -> None:
    async def second(body: bytes) -> bytes:
        renderer = Renderer(body)
        await renderer.get()
        renderer.now += 0.25
        return await renderer.get()

    running = b'<form id="clock" data-now="1700000000000" data-frozen="no">'
    assert asyncio.run(second(running)) == running.replace(b"1700000000000", b"1700000000250")
    frozen = running.replace(b"no", b"yes")
    assert asyncio.run(second(frozen)) == frozen


def test_a_page_is_old_when_a_step_on_it_times_out() -> None:
    clock = b'<form data-now="1700000000000" data-frozen="no">'
    over, coming = (b'<span data-until="%d">' % at for at in (1699999999999, 1700000000400))
    renderer = Renderer(clock + over + coming)

    async def ask() -> None:
        await renderer.get()
        renderer.now += 0.3
        await renderer.get()
        assert renderer.count == 1
        renderer.now += 0.15
        await renderer.get()
        assert renderer.count == 2

    asyncio.run(ask())


@pytest.mark.parametrize(("size", "most"), [(10, MAX_PAGES), (MAX_BYTES // 4, 4)])
def test_not_many_pages_are_kept(size: int, most: int) -> None:
    renderer = Renderer(b"x" * size)

    async def ask() -> None:
        for number in range(most + 1):
            await renderer.get(number)
        renderer.count = 0
        for number in range(most, 0, -1):
            await renderer.get(number)
        assert renderer.count == 0
        await renderer.get(0)
        assert renderer.count == 1

    asyncio.run(ask())


# What pages of a stub depend on


@pytest.fixture
def renderings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The templates of the exchanges' pages that were rendered, in their order."""
    made: list[str] = []
    render = pages.shown_live

    def count(template: str, *arguments: Any, **values: Any) -> str:
        made.append(template)
        return render(template, *arguments, **values)

    monkeypatch.setattr(pages, "shown_live", count)
    # Of a page whose second ends while a test runs there would be one more.
    monkeypatch.setattr("stepstub.console.rendered.LIFE", 3600.0)
    return made


def test_many_open_pages_are_rendered_once_for_each_change(
    server: stepstub.LiveServer, sandbox: stepstub.Sandbox, renderings: list[str]
) -> None:
    visitors = [Visitor(server.url) for _ in range(5)]
    complete(sandbox, STEP)
    for number, visitor in enumerate(visitors):
        assert visitor.get(f"{DEFAULT}/exchanges/1").status_code == 200
        assert visitor.get(f"{DEFAULT}/live?number=1&seen=old-{number}").status_code == 200
    assert renderings == ["exchange.html", "live.html"]
    complete(sandbox, STEP)
    for visitor in visitors:
        assert visitor.get(f"{DEFAULT}/exchanges/1").text.count("data-number") == 2
    assert len(renderings) == 3
    sandbox.clock.freeze()
    assert "Resume" in visitors[0].read(f"{DEFAULT}/exchanges/1")


def test_other_addresses_hosts_and_sandboxes_get_pages_of_their_own(
    server: stepstub.LiveServer, sandbox: stepstub.Sandbox, renderings: list[str]
) -> None:
    complete(sandbox, STEP)
    visitor = Visitor(server.url)
    one = f"{DEFAULT}/exchanges/1"
    assert "127.0.0.1" in visitor.get(one).text
    by_name = Visitor(server.url.replace("127.0.0.1", "localhost"))
    assert "localhost" in by_name.get(one).text
    visitor.get(f"{one}?status=200")
    assert len(renderings) == 3
    with server.sandbox("two-steps", name="another"):
        (listed,) = set(re.findall(r"/sandboxes/(?!default)(\w+)", visitor.get("/sandboxes").text))
        assert f"/sandboxes/{listed}/" in visitor.get(f"/sandboxes/{listed}").text
        assert f"/sandboxes/{listed}/" not in visitor.get(DEFAULT).text


def test_who_has_logged_in_gets_pages_of_their_own_and_nobody_else_any(
    guarded: Visitor, renderings: list[str]
) -> None:
    other, stranger = Visitor(guarded.url), Visitor(guarded.url)
    for each in (guarded, other):
        each.post("/login", {"token": SECRET})
        for _ in range(2):
            assert "Log out" in each.read(DEFAULT)
    assert renderings == ["home.html", "home.html"]
    assert "Log out" not in text_of(stranger.get(DEFAULT))
    guarded.post("/logout")
    assert "Log out" not in text_of(guarded.get(DEFAULT))
