"""The ways of the README from nothing to a first 200, each begun in a fresh checkout.

`first_200` takes one, and gives the seconds that it took. The packages that it needs come from an
index, or from the caches that it is given.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from engine import Engine
from support import ROOT

TIMEOUT = 400  # seconds for one command, most of which are spent on packages
STOP_TIMEOUT = 30
MADE_HERE = (".*", "build", "dist", "reports", "node_modules", "schema.ts", "*.tgz", "__pycache__")
NEEDED = {".ci", ".dockerignore", ".gitignore"}
BASH = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c"]
PRINTED_CURL = re.compile(r"curl -i http\S+/complete-step .*")
APPLICATION_RUNS = re.compile("Running on ")
SEEN_BY_THE_STUB = re.compile(r"POST \S+/complete-step 200$")


@dataclass(frozen=True)
class Row:
    """One of the README's table. The times are in seconds, without and with cached packages."""

    name: str
    command: str
    needs: str
    cold: str
    warm: str


def rows() -> dict[str, Row]:
    """The table, by the names of the ways."""
    page = (ROOT / "README.md").read_text("utf-8")
    (table,) = re.findall(r"^\| with \|.*?\n\|[-|]+\|\n(.*?)^$", page, re.DOTALL | re.MULTILINE)
    found = {}
    for line in table.splitlines():
        name, command, needs, cold, warm = (cell.strip() for cell in line.strip("|").split("|"))
        (code,) = re.findall(r"`([^`]+)`", command)
        name = re.sub(r"\[([^]]+)\]\([^)]*\)", r"\1", name)
        found[name] = Row(name, code, needs, cold, warm)
    return found


class Place:
    """A fresh checkout in a folder of its own, with the caches of packages that are given."""

    def __init__(self, folder: Path, caches: Path, engine: Engine | None = None) -> None:
        folder.mkdir(parents=True)
        self.checkout = folder / "stepstub"
        shutil.copytree(ROOT, self.checkout, symlinks=True, ignore=made_here)
        self.temporary = folder / "temp"
        self.temporary.mkdir()
        self.inside: Sequence[str] = engine.inside if engine else ()
        tools = folder / "tools"
        tools.mkdir()
        (tools / "uvx").symlink_to(Path(sys.executable).with_name("uvx"))
        (tools / "uv").symlink_to(Path(sys.executable).with_name("uv"))
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("STEPSTUB_", "npm_", "MAKE", "MFLAGS", "VIRTUAL_ENV"))
        }
        self.environment: Mapping[str, str] = {
            **kept,
            "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
            # In a container it is the usual one.
            **({} if engine else {"STEPSTUB_PORT": "0"}),
            "UV_PYTHON": f"{sys.base_prefix}/bin/python{sys.version_info[0]}.{sys.version_info[1]}",
            "UV_SYSTEM_CERTS": "1",
            "UV_CACHE_DIR": str(caches / "uv"),
            "PIP_CACHE_DIR": str(caches / "pip"),
            "npm_config_cache": str(caches / "npm"),
            **(engine.environment if engine else {}),
        }

    @contextmanager
    def running(self, command: str, **more: str) -> Iterator[subprocess.Popen[str]]:
        """Run it in the checkout, as in a terminal of its own; it is killed after a while."""
        with subprocess.Popen(
            [*BASH, command],
            cwd=self.checkout,
            env={**self.environment, **more},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            killer = threading.Timer(TIMEOUT, os.killpg, (process.pid, signal.SIGKILL))
            killer.start()
            try:
                yield process
            finally:
                killer.cancel()
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)

    def send(self, curl: str) -> str:
        """Run a curl line where the stub is; gives the response."""
        done = subprocess.run(
            [*self.inside, *BASH, curl.replace("curl ", "curl -sS ", 1)],
            env={**self.environment, "STEPSTUB_TOKEN": "stub-token"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=STOP_TIMEOUT,
            check=False,
        )
        return done.stdout


def made_here(folder: str, names: list[str]) -> set[str]:
    """What a checkout does not have when it is made."""
    return shutil.ignore_patterns(*MADE_HERE)(folder, names) - NEEDED


def first_200(row: Row, place: Place) -> float:
    """Seconds from a row's command to the first 200. Raises `AssertionError` if there is none."""
    begin = time.perf_counter()
    with KINDS[row.name](row.command, place) as response:
        seconds = time.perf_counter() - begin
        assert response.startswith("HTTP/1.1 200") or SEEN_BY_THE_STUB.match(response), response
    return seconds


@contextmanager
def serving(command: str, place: Place, *also: re.Pattern[str]) -> Iterator[str]:
    """It serves, and prints a curl line, which gets the response; Ctrl-C ends it.

    The line is sent once the command has printed `also` as well.
    """
    with place.running(command) as process:
        try:
            curl, *_ = printed(process, PRINTED_CURL, *also)
            yield place.send(curl)
        finally:
            os.killpg(process.pid, signal.SIGINT)
            process.communicate(timeout=STOP_TIMEOUT)


def with_application(command: str, place: Place) -> AbstractContextManager[str]:
    """Completions call the application, which starts after the stub."""
    return serving(command, place, APPLICATION_RUNS)


@contextmanager
def client(command: str, place: Place) -> Iterator[str]:
    """It runs a client, which lists what it has sent, and ends by itself."""
    with place.running(command) as process:
        (line,) = printed(process, SEEN_BY_THE_STUB)
        yield line
        process.communicate(timeout=STOP_TIMEOUT)
    assert process.returncode == 0


def printed(process: subprocess.Popen[str], *wanted: re.Pattern[str]) -> list[str]:
    """Read what it prints until all that is wanted has come, in any order; gives that."""
    assert process.stdout
    found: dict[re.Pattern[str], str] = {}
    text = ""
    for line in process.stdout:
        text += line
        for pattern in wanted:
            if match := pattern.search(line.rstrip()):
                found.setdefault(pattern, match[0])
        if len(found) == len(wanted):
            return [found[pattern] for pattern in wanted]
    raise AssertionError(text)


@contextmanager
def action(uses: str, place: Place) -> Iterator[str]:
    """The steps of the action, run in turn as a runner does."""
    folder = place.checkout.parent / uses.removeprefix("uses: ")
    document = yaml.safe_load((folder / "action.yml").read_text("utf-8"))
    inputs = {name: one["default"] for name, one in document["inputs"].items()} | {"port": "0"}
    outputs = place.temporary / "outputs"
    for step in document["runs"]["steps"]:
        named = {
            name: re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda text: inputs[text[1]], value)
            for name, value in step["env"].items()
        }
        of_the_runner = {
            "GITHUB_ACTION_PATH": str(folder),
            "GITHUB_OUTPUT": str(outputs),
            "RUNNER_TEMP": str(place.temporary),
        }
        with place.running(step["run"], **named, **of_the_runner) as process:
            text, _ = process.communicate()
        assert process.returncode == 0, text
    try:
        curl = PRINTED_CURL.search(text)
        assert curl, text
        yield place.send(curl[0])
    finally:
        os.killpg(process.pid, signal.SIGTERM)  # what the step has left running


KINDS: dict[str, Callable[[str, Place], AbstractContextManager[str]]] = {
    "make": serving,
    "uv": serving,
    "a container": serving,
    "compose": with_application,
    "GitHub Actions": action,
    "TypeScript": client,
    "Java": client,
}
IN_CONTAINERS = {"a container", "compose"}
