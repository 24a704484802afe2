"""How the Python calls report: a line for each answer, `ok ANSWER` or `failed ANSWER`."""

import traceback
from collections.abc import Callable


def report(calls: dict[str, Callable[[], None]]) -> None:
    """Make the calls; the reason of a failure goes to stderr."""
    for answer, call in calls.items():
        try:
            call()
        except Exception:  # noqa: BLE001 - the other answers are tried all the same
            traceback.print_exc()
            print("failed", answer)
        else:
            print("ok", answer)
