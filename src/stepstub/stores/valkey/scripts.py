"""The scripts that are run in the server, each named by its digest."""

from functools import cache
from hashlib import sha1
from importlib import resources

from msgspec import Struct

# A script that says what it does is refused before it begins where the server has no memory left,
# takes no writes, or both; and not in the middle, with half of them done.
_READS = b" flags=no-writes"
_FREES = b" flags=allow-oom"
_FLAGS = {
    **dict.fromkeys(("calls", "entries", "in_use", "processes", "read_faults"), _READS),
    **dict.fromkeys(("clear_journal", "remove", "retire"), _FREES),
}


class Script(Struct, frozen=True):
    """A script, and the digest by which the server knows it."""

    name: str
    text: bytes
    digest: bytes


@cache
def script(name: str) -> Script:
    """The script of a name, with what all begin with."""
    folder = resources.files(__package__) / "lua"
    flags = _FLAGS.get(name, b"")
    parts = [(folder / f"{each}.lua").read_bytes() for each in ("prelude", name)]
    text = b"\n".join([b"#!lua" + flags, *parts])
    return Script(name, text, digest_of(text))


def digest_of(text: bytes) -> bytes:
    """How the server names a script."""
    return sha1(text).hexdigest().encode()  # noqa: S324 - it is no secret
