"""What a user sees of a run while it lasts; the time is the test's."""

import os
import pty
import re
from collections.abc import Iterator
from contextlib import suppress
from io import StringIO
from typing import TextIO

import pytest

from stepstub.contract_tests.progress import Bar, Lines, Progress, Silent, shown_on
from support import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


class Terminal:
    """A terminal that is 60 columns wide."""

    def __init__(self, out: TextIO, reader: int) -> None:
        self.out = out
        self._reader = reader

    def drawn(self) -> list[str]:
        """What was drawn since the last time, each redrawing by itself."""
        self.out.flush()
        text = ""
        with suppress(BlockingIOError):
            while True:
                text += os.read(self._reader, 65536).decode()
        lines = re.sub(r"\x1b\[[^a-zA-Z]*[a-zA-Z]", "", text.replace("\r\n", "\r")).split("\r")
        return [line.rstrip() for line in lines if line.strip()]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    monkeypatch.setenv("COLUMNS", "60")
    reader, writer = pty.openpty()
    os.set_blocking(reader, False)
    with os.fdopen(writer, "w") as out:
        yield Terminal(out, reader)
    os.close(reader)


def test_a_line_for_each_result_and_for_the_beginning_and_end_of_learning(
    clock: Clock,
) -> None:
    out = StringIO()
    progress = shown_on(out, clock)
    progress.started("learning the server's readings", 2)
    for sent in ("a body that is no JSON", "an unknown step"):
        progress.step(sent)
        progress.request()
        clock.jump(0.3)
    progress.finished("learnt 32 of 35 readings")
    progress.started("57 cases", 57)
    progress.step("an empty body")
    progress.request()
    progress.result("covered      412  an empty body")
    progress.finished()
    assert out.getvalue().splitlines() == [
        "learning the server's readings",
        "learnt 32 of 35 readings (2 requests, 0 s)",
        "57 cases",
        "covered      412  an empty body",
    ]


def test_a_long_case_has_a_line_now_and_then(clock: Clock) -> None:
    out = StringIO()
    progress = shown_on(out, clock)
    progress.started("57 cases", 57)
    progress.step("generated bodies")
    for _ in range(80):
        clock.jump(0.9)
        progress.request()
    assert out.getvalue().splitlines() == [
        "57 cases",
        *(
            f"  generated bodies: {spent}"
            for spent in (
                "12 requests, 10 s",
                "24 requests, 21 s",
                "36 requests, 32 s",
                "48 requests, 43 s",
                "60 requests, 54 s",
                "72 requests, 1 min 4 s",
            )
        ),
    ]


def test_short_cases_have_no_further_lines(clock: Clock) -> None:
    out = StringIO()
    progress = shown_on(out, clock)
    progress.started("57 cases", 57)
    for number in range(20):
        progress.step("a case")
        clock.jump(9)
        progress.request()
        progress.result(f"covered {number}")
    assert "requests" not in out.getvalue()


def test_a_terminal_has_a_bar_that_says_what_is_done(clock: Clock, terminal: Terminal) -> None:
    progress = shown_on(terminal.out, clock)
    progress.started("learning", 4)
    progress.step("no JSON")
    drawn = terminal.drawn()
    assert drawn[0] == f"[{'-' * 20}]    0%  0 requests, 0 s  learning"
    assert drawn[-1] == f"[{'-' * 20}]    0%  0 requests, 0 s  no JSON"
    clock.jump(65)
    progress.request()
    progress.result("is not shown")
    progress.step("an unknown step, in words that take more room than there is")
    line = terminal.drawn()[-1]
    assert line == f"[#####{'-' * 15}]   25%  1 request, 1 min 5 s  an unk…"
    assert len(line) < 60
    progress.finished("learnt")
    assert terminal.drawn()[-1] == f"[{'#' * 20}]  100%  1 request, 1 min 5 s  learnt"


def test_a_bar_is_not_drawn_again_for_every_request(clock: Clock, terminal: Terminal) -> None:
    progress = shown_on(terminal.out, clock)
    progress.started("cases", 4)
    progress.step("generated bodies")
    terminal.drawn()
    for _ in range(100):
        progress.request()
    clock.jump(0.1)
    progress.request()
    (line,) = terminal.drawn()
    assert "101 requests, 0 s  generated" in line


def test_requests_between_two_phases_count(clock: Clock, terminal: Terminal) -> None:
    for out in (StringIO(), terminal.out):
        progress = shown_on(out, clock)
        clock.jump(1)
        progress.request()
        progress.started("one", 1)
        progress.finished("one")
        clock.jump(1)
        progress.request()
        progress.started("two", 1)
        progress.finished("two")
        shown = out.getvalue() if isinstance(out, StringIO) else "".join(terminal.drawn())
        assert "1 request, 1 s" in shown
        assert "2 requests, 2 s" in shown


def test_where_it_is_shown(terminal: Terminal) -> None:
    kinds: list[Progress] = [shown_on(terminal.out), shown_on(StringIO()), Silent()]
    assert [type(kind) for kind in kinds] == [Bar, Lines, Silent]
