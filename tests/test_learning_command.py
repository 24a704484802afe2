"""`stepstub verify --learn`: the file, the table, the credentials, and what is refused."""

from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from stepstub import LiveServer, profiles
from stepstub.cli import main
from stepstub.readings import DEFAULT, with_values

TOKEN = "token-that-nobody-may-read"
READINGS = {"bad-body": 400, "last-step-id": "absent", "version": "2.0"}


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with LiveServer(token=TOKEN, readings=READINGS) as server:
        yield server


def verify(url: str, *options: str | Path) -> Result:
    arguments = ["verify", url, "--token", TOKEN, *map(str, options)]
    return CliRunner().invoke(main, arguments)


def test_it_writes_a_profile_that_serve_takes(server: LiveServer, tmp_path: Path) -> None:
    file = tmp_path / "learnt.yaml"
    result = verify(server.url, "--learn", file, "--learn-only")
    assert result.exit_code == 0, result.output
    assert profiles.load(file) == with_values(DEFAULT, READINGS)
    text = file.read_text("utf-8")
    assert "  # a body without processStepId: 400\n" in text
    assert '  version: "2.0"\n' in text
    assert '  empty-step-id: "unknown"\n' in text  # seen; the others were not
    assert "  # not seen: no request makes a delegate fail\n  delegate-failure: unknown\n" in text
    assert TOKEN not in text
    assert '-H "Authorization: Bearer $TOKEN"' in text


def test_it_prints_a_table_and_runs_the_cases_afterwards(
    server: LiveServer, tmp_path: Path
) -> None:
    result = verify(server.url, "--learn", tmp_path / "learnt.yaml", "--seed", "1")
    assert result.exit_code == 1  # the stub does not conform to our readings
    rows = {line.split()[0]: line.split()[1:] for line in result.output.splitlines() if line}
    assert rows["reading"] == ["value", "ours", "seen", "by"]
    assert rows["bad-body"][:2] == ["400", "412"]
    assert rows["type-names"][:2] == ["exact", "the"]
    assert rows["delegate-failure"][0] == "unknown"
    assert "32 of 35 readings seen, in 28 requests, with 9 steps completed" in result.output
    assert "second-completion" in result.output or "a second completion" in result.output


@pytest.mark.parametrize("form", ["basic", "api-key"])
def test_other_credentials_are_sent_and_not_revealed(form: str, tmp_path: Path) -> None:
    readings = {"credentials": form, "credentials-header": "X-Workflow-Key"}
    file = tmp_path / "learnt.yaml"
    options = ("--credentials", form, "--credentials-header", "X-Workflow-Key")
    with LiveServer(token=TOKEN, readings=readings) as server:
        result = verify(server.url, "--learn", file, "--learn-only", *options)
    assert result.exit_code == 0, result.output
    loaded = profiles.load(file)
    assert loaded.credentials == form
    text = file.read_text("utf-8")
    assert TOKEN not in text
    assert b64encode(f"stepstub:{TOKEN}".encode()).decode() not in text
    if form == "api-key":
        assert loaded.credentials_header == "X-Workflow-Key"
        assert '-H "X-Workflow-Key: $TOKEN"' in text


def test_steps_in_other_states_can_be_given(server: LiveServer, tmp_path: Path) -> None:
    file = tmp_path / "learnt.yaml"
    with server.sandbox() as sandbox:
        started = [sandbox.start_process([{}, {}]).steps for _ in range(15)]
        own = sandbox.start_process([{}, {"params": {"own": {"longValue": 1}}}]).steps[0].id
        last = sandbox.start_process([{}]).steps[0].id
        failed = sandbox.start_process([{"status": "FAILED"}]).steps[0].id
        expired = sandbox.start_process([{"timeOutInSeconds": 0.0001}]).steps[0].id
        given = {
            "--pending-step": started[0][1].id,
            "--failed-step": failed,
            "--expired-step": expired,
            "--last-step": last,
            "--step-before-params": own,
        }
        options = [part for option in given.items() for part in option]
        options += [part for steps in started for part in ("--started-step", steps[0].id)]
        # These go before any that the control API of a stub provides.
        arguments = ["verify", server.url, "--token", sandbox.token, "--learn", str(file)]
        result = CliRunner().invoke(main, [*arguments, "--learn-only", *options])
        assert result.exit_code == 0, result.output
    text = file.read_text("utf-8")
    for step_id in given.values():
        assert f'{{"processStepId": "{step_id}", ' in text
    for name in ("pending-step", "failed-step", "time-out", "last-step-params", "returned-params"):
        assert f"\n  {name}: unknown\n" not in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--learn", "/proc/nowhere/learnt.yaml"], "cannot be written: No such file or directory"),
        (["--learn-only"], "--learn says where to write what is learnt"),
        (["--credentials-header", "no header"], "is not a header's name"),
    ],
)
def test_wrong_usage_is_refused_before_anything_is_sent(options: list[str], message: str) -> None:
    result = verify("http://127.0.0.1:9", *options)  # nothing listens there
    assert result.exit_code != 0
    assert message in result.output


def test_no_file_is_left_where_nothing_could_be_learnt(tmp_path: Path) -> None:
    file = tmp_path / "learnt.yaml"
    assert verify("http://127.0.0.1:9", "--learn", file).exit_code == 2
    assert not file.exists()
