"""A link to a state server that blocks: nothing suspends, so a store can be driven by any thread.

Every thread has a connection of its own, as processes do.
"""

import threading
import time
from collections.abc import Sequence
from typing import Any

from valkey import Connection
from valkey.exceptions import NoScriptError

from stepstub.stores.valkey.link import Argument
from stepstub.stores.valkey.scripts import Script


class BlockingLink:
    """Runs commands one after the other, in the calling thread."""

    def __init__(self, host: str, port: int, database: int = 0) -> None:
        self.address = f"{host}:{port}"
        self._options = {"host": host, "port": port, "db": database}
        self._own = threading.local()

    async def command(self, *arguments: Argument) -> Any:
        return self._sent(*arguments)

    async def run(
        self, script: Script, keys: Sequence[Argument], arguments: Sequence[Argument]
    ) -> Any:
        try:
            return self._sent(b"EVALSHA", script.digest, len(keys), *keys, *arguments)
        except NoScriptError:
            return self._sent(b"EVAL", script.text, len(keys), *keys, *arguments)

    def server_time(self) -> float:
        return time.time() * 1000

    def keep_server_time(self, milliseconds: float) -> None:
        raise AssertionError(f"the server's time is {milliseconds}, and it is of this machine")

    async def close(self) -> None:
        pass

    def _sent(self, *arguments: Argument) -> Any:
        if not hasattr(self._own, "connection"):
            self._own.connection = Connection(**self._options)
        self._own.connection.send_command(*arguments)
        return self._own.connection.read_response()
