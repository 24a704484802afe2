"""Telling other processes that a stub is ready: by a file, by a line, and to a service manager.

Whoever starts a stub on a free port in the background learns here where it is, and when.
"""

import os
import socket
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct, json
from msgspec.structs import asdict


class Ready(Struct, frozen=True):
    """A stub that accepts requests; `control` says whether it has a control API."""

    url: str
    port: int
    pid: int
    version: str
    control: bool

    @classmethod
    def at(cls, url: str, *, control: bool) -> "Ready":
        """A stub of this process."""
        return cls(
            url, urlsplit(url).port or 80, os.getpid(), metadata.version("stepstub"), control
        )

    def as_json(self, control_token: str | None = None) -> bytes:
        """The facts in one line; a control token that was drawn is told with them."""
        told = {} if control_token is None else {"controlToken": control_token}
        return json.encode({**asdict(self), **told})


class ReadyFile:
    """A file that is there as long as a stub is ready.

    Made while nothing is ready yet, it removes what an earlier stub may have left. Raises `OSError`
    where no file can be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        path.unlink(missing_ok=True)
        self._draft.write_bytes(b"")

    def write(self, ready: Ready) -> None:
        """Have the file appear, whole."""
        self._draft.write_bytes(ready.as_json() + b"\n")
        self._draft.replace(self._path)

    def remove(self) -> None:
        """The stub is not ready any more. A file that another one has put there since stays."""
        self._draft.unlink(missing_ok=True)
        with suppress(OSError):
            if json.decode(self._path.read_bytes(), type=Ready).pid == os.getpid():
                self._path.unlink()


def notify(state: str) -> None:
    """Tell the service manager that has started this process, if it wants to know (sd_notify)."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address or not hasattr(socket, "AF_UNIX"):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, suppress(OSError):
        manager.sendto(state.encode(), address.replace("@", "\0", 1))
