"""Ends the server when standard input does: whoever started it, and held the other end, is gone."""

import os
import signal
import threading

STDIN = 0
_CHUNK = 64 * 1024


def end_with_it() -> None:
    """Have standard input's end do what SIGTERM does. Whatever is written to it is ignored."""
    threading.Thread(target=_wait_for_its_end, name="stepstub-stdin", daemon=True).start()


def _wait_for_its_end() -> None:
    # Not sys.stdin, whose lock a thread that waits would hold at the interpreter's exit.
    while not has_ended():
        pass
    signal.raise_signal(signal.SIGTERM)


def has_ended() -> bool:
    """Whether standard input has ended. Waits for that, or for something to read and ignore."""
    return not os.read(STDIN, _CHUNK)
