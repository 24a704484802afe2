"""What a stub is set to: command line, `LiveServer` and the plugin pass this on as it is."""

from msgspec import Struct

from stepstub.readings import DEFAULT, Readings
from stepstub.variations import Vary

LEASE = 30.0
"""Seconds after which a delegate call whose process has said nothing more is made by another."""

DEFAULT_TOKEN = "stub-token"  # noqa: S105 - everybody may know it


class Limits(Struct, frozen=True):
    """How much a stub keeps."""

    journal: int = 1000
    """Exchanges, and delegate calls, a sandbox remembers."""
    sandboxes: int = 1000
    """Sandboxes there may be beside the default one."""


class Settings(Struct, frozen=True, kw_only=True):
    """The settings of one stub, each with its default."""

    token: str = DEFAULT_TOKEN
    """The bearer token of the default sandbox."""
    max_body_bytes: int = 1024 * 1024
    with_control: bool = True
    with_metrics: bool = False
    control_token: str | None = None
    """Where given, every request to the control API has to bear it."""
    readings: Readings = DEFAULT
    """Those of the default sandbox, and of each new one that asks for no other."""
    vary: Vary | None = None
    """Likewise; None: responses do not vary."""
    limits: Limits = Limits()
    sandboxes_expire_after: float = 7 * 24 * 3600.0
    """Seconds after which a sandbox of a shared state is deleted that nobody has used."""
    lease: float = LEASE
    """Seconds after which another process takes over a delegate call of a shared state."""
