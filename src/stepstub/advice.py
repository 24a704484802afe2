"""What a client should know of each reading: the "To be safe" of `docs/readings.md`."""

import re
from collections.abc import Mapping
from functools import cache
from importlib import resources

_SECTION = re.compile(r"^## (\d+)\. (.*?)(?=^## |\Z)", re.DOTALL | re.MULTILINE)
_TO_BE_SAFE = re.compile(r"^\*\*To be safe:\*\* (.+?)(?=\n\n|\s*\Z)", re.DOTALL | re.MULTILINE)


@cache
def by_number() -> Mapping[int, str]:
    """The paragraph of each number, as Markdown in one line, without its label.

    The page is part of the package, which has it as `readings.md`.
    """
    page = resources.files("stepstub").joinpath("readings.md").read_text("utf-8")
    found = {}
    for number, section in _SECTION.findall(page):
        if paragraph := _TO_BE_SAFE.search(section):
            found[int(number)] = " ".join(paragraph[1].split())
    return found
