"""Keeps secrets out of whatever a run prints or writes."""

import html
import json
import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

Secret = tuple[str, str]
"""A text that nobody may read, and the name that takes its place, as in `$TOKEN`."""

MIN_SECRET_LENGTH = 3
"""Shorter texts are left alone: they hide nothing, and they are part of any sentence."""

MIN_UNIQUE_LENGTH = 8
"""Shorter texts may be part of a word, and are replaced only where they are a whole one."""


class Redaction:
    """Replaces secrets in a text by their names, also where a server has escaped them."""

    def __init__(self, secrets: Iterable[Secret]) -> None:
        self._names: dict[str, str] = {}
        for secret, name in secrets:
            if len(secret) >= MIN_SECRET_LENGTH:
                for form in _forms(secret):
                    self._names.setdefault(form, name)
        # The longer one goes first: the shorter one may be part of it.
        longest_first = sorted(self._names, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(_pattern, longest_first)) or r"(?!)")

    def __call__(self, text: str) -> str:
        return self._pattern.sub(lambda found: self._names[found[0]], text)


def shell_variable(header: str) -> str:
    """The variable that stands for the value of a header in curl lines, as X_ENV for X-Env.

    A name of one word may be that of a variable that the shell needs, such as PATH.
    """
    name = re.sub(r"[^A-Za-z0-9]", "_", header).upper()
    return name if "_" in name.strip("_") and not name[0].isdigit() else f"HEADER_{name}"


def _forms(secret: str) -> list[str]:
    """A secret as it is, and as it stands in JSON, a URL, a form and a page."""
    in_json = [json.dumps(secret, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False)]
    return [secret, *in_json, quote(secret, safe=""), quote_plus(secret), html.escape(secret)]


def _pattern(secret: str) -> str:
    if len(secret) >= MIN_UNIQUE_LENGTH:
        return re.escape(secret)
    return rf"(?<!\w){re.escape(secret)}(?!\w)"
