"""The options that say how a server is reached, and what they amount to."""

import ssl
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import click
from click.core import ParameterSource

from stepstub.cli.options import check_token, missing, with_options, wrong

if TYPE_CHECKING:
    from stepstub.contract_tests.connection import Connection
    from stepstub.contract_tests.credentials import Credentials

_OPTIONS = (
    click.argument("url", required=False, metavar="URL"),
    click.option("--token", envvar="STEPSTUB_TOKEN", help="Token the server accepts."),
    click.option(
        "--token-file",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        help="File that holds the token: others can read a command line.",
    ),
    click.option(
        "--credentials",
        "form",
        default="bearer",
        show_default=True,
        type=click.Choice(["bearer", "basic", "api-key", "none"]),
        help="How the token is sent; with basic, it is the password. With none it is not, and only"
        " the control API of a stub gets it. A user and password in the URL are sent as basic.",
    ),
    click.option(
        "--credentials-header",
        "credentials_header",
        default="X-API-Key",
        show_default=True,
        metavar="NAME",
        help="The header that carries the token with --credentials api-key.",
    ),
    click.option(
        "--header",
        "headers",
        multiple=True,
        metavar="NAME:VALUE",
        help="A header of every request, whose value no report shows; may be given several times.",
    ),
    click.option(
        "--ca",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        metavar="FILE",
        help="Certificates of the CAs that are trusted, in place of the machine's (PEM).",
    ),
    click.option("--insecure", is_flag=True, help="Do not verify the server's certificate."),
    click.option(
        "--timeout",
        default=30.0,
        show_default=True,
        type=click.FloatRange(min=0, min_open=True),
        metavar="SECONDS",
        help="Time for a whole response.",
    ),
    click.option(
        "--rate",
        type=click.FloatRange(min=0, min_open=True),
        metavar="NUMBER",
        help="Requests per second at most.  [default: no limit]",
    ),
    click.option(
        "--retries",
        default=3,
        show_default=True,
        type=click.IntRange(min=0),
        metavar="NUMBER",
        help="How often a request is sent again that got no response, or 429, 502, 503 or 504.",
    ),
)

_REQUESTS_OWN = {"connection", "content-length", "content-type", "transfer-encoding"}


class Reached(NamedTuple):
    """How a server is reached. `url` has no user and password."""

    url: str
    token: str
    credentials: "Credentials"
    connection: "Connection"


def reach_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the argument URL and the options of reaching it.

    The command gets `reach`, which checks them: not every use of the command needs a server.
    """

    @wraps(command)
    def run(
        url: str | None,
        token: str | None,
        token_file: Path | None,
        form: str,
        credentials_header: str,
        headers: Sequence[str],
        ca: Path | None,
        insecure: bool,
        timeout: float,
        rate: float | None,
        retries: int,
        **options: Any,
    ) -> None:
        def reach() -> Reached:
            from stepstub.contract_tests.connection import Connection

            if url is None:
                raise missing("url")
            bare, user, password = _split(url)
            found, credentials = _credentials(
                form, credentials_header, user, password, token, token_file
            )
            if ca is not None:
                _check_certificates(ca)
            if insecure:
                _expect_insecure()
            sent = _headers(headers, credentials)
            connection = Connection(sent, ca, insecure, timeout, rate, retries)
            return Reached(bare, found, credentials, connection)

        command(reach=reach, **options)

    return with_options(run, _OPTIONS)


def _split(url: str) -> tuple[str, str | None, str]:
    """The URL without its user and password, and those."""
    from stepstub.contract_tests.credentials import split_credentials

    try:
        bare, user, password = split_credentials(url if "://" in url else f"//{url}")
        parts = urlsplit(bare)
        port = parts.port
    except ValueError:
        raise wrong("url", "it is no URL of a server.") from None
    if parts.scheme.lower() not in ("http", "https") or not parts.hostname or port == 0:
        hint = (
            f"did you mean http:{bare}?"
            if "://" not in url
            else "it begins with http:// or https://"
        )
        raise wrong("url", f"{bare.removeprefix('//')} is no URL of a server: {hint}")
    if parts.query or parts.fragment:
        raise wrong("url", "it ends with the path; a key can be sent with --header.")
    return bare, user, password


def _credentials(
    form: str,
    header: str,
    user: str | None,
    password: str,
    token: str | None,
    file: Path | None,
) -> "tuple[str, Credentials]":
    """The token and the form in which it is sent. What is typed goes before the environment."""
    from stepstub.contract_tests.credentials import Credentials
    from stepstub.readings import is_header_name

    if not is_header_name(header):
        raise wrong("credentials_header", f"{header!r} is not a header's name.")
    ways = {
        "--token": _is_typed("token"),
        "--token-file": file is not None,
        "the user in the URL": user is not None,
    }
    given = [name for name, is_given in ways.items() if is_given]
    if len(given) > 1:
        raise click.UsageError(f"{given[0]} and {given[1]} exclude each other.")
    if user is not None:
        if _is_typed("form") and form != "basic":
            raise wrong("form", f"the user in the URL is sent as basic credentials, not {form}.")
        return password, Credentials("basic", user=user)
    if file is not None:
        token = _token_of(file)
    elif token is None and form == "none":
        token = ""
    elif token is None:
        raise wrong("token", "it is missing: give it here, in STEPSTUB_TOKEN or as --token-file.")
    else:
        check_token(token, "token")
    return token, Credentials(form, header)


def _is_typed(name: str) -> bool:
    source = click.get_current_context().get_parameter_source(name)
    return source is ParameterSource.COMMANDLINE


def _token_of(file: Path) -> str:
    try:
        token = file.read_text("utf-8").rstrip("\r\n")
    except OSError as error:
        raise wrong("token_file", f"{file} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError:
        raise wrong("token_file", f"{file} is no text.") from None
    if not token:
        raise wrong("token_file", f"{file} is empty.")
    check_token(token, "token_file")
    return token


def _headers(given: Sequence[str], credentials: "Credentials") -> dict[str, str]:
    """The headers by their names. The errors show no value."""
    from stepstub.readings import is_header_name

    reserved = {name.lower() for name in credentials.headers("token")} | _REQUESTS_OWN
    headers: dict[str, str] = {}
    for each in given:
        name, colon, value = each.partition(":")
        if not colon or not is_header_name(name):
            raise wrong("headers", "a header is of the form NAME:VALUE.")
        if name.lower() in reserved:
            raise wrong("headers", f"{name} is a header that the suite sends itself.")
        if not (value := value.strip()) or not value.isascii() or not value.isprintable():
            raise wrong("headers", f"the value of {name} is not printable ASCII.")
        headers[name] = value
    return headers


def _check_certificates(file: Path) -> None:
    try:
        ssl.create_default_context(cafile=file)
    except OSError:  # an SSLError is one, too
        raise wrong("ca", f"{file} holds no certificates in the form PEM.") from None


def _expect_insecure() -> None:
    """Leave out the warning that urllib3 has for each request: our user has asked for it."""
    import urllib3

    urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
