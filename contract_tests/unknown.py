"""Ids that no step has."""

from uuid import uuid4

_PREFIX = "conformance-"


def unknown_step() -> str:
    """An id that no step has."""
    return f"{_PREFIX}{uuid4().hex[:8]}"


def known(step_id: str) -> str:
    """The id, if it is not one of `unknown_step`; else empty."""
    return "" if step_id.startswith(_PREFIX) else step_id
