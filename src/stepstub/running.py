"""A command of the user's, run beside a stub that it finds by its environment."""

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import IO

OURS = ("STEPSTUB_READINGS", "STEPSTUB_VARY", "STEPSTUB_VARY_ONLY")
"""Variables of `stepstub serve` that a command does not get, for they would mislead it."""


def environment(url: str, token: str, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The present environment, with where a stub is; `more` is what else is to be in it."""
    inherited = {name: value for name, value in os.environ.items() if name not in OURS}
    return {**inherited, "STEPSTUB_URL": url, "STEPSTUB_TOKEN": token, **(more or {})}


def killed_with_its_children(
    command: Sequence[str], environment: Mapping[str, str], printed: IO[bytes], seconds: float
) -> int | None:
    """The exit status of a command that gets no input; None if it did not end within `seconds`.

    All that it has started in its session is killed in the end. Raises `OSError`.
    """
    process = subprocess.Popen(  # noqa: S603 - it is what the user asks for
        list(command),
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=printed,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        _end(process)


def in_the_foreground(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """The exit status of a command that has this process's terminal; as a shell has it.

    SIGTERM and SIGHUP are handed on, and Ctrl-C reaches it by itself. Raises `OSError`.
    """
    process = subprocess.Popen(list(command), env=environment)  # noqa: S603 - likewise
    with _handing_on(process):
        status = process.wait()
    return status if status >= 0 else 128 - status


@contextmanager
def _handing_on(process: subprocess.Popen[bytes]) -> Iterator[None]:
    def hand_on(number: int, _: FrameType | None) -> None:
        process.send_signal(number)

    handed_on = [each for name in ("SIGTERM", "SIGHUP") if (each := getattr(signal, name, None))]
    before = {number: signal.signal(number, hand_on) for number in handed_on}
    # The command decides what Ctrl-C means; this process ends when it has.
    before[signal.SIGINT] = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the command and what it has started, if that is still there."""
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    elif process.poll() is None:
        process.kill()
    process.wait()
