"""How requests show that they are authorised."""

from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from stepstub.contract_tests.redaction import Secret
from stepstub.readings import BASIC_USER, DEFAULT, credentials_headers, with_values


@dataclass(frozen=True)
class Credentials:
    """The form in which a server expects the token, and the header where `form` is api-key.

    `form` is a value of the reading `credentials`; with none, no token is sent. `user` is that of
    basic credentials, whose password is the token.
    """

    form: str = "bearer"
    header: str = DEFAULT.credentials_header
    user: str = field(default=BASIC_USER, repr=False)

    def headers(self, token: str) -> dict[str, str]:
        """The header that carries a token; none where no token is sent."""
        if self.form == "none":
            return {}
        chosen = {"credentials": self.form, "credentials-header": self.header}
        return credentials_headers(with_values(DEFAULT, chosen), token, self.user)

    def secrets(self, token: str) -> list[Secret]:
        """What nobody may read, with its names."""
        basic = Credentials("basic", user=self.user).headers(token)["Authorization"]
        secrets = [(basic.removeprefix("Basic "), "$BASIC_CREDENTIALS"), (token, "$TOKEN")]
        return secrets if self.user == BASIC_USER else [*secrets, (self.user, "$BASIC_USER")]

    def expressions(self, token: str) -> dict[str, str]:
        """What a shell writes within double quotes for the secrets in a header."""
        user = self.user if self.user == BASIC_USER else "$BASIC_USER"
        encoded, *_ = (secret for secret, _ in self.secrets(token))
        return {encoded: f'$(printf %s "{user}:$TOKEN" | base64 -w0)', token: "$TOKEN"}


def split_credentials(url: str) -> tuple[str, str | None, str]:
    """A URL without the user and password that it may name; those, where there is no user None.

    Both are decoded. Raises ValueError where it is no URL.
    """
    try:
        parts = urlsplit(url)
    except ValueError:  # which may repeat the password
        raise ValueError("it is no URL") from None
    userinfo, at, host = parts.netloc.rpartition("@")
    if not at:
        return url, None, ""
    user, _, password = userinfo.partition(":")
    return parts._replace(netloc=host).geturl(), unquote(user), unquote(password)
