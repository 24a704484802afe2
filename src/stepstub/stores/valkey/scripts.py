"""The scripts that are run in the server, each named by its digest."""

from functools import cache
from hashlib import sha1
from importlib import resources

from msgspec import Struct


class Script(Struct, frozen=True):
    """A script, and the digest by which the server knows it."""

    name: str
    text: bytes
    digest: bytes


@cache
def script(name: str) -> Script:
    """The script of a name, with what all begin with."""
    folder = resources.files(__package__) / "lua"
    text = b"\n".join((folder / f"{each}.lua").read_bytes() for each in ("prelude", name))
    return Script(name, text, digest_of(text))


def digest_of(text: bytes) -> bytes:
    """How the server names a script."""
    return sha1(text).hexdigest().encode()  # noqa: S324 - it is no secret
