"""The sandbox that a page is about: its id is in the path."""

from typing import Any

from flask import Blueprint, abort, g, request

from stepstub.client import Sandbox
from stepstub.console.guard import PREFIX, calling

OF_A_SANDBOX = f"{PREFIX}/sandboxes/<sandbox_id>"


def base_url() -> str:
    """The stub's address as the browser knows it."""
    return request.host_url.rstrip("/")


def sandbox() -> Sandbox:
    """The sandbox of this page."""
    found: Sandbox = g.sandbox
    return found


def about_a_sandbox(name: str, module: str) -> Blueprint:
    """A group of pages below the path of a sandbox. Their links lead to the same sandbox."""
    pages = Blueprint(name, module, url_prefix=OF_A_SANDBOX)

    @pages.url_value_preprocessor
    def note(endpoint: str | None, values: dict[str, Any] | None) -> None:
        g.sandbox_id = (values or {}).pop("sandbox_id", "")

    @pages.before_request  # which comes after those of the whole site: who may not see it is gone
    def find() -> None:
        g.sandbox = calling().sandbox(g.sandbox_id, base_url())
        if g.sandbox is None:
            abort(404, "There is no such sandbox: it was deleted, or the stub was restarted.")

    return pages
