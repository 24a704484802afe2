"""Who has logged in: sessions are kept on this side, so that logging out ends one for good."""

import hmac
import secrets
from collections.abc import Mapping
from urllib.parse import urlsplit

from stepstub.handlers.credentials import check_control_token
from stepstub.stores.sessions import KeptSessions


class Sessions:
    """The sessions of a console. Without a control token nobody needs one."""

    def __init__(self, control_token: str | None, kept: KeptSessions) -> None:
        self._control_token = control_token
        self._kept = kept

    @property
    def are_needed(self) -> bool:
        return self._control_token is not None

    async def begin(self, control_token: str) -> str:
        """The value of a cookie for whoever knows the control token. Raises `Unauthorized`."""
        check_control_token(self._control_token, control_token.encode("utf-8", "replace"))
        value = secrets.token_urlsafe(32)
        await self._kept.add(self._digest(value))
        return value

    async def end(self, host: str, cookies: Mapping[str, str]) -> None:
        """Forget the session of these cookies."""
        await self._kept.remove(self._digest(cookies.get(cookie_name(host), "")))

    async def admit(self, host: str, cookies: Mapping[str, str]) -> bool:
        """Whether who sends these cookies to `host` may see the console."""
        if not self.are_needed:
            return True
        value = cookies.get(cookie_name(host))
        return value is not None and await self._kept.has(self._digest(value))

    def _digest(self, value: str) -> str:
        """Another one with another control token: its sessions end when it is changed.

        And how long a look-up takes tells nothing about the values.
        """
        key = (self._control_token or "").encode("utf-8", "replace")
        return hmac.digest(key, value.encode("utf-8", "replace"), "sha256").hex()


def cookie_name(host: str) -> str:
    """Cookies belong to all ports of a host, so the name has the port that the browser sees."""
    try:
        port = urlsplit(f"//{host}").port
    except ValueError:  # no browser sends such a host
        port = None
    return f"stepstub-console-{port or 80}"
