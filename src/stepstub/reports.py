"""What the HTML reports have in common: one file each, which loads nothing and needs no script."""

import re

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape


def environment(package: str) -> Environment:
    """The templates in the folder `page` of a package; they include the styles by their names."""
    made = Environment(
        loader=ChoiceLoader(
            [PackageLoader(package, "page"), PackageLoader("stepstub", "console/static")]
        ),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["markdown"] = _code_spans
    return made


def _code_spans(text: str) -> Markup:
    """Markdown that has no markup but code spans, as HTML."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704
