"""The file of what was learnt: whole or untouched, with the baseline of the one it replaces."""

import os
import resource
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from stepstub import profiles
from stepstub.contract_tests.probes.learnt import Evidence, Learnt
from stepstub.contract_tests.rendering import profile, profile_file
from stepstub.errors import ProfileError
from stepstub.profiles import Accepted
from stepstub.readings import Value, questions

URL = "https://workflow.example/v2"
KNOWN = Accepted("shape-401-data", "Ärger: known bug #123", date(2027, 3, 31))
AGREED = Accepted("reading-bad-body", "as agreed", date(2020, 1, 1))

REMEDY = f"give --pending-step ID {30 * 'and-more '}".rstrip()


def learnt(unfinished: str = "", **seen: Value) -> Learnt:
    values: Mapping[str, Value | None] = {
        name: seen.get(name.replace("-", "_")) for name in questions()
    }
    unseen = Evidence(why="no --step was given", remedy=REMEDY)
    evidence = {
        name: unseen if value is None else Evidence("a probe", 400, "{}", "curl -i")
        for name, value in values.items()
    }
    return Learnt(values, evidence, steps=9, requests=28, unfinished=unfinished)


SEEN = learnt(bad_body=400, version="unknown")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "learnt.yaml"


def test_what_is_learnt_comes_back(file: Path) -> None:
    told = profile_file.write(file, SEEN, URL, [KNOWN])
    assert told == f"{file} is written: 2 of {len(questions())} readings are known."
    read = profiles.load_profile(file)
    assert (read.readings.bad_body, read.readings.version) == (400, "unknown")
    assert read.unknown == questions().keys() - SEEN.seen.keys()
    assert read.accepted == (KNOWN,)
    assert read.description == f"Learnt from {URL}"
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_an_unknown_value_has_the_reason_and_the_remedy_above_it() -> None:
    above, _, _ = profile.render(SEEN, URL).partition("  failed-step: unknown\n")
    _, _, comments = above.partition("  pending-step: unknown\n")
    assert "  # not seen: no --step was given\n  # to see it: give --pending-step ID and" in above
    words = " ".join(line.removeprefix("  # ") for line in comments.splitlines())
    assert words == f"not seen: no --step was given to see it: {REMEDY}"
    assert all(len(line) <= 104 for line in above.splitlines())


def test_the_baseline_of_the_file_and_of_what_was_asked_for_is_kept(file: Path) -> None:
    profile_file.write(file, SEEN, URL, [KNOWN, AGREED])
    profile_file.write(file, learnt(bad_body=422), URL)
    assert profiles.load_profile(file).accepted == (KNOWN, AGREED)
    later = replace(KNOWN, until=date(2028, 1, 1))
    profile_file.write(file, SEEN, URL, [later])
    assert profiles.load_profile(file).accepted == (later, AGREED)


def test_nothing_is_written_if_nothing_was_learnt(file: Path) -> None:
    assert profile_file.write(file, learnt(), URL) == (
        f"{file} is not written: nothing was learnt."
    )
    assert not file.exists()


def test_learning_that_ended_early_replaces_nothing(file: Path) -> None:
    some = learnt("the server is gone", bad_body=400)
    profile_file.write(file, some, URL)
    assert "# Learning ended early: the server is gone\n" in file.read_text("utf-8")
    profile_file.write(file, SEEN, URL)
    whole = file.read_bytes()
    told = profile_file.write(file, some, URL)
    assert told == f"{file} is left as it was: learning ended early."
    assert file.read_bytes() == whole


@pytest.mark.parametrize("text", ["processes: []", "readings: {bad-bodies: 1}", "no: [yaml"])
def test_what_is_no_profile_is_not_replaced(file: Path, text: str) -> None:
    file.write_text(text, "utf-8")
    for attempt in (
        lambda: profile_file.check(file),
        lambda: profile_file.write(file, SEEN, URL),
    ):
        with pytest.raises(ProfileError, match="line 1"):
            attempt()
    assert file.read_text("utf-8") == text


def test_an_empty_file_is_written_to(file: Path) -> None:
    file.touch()
    profile_file.check(file)
    profile_file.write(file, SEEN, URL)
    assert profiles.load(file).bad_body == 400


def test_a_file_that_cannot_be_written_is_told_and_left(file: Path, tmp_path: Path) -> None:
    for place, why in (
        (tmp_path / "nowhere" / "learnt.yaml", "No such file or directory"),
        (tmp_path, "Is a directory"),
    ):
        with pytest.raises(ProfileError, match=f"{place}: cannot be written: {why}"):
            profile_file.check(place)
    with pytest.raises(ProfileError, match="cannot be written: No such file or directory"):
        profile_file.write(tmp_path / "nowhere" / "learnt.yaml", SEEN, URL)


def test_a_check_leaves_nothing_behind(file: Path) -> None:
    profile_file.check(file)
    assert list(file.parent.iterdir()) == []


def test_a_disk_that_fills_up_leaves_the_file_and_nothing_else(file: Path) -> None:
    profile_file.write(file, SEEN, URL)
    before = file.read_bytes()
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, most))  # bytes
    try:
        with pytest.raises(ProfileError, match="cannot be written: File too large"):
            profile_file.write(file, learnt(bad_body=422), URL)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_link_and_the_mode_of_a_file_stay(file: Path) -> None:
    target = file.parent / "profiles" / "server.yaml"
    target.parent.mkdir()
    profile_file.write(target, SEEN, URL)
    target.chmod(0o640)
    file.symlink_to(target)
    profile_file.write(file, learnt(bad_body=422), URL)
    assert file.is_symlink()
    assert profiles.load(target).bad_body == 422
    assert target.stat().st_mode & 0o777 == 0o640


def test_a_pipe_is_written_to_and_not_replaced(file: Path) -> None:
    os.mkfifo(file)
    reader = os.open(file, os.O_RDONLY | os.O_NONBLOCK)
    try:
        profile_file.check(file)
        profile_file.write(file, SEEN, URL)
        text = os.read(reader, 1024 * 1024).decode()
    finally:
        os.close(reader)
    assert profiles.parse(text, "pipe").readings.bad_body == 400
    assert file.is_fifo()
