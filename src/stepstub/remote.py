"""A stub that is running already, for tests that would otherwise start one."""

import os

from stepstub.client import Sandbox, Server
from stepstub.settings import DEFAULT_TOKEN


class RemoteServer(Server):
    """What a `LiveServer` is to its tests, at `url`; it outlives them.

    Its tokens are those that `stepstub serve` takes from the environment.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.token = os.environ.get("STEPSTUB_TOKEN") or DEFAULT_TOKEN
        self._control_token = os.environ.get("STEPSTUB_CONTROL_TOKEN") or None

    def __repr__(self) -> str:
        return f"<RemoteServer at {self.url}>"

    def default_sandbox(self) -> Sandbox:
        """The sandbox of the server's own token; other people may use it as well."""
        return Sandbox(self.url, self.token, control_token=self._control_token)

    def accept_connections(self) -> None:
        """Nothing: whoever has it refuse connections says for how long."""
