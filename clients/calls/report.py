"""How the Python calls report: one line for each call, `ok NAME` or `failed NAME`."""

import traceback
from collections.abc import Callable


def report(calls: dict[str, Callable[[], None]]) -> None:
    """Make the calls; the reason for a failure goes to stderr."""
    for name, call in calls.items():
        try:
            call()
        except Exception:  # noqa: BLE001 - the other calls are made anyway
            traceback.print_exc()
            print("failed", name)
        else:
            print("ok", name)
