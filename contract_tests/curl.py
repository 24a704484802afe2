"""A request as a curl line that repeats it in a shell."""

import shlex

from requests import PreparedRequest

from stepstub.contract_tests.credentials import Credentials

_MAX_PADDING = 1024  # trailing blanks of a body that are written out


def curl_line(request: PreparedRequest, token: str, credentials: Credentials) -> str:
    """The line that repeats `request`, with $TOKEN in place of the token."""
    line = ["curl", "-i", "-X", request.method or "", shlex.quote(request.url or "")]
    key = [credentials.header] if credentials.form == "api-key" else []
    for name in ("Authorization", *key, "Content-Type"):
        if name in request.headers:
            value = request.headers[name]
            text = value.decode("latin-1") if isinstance(value, bytes) else value
            quoted = shlex.quote(f"{name}: {text}")
            redacted = credentials.redacted(text, token)
            if redacted != text:
                quoted = f'"{name}: {redacted}"'
            line += ["-H", quoted]
    if request.body:
        body = request.body if isinstance(request.body, bytes) else request.body.encode()
        padding = len(body) - len(body.rstrip(b" "))
        if padding < _MAX_PADDING:
            line += ["--data-binary", _quoted(body)]
        else:  # an argument of a megabyte is too long for a shell
            padded = f"printf '%s%{padding}s' {_quoted(body.rstrip(b' '))} ''"
            line = [padded, "|", *line, "--data-binary", "@-"]
    return " ".join(line).replace(token, "$TOKEN")


def _quoted(body: bytes) -> str:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = ""
    if text.isprintable() and text:
        return shlex.quote(text)
    return "$'" + "".join(f"\\x{byte:02x}" for byte in body) + "'"
