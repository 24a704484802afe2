"""How requests show that they are authorised."""

from dataclasses import dataclass

from stepstub.readings import DEFAULT, credentials_headers, with_values


@dataclass(frozen=True)
class Credentials:
    """The form in which a server expects the token, and the header where `form` is api-key.

    `form` is a value of the reading `credentials`.
    """

    form: str = "bearer"
    header: str = DEFAULT.credentials_header

    def headers(self, token: str) -> dict[str, str]:
        """The header that carries a token."""
        chosen = {"credentials": self.form, "credentials-header": self.header}
        return credentials_headers(with_values(DEFAULT, chosen), token)

    def redacted(self, header: str, token: str) -> str:
        """How a shell writes the value of a header, with $TOKEN for the token."""
        encoded = self.headers(token).get("Authorization", "")
        if self.form == "basic" and header == encoded:
            return 'Basic $(printf %s "stepstub:$TOKEN" | base64 -w0)'
        return header.replace(token, "$TOKEN")
