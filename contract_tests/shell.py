"""Runs a shell command within bounds of time and memory (POSIX only)."""

import os
import signal
import time
from contextlib import suppress
from selectors import EVENT_READ, DefaultSelector
from subprocess import DEVNULL, PIPE, CompletedProcess, Popen, TimeoutExpired

_CHUNK = 65536  # bytes


def run(command: str, timeout: float, max_bytes: int) -> CompletedProcess[bytes]:
    """The status of a shell command that has no stdin, and what it prints.

    Raises `TimeoutError` where the command, or what it has left running, keeps its output open for
    more than `timeout` seconds, and `OverflowError` where it prints more than `max_bytes` on stdout
    or on stderr. It is killed then.
    """
    with Popen(
        command, shell=True, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, start_new_session=True
    ) as process:
        try:
            output, errors = _read(process, time.monotonic() + timeout, max_bytes)
            return CompletedProcess(command, process.wait(timeout), output, errors)
        except BaseException as error:  # Ctrl-C does not reach the command's session, either
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, TimeoutExpired):
                raise TimeoutError from error
            raise


def _read(process: Popen[bytes], deadline: float, max_bytes: int) -> tuple[bytes, bytes]:
    """All of stdout and of stderr.

    `communicate` would keep in memory whatever is printed, and wait beyond its time-out for
    processes that are left running in the background.
    """
    output, errors = bytearray(), bytearray()
    with DefaultSelector() as selector:
        for stream, kept in ((process.stdout, output), (process.stderr, errors)):
            if stream is not None:
                selector.register(stream, EVENT_READ, kept)
        while selector.get_map():
            ready = selector.select(max(deadline - time.monotonic(), 0))
            if not ready:
                raise TimeoutError
            for key, _ in ready:
                chunk = os.read(key.fd, _CHUNK)
                key.data.extend(chunk)
                if not chunk:
                    selector.unregister(key.fileobj)
                if len(key.data) > max_bytes:
                    raise OverflowError
    return bytes(output), bytes(errors)
