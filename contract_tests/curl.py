"""A request as a curl line that repeats it in a shell."""

import json
import re
import shlex
from collections.abc import Iterator, Mapping

from requests import PreparedRequest
from requests.utils import default_headers

from stepstub.contract_tests.connection import Connection
from stepstub.contract_tests.credentials import Credentials
from stepstub.contract_tests.redaction import MIN_UNIQUE_LENGTH, shell_variable

_MAX_PADDING = 1024  # trailing blanks of a body that are written out

_AUTOMATIC = {name.lower() for name in default_headers()} | {
    "content-length",
    "x-schemathesis-testcaseid",
}
"""Headers that nobody asked for: curl sends its own."""

_STEP_ID = re.compile(rb'"processStepId"\s*:\s*("(?:[^"\\]|\\.)*")')


def curl_line(
    request: PreparedRequest,
    token: str,
    credentials: Credentials,
    connection: Connection,
    step: str = "",
) -> str:
    """The line that repeats `request`, with variables in place of secrets.

    They are $TOKEN and one for each header of the connection, as X_ENV for X-Env. $STEP stands for
    the id of `step`, which may be completed by now, while the request needs one that is STARTED.
    """
    secrets = {token: "$TOKEN"} if len(token) >= MIN_UNIQUE_LENGTH else {}
    line = ["curl", "-i", "-X", request.method or "", _word(request.url or "", secrets)]
    if connection.insecure:
        line.append("-k")
    elif connection.ca is not None:
        line += ["--cacert", shlex.quote(str(connection.ca))]
    for header in _headers(request, token, credentials, connection):
        line += ["-H", header]
    if request.body:
        body = request.body if isinstance(request.body, bytes) else request.body.encode()
        padding = len(body) - len(body.rstrip(b" "))
        if padding < _MAX_PADDING:
            line += ["--data-binary", _body(body, step, secrets)]
        else:  # an argument of a megabyte is too long for a shell
            unpadded = _body(body.rstrip(b" "), step, secrets)
            line = [f"printf '%s%{padding}s' {unpadded} ''", "|", *line, "--data-binary", "@-"]
    return " ".join(line)


def _headers(
    request: PreparedRequest, token: str, credentials: Credentials, connection: Connection
) -> Iterator[str]:
    """The headers that the suite and its user have asked for, each as a word of a shell."""
    own = {name.lower(): value for name, value in connection.headers.items()}
    secrets = credentials.expressions(token)
    for name, given in request.headers.items():
        value = given.decode("latin-1") if isinstance(given, bytes) else given
        if own.get(name.lower()) == value:
            yield f'"{name}: ${shell_variable(name)}"'
        elif name.lower() not in _AUTOMATIC:
            yield _header(name, value, secrets)
    if request.body and "Content-Type" not in request.headers:
        yield "Content-Type:"  # otherwise curl would send that of a form


def _header(name: str, value: str, secrets: Mapping[str, str]) -> str:
    if not value:
        return shlex.quote(f"{name};")  # with a colon, curl would leave the header out
    parts = _split(value, secrets)
    if len(parts) == 1 or any(re.match(r"\w", after) for after in parts[2::2]):
        return _word(f"{name}: {value}", secrets)
    escaped = (secrets.get(part) or re.sub(r'([\\"$`])', r"\\\1", part) for part in parts)
    return f'"{name}: {"".join(escaped)}"'


def _body(body: bytes, step: str, secrets: Mapping[str, str]) -> str:
    """A body as a word of a shell."""
    words, begin = [], 0
    for found in _STEP_ID.finditer(body) if step else ():
        if _is_string(found[1], step):
            words += [_raw(body[begin : found.start(1) + 1], secrets), '"$STEP"']
            begin = found.end(1) - 1
    return "".join([*words, _raw(body[begin:], secrets)])


def _is_string(raw: bytes, text: str) -> bool:
    try:
        return bool(json.loads(raw) == text)
    except ValueError:
        return False


def _raw(part: bytes, secrets: Mapping[str, str]) -> str:
    """Part of a body, which may be anything, as part of a word of a shell."""
    try:
        text = part.decode()
    except UnicodeDecodeError:
        text = ""
    if text.isprintable() and (text or not part):
        return _word(text, secrets)
    return "$'" + "".join(f"\\x{byte:02x}" for byte in part) + "'"


def _word(text: str, secrets: Mapping[str, str]) -> str:
    """A text as a word of a shell."""
    return "".join(
        f'"{secrets[each]}"' if each in secrets else shlex.quote(each)
        for each in _split(text, secrets)
        if each
    )


def _split(text: str, secrets: Mapping[str, str]) -> list[str]:
    """The parts of a text: at odd indexes secrets, the longest that there is."""
    longest_first = sorted(filter(None, secrets), key=len, reverse=True)
    if not longest_first:
        return [text]
    return re.split(f"({'|'.join(map(re.escape, longest_first))})", text)
