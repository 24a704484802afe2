"""Two stubs and their store on hosts of their own: one is cut off from the store, and healed.

The hosts are network namespaces of this test, so it takes root and `ip`.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from state_servers import executable
from support import PATH, TIMEOUT, until

pytestmark = [
    pytest.mark.proof,
    pytest.mark.skipif(
        shutil.which("ip") is None or os.geteuid() != 0, reason="takes root and `ip` of iproute2"
    ),
]

STORE_PORT = 6379
_CALL = """
import json, sys, urllib.error, urllib.request
url, body = sys.argv[1:]
headers = {"Authorization": "Bearer stub-token", "Content-Type": "application/json"}
request = urllib.request.Request(url, body.encode(), headers)
try:
    response = urllib.request.urlopen(request, timeout=10)
except urllib.error.HTTPError as error:
    response = error
print(json.dumps([response.status, response.read().decode()]))
"""


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, timeout=TIMEOUT)


class Host:
    """A network namespace, with nothing in it but its own loopback."""

    def __init__(self, name: str) -> None:
        self.name = f"stepstub-{os.getpid()}-{name}"

    @contextmanager
    def up(self) -> Iterator["Host"]:
        ip("netns", "add", self.name)
        try:
            ip("-n", self.name, "link", "set", "lo", "up")
            yield self
        finally:
            ip("netns", "delete", self.name)

    @contextmanager
    def running(self, *command: str, ready: str) -> Iterator[str]:
        """A program of this host; the line in which it says that it is ready."""
        with subprocess.Popen(
            ["ip", "netns", "exec", self.name, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            assert process.stdout
            try:
                yield next(line for line in process.stdout if ready in line)
            finally:
                process.terminate()
                process.communicate(timeout=TIMEOUT)

    def ask(self, url: str, step_id: str) -> tuple[int, dict[str, Any]]:
        """Complete a step by the stub of this host."""
        command = ["ip", "netns", "exec", self.name, sys.executable, "-c", _CALL]
        done = subprocess.run(
            [*command, url + PATH, json.dumps({"processStepId": step_id})],
            stdout=subprocess.PIPE,
            timeout=TIMEOUT,
            check=True,
        )
        status, body = json.loads(done.stdout)
        return status, json.loads(body)


def joined(store: Host, host: Host, number: int) -> str:
    """A cable from a host to the store; the address at which the store is found there."""
    cable, network = f"st{os.getpid() % 100_000}-{number}", f"10.213.{number}"
    ip("-n", store.name, "link", "add", cable, "type", "veth", "peer", "eth0", "netns", host.name)
    for name, end, place in ((store.name, cable, 1), (host.name, "eth0", 2)):
        ip("-n", name, "address", "add", f"{network}.{place}/24", "dev", end)
        ip("-n", name, "link", "set", end, "up")
    return f"{network}.1"


def test_a_host_that_is_cut_off_says_so_and_comes_back() -> None:
    with ExitStack() as running:
        store, first, second = (
            running.enter_context(Host(name).up()) for name in ("store", "first", "second")
        )
        addresses = [joined(store, host, number) for number, host in enumerate((first, second), 1)]
        options = ("--port", str(STORE_PORT), "--protected-mode", "no", "--save", "")
        serve = store.running(executable("redis"), *options, ready="Ready to accept connections")
        running.enter_context(serve)
        urls = []
        for host, address in zip((first, second), addresses, strict=True):
            state = f"redis://{address}:{STORE_PORT}/0"
            stub = (sys.executable, "-m", "stepstub", "serve", "--port", "0", "--state", state)
            scenario = ("--scenario", "long-chain")
            line = running.enter_context(host.running(*stub, *scenario, ready="listens on"))
            urls.append(re.findall(r"http://\S+", line)[0])

        one, two, three, four = (f"chain-1-{number:02}" for number in range(1, 5))
        assert first.ask(urls[0], one)[0] == 200
        assert second.ask(urls[1], one)[0] == 412
        ip("-n", first.name, "link", "set", "eth0", "down")
        status, body = first.ask(urls[0], two)
        assert status == 500
        assert f"The store at {addresses[0]}:{STORE_PORT}/0" in body["data"]
        assert second.ask(urls[1], two)[0] == 200
        assert second.ask(urls[1], three)[0] == 200
        ip("-n", first.name, "link", "set", "eth0", "up")
        until(lambda: first.ask(urls[0], three)[0] == 412)
        assert first.ask(urls[0], four)[0] == 200
        assert second.ask(urls[1], four)[0] == 412
