"""Docker's engine, with processes, mounts and a network of its own, which all end with it.

Whatever port a container publishes is free there, and nothing else on this machine sees it.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event, Thread

from base_image import add_settings, make_base

BASE = "python:3.13-slim"
"""What the images are built on unless one says otherwise."""

# Each ends with the process that has started it, even if that is killed.
BOUND = ["setpriv", "--pdeathsig", "KILL"]
NAMESPACES = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
# Debian has Compose as a command of its own; as a plugin it is called `docker compose`.
PLUGIN = """#!/bin/sh
if [ "$1" = docker-cli-plugin-metadata ]; then
  echo '{"SchemaVersion": "0.1.0", "Vendor": "Debian", "Version": "1"}'
else
  shift
  exec docker-compose "$@"
fi
"""
PREPARE = """
ip link set lo up
mount -t tmpfs none /run
mount -t tmpfs none "$0"
exec dockerd "$@"
"""
READY = "API listen on"
START_TIMEOUT = 60  # seconds


class Engine:
    """One that runs.

    `environment` makes `docker` use it; `inside` is put before a command to run it in its network.
    """

    def __init__(self, folder: Path, process_1: int) -> None:
        plugin = folder / "config" / "cli-plugins" / "docker-compose"
        plugin.parent.mkdir(parents=True)
        plugin.write_text(PLUGIN, "ascii")
        plugin.chmod(0o755)
        self.inside = ["nsenter", f"--net=/proc/{process_1}/ns/net"]
        self.environment = {
            "DOCKER_HOST": f"unix://{folder}/socket",
            "DOCKER_CONFIG": str(folder / "config"),
        }

    def docker(self, *arguments: str | Path) -> str:
        done = subprocess.run(
            ["docker", *arguments],
            env={**os.environ, **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=400,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout


@contextmanager
def engine(folder: Path, base: Path) -> Iterator[Engine]:
    """Run one that has nothing but the base image, from an archive that `make_archive` wrote."""
    options = [f"--data-root={folder}/data", f"--exec-root={folder}/exec"]
    options += [f"--pidfile={folder}/pid", f"--host=unix://{folder}/socket"]
    (folder / "data").mkdir()  # where a gigabyte or two are written
    with ExitStack() as stack:
        daemon = stack.enter_context(
            subprocess.Popen(
                [*BOUND, *NAMESPACES, "sh", "-ec", PREPARE, folder / "data", *options],
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        stack.callback(daemon.kill)
        wait_until_ready(daemon)
        process_1 = child(daemon.pid)
        stack.enter_context(connected(process_1))
        one = Engine(folder, process_1)
        one.docker("import", base, BASE)
        yield one


def wait_until_ready(daemon: subprocess.Popen[str]) -> None:
    """Read its log until it listens, and then on, so that it can always write."""
    log: list[str] = []
    told = Event()

    def read() -> None:
        for line in daemon.stderr or ():
            log.append(line)
            if READY in line:
                told.set()
        told.set()

    Thread(target=read, daemon=True).start()
    assert told.wait(START_TIMEOUT), "".join(log)
    assert any(READY in line for line in log), "".join(log)


@contextmanager
def connected(process_1: int) -> Iterator[None]:
    """That process reaches what this machine does, except for its loopback addresses."""
    command = [*BOUND, "slirp4netns", "--configure", "--mtu=65520", "--disable-host-loopback"]
    with subprocess.Popen(
        [*command, "--ready-fd=1", str(process_1), "tap0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            assert process.stdout
            assert process.stdout.read(1) == b"1"
            yield
        finally:
            process.terminate()


def make_archive(archive: Path) -> None:
    """Write the base image."""
    make_base(archive)
    add_settings(archive)


def child(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii"))
