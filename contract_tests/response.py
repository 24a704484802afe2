"""A response, and what can be read from it."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from html import unescape
from typing import Any

import jiter

from stepstub.contract_tests.findings import Cause, Finding
from stepstub.schema import printable, shorten

_EXCERPT = 200  # characters
_HEAD = 16_000  # characters; a longer search could take long
_HTML = re.compile(
    r"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype html|html)\b", re.IGNORECASE | re.DOTALL
)
_TITLE = re.compile(r"<title\b[^>]*>(.*?)</title", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class Response:
    """One response; `curl` is the request that repeats it, without secrets.

    `findings` are what is wrong with it, whatever it is the response to. `repeated` says that an
    earlier attempt of the same request may have reached the server.
    """

    status: int
    headers: Any
    body: bytes
    curl: str
    findings: tuple[Finding, ...] = ()
    repeated: bool = False
    redact: Callable[[str], str] = str
    """Removes secrets from a text; goes before the text is cut, or half of one would stay."""

    @cached_property
    def value(self) -> Any:
        """The parsed body; None when it is not strict JSON."""
        try:
            return jiter.from_json(self.body, allow_inf_nan=False, catch_duplicate_keys=True)
        except ValueError:
            return None

    @property
    def data(self) -> Any:
        """The envelope's `data`; None when there is no envelope."""
        return self.value.get("data") if isinstance(self.value, dict) else None

    @property
    def media_type(self) -> str:
        """The type of the body, in lower case and without parameters; empty when none is given."""
        return str(self.headers.get("Content-Type", "")).split(";")[0].strip().lower()

    @property
    def named_step(self) -> str | None:
        """The id in a 200's processStepId; None where there is none."""
        name = self.data.get("processStepId") if isinstance(self.data, dict) else None
        return name if isinstance(name, str) and name else None

    @property
    def process_id(self) -> str | None:
        """The id of the process that a 200 names; None where there is none."""
        name = self.data.get("processId") if isinstance(self.data, dict) else None
        return name if isinstance(name, str) and name else None

    @property
    def names(self) -> tuple[str | None, str | None]:
        """The step and the process that a 200 names: those of a repeated 200 are the same."""
        return self.named_step, self.process_id

    @property
    def excerpt(self) -> str:
        """The beginning of the body, for messages: on one line, an HTML page by its title."""
        text = self.redact(self.body.decode(errors="replace"))
        page = html_page(text, certain=self.media_type == "text/html")
        return page or printable(shorten(" ".join(text.split()), _EXCERPT)) or "an empty body"

    def shows(self, cause: Cause, message: str) -> Finding:
        """The finding of a cause in this response."""
        return Finding(cause, message, self.curl, self.excerpt)


def html_page(text: str, *, certain: bool = False) -> str:
    """`an HTML page: 502 Bad Gateway`, by its title; empty where text does not look like one.

    It need not look so where it is `certain` that it is one.
    """
    head = text[:_HEAD]
    if not (certain or _HTML.match(head)):
        return ""
    title = _TITLE.search(head)
    words = " ".join(unescape(title[1]).split()) if title else ""
    return f"an HTML page: {printable(shorten(words, _EXCERPT))}" if words else "an HTML page"
