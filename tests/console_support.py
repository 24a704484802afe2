"""What the tests of the console share: somebody who visits it without a browser; a client."""

import re
from dataclasses import dataclass, field
from html import unescape

import requests

import stepstub
from support import TIMEOUT

CONSOLE = "/_stub/console"
DEFAULT = "/sandboxes/default"
SECRET = "control-secret"


@dataclass
class Visitor:
    """Requests pages as a browser would: with cookies, and with an Origin where it sends a form."""

    url: str
    session: requests.Session = field(default_factory=requests.Session)

    def get(self, path: str = "", **options: object) -> requests.Response:
        return self.session.get(self.url + CONSOLE + path, timeout=TIMEOUT, **options)  # type: ignore[arg-type]

    def post(
        self, path: str, form: dict[str, str] | None = None, origin: str | None = ""
    ) -> requests.Response:
        """Send a form; `origin` "" is that of the console, None none at all."""
        headers = {} if origin is None else {"Origin": origin or self.url}
        address = self.url + CONSOLE + path
        return self.session.post(address, data=form or {}, headers=headers, timeout=TIMEOUT)

    def read(self, path: str = "") -> str:
        """The text of a page, as one line."""
        response = self.get(path)
        assert response.status_code == 200, response.text
        return text_of(response)


def text_of(response: requests.Response) -> str:
    """What there is to read on a page."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", response.text)).split())


def complete(sandbox: stepstub.Sandbox, step_id: str, **members: object) -> int | None:
    """The status that a client of a sandbox gets; None for a connection that was lost."""
    try:
        return requests.post(
            sandbox.complete_step_url,
            json={"processStepId": step_id, **members},
            headers=sandbox.headers,
            timeout=TIMEOUT,
        ).status_code
    except requests.ConnectionError:
        return None
