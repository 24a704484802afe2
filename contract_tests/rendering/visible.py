"""Text that a server chose, so that nothing in it is hidden and no report grows without bounds.

Reports for programs have the text itself.
"""

from stepstub.contract_tests.response import html_page
from stepstub.schema import printable, printable_lines, shorten

MAX_LINE = 600
MAX_BLOCK = 4_000
MAX_CURL = 20_000


def line(text: object, limit: int = MAX_LINE) -> str:
    """Text in one line, at most about `limit` characters, with control characters escaped."""
    return shorten(printable(shorten(str(text), limit)), limit)


def block(text: str, limit: int = MAX_BLOCK) -> str:
    """Text with its line breaks, else as `line`."""
    return shorten(printable_lines(shorten(text, limit)), limit)


def body(text: str, limit: int = MAX_BLOCK) -> str:
    """The body of a response as `block`; an HTML page is named, and not shown."""
    return html_page(text) or block(text, limit)
