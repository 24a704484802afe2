"""The classes a test holds: how each comes to be, and what a wrong use of it says."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import stepstub
from stepstub.client import NotEntered
from stepstub.model import Status

LOAN = """
description: A loan.
processes:
  - id: loan-1
    steps:
      - {id: loan-1-apply, status: COMPLETED, params: {a: {longValue: 9007199254740993}, b: {strValue: null}}}
      - {id: loan-1-decide, status: STARTED, timeOutInSeconds: 1.5}
      - {id: loan-1-pay, delegate: failing, params: {c: {doubleValue: 0.5, type: DOUBLE}}}
      - {delegate: {http: "http://app.test/x"}}
      - {delegate: python}
  - id: loan-2
    steps: [{}, {}]
"""  # noqa: E501


@pytest.fixture
def loan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A scenario file, and its directory to work in."""
    (tmp_path / "loan.yaml").write_text(LOAN)
    (tmp_path / "loan").write_text(LOAN)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "loan.yaml"


@pytest.fixture
def sandbox(either: stepstub.Sandbox) -> stepstub.Sandbox:
    return either


@pytest.fixture
def server() -> Iterator[stepstub.LiveServer]:
    with stepstub.LiveServer("two-steps") as running:
        yield running


def ids(sandbox: stepstub.Sandbox) -> list[str]:
    return [process.id for process in sandbox.processes()]


def plain(process: stepstub.ProcessView) -> list[Any]:
    """What a scenario file says of the steps."""
    return [
        (step.id, step.status, step.delegate, step.params, step.time_out_in_seconds)
        for step in process.steps
    ]


PATHS = ["loan.yaml", "./loan.yaml", "./loan", Path("loan.yaml"), Path("loan")]


@pytest.mark.parametrize("path", PATHS, ids=repr)
def test_a_process_is_started_from_a_file(
    sandbox: stepstub.Sandbox, loan: Path, path: str | Path
) -> None:
    process = sandbox.start_process(path)
    assert process.id == "loan-1"
    assert ids(sandbox) == ["loan-1", "loan-2"]
    with stepstub.InProcess(loan) as whole:
        assert [plain(each) for each in sandbox.processes()] == [
            plain(each) for each in whole.processes()
        ]
    assert [step.status for step in process.steps[:3]] == ["COMPLETED", "STARTED", "PENDING"]
    assert process.steps[0].params["a"].long_value == 9007199254740993


def test_the_same_file_again_gets_free_ids(sandbox: stepstub.Sandbox, loan: Path) -> None:
    first = [sandbox.start_process(loan).id for _ in range(2)]
    assert first[0] != first[1]
    assert len(ids(sandbox)) == 4


@pytest.mark.parametrize("path", ["loan.yaml", Path("loan.yaml")], ids=repr)
def test_a_file_is_taken_wherever_a_name_is(
    server: stepstub.LiveServer, loan: Path, path: str | Path
) -> None:
    both = ["loan-1", "loan-2"]
    with stepstub.InProcess("two-steps", path) as sandbox:
        assert ids(sandbox) == ["order-1", *both]
        sandbox.start_process("last-step")
        sandbox.reset()
        assert ids(sandbox) == ["order-1", *both]
        sandbox.reset(path)
        assert ids(sandbox) == both
    with stepstub.LiveServer("two-steps", path) as live:
        assert ids(live.default_sandbox()) == ["order-1", *both]
    with server.sandbox(path) as sandbox:
        assert ids(sandbox) == both
        sandbox.start_process("last-step")
        sandbox.reset()
        assert ids(sandbox) == both
    with stepstub.Sandbox.create(server.url, server.token, scenario=path) as sandbox:
        assert ids(sandbox) == both


def test_a_file_is_checked_where_it_is(sandbox: stepstub.Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text("processes:\n  - id: x\n    steps: [{status: DONE}]\n")
    with pytest.raises(stepstub.ScenarioError, match=r"wrong.yaml, line 3: .*status"):
        sandbox.start_process(path)
    with pytest.raises(stepstub.ScenarioError, match="cannot be read"):
        sandbox.reset("./no-such.yaml")
    with pytest.raises(stepstub.ControlFailed, match="did you mean two-steps"):
        sandbox.start_process("two-step")


def test_a_sandbox_that_has_not_been_made_says_so(server: stepstub.LiveServer) -> None:
    uses: list[Callable[[Any], object]] = [
        lambda made: made.processes(),
        lambda made: made.start_process("two-steps"),
        lambda made: made.token,
        lambda made: made.clock.freeze(),
    ]
    for use in uses:
        for unmade in (server.sandbox(), stepstub.Sandbox.create(server.url, server.token)):
            with pytest.raises(NotEntered, match="Use it in a with statement"):
                use(unmade)
    assert ids(server.default_sandbox()) == ["order-1"]


def test_one_that_has_a_token_can_be_used_at_once(server: stepstub.LiveServer) -> None:
    with server.sandbox("last-step") as sandbox:
        same = stepstub.Sandbox(server.url, sandbox.token)
        assert ids(same) == ids(sandbox) == ["invoice-1"]
    assert ids(stepstub.Sandbox(server.url, server.token)) == ["order-1"]


def test_a_server_that_does_not_run_says_so() -> None:
    server = stepstub.LiveServer()
    for use in (server.sandbox, server.default_sandbox):
        with pytest.raises(NotEntered, match="Use it in a with statement"):
            use()
    with server:
        pass
    with pytest.raises(NotEntered):
        server.default_sandbox()


def test_what_they_look_like(server: stepstub.LiveServer) -> None:
    assert repr(server) == f"<LiveServer at {server.url}>"
    assert repr(stepstub.LiveServer()) == "<LiveServer, not started>"
    assert repr(stepstub.Sandbox("http://a.test/", "stub-token")) == (
        "<Sandbox at http://a.test, token stub-...>"
    )
    with server.sandbox() as sandbox, stepstub.InProcess() as in_process:
        for each in (sandbox, in_process):
            assert each.url in repr(each)
            assert each.token.removeprefix("sandbox-")[:8] + "..." in repr(each)
            assert each.token.removeprefix("sandbox-") not in repr(each)


def test_the_status_of_a_process_that_a_file_starts_is_its_own(
    sandbox: stepstub.Sandbox, loan: Path
) -> None:
    sandbox.start_process(loan)
    assert sandbox.step("loan-1-decide").status is Status.STARTED
    sandbox.clock.advance(2)
    assert sandbox.step("loan-1-decide").status is Status.FAILED
