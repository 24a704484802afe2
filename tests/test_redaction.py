"""No secret gets into a report, and no report is spoilt by one that is a common word."""

import html
import json
from urllib.parse import quote, quote_plus

import pytest

from stepstub.contract_tests.connection import Connection
from stepstub.contract_tests.credentials import Credentials, split_credentials
from stepstub.contract_tests.redaction import Redaction, shell_variable

SECRET = 'pass"word & <more>/ü'


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        json.dumps(SECRET)[1:-1],
        json.dumps(SECRET, ensure_ascii=False)[1:-1],
        html.escape(SECRET),
        quote(SECRET, safe=""),
        quote_plus(SECRET),
    ],
)
def test_a_secret_is_replaced_however_a_server_escapes_it(form: str) -> None:
    assert Redaction([(SECRET, "$TOKEN")])(f"x{form}y, {form}") == "x$TOKENy, $TOKEN"


def test_the_longer_secret_goes_first() -> None:
    redact = Redaction([("token-one", "$A"), ("token-one-and-more", "$B")])
    assert redact("token-one-and-more, token-one") == "$B, $A"


def test_a_name_is_not_taken_for_a_secret() -> None:
    redact = Redaction([("BASIC_CREDENTIALS", "$TOKEN"), ("abcdefgh", "$BASIC_CREDENTIALS")])
    assert redact("abcdefgh") == "$BASIC_CREDENTIALS"


@pytest.mark.parametrize(
    ("secret", "text", "redacted"),
    [
        ("test", "the test of tests", "the $X of tests"),
        ("test", 'the id is "test"', 'the id is "$X"'),
        ("a", "a step", "a step"),
        ("", "a step", "a step"),
    ],
)
def test_a_short_secret_leaves_words_alone(secret: str, text: str, redacted: str) -> None:
    assert Redaction([(secret, "$X")])(text) == redacted


def test_credentials_know_their_secrets_in_every_form() -> None:
    redact = Redaction(Credentials("basic", user="alice-at-work").secrets("pass-word"))
    sent = Credentials("basic", user="alice-at-work").headers("pass-word")["Authorization"]
    assert (
        redact(f"{sent} pass-word alice-at-work") == "Basic $BASIC_CREDENTIALS $TOKEN $BASIC_USER"
    )


def test_the_user_that_stands_for_none_is_no_secret() -> None:
    assert Redaction(Credentials("basic").secrets("pass-word"))("stepstub") == "stepstub"


def test_values_of_headers_are_secret_unless_every_client_sends_them() -> None:
    connection = Connection(headers={"X-Env": "staging-7", "Accept": "application/json"})
    redact = Redaction(connection.secrets)
    assert redact("staging-7, not application/json") == "$X_ENV, not application/json"
    assert "staging-7" not in repr(connection)


@pytest.mark.parametrize(
    ("header", "variable"),
    [
        ("X-Env", "X_ENV"),
        ("x-env.2", "X_ENV_2"),
        ("Path", "HEADER_PATH"),
        ("Token", "HEADER_TOKEN"),
        ("1-a", "HEADER_1_A"),
    ],
)
def test_the_variable_of_a_header_is_none_that_a_shell_needs(header: str, variable: str) -> None:
    assert shell_variable(header) == variable


@pytest.mark.parametrize(
    ("url", "split"),
    [
        ("http://h:80/base", ("http://h:80/base", None, "")),
        ("https://me:secret@h:80/b?x", ("https://h:80/b?x", "me", "secret")),
        ("http://me@[::1]:80", ("http://[::1]:80", "me", "")),
        ("http://m%40e:s%3Ae:c@ret@h/@", ("http://h/@", "m@e", "s:e:c@ret")),
        ("http://h/a@b", ("http://h/a@b", None, "")),
    ],
)
def test_a_url_is_told_from_its_credentials(url: str, split: tuple[str, str | None, str]) -> None:
    assert split_credentials(url) == split


@pytest.mark.parametrize("url", ["http://me:secret@[h", "http://me:secret\u2100@h"])
def test_what_is_no_url_does_not_give_its_password_away(url: str) -> None:
    with pytest.raises(ValueError, match=r"^it is no URL$"):
        split_credentials(url)
