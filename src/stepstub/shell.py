"""What a stub suggests to type into a shell."""

import shlex

from stepstub.readings import Readings, credentials_headers


def credentials_options(readings: Readings, token: str, *, is_variable: bool) -> str:
    """The options of curl that send a token as the readings ask, quoted for a shell.

    `token` is the token itself, or a variable such as `$TOKEN` that stands for it.
    """
    if is_variable and readings.credentials == "basic":
        return f'-u "stepstub:{token}"'
    lines = [f"{name}: {text}" for name, text in credentials_headers(readings, token).items()]
    return " ".join(f'-H "{line}"' if is_variable else shlex.join(["-H", line]) for line in lines)
