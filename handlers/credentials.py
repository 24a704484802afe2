"""The bearer check: which sandbox a request belongs to. And the control token."""

import hmac

from stepstub.errors import Unauthorized
from stepstub.sandbox import Sandbox, Sandboxes


def authorize(sandboxes: Sandboxes, authorization: list[bytes]) -> Sandbox:
    """The sandbox of the token in the Authorization headers of a request.

    Raises `Unauthorized` for none or several, another scheme (RFC 6750, section 2.1), and a token
    that nobody has been given.
    """
    if not authorization:
        raise Unauthorized("The request has no Authorization header; send a bearer token.")
    scheme, _, token = authorization[0].partition(b" ")
    token = token.strip(b" ")
    if len(authorization) > 1 or scheme.lower() != b"bearer" or not token or b" " in token:
        raise Unauthorized("The Authorization header must be one of the form: Bearer TOKEN.")
    return sandboxes.by_token(token)


def check_control_token(expected: str | None, given: bytes) -> None:
    """Raises `Unauthorized` where a control token is expected and it was not given."""
    if expected is not None and not hmac.compare_digest(expected.encode(), given):
        raise Unauthorized("The control API needs the control token in X-Stepstub-Control-Token.")
