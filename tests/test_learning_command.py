"""`stepstub verify --learn`: the file, the table, the credentials, and what is refused."""

import json
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from stepstub import LiveServer, profiles
from stepstub.cli import main
from stepstub.contract_tests.results import Exit
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
    assert "  # to see it: send the token in such a header: --credentials api-key" in text
    assert TOKEN not in text
    assert '-H "Authorization: Bearer $TOKEN"' in text


def test_it_prints_a_table_and_runs_the_cases_afterwards(
    server: LiveServer, tmp_path: Path
) -> None:
    result = verify(server.url, "--learn", tmp_path / "learnt.yaml", "--seed", "1")
    assert result.exit_code == Exit.CONFORMS, result.output  # nothing was asked for
    rows = {line.split()[0]: line.split()[1:] for line in result.output.splitlines() if line}
    assert rows["reading"] == ["value", "ours", "seen", "by"]
    assert rows["bad-body"][:2] == ["400", "412"]
    assert rows["type-names"][:2] == ["exact", "the"]
    assert rows["delegate-failure"][0] == "unknown"
    assert "32 of 35 readings seen, in 29 requests, with 10 steps completed" in result.output
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
        (["--learn", "no-profile.yaml"], "no-profile.yaml, line 1: readings: must have names"),
        (["--learn-only"], "--learn says where to write what is learnt"),
        (["--credentials-header", "no header"], "is not a header's name"),
        (["--readings", "defalt"], "There is no profile 'defalt': did you mean default"),
        (["--readings", "nowhere.yaml"], "nowhere.yaml: cannot be read: No such file"),
        (["--reading", "bad-body"], "'bad-body' is not of the form NAME=VALUE"),
        (["--reading", "bad-body=401"], 'bad-body cannot be "401": did you mean 412 or 400?'),
        (["--against", "nowhere.yaml"], "nowhere.yaml: cannot be read: No such file"),
        (["--strict", "--readings", "spring"], "it means --readings default"),
    ],
)
def test_wrong_usage_is_refused_before_anything_is_sent(
    options: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("no-profile.yaml").write_text("readings:", "utf-8")
    result = verify("http://127.0.0.1:9", *options)  # nothing listens there
    assert result.exit_code == Exit.COULD_NOT_RUN
    assert message in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["no-profile.yaml"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], Exit.CONFORMS),
        (["--readings", "mine.yaml"], Exit.CONFORMS),
        (["--readings", "mine.yaml", "--reading", "bad-body=422"], Exit.VIOLATES),
        (["--reading", "bad-body=400", "--reading", "version=2.0"], Exit.CONFORMS),
        (["--reading", "bad-body=412"], Exit.VIOLATES),
        (["--strict"], Exit.VIOLATES),
        (["--readings", "accepting.yaml"], Exit.CONFORMS),
        (["--against", "mine.yaml"], Exit.CONFORMS),
        (["--against", "default"], Exit.DRIFTED),
        (["--against", "default", "--strict"], Exit.VIOLATES),
    ],
    ids=str,
)
def test_the_exit_status_says_whether_the_readings_are_as_asked_for(
    server: LiveServer,
    options: list[str],
    expected: Exit,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(json.dumps({"readings": READINGS}), "utf-8")
    accepted = [
        {"cause": f"reading-{name}", "reason": "known", "until": "2999-12-31"} for name in READINGS
    ]
    text = json.dumps({"readings": {}, "accepted": accepted})
    Path("accepting.yaml").write_text(text, "utf-8")
    # A stub that a job starts takes these; the server that the job verifies may be another one.
    monkeypatch.setenv("STEPSTUB_READINGS", "spring")
    monkeypatch.setenv("STEPSTUB_READING", "bad-body=422")
    result = verify(server.url, "--learn", "learnt.yaml", "--learn-only", *options)
    assert result.exit_code == expected, result.output
    why = {Exit.VIOLATES: "bad-body is 400, not 4", Exit.DRIFTED: "Unlike the earlier profile"}
    assert why.get(expected, "") in result.output


def test_one_file_can_be_asked_for_compared_with_and_written(
    server: LiveServer, tmp_path: Path
) -> None:
    file = tmp_path / "learnt.yaml"
    assert verify(server.url, "--learn", file, "--learn-only").exit_code == Exit.CONFORMS
    baseline = "accepted: [{cause: shape-401-data, reason: known, until: 2999-12-31}]\n"
    file.write_text(file.read_text("utf-8") + baseline, "utf-8")
    options = ("--readings", file, "--against", file, "--learn", file, "--learn-only")
    assert verify(server.url, *options).exit_code == Exit.CONFORMS
    (accepted,) = profiles.load_profile(file).accepted
    assert accepted.cause == "shape-401-data"
    with LiveServer(token=TOKEN) as other:
        assert verify(other.url, *options[2:]).exit_code == Exit.DRIFTED
    assert profiles.load(file) == DEFAULT
    assert profiles.load_profile(file).accepted == (accepted,)


def test_the_token_is_sent_as_the_profile_says(tmp_path: Path) -> None:
    readings = {"credentials": "api-key", "credentials-header": "X-Workflow-Key"}
    file = tmp_path / "mine.yaml"
    file.write_text(json.dumps({"readings": readings}), "utf-8")
    with LiveServer(token=TOKEN, readings=readings) as server:
        learnt = tmp_path / "learnt.yaml"
        options = ("--learn", learnt, "--learn-only", "--readings", file)
        result = verify(server.url, *options)
        assert result.exit_code == Exit.CONFORMS, result.output
        assert profiles.load(learnt).credentials_header == "X-Workflow-Key"
        refused = verify(server.url, *options, "--credentials", "bearer")
        assert refused.exit_code == Exit.COULD_NOT_RUN


def test_no_file_is_left_where_nothing_could_be_learnt(tmp_path: Path) -> None:
    file = tmp_path / "learnt.yaml"
    assert verify("http://127.0.0.1:9", "--learn", file).exit_code == 2
    assert not file.exists()
