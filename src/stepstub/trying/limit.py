"""A test that does not end is interrupted, even where it catches every `Exception`.

What interrupts is a signal, whose handler raises in the main thread: it ends a sleep, a wait and a
loop in Python. It is repeated, because a client may catch `BaseException` as well; sooner or
later it strikes outside of the `try`. A test that does not end all the same ends the process.
"""

import faulthandler
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

AGAIN = 0.25
"""Seconds until a test that caught the interruption is interrupted again."""

MAX_INTERRUPTIONS = 40
"""How often a test is interrupted before the process ends."""


@contextmanager
def time_limit(seconds: float, interruption: Callable[[], BaseException]) -> Iterator[None]:
    """Raise what `interruption` makes in the main thread once the time is over.

    It does nothing on Windows, in another thread, and where somebody has set the timer already:
    a limit of pytest-timeout, for example, stands.
    """
    if not _is_possible():
        yield
        return
    struck = 0

    def strike(_signal: int, _frame: FrameType | None) -> None:
        nonlocal struck
        struck += 1
        if struck > MAX_INTERRUPTIONS:
            _give_up(seconds)
        raise interruption()

    before = signal.signal(signal.SIGALRM, strike)
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN)
            yield
        finally:  # and a strike that comes right here leads to the other one
            signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _is_possible() -> bool:
    return (
        hasattr(signal, "setitimer")
        and threading.current_thread() is threading.main_thread()
        and signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    )


def _give_up(seconds: float) -> None:
    stderr = sys.__stderr__
    if stderr is not None:
        stderr.write(
            f"\nstepstub: a test did not end within {seconds:g} s and caught"
            f" {MAX_INTERRUPTIONS} interruptions, so the process ends here:\n"
        )
        faulthandler.dump_traceback(stderr)
        stderr.flush()
    os._exit(3)
