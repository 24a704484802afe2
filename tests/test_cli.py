"""The command line, mostly as its users run it: in a process of its own."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

import stepstub
from stepstub import scenario
from stepstub.cli import main
from stepstub.serving.server import listen
from support import ROOT, TIMEOUT, Connection, head, post

COMMAND = [sys.executable, "-c", "from stepstub.cli import main; main()"]
ENVIRONMENT = {name: value for name, value in os.environ.items() if "STEPSTUB" not in name}


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`stepstub ARGUMENTS`, which has to end by itself."""
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
        env={**ENVIRONMENT, **environment},
    )


def printed(*arguments: str) -> str:
    """What a command prints that succeeds, without a process of its own."""
    result = CliRunner().invoke(main, arguments, prog_name="stepstub")
    assert result.exit_code == 0, result.output
    return result.stdout


class Served:
    """A running `stepstub serve`: the lines it printed, and its log once it has ended."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout
        self.process = process
        self.banner = [process.stdout.readline()]
        if self.banner[0].startswith("{"):  # with --log-format json
            self.url = json.loads(self.banner[0])["url"]
            return
        while "Try it" not in self.banner[-1] and self.banner[-1]:
            self.banner.append(process.stdout.readline())
        self.curl = process.stdout.readline().strip()
        found = re.search(r"http://\S+:\d+", self.banner[0])
        assert found
        self.url = found[0]

    def log(self) -> list[str]:
        """End it; the lines it wrote to stderr."""
        self.process.terminate()
        _, log = self.process.communicate(timeout=TIMEOUT)
        assert self.process.returncode == 0
        return log.splitlines()


@contextmanager
def serve(*arguments: str, **environment: str) -> Iterator[Served]:
    with subprocess.Popen(
        [*COMMAND, "serve", "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**ENVIRONMENT, **environment},
    ) as process:
        try:
            yield Served(process)
        finally:
            process.kill()


def test_help_names_the_commands_and_options() -> None:
    assert {"serve", "scenarios", "spec"} <= set(printed("--help").split())
    options = set(re.findall(r"--[a-z-]+", printed("serve", "--help")))
    assert {"--host", "--port", "--scenario", "--token", "--max-body-bytes"} <= options
    assert "--log-format" in options


@pytest.mark.parametrize("command", [[], ["serve"], ["scenarios"], ["spec"], ["verify"]])
def test_help_can_be_asked_for_in_short(command: list[str]) -> None:
    assert printed(*command, "-h") == printed(*command, "--help")


def test_the_installed_command_is_this_one() -> None:
    assert re.fullmatch(r"stepstub, version \d+\.\d+\.\d+\n", printed("--version"))


def test_scenarios_lists_each_with_a_line() -> None:
    lines = printed("scenarios").splitlines()
    assert [line.split()[0] for line in lines] == scenario.built_in()
    for line in lines:
        assert scenario.load(line.split()[0]).description in line
    assert [line.split()[0] for line in lines if "(default)" in line] == ["two-steps"]


def test_scenarios_says_what_is_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        "processes: [{id: p, steps: [{id: a}, {}]}, {id: q, steps: [{status: FAILED}]}]"
    )
    assert printed("scenarios", str(file)).splitlines() == [
        f"{file}: 2 processes, 3 steps",
        "  process p: 2 steps, STARTED: a",
        "  process q: 1 step, STARTED: none",
    ]
    assert printed("scenarios", "two-steps").startswith("two-steps: 1 process, 2 steps\n")


def test_scenarios_says_what_is_wrong_with_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("processes:\n- id: p\n  steps: [{status: DONE}, {delegate: none}]\n- {}\n")
    result = CliRunner().invoke(main, ["scenarios", str(file)], prog_name="stepstub")
    assert (result.exit_code, result.stdout) == (1, "")
    first, second, *others = result.stderr.splitlines()
    assert first.startswith(f"Error: {file}, line 3: processes[0].steps[0].status: ")
    assert second.startswith(f"{file}, line 3: processes[0].steps[1].delegate: ")
    assert len(others) == 2


def test_spec_prints_the_contract() -> None:
    text = (ROOT / "openapi.yaml").read_text("utf-8")
    assert printed("spec") == text
    assert printed("spec", "--format", "yaml") == text
    assert json.loads(printed("spec", "--format", "json")) == yaml.safe_load(text)


MISTAKES = {
    "unknown scenario": (["--scenario", "two-step"], "did you mean two-steps"),
    "file that is not there": (["--scenario", "nowhere.yaml"], "nowhere.yaml: cannot be read"),
    "port too large": (["--port", "65536"], "--port"),
    "port that is no number": (["--port", "http"], "--port"),
    "token empty": (["--token", ""], "--token"),
    "token with a space": (["--token", "a b"], "--token"),
    "token that is not ASCII": (["--token", "é"], "--token"),
    "token with a line break": (["--token", "a\nb"], "--token"),
    "no body at all": (["--max-body-bytes", "0"], "--max-body-bytes"),
    "unknown log format": (["--log-format", "xml"], "--log-format"),
    "unknown option": (["--prot", "1"], "--port"),
    "an argument": (["two-steps"], "two-steps"),
    "unknown host": (["--host", "256.0.0.1"], "Cannot listen on 256.0.0.1"),
    "host that is none": (["--host", "a..b"], "Cannot listen on a..b"),
    "another machine's address": (["--host", "192.0.2.1"], "Cannot listen on 192.0.2.1"),
}


@pytest.mark.parametrize(("arguments", "words"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_clear_line(arguments: list[str], words: str) -> None:
    result = CliRunner().invoke(main, ["serve", "--port", "0", *arguments], prog_name="stepstub")
    assert result.exit_code in {1, 2}, result.exception
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert words in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("host", ["999.1.1.1", "a..b", "192.0.2.1"])
def test_another_port_is_no_remedy_for_a_wrong_host(host: str) -> None:
    result = CliRunner().invoke(main, ["serve", "--port", "0", "--host", host])
    assert "--port" not in result.stderr
    assert result.stderr.endswith("--host takes an address of this machine, such as 127.0.0.1.\n")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("STEPSTUB_PORT", "abc"),
        ("STEPSTUB_TOKEN", "a b"),
        ("STEPSTUB_CONTROL_TOKEN", "é"),
        ("STEPSTUB_LOG_FORMAT", "xml"),
        ("STEPSTUB_NO_CONTROL", "maybe"),
        ("STEPSTUB_WORKERS", "2"),
    ],
)
def test_a_mistake_in_the_environment_goes_by_the_name_of_the_variable(
    variable: str, value: str
) -> None:
    result = CliRunner().invoke(main, ["serve"], prog_name="stepstub", env={variable: value})
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: Invalid value for {variable}: ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("127.0.0.1:8080", "did you mean http://127.0.0.1:8080?"),
        ("localhost:8080/x", "did you mean http://localhost:8080/x?"),
        ("ftp://localhost", "it begins with http:// or https://"),
    ],
)
def test_a_url_without_a_scheme_is_told_with_the_remedy(url: str, hint: str) -> None:
    result = CliRunner().invoke(main, ["verify", url, "--token", "t"], prog_name="stepstub")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"Error: Invalid value for 'URL': {url} is no URL of a server: {hint}\n"


def test_a_port_in_use_is_one_clear_line() -> None:
    with listen("127.0.0.1", 0) as listener:
        port = str(listener.getsockname()[1])
        ended = run("serve", "--port", port)
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr.startswith(f"Error: Cannot listen on 127.0.0.1 port {port}: Address")
    assert ended.stderr.endswith("Another --port may be free; 0 picks one.\n")
    assert ended.stderr.count("\n") == 1


def test_a_scenario_that_is_wrong_is_named_with_line_and_field(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("processes:\n  - id: p\n    steps:\n      - {status: DONE}\n")
    ended = run("serve", "--port", "0", "--scenario", str(file))
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr == (
        f"Error: {file}, line 4: processes[0].steps[0].status:"
        " must be one of PENDING, STARTED, COMPLETED, FAILED\n"
    )


def test_scenarios_with_the_same_ids_are_refused(tmp_path: Path) -> None:
    shutil.copy(ROOT / "fixtures" / "two-steps.yaml", tmp_path / "copy.yaml")
    arguments = ["--scenario", "two-steps", "--scenario", str(tmp_path / "copy.yaml")]
    ended = CliRunner().invoke(main, ["serve", "--port", "0", *arguments])
    assert ended.exit_code == 1
    assert "'order-1' is used by scenario 'two-steps' as well" in ended.stderr


def curl(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        line,
        shell=True,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=True,
        env={**ENVIRONMENT, **environment},
    )


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl on this machine")
def test_the_printed_line_returns_200_as_pasted_and_then_412() -> None:
    with serve() as served:
        assert "http://127.0.0.1:" in served.banner[0], "the loopback alone"
        assert "token stub-token" in served.banner[0]
        assert served.banner[1] == f"Console: {served.url}/_stub/console\n"
        assert any("order-1-approve" in line for line in served.banner[1:])
        first, second = curl(served.curl).stdout, curl(served.curl).stdout
    assert first.startswith("HTTP/1.1 200 OK")
    assert '"processStepId":"order-1-ship"' in first
    assert second.startswith("HTTP/1.1 412 ")
    assert "STEP_COMPLETED" in second


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl on this machine")
def test_it_does_so_whatever_the_ids_and_the_token_are(tmp_path: Path) -> None:
    file = tmp_path / "odd.yaml"
    step_id = 'it\'s "50 %" \\ $HOME `id` ! é\n'
    file.write_text(json.dumps({"processes": [{"id": "p", "steps": [{"id": step_id}]}]}))
    with serve("--scenario", str(file), "--token", "a'b\"$c") as served:
        assert len(served.banner) == 4, "an id does not break a line"
        response = curl(served.curl).stdout
    assert response.startswith("HTTP/1.1 200 OK")


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl on this machine")
def test_a_token_from_the_environment_is_not_printed() -> None:
    secret = "from-the-environment"
    with serve(STEPSTUB_TOKEN=secret) as served:
        assert served.banner[0].endswith("token from STEPSTUB_TOKEN\n")
        assert secret not in "".join([*served.banner, served.curl])
        assert curl(served.curl, STEPSTUB_TOKEN=secret).stdout.startswith("HTTP/1.1 200 OK")
        assert not [line for line in served.log() if secret in line]
    with serve("--token", "typed", STEPSTUB_TOKEN=secret) as served:
        assert served.banner[0].endswith("token typed\n")


def test_the_well_known_token_is_remarked_on_where_others_can_use_it() -> None:
    public = ["--host", "0.0.0.0", "--no-control", "--log-level", "error"]
    with serve(*public) as served:
        (remark,) = served.log()
    assert remark.startswith("Warning: others can reach the stub on 0.0.0.0, and everybody knows")
    with serve(*public, "--token", "mine") as served:
        assert served.log() == []
    with serve("--log-level", "error") as served:
        assert served.log() == []


def test_quiet_prints_and_logs_nothing() -> None:
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
    with subprocess.Popen(
        [*COMMAND, "serve", "--quiet", "--port", str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    ) as process:
        try:
            deadline = time.monotonic() + TIMEOUT
            while True:
                try:
                    connection = Connection(f"http://127.0.0.1:{port}")
                    break
                except ConnectionRefusedError:
                    assert process.poll() is None
                    assert time.monotonic() < deadline
            with connection:
                assert connection.ask(post(b"{}")).status == 412
            process.terminate()
            assert process.communicate(timeout=TIMEOUT) == ("", "")
            assert process.returncode == 0
        finally:
            process.kill()


def test_every_option_can_be_given_in_the_environment(tmp_path: Path) -> None:
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
    environment = {
        "STEPSTUB_HOST": "localhost",
        "STEPSTUB_PORT": str(port),
        "STEPSTUB_SCENARIO": "last-step every-status",
        "STEPSTUB_TOKEN": "from-the-environment",
        "STEPSTUB_MAX_BODY_BYTES": "100",
        "STEPSTUB_LOG_FORMAT": "json",
    }
    with subprocess.Popen(
        [*COMMAND, "serve"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**ENVIRONMENT, **environment},
    ) as process:
        try:
            served = Served(process)
            ready = json.loads(served.banner[0])
            assert (ready["port"], ready["pid"]) == (port, process.pid)
            with Connection(served.url) as connection:
                token = "from-the-environment"
                for step_id in ("invoice-1-archive", "claim-1-started"):
                    response = connection.ask(post({"processStepId": step_id}, token=token))
                    assert response.status == 200
                response = connection.ask(post({"processStepId": "claim-2-failed"}, token=token))
                assert response.status == 412
                assert connection.ask(post(b"x" * 101, token=token)).status == 413
            assert [json.loads(line)["status"] for line in served.log()] == [200, 200, 412, 413]
        finally:
            process.kill()


def test_an_option_wins_over_the_environment() -> None:
    with serve("--scenario", "last-step", STEPSTUB_SCENARIO="nowhere") as served:
        assert "invoice-1" in "".join(served.banner)


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_the_log_has_a_line_for_each_exchange_and_never_the_token(log_format: str) -> None:
    secret = "xyzzy-token"
    forged = "/a%0a12:00:00.000%20POST%20/forged%20200"
    with serve("--log-format", log_format, "--token", secret) as served:
        with Connection(served.url) as connection:
            for request in (
                post({"processStepId": "order-1-approve"}, token=secret),
                post({"processStepId": "order-1-approve"}, token=secret),
                post(b"{}", token="wrong-" + secret),
                post(f'{{"{secret}'.encode(), token=secret),
                head(f"Cookie: {secret}", method="GET", target=forged),
            ):
                connection.ask(request)
            connection.ask(b"no http\r\n\r\n")
        # Its user has to know it, a program does.
        assert (secret in served.banner[0]) == (log_format == "text")
        lines = served.log()
    assert secret not in "".join(lines).replace(f'{{"{secret}', "")
    exchanges = lines[:5]
    statuses = ["200", "412", "401", "412", "404"]
    if log_format == "json":
        records = [json.loads(line) for line in lines]
        assert [str(record["status"]) for record in records[:5]] == statuses
        assert records[0]["processStepId"] == "order-1-approve"
        assert "COMPLETED" in records[1]["reason"]
        assert {"time", "level", "method", "path", "durationMs"} <= set(records[0])
    else:
        for line, status in zip(exchanges, statuses, strict=True):
            assert re.match(rf"\d\d:\d\d:\d\d\.\d{{3}} (POST|GET) /\S* .*{status} ", line), line
    assert len(lines) == 6


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_the_log_tells_sandbox_step_and_fault(log_format: str) -> None:
    with serve("--log-format", log_format) as served:
        created = stepstub.Sandbox(served.url, "stub-token").call("POST", "sandboxes", dict)
        token, name = created["token"], created["id"]
        sandbox = stepstub.Sandbox(served.url, token)
        sandbox.start_process("two-steps")
        sandbox.fault("before", "respond", status=500)
        sandbox.fault("after", "disconnect")
        completion = post({"processStepId": "order-1-approve"}, token=token)
        with Connection(served.url) as connection:
            assert connection.ask(completion).status == 500
            connection.send(completion)
            assert connection.is_closed()
        with Connection(served.url) as connection:
            for other in ("stub-token", "unknown"):
                connection.ask(post({"processStepId": "order-1-ship"}, token=other))
        lines = served.log()
    assert token not in "".join(lines)
    assert len(lines) == 4
    if log_format == "json":
        facts = ("status", "sandbox", "processStepId", "fault")
        assert [tuple(json.loads(line)[fact] for fact in facts) for line in lines] == [
            (500, name, "order-1-approve", "before: respond 500"),
            ("disconnected", name, "order-1-approve", "after: connection broken"),
            (412, "default", "order-1-ship", None),
            (401, None, None, None),
        ]
    else:
        about = f"(sandbox {name}, step order-1-approve, fault "
        assert re.search(rf" 500 \S+ ms {re.escape(about)}before: respond 500\)$", lines[0])
        assert re.search(rf" disconnected .* {re.escape(about)}after: connection broken", lines[1])
        assert " ms (sandbox default, step order-1-ship): Step order-1-ship is PENDING" in lines[2]
        assert " 401 " in lines[3]
        assert "sandbox" not in lines[3]


def test_the_log_tells_of_a_client_that_went_away() -> None:
    with serve() as served:
        with Connection(served.url) as connection:
            connection.send(head("Content-Type: application/json", "Content-Length: 9") + b"{")
        with Connection(served.url) as connection:
            connection.ask(post(b"{}"))
        lines = served.log()
    assert any(
        re.search(r" disconnected .*: The client went away before its request was whole\.$", line)
        for line in lines
    )


def test_the_log_can_be_silenced() -> None:
    with serve("--log-level", "error") as served:
        with Connection(served.url) as connection:
            assert connection.ask(post(b"{}")).status == 412
        assert served.log() == []


def test_allow_host_names_hosts_and_nothing_else() -> None:
    with serve("--allow-host", "stub.test", STEPSTUB_ALLOW_HOST="ignored.test") as served:
        for host, status in (("stub.test", 412), ("localhost", 412), ("ignored.test", 421)):
            request = post(b"{}").replace(b"Host: localhost", b"Host: " + host.encode())
            with Connection(served.url) as connection:
                assert connection.ask(request).status == status


def test_allow_host_takes_no_port() -> None:
    refused = CliRunner().invoke(main, ["serve", "--allow-host", "stub.test:80"])
    assert refused.exit_code == 2
    assert "without a port" in refused.output
