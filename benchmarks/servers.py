"""The servers that the benchmark compares: how each is installed, started and stopped."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import yaml

HERE = Path(__file__).parent
CONTRACT = HERE.parent / "openapi.yaml"
PATH = "/api/v1/processes/complete-step"
TOKEN = "stub-token"

_START_TIMEOUT = 180.0  # seconds; a million steps take a while to load
_STOP_TIMEOUT = 30.0


class BenchError(Exception):
    """The benchmark cannot continue, or its figures would be meaningless."""


@dataclass(frozen=True)
class Server:
    """One of the compared servers. `command` takes the port to listen on."""

    name: str
    title: str
    command: Callable[[int], Sequence[str]]
    keeps_state: bool = False
    processes: int = 1
    steps_each: int = 1


@dataclass
class Running:
    """A server that has responded for the first time, `seconds` after its process was started."""

    server: Server
    process: subprocess.Popen[bytes]
    port: int
    seconds: float
    response: bytes
    used: int = 1  # processes already used; the first one served the first request

    def rss(self) -> int:
        """Resident memory in bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024


@contextmanager
def running(
    server: Server, build: Path, *, core: int | None, first_step: str | None = None
) -> Iterator[Running]:
    """Start a server, wait for its first 200, and stop it when the context ends."""
    port = free_port()
    pin = ["taskset", "--cpu-list", str(core)] if core is not None else []
    with (build / f"{server.name}.log").open("wb") as log:
        started = time.perf_counter()
        process = subprocess.Popen(
            [*pin, *server.command(port)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONPATH": ""},
        )
        try:
            body = completion(first_step or step_id(0, 0))
            response = _first_response(process, port, body, started, log.name)
            yield Running(server, process, port, time.perf_counter() - started, response)
        finally:
            process.terminate()
            try:
                process.wait(_STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def step_id(process: int, position: int) -> str:
    """The id of a step; process and position count from 0."""
    return f"p{process:06}-{position + 1:04}"


def completion(step: str, amount: object = 1250) -> bytes:
    """A body with three params, one of each type."""
    params = {
        "decision": {"strValue": "approved", "type": "STRING"},
        "approvedAmount": {"longValue": amount, "type": "LONG"},
        "confidence": {"doubleValue": 0.97, "type": "DOUBLE"},
    }
    body = {"processStepId": step, "params": params}
    return json.dumps(body, separators=(",", ":")).encode()


def post(port: int, body: bytes, token: str = TOKEN) -> tuple[int, bytes]:
    """One completion on a connection of its own: status and body."""
    return request(port, "POST", PATH, body, token)


def request(
    port: int, method: str, path: str, body: bytes | None = None, token: str = TOKEN
) -> tuple[int, bytes]:
    """One request on a connection of its own: status and body."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def _first_response(
    process: subprocess.Popen[bytes], port: int, body: bytes, started: float, log: str
) -> bytes:
    while time.perf_counter() - started < _START_TIMEOUT:
        if process.poll() is not None:
            break
        try:
            status, response = post(port, body)
        except (OSError, HTTPException):
            time.sleep(0.002)
            continue
        if status != 200:
            raise BenchError(f"the first response was a {status}: {response[:300]!r}; see {log}")
        return response
    raise BenchError(f"no response from {process.args}; see {log}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


# --- the servers -------------------------------------------------------------------------------


def stub(steps: int, *options: str, name: str = "stub") -> Server:
    """The stub with everything on and `steps` steps, ten in a process."""
    processes = max(1, steps // 10)
    steps_each = steps // processes
    return Server(
        name,
        f"Stepstub, {steps:,} steps",
        lambda port: [
            *_python("serve_seeded.py", port),
            f"--processes={processes}",
            f"--steps-each={steps_each}",
            *options,
        ],
        keeps_state=True,
        processes=processes,
        steps_each=steps_each,
    )


def stub_command() -> Server:
    """The command that users run."""
    script = Path(sys.executable).with_name("stepstub")
    return Server(
        "stepstub-serve",
        "stepstub serve",
        lambda port: [str(script), "serve", "--port", str(port), "--log-level", "warning"],
    )


def bare(response: Path) -> Server:
    return Server(
        "bare",
        "bare ASGI application, static response, uvicorn with uvloop and httptools",
        lambda port: [*_python("serve_bare.py", port), f"--response={response}"],
    )


def bare_http1(response: Path) -> Server:
    return Server(
        "bare-http1",
        "the same application on the stub's own HTTP protocol",
        lambda port: [*_python("serve_bare.py", port), f"--response={response}", "--http1"],
    )


def connexion(response: Path) -> Server:
    return Server(
        "connexion",
        "Connexion AsyncApp, defaults, static response",
        lambda port: [*_python("serve_connexion.py", port), f"--response={response}"],
    )


def prism(build: Path) -> Server:
    """Prism with logging off, its largest cost; requests are validated by default.

    A nullable enum must contain null in OpenAPI 3.0.3. Prism adds null once more, its validator
    then fails to compile the schema, and Prism silently validates nothing. It therefore gets the
    contract without that null.
    """
    script = build / "node_modules/@stoplight/prism-cli/dist/index.js"
    document = yaml.safe_load(CONTRACT.read_text("utf-8"))
    document["components"]["schemas"]["ParamType"]["enum"].remove(None)
    contract = build / "prism.json"
    contract.write_text(json.dumps(document))
    return Server(
        "prism",
        f"Prism {_npm_version(build, '@stoplight/prism-cli')}, logging off",
        lambda port: [
            *("node", str(script), "mock", str(contract)),
            *("--host", "127.0.0.1", "--port", str(port), "--verboseLevel", "silent"),
        ],
    )


def wiremock(build: Path, response: Path) -> Server:
    """WireMock with the contract's schema as body matcher, its journal off."""
    (jar,) = (build / "node_modules/wiremock/build").glob("wiremock-standalone-*.jar")
    root = build / "wiremock"
    mappings = root / "mappings"
    mappings.mkdir(parents=True, exist_ok=True)
    for name, mapping in _wiremock_mappings(response.read_text()).items():
        (mappings / f"{name}.json").write_text(json.dumps(mapping))
    return Server(
        "wiremock",
        f"WireMock {_npm_version(build, 'wiremock')}, JSON schema matcher, journal off",
        lambda port: [
            *("java", "-jar", str(jar), "--root-dir", str(root)),
            *("--bind-address", "127.0.0.1", "--port", str(port)),
            *("--no-request-journal", "--disable-banner"),
        ],
    )


def _python(script: str, port: int) -> list[str]:
    return [sys.executable, str(HERE / script), f"--port={port}"]


def _npm_version(build: Path, package: str) -> str:
    description = json.loads((build / "node_modules" / package / "package.json").read_text())
    return str(description["version"])


def _wiremock_mappings(success: str) -> dict[str, dict[str, object]]:
    request: dict[str, object] = {"method": "POST", "urlPath": PATH}
    authorized = {"Authorization": {"equalTo": f"Bearer {TOKEN}"}}
    body = [{"matchesJsonSchema": json.dumps(_request_schema()), "schemaVersion": "V202012"}]
    headers = {"Content-Type": "application/json"}

    def mapping(priority: int, matcher: dict[str, object], status: int, text: str) -> object:
        response = {"status": status, "headers": headers, "body": text}
        return {"priority": priority, "request": {**request, **matcher}, "response": response}

    return {
        "success": mapping(1, {"headers": authorized, "bodyPatterns": body}, 200, success),
        "bad-body": mapping(2, {"headers": authorized}, 412, "{}"),
        "bad-token": mapping(3, {}, 401, "{}"),
    }  # type: ignore[return-value]


def _request_schema() -> object:
    """The contract's request as plain JSON Schema, for tools that do not support OpenAPI."""
    schemas = yaml.safe_load(CONTRACT.read_text("utf-8"))["components"]["schemas"]

    def plain(schema: object) -> object:
        if isinstance(schema, list):
            return [plain(item) for item in schema]
        if not isinstance(schema, dict):
            return schema
        if "$ref" in schema:
            return plain(schemas[schema["$ref"].rpartition("/")[2]])
        kept = {
            key: plain(value)
            for key, value in schema.items()
            if key not in {"nullable", "example", "description", "title", "format"}
        }
        if schema.get("nullable") is True:
            kept["type"] = [schema["type"], "null"]
        return kept

    return plain(schemas["Completion"])


# --- installing them ---------------------------------------------------------------------------


def install_wrk() -> None:
    """Raises `BenchError` if wrk is missing and cannot be installed."""
    if shutil.which("wrk"):
        return
    if os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(["apt-get", "update", "--quiet=2"], check=False)
        subprocess.run(["apt-get", "install", "--yes", "--quiet=2", "wrk"], check=False)
    if not shutil.which("wrk"):
        raise BenchError("The benchmark needs wrk: apt-get install wrk, or your system's package.")


def install_npm(build: Path) -> None:
    """Prism and WireMock from npm, in the versions of `package.json`."""
    wanted = (HERE / "package.json").read_bytes()
    copy = build / "package.json"
    if copy.exists() and copy.read_bytes() == wanted:
        return
    if not shutil.which("npm"):
        raise BenchError(
            "The benchmark needs Node.js with npm for Prism; or omit prism from --servers."
        )
    copy.write_bytes(wanted)
    try:
        subprocess.run(
            ["npm", "install", "--ignore-scripts", "--no-package-lock", "--no-audit", "--no-fund"],
            cwd=build,
            check=True,
            timeout=600,
            stdout=subprocess.DEVNULL,
        )
    except BaseException:
        copy.unlink()
        raise
