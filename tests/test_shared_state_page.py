"""docs/shared-state.md: its commands are run on real servers, and what it says is compared."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import requests
import yaml

import stepstub
from base_image import make_base
from engine import Engine, engine, make_archive
from state_servers import StateServer, executable
from stepstub import cli
from stepstub.delegates import HTTP_TIMEOUT
from stepstub.stores.valkey import fitness
from stepstub.stores.valkey.link import BUDGET
from stepstub.stores.valkey.store import LEASE
from support import PATH, ROOT, TIMEOUT

sys.path.insert(0, str(ROOT / "examples"))

import kill_a_worker

PAGE = (ROOT / "docs" / "shared-state.md").read_text("utf-8")
README = (ROOT / "README.md").read_text("utf-8")
BALANCER = ROOT / "examples" / "haproxy.cfg"
SCRIPT = ROOT / "examples" / "kill_a_worker.py"
COMPOSE = ROOT / "compose.shared.yaml"
COUNT = re.compile(r"^ +(\d+) (.+)$", re.MULTILINE)
HEADERS = {"Authorization": "Bearer stub-token"}
APPROVE = {"processStepId": "order-1-approve"}


def section(heading: str, page: str = PAGE) -> str:
    return page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return str(free.getsockname()[1])


class Process:
    """A command that runs until the context ends, and what it prints."""

    def __init__(self, command: str, cwd: Path) -> None:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.popen = subprocess.Popen(
            ["bash", "-c", f"exec {command}"],
            cwd=cwd,
            env={**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.printed: list[str] = []
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.popen.stdout
        for line in self.popen.stdout:
            with self._changed:
                self.printed.append(line)
                self._changed.notify_all()

    def wait_for(self, text: str) -> None:
        def is_there() -> bool:
            return any(text in line for line in self.printed)

        with self._changed:
            assert self._changed.wait_for(is_there, 30), "".join(self.printed)

    def end(self) -> None:
        self.popen.terminate()
        self.popen.wait(TIMEOUT)
        self._reader.join(TIMEOUT)
        assert self.popen.stdout
        self.popen.stdout.close()


@contextmanager
def running(command: str, cwd: Path, ready: str | None = None) -> Iterator[Process]:
    process = Process(command, cwd)
    try:
        if ready:
            process.wait_for(ready)
        yield process
    finally:
        process.end()


@pytest.fixture
def server() -> Iterator[StateServer]:
    with StateServer(executable("redis")) as one:
        yield one


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder in which the commands of the page find the examples."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    return tmp_path


Serve = Callable[..., str]


@pytest.fixture
def serve(server: StateServer, tmp_path: Path) -> Iterator[Serve]:
    """Start a stub on the server; gives its URL."""
    with ExitStack() as stack:

        def start(*options: str) -> str:
            port = free_port()
            command = f"stepstub serve --state {server.url} --port {port} {' '.join(options)}"
            stack.enter_context(running(command, tmp_path, "Stepstub listens on"))
            return f"http://127.0.0.1:{port}"

        yield start


def complete(url: str, step_id: str = "order-1-approve") -> requests.Response:
    body = {"processStepId": step_id}
    return requests.post(f"{url}{PATH}", json=body, headers=HEADERS, timeout=TIMEOUT)


# --- what is said


def test_the_figures_are_those_of_the_code() -> None:
    expire = next(
        option for option in cli.main.commands["serve"].params if option.name == "expire_after"
    )

    assert f"lease of {LEASE:g} s, and a call takes {HTTP_TIMEOUT:g} s" in PAGE
    assert f"may take {BUDGET:g} s, its" in PAGE
    assert f"for `--expire-sandboxes` hours, {expire.default:g} by default" in PAGE
    for name, version in fitness.OLDEST.items():
        assert re.search(rf"\[{name}\]\([^)]*\) \({version} or newer\)", PAGE)


def test_the_keys_of_a_sandbox_are_those_that_are_listed(server: StateServer, serve: Serve) -> None:
    assert complete(serve()).status_code == 200
    rows = "".join(re.findall(r"^\| `stepstub:.*", PAGE, re.MULTILINE))
    for key in server.run("KEYS", "*"):
        shown = re.sub(r"\{\w+\}", "{SANDBOX}", key.decode())
        assert re.sub(r"(\}):\w+:.*", r"\1:EPOCH:...", shown) in rows


@pytest.mark.parametrize("page", [PAGE, README], ids=["page", "README"])
def test_one_command_serves_with_two_workers(page: str, server: StateServer, place: Path) -> None:
    (command,) = re.findall(r"^stepstub serve --state \S+ --workers 2$", page, re.MULTILINE)
    port = free_port()
    command = command.replace("valkey://127.0.0.1:6379/0", server.url)
    with running(f"{command} --port {port}", place, "Stepstub listens on"):
        url = f"http://127.0.0.1:{port}"
        assert [complete(url).status_code for _ in range(2)] == [200, 412]


def test_a_stub_that_is_started_again_goes_on_where_it_was(
    serve: Serve, server: StateServer
) -> None:
    assert complete(serve()).status_code == 200
    # It is the state that goes on; the scenario of a later start is left alone.
    again = serve("--scenario every-status")
    assert complete(again).status_code == 412
    assert complete(again, "order-1-ship").status_code == 200


def test_without_the_store_it_responds_as_the_table_has_it(
    serve: Serve, server: StateServer, place: Path
) -> None:
    url = serve()
    server.kill()

    refused = complete(url)
    assert refused.status_code == 500
    named = f"The store at 127.0.0.1:{server.port}/0 cannot be reached: "
    assert refused.json()["data"].startswith(named)
    for path in ("/_stub/processes", "/_stub/ready"):
        away = requests.get(f"{url}{path}", headers=HEADERS, timeout=TIMEOUT)
        assert (away.status_code, away.headers["Retry-After"]) == (503, "1")
    assert requests.get(f"{url}/_stub/health", timeout=TIMEOUT).status_code == 200

    late = subprocess.run(
        [sys.executable, "-m", "stepstub", "serve", "--state", server.url, "--port", "0"],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert late.returncode == 1
    assert f"The store at 127.0.0.1:{server.port}/0 cannot be used" in late.stderr

    server.start()
    assert complete(url, "unknown").status_code == 412


def test_several_workers_refuse_no_connections(serve: Serve) -> None:
    refused = requests.post(
        f"{serve('--workers 2')}/_stub/refuse-connections",
        json={"seconds": 2},
        headers=HEADERS,
        timeout=TIMEOUT,
    )
    assert refused.status_code == 409
    assert "start the stub with one worker" in refused.json()["detail"]


# --- by hand


def test_two_stubs_a_store_and_a_load_balancer(place: Path) -> None:
    redis = executable("redis")
    if shutil.which("haproxy") is None:
        pytest.skip("there is no haproxy: apt-get install haproxy")
    (config,) = blocks(PAGE, "haproxy")
    assert config == BALANCER.read_text("utf-8")
    started, asked = blocks(section("By hand: two stubs, a store and a load balancer"), "sh")
    ports = {port: free_port() for port in ("6379", "8081", "8082", "8080")}

    def moved(text: str) -> str:
        return re.sub(r"\b(6379|808[012])\b", lambda match: ports[match[0]], text)

    balancer = place / "examples" / "haproxy.cfg"
    balancer.write_text(moved(config), "utf-8")
    ready = {"redis-server": "Ready to accept connections", "stepstub": "Stepstub listens on"}
    with ExitStack() as stack:
        processes = []
        for line in moved(started).splitlines():
            tool = line.split()[0]
            command = line.replace("redis-server", redis, 1)
            processes.append(stack.enter_context(running(command, place, ready.get(tool))))
        _, one, two, _ = processes
        # The load balancer does not say when it listens.
        curl = moved(asked).replace("curl", "curl -sS --retry 9 --retry-connrefused", 1)
        seen = [
            subprocess.run(
                ["bash", "-c", curl], capture_output=True, text=True, timeout=60, check=True
            ).stdout.splitlines()
            for _ in range(2)
        ]
        assert [lines[0].split()[1] for lines in seen] == ["200", "412"]
        assert '"STEP_COMPLETED"' in seen[1][-1]
        one.wait_for(" POST ")
        two.wait_for(" POST ")  # each of them had one of the two

        # What cannot reach the store is not sent anything.
        store, *_, balancing = processes
        store.end()
        for stub in ("one", "two"):
            balancing.wait_for(f"Server stubs/{stub} is DOWN")


# --- with compose


def services() -> Mapping[str, dict[str, object]]:
    found: Mapping[str, dict[str, object]] = yaml.safe_load(COMPOSE.read_text("utf-8"))["services"]
    return found


def test_the_services_are_those_that_are_named() -> None:
    page = section("With compose")
    assert set(services()) == {"store", "stub-1", "stub-2", "balancer"}
    assert all(f"`{name}`" in page for name in services())


def test_each_image_can_be_chosen() -> None:
    page = section("With compose")
    defaults = dict(re.findall(r"\$\{(\w+_IMAGE):-([^}]+)\}", COMPOSE.read_text("utf-8")))
    assert len(defaults) == 3
    for variable, default in defaults.items():
        assert f"| `{variable}` | `{default}` |" in page


def test_the_variables_are_those_of_the_command_and_of_the_load_balancer() -> None:
    known = {option.envvar for option in cli.main.commands["serve"].params}
    for name in ("stub-1", "stub-2"):
        environment = services()[name]["environment"]
        assert isinstance(environment, dict)
        assert set(environment) <= known
    environment = services()["balancer"]["environment"]
    assert isinstance(environment, dict)
    assert set(environment) == set(re.findall(r"\$\{(\w+)-", BALANCER.read_text("utf-8")))


@pytest.fixture(scope="module")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine with the image that the stub is built on, and one of Debian's Redis and HAProxy."""
    folder = tmp_path_factory.mktemp("engine")
    base, debian = folder / "base.tar", folder / "debian.tar"
    make_archive(base)
    make_base(debian, "redis-server", "redis-tools", "haproxy")
    with engine(folder, base) as one:
        # As those of the usual images: options alone are for the server.
        script = 'case $0 in -*) exec redis-server "$0" "$@";; esac; exec "$0" "$@"'
        entry = f"ENTRYPOINT {json.dumps(['sh', '-c', script])}"
        one.docker("import", "--change", entry, debian, "debian-tools")
        for archive in (base, debian):
            archive.unlink()
        yield one


@pytest.mark.image
def test_compose_runs_two_stubs_behind_a_load_balancer(docker: Engine) -> None:
    (line,) = blocks(section("With compose"), "sh")
    *settings, docker_, compose_, option, file, up = line.split()
    assert [docker_, compose_, option, up] == ["docker", "compose", "-f", "up"]
    environment = {
        **os.environ,
        **docker.environment,
        **dict(each.split("=") for each in settings),
        "STORE_IMAGE": "debian-tools",
        "BALANCER_IMAGE": "debian-tools",
    }

    def compose(*arguments: str) -> str:
        done = subprocess.run(
            [docker_, compose_, option, file, *arguments],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=400,
            check=False,
        )
        assert done.returncode == 0, done.stdout + (compose("logs") if "up" in arguments else "")
        return done.stdout

    try:
        compose("up", "--detach")
        responses = [posted_inside(docker) for _ in range(2)]
        assert [json.loads(each)["message"] for each in responses] == [
            "Success",
            "Precondition failed",
        ]
        assert all(" POST " in compose("logs", name) for name in ("stub-1", "stub-2"))
    finally:
        compose("down", "--volumes")


def posted_inside(docker: Engine) -> str:
    """The curl line of the page, in the network of the engine."""
    asked = blocks(section("By hand: two stubs, a store and a load balancer"), "sh")[1]
    curl = asked.replace("curl -i", "curl -sS --retry 9 --retry-connrefused", 1)
    return subprocess.run(
        [*docker.inside, "bash", "-c", curl],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout


# --- a worker is killed


def killing(server: StateServer, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), "--state", server.url, *options],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_script_finds_that_nothing_acknowledged_was_lost(server: StateServer) -> None:
    run = killing(server, "--clients", "4", "--steps", "40", "--kills", "2")

    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.startswith("4 clients, 160 steps, workers killed: 2\n")
    check_report(run.stdout, 160)


def test_what_is_shown_is_a_run_of_the_script() -> None:
    (shown,) = blocks(section("A worker is killed"), "text")
    assert shown.startswith("8 clients, 4000 steps, workers killed: 5\n")
    check_report(shown, 4000)


def check_report(printed: str, steps: int) -> None:
    seen, retried = (
        {outcome: int(count) for count, outcome in COUNT.findall(part)}
        for part in re.split(r"^\d+ steps whose .*$", printed, flags=re.MULTILINE)
    )
    assert seen["200"] + seen.get("412 STEP_COMPLETED", 0) == steps
    assert seen["500"] == 0
    assert sum(retried.values()) <= seen["broken connection"]
    assert set(retried) <= {"200", "412 STEP_COMPLETED"}
    assert re.findall(r"^.*: (\d+)$", printed, re.MULTILINE)[-3:] == ["0", "0", "0"]


@pytest.mark.parametrize("completed", [False, True])
def test_the_script_would_notice_that_something_is_lost(*, completed: bool) -> None:
    options = kill_a_worker.Options("", clients=1, steps=2, kills=0)
    load = kill_a_worker.Load()
    load.attempts = {"order-1-approve": ["200"]}
    with stepstub.InProcess() as stub:
        stub.start_process("two-steps")
        if completed:
            requests.post(f"{stub.url}{PATH}", json=APPROVE, headers=stub.headers, timeout=TIMEOUT)
        lines, problem = kill_a_worker.report(options, load, stub)

    assert f"acknowledged and lost: {0 if completed else 1}" in lines
    assert (problem is None) == completed
