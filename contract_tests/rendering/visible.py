"""Text that a server chose, so that nothing in it is hidden and no report grows without bounds.

Reports for programs have the text itself.
"""

import re
from html import unescape

from stepstub.schema import printable, shorten

MAX_LINE = 600
MAX_BLOCK = 4_000
MAX_CURL = 20_000

_HTML = re.compile(
    r"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype html|html)\b", re.IGNORECASE | re.DOTALL
)
_TITLE = re.compile(r"<title\b[^>]*>(.*?)</title", re.IGNORECASE | re.DOTALL)


def line(text: object, limit: int = MAX_LINE) -> str:
    """Text in one line, at most about `limit` characters, with control characters escaped."""
    return shorten(printable(shorten(str(text), limit)), limit)


def block(text: str, limit: int = MAX_BLOCK) -> str:
    """Text with its line breaks, else as `line`."""
    return shorten("\n".join(map(printable, shorten(text, limit).split("\n"))), limit)


def body(text: str, limit: int = MAX_BLOCK) -> str:
    """The body of a response as `block`; an HTML page is named, and not shown."""
    return html_page(text) or block(text, limit)


def html_page(text: str) -> str:
    """`an HTML page: 502 Bad Gateway`, by its title; empty where text is no HTML page."""
    if not _HTML.match(text[:MAX_BLOCK]):
        return ""
    title = _TITLE.search(text)
    words = " ".join(unescape(title[1]).split()) if title else ""
    return f"an HTML page: {line(words, 100)}" if words else "an HTML page"
