"""What `stepstub verify` reports about the stub, about other servers and about none."""

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import uvicorn
from click.testing import CliRunner
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from mutants import MUTANTS, Change, Next, Request, Response, every, mutated
from mutants import out as out_of
from stepstub import contract, scenario
from stepstub.cli import main
from stepstub.contract_tests.asked import Asked, asked_for
from stepstub.contract_tests.cases import ALL_CASES
from stepstub.contract_tests.cases.undocumented import Undocumented
from stepstub.contract_tests.examination import Examiner
from stepstub.contract_tests.expectations import Expectations
from stepstub.contract_tests.findings import CouldNotRun
from stepstub.contract_tests.results import Exit, Outcome
from stepstub.contract_tests.run import Run
from stepstub.contract_tests.server import Server
from stepstub.contract_tests.stub import RemoteStub
from stepstub.model import Process
from stepstub.serving.server import listen, serve_in_thread, url_of
from stepstub.stub import Stub
from stepstub.verify import verify
from support import PATH, live_app

TOKEN = "token-that-nobody-may-read"
CONTROL_TOKEN = f"{TOKEN}-nor-the-other"
FEW = {"seed": 1, "examples": 6}


@dataclass(frozen=True)
class ServedStub:
    """A stub and the URL of its control API."""

    app: Stub
    url: str

    def process(self, length: int) -> list[str]:
        """Start a process; returns the ids of its steps, of which the first is STARTED."""
        return RemoteStub(self.url, TOKEN).start_process([{}] * length)


@pytest.fixture(scope="module")
def stub() -> Iterator[ServedStub]:
    app = live_app(token=TOKEN)
    with serve_in_thread(app) as url:
        yield ServedStub(app, url)


class Foreign:
    """A server that is no stub of ours: it has the documented operation and no control API."""

    def __init__(self, stub: ServedStub, change: Change | None = None) -> None:
        self._app: ASGIApp = mutated(stub.app, change, TOKEN) if change else stub.app
        self.process = stub.process
        self.asked: set[tuple[str, str]] = set()
        self.sent: set[bytes] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self.asked.add((scope["method"], scope["path"]))
            self.sent |= {value for _, value in scope["headers"]}
        if scope.get("path", PATH).startswith(PATH):
            await self._app(scope, receive, send)
        else:
            await PlainTextResponse("nothing here", 404)(scope, receive, send)


@contextmanager
def served(app: Foreign) -> Iterator[str]:
    """A live server that does not say what it is."""
    listener = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, ws="none", server_header=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield url_of(listener)
    finally:
        server.should_exit = True
        thread.join()


def outcome(report_dir: Path) -> dict[str, str]:
    situations = json.loads((report_dir / "report.json").read_text("utf-8"))["situations"]
    return {each["name"]: each["outcome"] for each in situations}


def causes(report_dir: Path) -> dict[str, str]:
    """The severity of each cause by its key."""
    found = json.loads((report_dir / "report.json").read_text("utf-8"))["causes"]
    return {each["key"]: each["severity"] for each in found}


def change(name: str) -> Change:
    (mutant,) = [mutant for mutant in MUTANTS if mutant.name == name]
    return mutant.change()


def test_the_stub_conforms_and_covers_every_status(stub: ServedStub, tmp_path: Path) -> None:
    out = StringIO()
    code = verify(
        stub.url,
        TOKEN,
        require="200,401,412,500",
        report_dir=tmp_path,
        out=out,
        **FEW,
    )
    assert code is Exit.CONFORMS, out.getvalue()
    assert set(outcome(tmp_path).values()) == {"covered"}


def test_different_seeds_agree(stub: ServedStub, tmp_path: Path) -> None:
    for seed in (2, 3):
        verify(
            stub.url,
            TOKEN,
            seed=seed,
            examples=25,
            report_dir=tmp_path / str(seed),
            out=StringIO(),
        )
    assert outcome(tmp_path / "2") == outcome(tmp_path / "3")


def test_a_stub_behind_a_url_is_recognised(stub: ServedStub, tmp_path: Path) -> None:
    code = verify(stub.url, TOKEN, require="500", report_dir=tmp_path, out=StringIO(), **FEW)
    assert code is Exit.CONFORMS
    assert outcome(tmp_path)["pending-step"] == "covered"


@pytest.fixture
def guarded() -> Iterator[tuple[str, list[str]]]:
    """A stub whose control API asks for a token, and the steps of a process on it."""
    guarded = live_app(token=TOKEN, control_token=CONTROL_TOKEN)
    with serve_in_thread(guarded) as url:
        yield url, RemoteStub(url, TOKEN, CONTROL_TOKEN).start_process([{}] * 30)


def test_a_stub_is_driven_with_its_control_token(
    guarded: tuple[str, list[str]], tmp_path: Path
) -> None:
    url, _ = guarded
    out = StringIO()
    code = verify(
        url,
        TOKEN,
        control_token=CONTROL_TOKEN,
        require="500",
        report_dir=tmp_path,
        out=out,
        **FEW,
    )
    assert code is Exit.CONFORMS, out.getvalue()
    assert set(outcome(tmp_path).values()) == {"covered"}


def test_a_wrong_control_token_ends_the_run_with_the_remedy(
    guarded: tuple[str, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    url, steps = guarded
    assert verify(url, TOKEN, control_token="of-another-stub", started_steps=steps) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        f"could not run: the control API of {url} refuses the control token;"
        " give the one that the stub was started with as --control-token\n"
    )


def test_without_the_control_token_the_run_continues_and_says_what_is_missing(
    guarded: tuple[str, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url, steps = guarded
    asks = "the control API requires a token (--control-token)"

    code = verify(url, TOKEN, out=StringIO(), **FEW)
    assert code is Exit.COULD_NOT_RUN
    assert f"or a --seed-command; {asks}\n" in capsys.readouterr().err

    out = StringIO()
    code = verify(url, TOKEN, started_steps=steps[:1], report_dir=tmp_path, out=out, **FEW)
    assert code is Exit.CONFORMS, out.getvalue()
    assert outcome(tmp_path)["second-completion"] == "covered"
    lacking = [line for line in out.getvalue().splitlines() if line.startswith("not covered")]
    assert "does not reveal the id of a PENDING step (--pending-step ID, or" in out.getvalue()
    assert all(line.endswith(asks) for line in lacking)


def test_nobody_else_is_sent_the_control_token(stub: ServedStub) -> None:
    server = Foreign(stub)
    with served(server) as url:
        verify(
            url,
            TOKEN,
            control_token=CONTROL_TOKEN,
            started_steps=server.process(60)[:1],
            out=StringIO(),
            **FEW,
        )
    assert f"Bearer {TOKEN}".encode() in server.sent
    assert CONTROL_TOKEN.encode() not in server.sent


def test_a_netrc_does_not_change_what_the_control_api_is_sent(
    stub: ServedStub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n", "utf-8")
    monkeypatch.setenv("NETRC", str(netrc))
    assert verify(stub.url, TOKEN, require="500", out=StringIO(), **FEW) is Exit.CONFORMS


@pytest.mark.parametrize(
    ("options", "environment", "message"),
    [
        ([], "of-another-stub", "refuses the control token"),
        ([], CONTROL_TOKEN, "the seed command ended"),
        (["--control-token", CONTROL_TOKEN], "of-another-stub", "the seed command ended"),
        (["--control-token", "two words"], CONTROL_TOKEN, "visible ASCII"),
    ],
)
def test_the_command_takes_the_control_token_as_serve_does(
    guarded: tuple[str, list[str]], options: list[str], environment: str, message: str
) -> None:
    result = CliRunner().invoke(
        main,
        ["verify", guarded[0], "--token", TOKEN, "--seed-command", "exit 3", *options],
        env={"STEPSTUB_CONTROL_TOKEN": environment},
    )
    assert result.exit_code == Exit.COULD_NOT_RUN
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_another_server_gets_the_operation_and_requests_that_match_none(
    stub: ServedStub, tmp_path: Path
) -> None:
    server = Foreign(stub)
    started = [server.process(4)[0] for _ in range(10)]
    out = StringIO()
    with served(server) as url:
        code = verify(
            url, TOKEN, started_steps=started, report_dir=tmp_path, out=out, require="200", **FEW
        )
    assert code is Exit.CONFORMS, out.getvalue()
    elsewhere = {asked for asked in server.asked if asked[1] != PATH}
    assert server.asked - elsewhere == {("POST", PATH), ("GET", PATH)}
    assert {method for method, _ in elsewhere} == {"POST"}
    assert all(path.startswith((f"{PATH}/conformance-", f"{PATH}/probe")) for _, path in elsewhere)
    outcomes = outcome(tmp_path)
    assert outcomes["delegate-fails"] == "not covered"
    assert outcomes["last-step"] == "covered"
    assert outcomes["large-body"] == "covered"
    assert "does not reveal the id of a PENDING step" in out.getvalue()
    assert "does not say what a delegate calls" in out.getvalue()


def test_one_started_step_is_enough_to_begin_with(stub: ServedStub, tmp_path: Path) -> None:
    server = Foreign(stub)
    with served(server) as url:
        code = verify(
            url,
            TOKEN,
            started_steps=server.process(1),
            report_dir=tmp_path,
            out=StringIO(),
            require="401,412",
            **FEW,
        )
    assert code is Exit.CONFORMS
    assert outcome(tmp_path)["generated-bad-bodies"] == "covered"
    assert outcome(tmp_path)["second-completion"] == "covered"
    assert outcome(tmp_path)["race"] == "not covered"


def test_a_required_status_that_was_not_covered_fails(stub: ServedStub) -> None:
    server = Foreign(stub)
    out = StringIO()
    with served(server) as url:
        code = verify(
            url, TOKEN, started_steps=server.process(60)[:1], require="200,500", out=out, **FEW
        )
    assert code is Exit.VIOLATES
    assert "required but not covered: 500" in out.getvalue()


def test_a_seed_command_provides_more_steps_when_they_run_out(
    stub: ServedStub, tmp_path: Path
) -> None:
    server = Foreign(stub)
    ids = tmp_path / "ids"
    ids.write_text("\n".join(server.process(2)[0] for _ in range(60)), "utf-8")
    take = f"head -n 1 {ids}; sed -i 1d {ids}"
    with served(server) as url:
        code = verify(
            url, TOKEN, seed_command=take, report_dir=tmp_path, out=StringIO(), require="200", **FEW
        )
    assert code is Exit.CONFORMS
    assert outcome(tmp_path)["generated-completions"] == "covered"
    assert outcome(tmp_path)["race"] == "covered"


def test_a_deviation_is_told_apart_from_a_violation(stub: ServedStub, tmp_path: Path) -> None:
    server = Foreign(stub, change("404 for an unknown step"))
    codes = []
    with served(server) as url:
        for asked in (Asked(), asked_for("default", {})):
            codes.append(
                verify(
                    url,
                    TOKEN,
                    started_steps=server.process(60)[:1],
                    asked=asked,
                    report_dir=tmp_path / str(len(codes)),
                    out=StringIO(),
                    **FEW,
                )
            )
    assert codes == [Exit.CONFORMS, Exit.VIOLATES]
    assert not causes(tmp_path / "0")
    assert causes(tmp_path / "1") == {"reading-unknown-step": "deviation"}
    assert outcome(tmp_path / "1")["unknown-step"] == "covered"


def test_a_server_conforms_to_what_was_learnt_from_it(stub: ServedStub, tmp_path: Path) -> None:
    server, profile = Foreign(stub, change("NaN accepted")), tmp_path / "learnt.yaml"
    codes = []
    with served(server) as url:
        for asked in (Asked, lambda: asked_for(str(profile), {})):
            started = [server.process(4)[0] for _ in range(25)]
            options = {"learn": profile, "report_dir": tmp_path, "out": StringIO(), **FEW}
            codes.append(verify(url, TOKEN, started_steps=started, asked=asked(), **options))
    assert codes == [Exit.CONFORMS, Exit.CONFORMS]
    assert causes(tmp_path) == {"unchecked-json": "note"}


def test_a_request_that_matches_no_operation_cannot_violate_the_document(
    stub: ServedStub, tmp_path: Path
) -> None:
    async def plain(request: Request, ask: Next) -> Response:
        response = await ask(request)
        if response.status in (404, 405, 413, 415):
            return Response(403, b"no", b"text/plain")
        return response

    server = Foreign(stub, plain)
    out = StringIO()
    with served(server) as url:
        code = verify(
            url, TOKEN, started_steps=server.process(60)[:1], report_dir=tmp_path, out=out, **FEW
        )
    assert code is Exit.CONFORMS, out.getvalue()
    assert not causes(tmp_path)


def test_a_token_that_is_a_common_word_is_not_a_leak_in_a_sentence() -> None:
    out = StringIO()
    app = live_app(token="token")
    with serve_in_thread(app) as url:
        assert verify(url, "token", out=out, **FEW) is Exit.CONFORMS, out.getvalue()


def test_a_server_that_accepts_a_large_body_has_a_higher_limit(tmp_path: Path) -> None:
    roomy = live_app(token=TOKEN, max_body_bytes=2**21)
    out = StringIO()
    with serve_in_thread(roomy) as url:
        code = verify(url, TOKEN, report_dir=tmp_path, out=out, **FEW)
    assert code is Exit.CONFORMS
    assert outcome(tmp_path)["large-body"] == "not covered"
    assert "it has a higher limit" in out.getvalue()


@pytest.mark.parametrize(
    ("url", "is_local"),
    [
        ("http://127.0.0.1:8080", True),
        ("http://localhost:8080/base", True),
        ("http://[::1]:8080", True),
        ("http://localhost.example:8080", False),
        ("http://192.0.2.127:8080", False),
    ],
)
def test_a_loopback_address_is_told_from_others(url: str, is_local: bool) -> None:
    assert Server(url, TOKEN, Examiner(Expectations())).is_local is is_local


@pytest.mark.parametrize(
    ("is_local", "delegate", "why"),
    [
        (False, None, "the stub is on another machine, and its delegate cannot call us"),
        (True, "failing", "the stub's delegate did not call us"),
    ],
)
def test_a_stub_whose_delegate_cannot_call_us_is_not_blamed(
    stub: ServedStub,
    is_local: bool,
    delegate: str | None,
    why: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start_process = RemoteStub.start_process

    def with_delegate(self: RemoteStub, steps: Sequence[dict[str, Any]]) -> list[str]:
        first, *others = steps
        others = [{**step, "delegate": delegate or "recorded"} for step in others]
        return start_process(self, [first, *others])

    monkeypatch.setattr(RemoteStub, "start_process", with_delegate)
    monkeypatch.setattr(Server, "is_local", is_local)
    monkeypatch.setattr("stepstub.contract_tests.cases.sequences.DELEGATE_CALL_TIMEOUT", 0.05)
    (case,) = (case for case in ALL_CASES if case.name == "inside-the-call")
    with Run(stub.url, TOKEN) as run:
        run.open()
        run.learn()
        result = run.execute(case)
    assert run.report.outcome(result) is Outcome.NOT_COVERED
    assert result.why == why


@pytest.mark.parametrize(
    ("mutant", "cause", "status", "message"),
    [
        ("NaN accepted", "unchecked-json", 200, "Success"),
        ("405 without Allow", "allow", 405, "takes POST only"),
        ("413 without a timestamp", "undocumented-forms", 413, "is larger"),
    ],
)
def test_the_curl_line_of_a_cause_repeats_it(
    stub: ServedStub, mutant: str, cause: str, status: int, message: str, tmp_path: Path
) -> None:
    server = Foreign(stub, change(mutant))
    with served(server) as url:
        started = server.process(60)[:1]
        verify(url, TOKEN, started_steps=started, report_dir=tmp_path, out=StringIO(), **FEW)
        found = json.loads((tmp_path / "report.json").read_text("utf-8"))["causes"]
        (line,) = (each["findings"][0]["curl"] for each in found if each["key"] == cause)
        fresh = server.process(2)[0]
        done = subprocess.run(
            ["bash", "-c", line],
            env={"TOKEN": TOKEN, "STEP": fresh, "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
    assert f"HTTP/1.1 {status} " in done.stdout
    assert message in done.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"token": "another"}, "refuses the token with 401"),
        ({}, "no started step: give one with --started-step, or a --seed-command"),
        ({"seed_command": "echo no database >&2; exit 3"}, "ended with status 3: no database"),
        ({"require": "200,404"}, "--require: 404 is no documented status (200, 401, 412, 500)"),
    ],
)
def test_a_run_that_is_impossible_says_so_in_one_line(
    stub: ServedStub, options: dict[str, Any], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with served(Foreign(stub)) as url:
        code = verify(url, **{"token": TOKEN, "out": StringIO(), **FEW, **options})
    said = capsys.readouterr().err
    assert code is Exit.COULD_NOT_RUN
    assert said.startswith("could not run: ")
    assert message in said
    assert said.count("\n") == 1


def test_a_server_that_completes_nothing_could_not_be_checked(
    stub: ServedStub, tmp_path: Path
) -> None:
    with served(Foreign(stub)) as url:
        started = ["unheard-of"]
        code = verify(url, TOKEN, started_steps=started, report_dir=tmp_path, out=StringIO(), **FEW)
    report = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert code is Exit.COULD_NOT_RUN
    assert report["unfinished"].startswith("no step could be completed")
    assert outcome(tmp_path)["no-token"] == "covered"


class Interrupted:
    """A clock that a user interrupts after some looks at it."""

    def __init__(self, after: int) -> None:
        self._left = after

    def __call__(self) -> float:
        self._left -= 1
        if self._left < 0:
            raise KeyboardInterrupt
        return 0.0


@pytest.mark.parametrize(("looks", "learnt"), [(4, False), (60, True)])
def test_an_interrupted_run_reports_what_it_has_found(
    stub: ServedStub, tmp_path: Path, looks: int, learnt: bool
) -> None:
    options = {"report_dir": tmp_path, "clock": Interrupted(looks), **FEW}
    assert verify(stub.url, TOKEN, out=StringIO(), **options) is Exit.COULD_NOT_RUN
    report = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert report["unfinished"] == "the run was interrupted"
    assert bool(report["situations"]) is learnt


def test_an_unreachable_server_is_no_violation(capsys: pytest.CaptureFixture[str]) -> None:
    with serve_in_thread(live_app()) as url:
        pass
    assert verify(url, TOKEN, started_steps=["a"]) is Exit.COULD_NOT_RUN
    assert f"cannot reach {url}: no response (" in capsys.readouterr().err


def test_the_token_is_in_no_report_even_if_the_server_repeats_it(
    stub: ServedStub, tmp_path: Path
) -> None:
    leak = every(lambda response: response.changed(data=f"{TOKEN} is wrong", message=TOKEN))
    server = Foreign(stub, leak())
    out = StringIO()
    with served(server) as url:
        code = verify(
            url, TOKEN, started_steps=server.process(60)[:1], report_dir=tmp_path, out=out, **FEW
        )
    assert code is Exit.VIOLATES
    texts = [out.getvalue(), *(path.read_text("utf-8") for path in tmp_path.iterdir())]
    assert len(texts) == 4
    assert not any(TOKEN in text for text in texts)
    assert all("$TOKEN" in text for text in texts)


def test_the_control_token_is_in_no_report_either(tmp_path: Path) -> None:
    guarded = live_app(token=TOKEN, control_token=CONTROL_TOKEN)
    leak = every(lambda response: response.changed(data=f"{CONTROL_TOKEN}, {TOKEN}", message="no"))
    out = StringIO()
    with serve_in_thread(mutated(guarded, leak(), TOKEN)) as url:  # type: ignore[arg-type]
        code = verify(url, TOKEN, control_token=CONTROL_TOKEN, report_dir=tmp_path, out=out, **FEW)
        seed = f"echo {CONTROL_TOKEN} >&2; exit 3"
        with (
            Run(url, TOKEN, control_token=CONTROL_TOKEN, seed_command=seed) as run,
            pytest.raises(CouldNotRun, match=r": \$CONTROL_TOKEN$"),
        ):
            run.open()
    assert code is Exit.VIOLATES
    texts = [out.getvalue(), *(path.read_text("utf-8") for path in tmp_path.iterdir())]
    assert len(texts) == 4
    assert not any(TOKEN in text or "nor-the-other" in text for text in texts)
    assert all("$CONTROL_TOKEN, $TOKEN" in text for text in texts)


def test_the_three_reports_agree(stub: ServedStub, tmp_path: Path) -> None:
    server = Foreign(stub, change("403 for a wrong token"))
    with served(server) as url:
        verify(
            url,
            TOKEN,
            started_steps=server.process(60)[:1],
            report_dir=tmp_path,
            out=StringIO(),
            require="500",
            **FEW,
        )
    report = json.loads((tmp_path / "report.json").read_text("utf-8"))
    suite = ET.parse(tmp_path / "junit.xml").getroot()[0]
    page = (tmp_path / "report.html").read_text("utf-8")

    assert report["exit"] == 1
    outcomes = [each["outcome"] for each in report["situations"]]
    assert suite.get("skipped") == str(outcomes.count("not covered"))
    assert suite.get("failures") == str(outcomes.count("failed") + 1)  # and what is required
    assert len(suite.findall("testcase")) == len(outcomes) + 2  # and learning
    assert report["verdict"] in page
    assert not re.search(r"<(link|script|img)\b|url\(", page)


def test_a_terminal_gets_a_bar_and_others_get_lines(stub: ServedStub) -> None:
    class Terminal(StringIO):
        def isatty(self) -> bool:
            return True

    server = Foreign(stub)
    shown = []
    with served(server) as url:
        for out in (Terminal(), StringIO()):
            verify(url, TOKEN, started_steps=server.process(60)[:1], out=out, **FEW)
            shown.append(out.getvalue())
    assert "\r" in shown[0]
    assert "100%" in shown[0]
    assert "\r" not in shown[1]
    assert "\ncovered      401  no credentials\n" in shown[1]


def test_a_run_that_is_interrupted_reports_what_it_has_found(
    stub: ServedStub, tmp_path: Path
) -> None:
    class Interrupted(StringIO):
        def write(self, text: str) -> int:
            if text.startswith("covered      401  a wrong token"):
                raise KeyboardInterrupt
            return super().write(text)

    out = Interrupted()
    with serve_in_thread(stub.app) as url:
        assert verify(url, TOKEN, report_dir=tmp_path, out=out, **FEW) is Exit.COULD_NOT_RUN
    report = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert report["verdict"] == "The server could not be checked: the run was interrupted."
    assert [each["name"] for each in report["situations"]] == ["no-token", "wrong-token"]
    assert report["verdict"] in out.getvalue()


@pytest.mark.parametrize("installed", [False, True])
def test_the_suite_runs_under_pytest(stub: ServedStub, installed: bool, tmp_path: Path) -> None:
    server = Foreign(stub)
    suite = (
        ["-p", "stepstub.contract_tests.plugin", "--pyargs", "stepstub.contract_tests"]
        if installed
        else ["contract_tests", "-p", "no:cacheprovider"]
    )
    options = ["--seed", "1", "--token", TOKEN, "--started-step", server.process(9)[0]]
    options += ["--report-dir", str(tmp_path / "reports")]
    with served(server) as url:
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "pytest",
                "-q",
                "-k",
                "not generated",
                *suite,
                "--url",
                url,
                *options,
            ],
            cwd=tmp_path if installed else Path(__file__).parent.parent,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 0, done.stdout
    assert "The server conforms in " in done.stdout
    assert "SKIPPED" in done.stdout or "skipped" in done.stdout
    report = json.loads((tmp_path / "reports" / "report.json").read_text("utf-8"))
    assert report["requests"] > report["steps"] > 0
    assert report["exit"] == Exit.CONFORMS


def test_the_suite_under_pytest_reports_that_it_could_not_run(tmp_path: Path) -> None:
    options = ["-q", "-p", "no:cacheprovider", "contract_tests", "--report-dir", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "--url", "http://127.0.0.1:1"],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == Exit.COULD_NOT_RUN
    report = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert report["exit"] == Exit.COULD_NOT_RUN
    assert "cannot reach http://127.0.0.1:1" in report["unfinished"]


def test_the_suite_under_pytest_takes_a_control_token(guarded: tuple[str, list[str]]) -> None:
    url, _ = guarded
    options = ["-q", "-p", "no:cacheprovider", "-k", "pending-step", "contract_tests"]
    tokens = ["--token", TOKEN, "--control-token", CONTROL_TOKEN]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "--url", url, *tokens],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout
    assert TOKEN not in done.stdout


def test_every_documented_status_has_cases(stub: ServedStub) -> None:
    (operation,) = contract.load().document["paths"][PATH].values()
    documented = [case for case in ALL_CASES if not isinstance(case, Undocumented)]
    assert {str(case.status) for case in documented} == set(operation["responses"])
    assert len({case.name for case in ALL_CASES}) == len(ALL_CASES)


def test_a_stub_that_cannot_be_driven_is_judged_like_any_other_server() -> None:
    processes = [Process(name, scenario.steps([{}] * 60, name)) for name in ("p", "q")]
    closed = live_app(processes, token=TOKEN, with_control=False)
    changed = mutated(
        closed, out_of(200, lambda response: response.changed(message="Done"))(), TOKEN
    )
    codes = []
    with serve_in_thread(changed) as url:  # type: ignore[arg-type]
        for asked, process in zip((Asked(), asked_for("default", {})), processes, strict=True):
            started = [process.steps[0].id]
            code = verify(url, TOKEN, started_steps=started, asked=asked, out=StringIO(), **FEW)
            codes.append(code)
    assert codes == [Exit.CONFORMS, Exit.VIOLATES]


def test_a_stub_that_can_no_longer_be_driven_ends_the_run(
    stub: ServedStub, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = 0

    async def tired(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal calls
        if scope.get("path", "").startswith("/_stub/"):
            calls += 1
            if calls > 2:
                await PlainTextResponse(f"no more for {TOKEN}", 503)(scope, receive, send)
                return
        await stub.app(scope, receive, send)

    tired.refuse = stub.app.refuse  # type: ignore[attr-defined]
    with serve_in_thread(tired) as url:  # type: ignore[arg-type]
        assert verify(url, TOKEN, out=StringIO(), **FEW) is Exit.COULD_NOT_RUN
    said = capsys.readouterr().err
    assert said.startswith("could not run: the stub can no longer be driven: 503")
    assert TOKEN not in said
    assert said.count("\n") == 1


def test_a_token_that_no_header_can_carry_is_a_usage_error() -> None:
    result = CliRunner().invoke(main, ["verify", "http://127.0.0.1:1", "--token", "a b"])
    assert result.exit_code == Exit.COULD_NOT_RUN
    assert "--token" in result.output
