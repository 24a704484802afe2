"""Who has logged in: a stub keeps the sessions itself, so that logging out ends one for good."""

import secrets
from collections.abc import Mapping
from hashlib import sha256
from urllib.parse import urlsplit

from stepstub.handlers.credentials import check_control_token

MAX_SESSIONS = 1000


class Sessions:
    """The sessions of one stub. Without a control token nobody needs one."""

    def __init__(self, control_token: str | None) -> None:
        self._control_token = control_token
        # By their digests, so that how long a look-up takes tells nothing about the values.
        self._open: dict[bytes, None] = {}

    @property
    def are_needed(self) -> bool:
        return self._control_token is not None

    def begin(self, control_token: str) -> str:
        """The value of a cookie for whoever knows the control token. Raises `Unauthorized`."""
        check_control_token(self._control_token, control_token.encode("utf-8", "replace"))
        if len(self._open) >= MAX_SESSIONS:
            del self._open[next(iter(self._open))]
        value = secrets.token_urlsafe(32)
        self._open[_digest(value)] = None
        return value

    def end(self, host: str, cookies: Mapping[str, str]) -> None:
        """Forget the session of these cookies."""
        self._open.pop(_digest(cookies.get(cookie_name(host), "")), None)

    def admit(self, host: str, cookies: Mapping[str, str]) -> bool:
        """Whether who sends these cookies to `host` may see the console."""
        if not self.are_needed:
            return True
        return _digest(cookies.get(cookie_name(host), "")) in self._open


def cookie_name(host: str) -> str:
    """Cookies belong to all ports of a host, so the name has the port that the browser sees."""
    try:
        port = urlsplit(f"//{host}").port
    except ValueError:  # no browser sends such a host
        port = None
    return f"stepstub-console-{port or 80}"


def _digest(value: str) -> bytes:
    return sha256(value.encode("utf-8", "replace")).digest()
