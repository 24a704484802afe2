"""The README and the pages it leads to: commands are run, shown responses and tables compared."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
import yaml

from stepstub import Sandbox, SandboxClock, cli, scenario

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
COMMAND = (ROOT / "docs" / "command.md").read_text("utf-8")
RESPONSES = (ROOT / "docs" / "responses.md").read_text("utf-8")
SCENARIOS = (ROOT / "docs" / "scenarios.md").read_text("utf-8")
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
CONTRACT = yaml.safe_load((ROOT / "openapi.yaml").read_text("utf-8"))
# What the README calls `stepstub` is the one that belongs to the Python that runs the tests.
ENVIRONMENT = {
    **os.environ,
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
}


def blocks(text: str) -> list[tuple[str, str]]:
    """The fenced blocks: language, content."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def commands(block: str) -> list[str]:
    """The commands of a sh block, without comments."""
    joined = block.replace("\\\n", " ")
    return [line for line in (re.sub(r"\s+#.*", "", row) for row in joined.splitlines()) if line]


def shell(command: str, cwd: Path = ROOT) -> str:
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=cwd,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


@contextmanager
def serving(options: str = "") -> Iterator[str]:
    """What `make serve` runs, on a free port; gives the address."""
    assert re.search(r"^serve:.*\n\t@\$\(BIN\)/stepstub serve \$\(ARGS\)$", MAKEFILE, re.MULTILINE)
    command = ["stepstub", "serve", *shlex.split(options), "--port", "0", "--log-level", "error"]
    with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            address = re.search(r"http://[\d.]+:\d+", server.stdout.readline())
            assert address, "it did not say where it listens"
            yield address[0]
        finally:
            server.terminate()
    assert server.returncode == 0


def sections(text: str) -> list[str]:
    """The parts of a page, each with its heading of the second level."""
    return re.split(r"^(?=## )", text, flags=re.MULTILINE)


def options_of_serve(command: str) -> str | None:
    """The options with which a command of a page serves; None for one that does not."""
    tool, *arguments = shlex.split(command)
    if [tool, *arguments[:1]] == ["stepstub", "serve"] and not {"-h", "--help"} & set(arguments):
        return shlex.join(arguments[1:])
    if [tool, *arguments[:1]] == ["make", "serve"] and arguments[1:]:
        (setting,) = arguments[1:]
        return setting.removeprefix("ARGS=")
    return None


def run(command: str, address: str) -> str:
    """Run one command of a page; gives what it printed."""
    tool, *arguments = shlex.split(command)
    if tool == "make":
        (target,) = arguments
        assert re.search(rf"^{target}:.*  ## ", MAKEFILE, re.MULTILINE), command
        if target == "demo":
            return shell("python examples/demo.py --port 0")
        # `make test` is what runs this very test, `make serve` what `address` belongs to.
        assert target in {"test", "serve"}
        return ""
    if tool == "pip":
        return ""  # test_installing.py
    if command.startswith(("pytest --stepstub-readings each", "stepstub try ", "stepstub run ")):
        return ""  # of a user's suite: test_trying, test_try_command and test_readiness
    local = command.replace("http://127.0.0.1:8080", address)
    return shell(local.replace("--report-dir reports", f"--report-dir {mkdtemp()}"))


def masked(text: str) -> str:
    return re.sub(r"\d\d:\d\d:\d\d\.\d{3}", "TIME", re.sub(r"\d{4}-\d\d-\d\dT", "", text))


def parsed(response: str) -> tuple[str, list[str], Any]:
    """The status line, the header lines and the JSON of an HTTP response."""
    head, _, body = masked(response.replace("\r\n", "\n")).partition("\n\n")
    status, *headers = head.splitlines()
    return status, headers, json.loads(body)


def test_the_tests_that_are_shown_pass_under_all_readings(tmp_path):
    (code,) = [content for language, content in blocks(README) if language == "python"]
    (tmp_path / "test_readme.py").write_text(code)
    (tmp_path / "pytest.ini").write_text(f"[pytest]\npythonpath = {ROOT / 'examples'}\n")
    (tmp_path / "conftest.py").write_text(
        "import order_client\norder_client.complete_step.__kwdefaults__['pause'] = lambda _: None\n"
    )
    command = "python -W error -m pytest -p no:cacheprovider"
    assert "2 passed" in shell(command, cwd=tmp_path)
    assert "0 broke a test." in shell(f"{command} --stepstub-readings each", cwd=tmp_path)


@pytest.mark.parametrize(
    ("page", "among_them"),
    [
        (README, {"make serve", "make test", 'make serve ARGS="--readings spring"'}),
        (COMMAND, {"pip install .", "stepstub scenarios", "stepstub spec --control"}),
        (SCENARIOS, {"make demo"}),
    ],
    ids=["README", "command", "scenarios"],
)
def test_every_command_does_what_is_shown(page, among_them):
    ran = []
    with serving() as address:
        for section in sections(page):
            ran += run_section(section, address)
    assert among_them <= set(ran)


def run_section(section: str, address: str) -> list[str]:
    """Run the commands of a section and compare what it shows; its own server ends with it."""
    command = ""
    ran = []
    with ExitStack() as servers:
        for language, content in blocks(section):
            if language == "sh":
                for command in commands(content):
                    if "--state" in command:
                        continue  # test_shared_state_page.py
                    ran.append(command)
                    if (options := options_of_serve(command)) is not None:
                        address = servers.enter_context(serving(options))
                    else:
                        printed = run(command, address)
            elif language == "console":
                first, _, expected = content.partition("\n")
                command = first.removeprefix("$ ")
                assert masked(run(command, address)) == masked(expected)
                ran.append(command)
            elif language == "http":  # one block for each time the command before it is sent
                status, headers, body = parsed(printed)
                shown_status, shown_headers, shown_body = parsed(content)
                assert (status, body) == (shown_status, shown_body)
                assert set(shown_headers) <= set(headers)
                printed = run(command, address)
    return ran


def test_own_scenarios_are_shown_as_they_are_written():
    examples = [content for language, content in blocks(SCENARIOS) if language == "yaml"]

    assert [scenario.parse(text, name="loan", file="scenarios.md") for text in examples]


def row(page: str, first: str) -> str:
    """The row of a table of a page that begins with `first`."""
    (found,) = (line for line in page.splitlines() if line.startswith(f"| {first} "))
    return found


def test_each_documented_status_has_a_row():
    for status in CONTRACT["paths"]["/api/v1/processes/complete-step"]["post"]["responses"]:
        assert row(RESPONSES, status)


def test_each_code_of_a_412_has_a_row():
    description = CONTRACT["components"]["schemas"]["Violation"]["properties"]["code"][
        "description"
    ]
    codes = re.findall(r"\b[A-Z]+_[A-Z_]+\b|\bREQUIRED\b", description)

    assert "REQUIRED" in codes
    for code in codes:
        assert row(RESPONSES, code)


@pytest.mark.parametrize("name", scenario.built_in())
def test_each_scenario_has_a_row_that_names_its_processes_and_started_steps(name):
    shown = row(SCENARIOS, f"`{name}`")

    for process in scenario.load(name).processes:
        assert f"`{process.id}`" in shown
        assert all(f"`{step.id}`" in shown for step in process.steps if step.status == "STARTED")


@pytest.mark.parametrize(
    "option", cli.main.commands["serve"].params, ids=lambda option: option.name
)
def test_each_option_of_serve_has_a_row(option):
    shown = row(COMMAND, f"`{option.opts[0]}`")

    assert f"`{option.envvar}`" in shown
    if isinstance(option.default, str | int) and not isinstance(option.default, bool):
        assert f"| {option.default} |" in shown


def test_each_method_that_is_shown_is_one_of_a_sandbox():
    page = (ROOT / "docs" / "pytest.md").read_text("utf-8")
    (table,) = re.findall(r"^\| call \|.*?^$", page, re.DOTALL | re.MULTILINE)
    calls = "".join(re.findall(r"^\| .*? \|", table, re.MULTILINE))
    shown = set(re.findall(r"\.([a-z_]+)", calls))

    assert {"fault", "clock", "verify_completed_async"} <= shown
    of_the_clock = {"advance", "freeze", "resume"}
    assert of_the_clock <= shown & set(dir(SandboxClock))
    assert shown - of_the_clock <= set(dir(Sandbox("http://stepstub.test", "a-token")))


PAGES = [
    *sorted(ROOT.glob("*.md")),
    ROOT / "llms.txt",
    *sorted(ROOT.glob("docs/*.md")),
    ROOT / "benchmarks" / "README.md",
]


def anchors(page: Path) -> set[str]:
    """What a link can lead to in a page: its headings, and what is named."""
    text = page.read_text("utf-8")
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.*)$", prose, re.MULTILINE)
    slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return slugs | set(re.findall(r'<a id="([^"]+)">', text))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_to_parts_of_them(page):
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text("utf-8")):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_the_readme_leads_to_every_page():
    linked = re.findall(r"\]\((docs/[^)#]+\.md)", README)
    assert {page.relative_to(ROOT).as_posix() for page in ROOT.glob("docs/*.md")} <= set(linked)
