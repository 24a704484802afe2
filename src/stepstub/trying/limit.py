"""A test that does not end is interrupted, even where it catches every `Exception`.

What interrupts is a signal, whose handler raises in the main thread: it ends a sleep, a wait and a
loop in Python. It is repeated, because a client may catch `BaseException` as well: the second of
two in quick succession strikes in what is done about the first, outside of the `try`. Where even
that is caught, for ever, the process ends.
"""

import faulthandler
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType

AGAIN = (0.25, 0.001, 0.25, 0.003, 0.25, 0.01)
"""Seconds from one interruption to the next, in turn."""

MAX_INTERRUPTIONS = 60
"""How often a test is interrupted before the process ends, within some eight seconds."""


class TimeLimit:
    """Has what runs below it interrupted by what `interruption` makes, after some seconds.

    It is made while stderr is not captured, and writes there before it ends the process.
    """

    def __init__(self, seconds: float, interruption: Callable[[], BaseException]) -> None:
        self._seconds = seconds
        self._interruption = interruption
        self._struck = 0
        self._stderr = os.dup(sys.__stderr__.fileno()) if sys.__stderr__ else None

    def around(self) -> Generator[None, object, object]:
        """The limit around what a hook wrapper of pytest wraps; to be yielded from.

        Whatever is raised there can be shown afterwards, wherever a strike came.
        """
        try:
            with self.kept():
                return (yield)
        except BaseException as error:
            give_lines(error)
            raise

    @contextmanager
    def kept(self) -> Iterator[None]:
        """While it lasts the time runs, in the main thread.

        Nothing happens on Windows, in another thread, and where somebody has set the timer
        already: a limit of pytest-timeout, for example, stands.
        """
        if not _is_possible():
            yield
            return
        self._struck = 0
        before = signal.signal(signal.SIGALRM, self._strike)
        try:
            try:
                signal.setitimer(signal.ITIMER_REAL, self._seconds)
                yield
            finally:  # and a strike that comes right here leads to the other one
                signal.setitimer(signal.ITIMER_REAL, 0)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)

    def _strike(self, _signal: int, _frame: FrameType | None) -> None:
        if self._struck == MAX_INTERRUPTIONS:
            self._give_up()
        signal.setitimer(signal.ITIMER_REAL, AGAIN[self._struck % len(AGAIN)])
        self._struck += 1
        raise self._interruption()

    def _give_up(self) -> None:
        if self._stderr is not None:
            text = (
                f"\nstepstub: a test did not end within {self._seconds:g} s and caught"
                f" {MAX_INTERRUPTIONS} interruptions, so the process ends here:\n"
            )
            os.write(self._stderr, text.encode())
            faulthandler.dump_traceback(self._stderr, all_threads=False)
        os._exit(3)


def _is_possible() -> bool:
    return (
        hasattr(signal, "setitimer")
        and threading.current_thread() is threading.main_thread()
        and signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    )


def give_lines(error: BaseException) -> None:
    """Give every entry of the tracebacks of `error`, and of those it goes back to, a line number.

    A strike may come at an instruction that the compiler has added, such as the jump at the end of
    a loop. It has no line, and pytest fails on a traceback with such an entry.
    """
    known: set[int] = set()
    to_do: list[BaseException | None] = [error]
    while to_do:
        each = to_do.pop()
        if each is None or id(each) in known:
            continue
        known.add(id(each))
        each.__traceback__ = _with_lines(each.__traceback__)
        to_do += [each.__cause__, each.__context__]
        if isinstance(each, BaseExceptionGroup):
            to_do += each.exceptions


def _with_lines(traceback: TracebackType | None) -> TracebackType | None:
    entries = []
    while traceback is not None:
        entries.append(traceback)
        traceback = traceback.tb_next
    if all(entry.tb_lineno is not None for entry in entries):
        return entries[0] if entries else None
    for entry in reversed(entries):
        traceback = TracebackType(traceback, entry.tb_frame, entry.tb_lasti, _line(entry))
    return traceback


def _line(entry: TracebackType) -> int:
    """The line of an entry, or the last one before it in its function."""
    code = entry.tb_frame.f_code
    before = [line for start, _, line in code.co_lines() if line and start <= entry.tb_lasti]
    return entry.tb_lineno or (before or [code.co_firstlineno])[-1]
