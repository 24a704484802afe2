"""The file that learnt readings are written to."""

import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryFile

from stepstub.contract_tests.probes.learnt import Learnt
from stepstub.contract_tests.rendering import profile
from stepstub.errors import Mistake, ProfileError
from stepstub.profiles import Accepted, Profile, load_profile


def check(file: Path) -> None:
    """Raise `ProfileError` for a file that could not be written, or that is not a profile."""
    try:
        if file.exists():
            file.open("a").close()
        if _is_replaced(file):
            TemporaryFile(dir=file.resolve().parent).close()
    except OSError as error:
        raise _unwritable(file, error) from error
    _present(file)


def write(file: Path, learnt: Learnt, url: str, accepted: Sequence[Accepted] = ()) -> str:
    """Write what was learnt from the server at `url`, if anything; what became of it as a sentence.

    The causes of failure that the file accepts stay, under those in `accepted`. What was known of
    a server stays, too, where learning ended early. Raises `ProfileError` as `check` does; the file
    is as it was then.
    """
    if not learnt.seen:
        return f"{file} is not written: nothing was learnt."
    present = _present(file)
    if present is not None and learnt.unfinished:
        return f"{file} is left as it was: learning ended early."
    kept = {each.cause: each for each in (*(present.accepted if present else ()), *accepted)}
    try:
        _write(file, profile.render(learnt, url, list(kept.values())))
    except OSError as error:
        raise _unwritable(file, error) from error
    return f"{file} is written: {len(learnt.seen)} of {len(learnt.values)} readings are known."


def _present(file: Path) -> Profile | None:
    """The profile that would be replaced. Raises `ProfileError` for what is none."""
    if not file.is_file() or not file.stat().st_size:
        return None
    return load_profile(file)


def _is_replaced(file: Path) -> bool:
    """Whether the file is one that can be replaced, and not a device or a pipe."""
    return file.is_file() or not file.exists()


def _write(file: Path, text: str) -> None:
    """Write a file whole or not at all."""
    if not _is_replaced(file):
        file.write_text(text, "utf-8")
        return
    file = file.resolve()  # what a link leads to, so that it stays a link
    temporary = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        temporary.write_text(text, "utf-8")
        if file.exists():
            shutil.copymode(file, temporary)
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


def _unwritable(file: Path, error: OSError) -> ProfileError:
    return ProfileError(Mistake(f"cannot be written: {error.strerror}"), file=str(file))
