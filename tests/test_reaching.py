"""The options of reaching a server: what they amount to, and what is told about wrong ones."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from stepstub.cli.options import Group
from stepstub.cli.reaching import Reached, reach_options
from stepstub.contract_tests.connection import Connection
from stepstub.contract_tests.credentials import Credentials

URL = "https://workflow.example/base"
TOKEN = "token-of-the-server"


def run(*arguments: str | Path, **environment: str) -> tuple[Result, dict[str, Any]]:
    """The result of a command that has these options and no other, and what it was given."""
    given: dict[str, Any] = {}

    @click.group(cls=Group)
    def main() -> None:
        pass

    @main.command()
    @reach_options
    @click.option("--other", is_flag=True)
    def command(reach: Callable[[], Reached], **options: Any) -> None:
        given.update(reach()._asdict(), **options)

    runner = CliRunner(env={"STEPSTUB_TOKEN": None, **environment})
    return runner.invoke(main, ["command", *map(str, arguments)]), given


def reached(*arguments: str | Path, **environment: str) -> dict[str, Any]:
    result, given = run(*arguments, **environment)
    assert result.exit_code == 0, result.output
    return given


def refused(*arguments: str | Path, **environment: str) -> str:
    """The one line that a wrong command line gets."""
    result, _ = run(*arguments, **environment)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1
    return result.stderr.strip()


def test_a_url_and_a_token_are_enough() -> None:
    assert reached(URL, "--token", TOKEN) == {
        "url": URL,
        "token": TOKEN,
        "credentials": Credentials(),
        "connection": Connection(),
        "other": False,
    }


def test_every_option_is_passed_on(tmp_path: Path) -> None:
    given = reached(
        URL,
        *("--token", TOKEN, "--credentials", "api-key", "--credentials-header", "X-Key"),
        *("--header", "X-Env: a:b ", "--header", "X-Other:c", "--insecure"),
        *("--timeout", "0.5", "--rate", "2", "--retries", "0", "--other"),
    )
    assert given["credentials"] == Credentials("api-key", "X-Key")
    assert given["connection"] == Connection(
        {"X-Env": "a:b", "X-Other": "c"}, insecure=True, timeout=0.5, rate=2, retries=0
    )
    assert given["other"]


@pytest.mark.parametrize("text", [TOKEN, f"{TOKEN}\n", f"{TOKEN}\r\n"])
def test_a_token_may_be_in_a_file(tmp_path: Path, text: str) -> None:
    file = tmp_path / "token"
    file.write_text(text, newline="")
    assert reached(URL, "--token-file", file)["token"] == TOKEN
    assert reached(URL, "--token-file", file, STEPSTUB_TOKEN="another")["token"] == TOKEN


def test_a_token_may_be_in_the_environment() -> None:
    assert reached(URL, STEPSTUB_TOKEN=TOKEN)["token"] == TOKEN


def test_the_user_in_a_url_is_sent_and_not_kept_in_it() -> None:
    given = reached("https://me:s%40crets@workflow.example/base", STEPSTUB_TOKEN="another")
    assert given["url"] == URL
    assert given["token"] == "s@crets"
    assert given["credentials"] == Credentials("basic", user="me")
    assert "me" not in repr(given["credentials"])


def test_without_credentials_no_token_is_needed() -> None:
    given = reached(URL, "--credentials", "none")
    assert given["token"] == ""
    assert given["credentials"].headers("anything") == {}


def test_a_token_that_is_not_sent_is_kept_for_the_control_api_of_a_stub() -> None:
    assert reached(URL, "--credentials", "none", "--token", TOKEN)["token"] == TOKEN


def test_a_header_may_authorise_where_the_suite_does_not() -> None:
    given = reached(URL, "--credentials", "none", "--header", "Authorization: Digest x")
    assert given["connection"].headers == {"Authorization": "Digest x"}


SECRET_URL = "https://me:secret@workflow.example"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([URL], "'--token': it is missing: give it here, in STEPSTUB_TOKEN or as --token-file."),
        ([URL, "--token", ""], "a token is visible ASCII without spaces."),
        (
            [URL, "--token", "x", "--token-file", "y"],
            "--token and --token-file exclude each other.",
        ),
        ([SECRET_URL, "--token", "x"], "--token and the user in the URL exclude each other."),
        ([SECRET_URL, "--credentials", "none"], "the user in the URL is sent as basic"),
        ([SECRET_URL, "--credentials", "bearer"], "the user in the URL is sent as basic"),
        ([URL, "--token", "x", "--credentials-header", "a b"], "'a b' is not a header's name."),
        ([URL, "--token-file", "/no/such"], "/no/such cannot be read: No such file or directory."),
        ([URL, "--token", "x", "--ca", "/no/such"], "'--ca': File '/no/such' does not exist."),
        ([URL, "--token", "x", "--ca", __file__], "holds no certificates in the form PEM."),
        ([URL, "--token", "x", "--header", "X-Secret"], "a header is of the form NAME:VALUE."),
        ([URL, "--token", "x", "--header", "X Y: secret"], "a header is of the form NAME:VALUE."),
        ([URL, "--token", "x", "--header", "X-Y:"], "the value of X-Y is not printable ASCII."),
        ([URL, "--token", "x", "--header", "X-Y:secret\nx"], "the value of X-Y is not printable"),
        ([URL, "--token", "x", "--header", "authorization:secret"], "that the suite sends itself."),
        ([URL, "--token", "x", "--header", "content-type:secret"], "that the suite sends itself."),
        ([URL, "--token", "x", "--timeout", "0"], "'--timeout': 0.0 is not in the range x>0."),
        ([URL, "--token", "x", "--rate", "0"], "'--rate': 0.0 is not in the range x>0."),
        ([URL, "--token", "x", "--retries", "-1"], "'--retries': -1 is not in the range x>=0."),
        ([f"{URL}?key=secret", "--token", "x"], "it ends with the path; a key can be sent with"),
        (["me:secret@h/base"], "h/base is no URL of a server: did you mean http://h/base?"),
        (["ftp://me:secret@h"], "ftp://h is no URL of a server: it begins with http:// or"),
        (["http://me:secret@", "--token", "x"], "http:// is no URL of a server"),
        (["http://me:secret@[h"], "it is no URL of a server."),
        (["http://me:secret@h:99999"], "it is no URL of a server."),
    ],
)
def test_a_wrong_command_line_is_told_in_one_line_without_secrets(
    arguments: list[str], message: str
) -> None:
    said = refused(*arguments)
    assert message in said
    assert "secret" not in said


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "is empty."), (b"\n", "is empty."), (b"\xff", "is no text."), (b"a b", "visible ASCII")],
)
def test_a_file_without_a_token_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    assert message in refused(URL, "--token-file", file)
