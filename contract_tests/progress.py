"""What a run is doing at the moment, shown while it lasts."""

from contextlib import ExitStack
from shutil import get_terminal_size
from threading import Lock
from typing import Any, Protocol, TextIO

import click

from stepstub.clock import Clock, SystemClock
from stepstub.schema import shorten

_REDRAW = 100  # milliseconds
_BAR_WIDTH = 20  # characters
_SILENCE = 10_000  # milliseconds; a longer one makes a user wonder


class Progress(Protocol):
    """Is told what a run does. A phase, such as learning, has parts, such as probes or cases."""

    def started(self, phase: str, total: int) -> None:
        """A phase begins, with about `total` parts."""

    def step(self, text: str) -> None:
        """The next part begins: `text` says what is done from now on."""

    def request(self) -> None:
        """A request was sent, whoever sent it. May come from any thread."""

    def result(self, line: str) -> None:
        """What became of the present part, for those who read along."""

    def finished(self, line: str = "") -> None:
        """The phase is over; `line` says what has come of it."""


class Silent:
    """Shows nothing."""

    def started(self, phase: str, total: int) -> None: ...

    def step(self, text: str) -> None: ...

    def request(self) -> None: ...

    def result(self, line: str) -> None: ...

    def finished(self, line: str = "") -> None: ...


SILENT = Silent()


class Lines:
    """A line for each result, and one now and then where a part takes long."""

    def __init__(self, out: TextIO, clock: Clock) -> None:
        self._out = out
        self._clock = clock
        self._spent = _Spent(clock)
        self._doing = ""
        self._last_line = clock.now()

    def started(self, phase: str, total: int) -> None:
        self._show(phase)
        self._doing = phase

    def step(self, text: str) -> None:
        self._doing = text

    def request(self) -> None:
        self._spent.request()
        if self._clock.now() - self._last_line >= _SILENCE:
            self._show(f"  {self._doing}: {self._spent}")

    def result(self, line: str) -> None:
        self._show(line)

    def finished(self, line: str = "") -> None:
        if line:
            self._show(f"{line} ({self._spent})")

    def _show(self, line: str) -> None:
        self._last_line = self._clock.now()
        click.echo(line, self._out)


class Bar:
    """A bar on a terminal, with what is done at the moment, and what it has taken so far."""

    def __init__(self, out: TextIO, clock: Clock) -> None:
        self._out = out
        self._clock = clock
        self._spent = _Spent(clock)
        self._doing = ""
        self._last_drawn = clock.now()
        self._is_first = True
        self._phase = ExitStack()
        self._bar: Any = None

    def started(self, phase: str, total: int) -> None:
        self._doing, self._is_first = phase, True
        self._bar = self._phase.enter_context(
            click.progressbar(
                length=total,
                file=self._out,
                width=_BAR_WIDTH,
                bar_template="[%(bar)s]  %(info)s",
                show_eta=False,
                item_show_func=self._shown,
            )
        )

    def step(self, text: str) -> None:
        self._doing = text
        self._bar.update(0 if self._is_first else 1)
        self._is_first = False
        self._draw()

    def request(self) -> None:
        self._spent.request()
        if self._bar is not None and self._clock.now() - self._last_drawn >= _REDRAW:
            self._draw()

    def result(self, line: str) -> None: ...

    def finished(self, line: str = "") -> None:
        self._doing = line
        self._bar.finish()
        self._draw()
        self._phase.close()
        self._bar = None

    def _draw(self) -> None:
        self._last_drawn = self._clock.now()
        self._bar.render_progress()

    def _shown(self, _: object) -> str:
        taken = len(f"[{' ' * _BAR_WIDTH}]  100%  {self._spent}  ")
        room = get_terminal_size().columns - 1 - taken  # a full line would wrap
        return f"{self._spent}  {shorten(self._doing, max(room, 1))}"


def shown_on(out: TextIO, clock: Clock | None = None) -> Progress:
    """A bar on a terminal, lines anywhere else."""
    return (Bar if out.isatty() else Lines)(out, clock or SystemClock())


class _Spent:
    """What a run has taken so far: `14 requests, 23 s`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began = clock.now()
        self._requests = 0
        self._lock = Lock()

    def request(self) -> None:
        with self._lock:
            self._requests += 1

    def __str__(self) -> str:
        minutes, seconds = divmod((self._clock.now() - self._began) // 1000, 60)
        plural = "" if self._requests == 1 else "s"
        return (
            f"{self._requests} request{plural}, {f'{minutes} min ' if minutes else ''}{seconds} s"
        )
