"""The credentials of a request: which sandbox it belongs to. And the control token."""

import hmac
from base64 import b64decode
from collections.abc import Iterable, Iterator
from urllib.parse import unquote

from stepstub.errors import Unauthorized
from stepstub.readings import Readings
from stepstub.sandbox import DEFAULT_ID, Sandbox
from stepstub.sandboxes import Sandboxes

Headers = Iterable[tuple[bytes, bytes]]

_CHOOSING = b"stepstub-sandbox"

_FORMS = {
    "bearer": "The Authorization header must be one of the form: Bearer TOKEN.",
    "basic": "The Authorization header must be Basic credentials with the token as the password.",
    "none": "No sandbox has this token.",
}


def bearer_token(headers: Headers) -> bytes:
    """The bearer token of a request.

    Raises `Unauthorized` for none or several, and for another scheme (RFC 6750, section 2.1).
    """
    authorization = [value for name, value in headers if name == b"authorization"]
    if not authorization:
        raise Unauthorized("The request has no Authorization header; send a bearer token.")
    scheme, _, token = authorization[0].partition(b" ")
    token = token.strip(b" ")
    if len(authorization) > 1 or scheme.lower() != b"bearer" or not token or b" " in token:
        raise Unauthorized(_FORMS["bearer"])
    return token


async def authorize(sandboxes: Sandboxes, headers: Headers) -> tuple[Sandbox | None, str | None]:
    """The sandbox whose token a request bears in any form, and why that is not enough, if so.

    The token chooses the sandbox, and the sandbox's readings say which form is right. A request
    without a known token meets the readings of the default sandbox.
    """
    try:
        token = bearer_token(headers)
        sandbox = await sandboxes.by_token(token)
    except Unauthorized as refusal:
        why_not = str(refusal)
    else:
        accepted = sandbox.readings.credentials in ("bearer", "none")
        return sandbox, await _used(sandbox, token) if accepted else _form(sandbox.readings)
    return await _in_another_form(sandboxes, headers, why_not)


async def _in_another_form(
    sandboxes: Sandboxes, headers: Headers, why_not: str
) -> tuple[Sandbox | None, str | None]:
    for form, header, token in _tokens(headers, await sandboxes.find_key_headers()):
        try:
            sandbox = await sandboxes.by_token(token)
        except Unauthorized:
            continue
        why_not_this = _why_not(sandbox.readings, form, header)
        return sandbox, why_not_this or await _used(sandbox, token)
    readings = sandboxes.default.readings
    if readings.credentials == "bearer":
        return None, why_not
    if readings.credentials == "none" and not any(name == b"authorization" for name, _ in headers):
        return sandboxes.default, None
    return None, _form(readings)


async def _used(sandbox: Sandbox, token: bytes) -> str | None:
    """Why a token of this sandbox is not good any more, if so; the request is counted."""
    return await sandbox.store.use_token(token) if sandbox.limits_tokens else None


def _why_not(readings: Readings, form: str, header: bytes) -> str | None:
    """Why a known token is not enough: the readings ask for it in another form."""
    if readings.credentials == "none":
        return None
    if readings.credentials != form:
        return _form(readings)
    if form == "api-key" and readings.credentials_header.lower().encode() != header:
        return _form(readings)
    return None


def _form(readings: Readings) -> str:
    return _FORMS.get(
        readings.credentials, f"The header {readings.credentials_header} must bear the token."
    )


def _tokens(headers: Headers, key_headers: frozenset[bytes]) -> Iterator[tuple[str, bytes, bytes]]:
    """What may be a token, but a bearer one: the form, the header's name, the token."""
    authorization = [value for name, value in headers if name == b"authorization"]
    if len(authorization) == 1:
        scheme, _, encoded = authorization[0].partition(b" ")
        if scheme.lower() == b"basic":
            yield "basic", b"authorization", _password(encoded)
    keys = [(name, value) for name, value in headers if name in key_headers]
    if len(keys) == 1:
        yield "api-key", *keys[0]


def _password(encoded: bytes) -> bytes:
    try:
        return b64decode(encoded.strip(b" "), validate=True).partition(b":")[2]
    except ValueError:
        return b""


async def chosen_by_baggage(sandboxes: Sandboxes, sandbox: Sandbox, headers: Headers) -> Sandbox:
    """The sandbox that a request with the default one's token names in its baggage, if it does.

    So all tests of a system can share one stub, whose token the system knows, and each have a
    sandbox: `baggage: stepstub-sandbox=NAME` travels with their requests (W3C Baggage).
    """
    if sandbox.id != DEFAULT_ID:
        return sandbox
    for name, value in headers:
        if name == b"baggage":
            for member in value.split(b","):
                key, _, content = member.partition(b";")[0].partition(b"=")
                if key.strip() == _CHOOSING:
                    chosen = unquote(content.strip().decode("latin-1"))
                    return await sandboxes.by_name(chosen) or sandbox
    return sandbox


def check_control_token(expected: str | None, given: bytes) -> None:
    """Raises `Unauthorized` where a control token is expected and it was not given."""
    if expected is not None and not hmac.compare_digest(expected.encode(), given):
        raise Unauthorized("The control API needs the control token in X-Stepstub-Control-Token.")
