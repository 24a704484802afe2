"""The one request that a stub sends itself: a POST to a third-party application.

Imported when the first is sent, because requests takes long to load and most stubs never call out.
"""

from collections.abc import Iterable

import requests
from urllib3.exceptions import HTTPError

from stepstub.budget import Budget, BudgetSession
from stepstub.errors import DelegateFailed


def post(
    url: str, body: bytes, headers: Iterable[tuple[bytes, bytes]] = (), *, within: float
) -> int:
    """POST JSON, with more headers; the status of the response, which begins `within` seconds.

    The time is for everything but the look-up of the host's name, which cannot be interrupted.
    Raises `DelegateFailed` where there is no response in time.
    """
    # A session of its own, so that no proxy, .netrc or cookie of the machine joins in.
    with BudgetSession(Budget(within)) as session:
        session.trust_env = False
        try:
            # `stream`, and closed without reading: the size of the response does not matter.
            with session.post(
                url,
                data=body,
                headers={**_as_text(headers), "Content-Type": "application/json"},
                timeout=within,
                allow_redirects=False,
                stream=True,
            ) as response:
                return response.status_code
        # requests lets through what urllib3 and the idna codec say of some hosts' names.
        except (requests.RequestException, HTTPError, UnicodeError) as error:
            raise DelegateFailed(
                f"the third-party application did not respond ({type(error).__name__})"
            ) from error


def _as_text(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """The headers for requests; several of one name as one line, which is the same."""
    joined: dict[str, str] = {}
    for name, value in headers:
        key, text = name.decode("latin-1"), value.decode("latin-1")
        joined[key] = f"{joined[key]}, {text}" if key in joined else text
    return joined
