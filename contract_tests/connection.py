"""How a server is reached."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stepstub.contract_tests.redaction import Secret, shell_variable

_PUBLIC = {"accept", "accept-encoding", "accept-language", "host", "user-agent"}


@dataclass(frozen=True)
class Connection:
    """What every request has in common, and how much patience trouble meets.

    `headers` are sent with every request and never shown. `ca` is a file of certificates in place
    of those of the machine; `insecure` leaves certificates unchecked. `timeout` is in seconds, for
    a whole response; `rate` in requests per second, over all threads. A request that met trouble
    is sent again at most `retries` times. The proxy is that of the environment.
    """

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    ca: Path | None = None
    insecure: bool = False
    timeout: float = 30
    rate: float | None = None
    retries: int = 3

    @property
    def verify(self) -> bool | str:
        """As the `verify` of requests."""
        return False if self.insecure else str(self.ca) if self.ca is not None else True

    @property
    def secrets(self) -> list[Secret]:
        """The values of the headers, with the names of their variables.

        Those that any client sends are none: their values, such as application/json, are words of
        the reports.
        """
        return [
            (value, f"${shell_variable(name)}")
            for name, value in self.headers.items()
            if name.lower() not in _PUBLIC
        ]


DIRECT = Connection()
"""How most servers are reached."""
