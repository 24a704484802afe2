"""The command `stepstub`, also as `python -m stepstub`. Only what is light is imported up here."""

import os
import signal
from types import FrameType


def main() -> None:
    """Run the command line. SIGTERM ends the process at once until a command handles it itself.

    The status is then the one that a shell reports for a process that SIGTERM has killed. Without
    a handler, the first process of a container would not even end: the kernel drops the signal.
    """
    signal.signal(signal.SIGTERM, _end)
    if hasattr(signal, "pthread_sigmask"):  # not on Windows
        # Whatever starts the process can block SIGTERM, so that none is dropped before this line.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})

    from stepstub.cli import main as command_line

    command_line()


def _end(number: int, _: FrameType | None) -> None:
    # An exception could be swallowed by whatever is being imported.
    os._exit(128 + number)


if __name__ == "__main__":
    main()
