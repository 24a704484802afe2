"""`stepstub serve --state`: what it refuses, in one line without a password, and what it finds."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shared_state_support import Shared, command, environment, refused
from state_servers import StateServer, executable, executable_with_tls
from stepstub.errors import BadRequest
from stepstub.stores.valkey.address import Address
from stepstub.stores.valkey.fitness import reasons_against
from support import TIMEOUT

PASSWORD = "s3/c:r@e#t?"
NOTHING = "valkey://127.0.0.1:1/0"


@pytest.fixture(scope="module")
def guarded() -> Iterator[StateServer]:
    """A server that asks for a password."""
    with StateServer(executable("valkey"), password=PASSWORD) as running:
        yield running


@pytest.fixture
def empty(state_servers: Callable[[str], StateServer]) -> StateServer:
    """A server that has nothing yet; of which kind, does not matter here."""
    server = state_servers("valkey")
    server.run("FLUSHALL")
    return server


# The address


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "it begins with none of valkey, valkeys, redis, rediss, unix"),
        ("127.0.0.1:6379", "it begins with none of"),
        ("http://127.0.0.1:6379/0", "it begins with none of"),
        ("valkey://", "it names no server"),
        ("valkey:///0", "it names no server"),
        ("valkey://:6379/0", "it names no server"),
        ("valkey://[::1/0", "it is no URL"),
        ("valkey://h:x/0", "its port is not a number"),
        ("valkey://h:65536/0", "its port is not a number"),
        ("valkey://h/x", "is not the number of a database"),
        ("valkey://h/1/2", "is not the number of a database"),
        ("valkey://h/-1", "is not the number of a database"),
        ("valkey://h/0?nonsense=1", "an option after its ? cannot be read: .*nonsense"),
        ("valkey://h/?db=x", "an option after its ? cannot be read"),
        ("unix://", "it names no socket"),
        # A password that has not been encoded ends up in any other part.
        ("valkey://u:s3cret/x@h/0", "its port is not a number"),
        ("valkey://u:1/s3cret@h/0", "is not the number of a database"),
        ("valkey://u:1?s3cret=1@h/0", "an option after its ? cannot be read."),
        ("valkey://u:1#s3cret@h/0", "it has a #, which is %23 in a password"),
        ("valkey://u:s3cret[@h/0", "it is no URL"),
    ],
)
def test_an_address_that_is_none(url: str, why: str) -> None:
    with pytest.raises(BadRequest, match=why.replace("?", r"\?")) as refusal:
        Address(url)
    assert "s3cret" not in str(refusal.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("valkey://h", "h:6379/0"),
        ("REDIS://h:1/2", "h:1/2"),
        ("valkey://u:s3cret@h/2", "h:6379/2"),
        ("valkey://h/2?db=3", "h:6379/3"),
        ("rediss://[::1]:1", "[::1]:1/0"),
        ("unix:///run/valkey.sock?db=4", "unix:/run/valkey.sock/4"),
        ("unix://u:s3cret@/run/valkey.sock", "unix:/run/valkey.sock/0"),
    ],
)
def test_what_is_shown_of_an_address(url: str, shown: str) -> None:
    assert Address(url).shown == shown


# The server

GOOD = {"redis_version": "7.0.15", "maxmemory_policy": "noeviction", "role": "master"}


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({}, None),
        ({"valkey_version": "8.0.1", "redis_version": "7.2.4"}, None),
        ({"redis_version": "6.2.19"}, "Redis 6.2.19 is too old; it takes Redis 7 or newer."),
        ({"valkey_version": "7.2.4", "redis_version": "7.2.4"}, "Valkey 7.2.4 is too old"),
        ({"maxmemory_policy": "allkeys-lru"}, "set maxmemory-policy noeviction"),
        ({"role": "slave"}, "name its primary"),
        ({"cluster_enabled": 1}, "name a server on its own"),
    ],
)
def test_which_servers_will_do(told: dict[str, object], why: str | None) -> None:
    reasons = reasons_against({**GOOD, **told})
    assert bool(reasons) == bool(why)
    assert (why or "") in "".join(reasons)


def test_a_server_that_will_not_do(state_server: StateServer) -> None:
    state_server.run("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    try:
        line = refused("--state", state_server.url)
    finally:
        state_server.run("CONFIG", "SET", "maxmemory-policy", "noeviction")
    assert line.startswith(f"Error: The store at 127.0.0.1:{state_server.port}/0 cannot be used: ")
    assert "allkeys-lru" in line


@pytest.mark.parametrize(
    ("settings", "why"),
    [({"cluster-enabled": "yes"}, "cluster"), ({"replicaof": "127.0.0.1 1"}, "a replica")],
)
def test_one_of_several(settings: dict[str, str], why: str) -> None:
    with StateServer(executable("valkey"), settings=settings) as server:
        assert why in refused("--state", server.url)


def test_nobody_is_there() -> None:
    line = refused("--state", NOTHING)
    assert line.startswith("Error: The store at 127.0.0.1:1/0 cannot be used: ")
    assert line.endswith("Connection refused.\n")


def test_a_number_beyond_the_databases(guarded: StateServer) -> None:
    assert "out of range" in refused("--state", guarded.url.replace("/0", "/99"))


def test_a_server_that_says_nothing(guarded: StateServer) -> None:
    guarded.pause()
    try:
        assert "cannot be used" in refused("--state", guarded.url)
    finally:
        guarded.resume()


@pytest.mark.parametrize("password", ["", "wr0ng"])
def test_a_wrong_password(guarded: StateServer, password: str) -> None:
    user = f":{password}@" if password else ""
    line = refused(STEPSTUB_STATE=f"valkey://{user}127.0.0.1:{guarded.port}/0")
    assert "cannot be used" in line
    assert "wr0ng" not in line


def test_a_word_that_is_no_url() -> None:
    assert refused("--state", "nonsense").startswith("Error: Invalid value for '--state': it begin")


def test_without_the_extra(tmp_path: Path) -> None:
    (tmp_path / "valkey.py").write_text("raise ModuleNotFoundError('no', name='valkey')\n")
    line = refused("--state", NOTHING, PYTHONPATH=str(tmp_path))
    assert line.endswith("it takes valkey, which is not installed: pip install valkey\n")


# Ways to connect


def completes(url: str) -> None:
    with command(STEPSTUB_STATE=url) as running:
        assert running.stub.complete().status_code == 200
        assert running.stub.ask("GET", "/_stub/ready").status_code == 200
        log = running.stop()
    assert PASSWORD not in "".join([*running.printed, log])


def test_a_password(guarded: StateServer) -> None:
    guarded.run("FLUSHALL")
    completes(guarded.url)


def test_a_user(guarded: StateServer) -> None:
    guarded.run("FLUSHALL")
    guarded.run("ACL", "SETUSER", "ann", "on", f">{PASSWORD}", "~stepstub:*", "&*", "+@all")
    completes(guarded.url.replace("valkey://:", "valkey://ann:"))


def test_a_unix_socket(empty: StateServer) -> None:
    completes(empty.unix_url)


@pytest.fixture(scope="module")
def encrypted() -> Iterator[StateServer]:
    with StateServer(executable_with_tls(), tls=True) as running:
        yield running


def test_tls(encrypted: StateServer) -> None:
    completes(encrypted.url)


def test_tls_checks_the_name_of_the_server_unless_it_is_told_not_to(
    encrypted: StateServer,
) -> None:
    url = encrypted.url.replace("&ssl_check_hostname=true", "").replace("127.0.0.1", "127.0.0.2")
    encrypted.run("FLUSHALL")
    encrypted.run("CONFIG", "SET", "bind", "127.0.0.1 127.0.0.2")
    assert "certificate is not valid for '127.0.0.2'" in refused("--state", url)
    completes(f"{url}&ssl_check_hostname=false")


def test_tls_checks_the_certificate(encrypted: StateServer) -> None:
    url = encrypted.url.partition("?")[0]
    assert "certificate verify failed" in refused("--state", url)


def test_no_process_shows_the_password_in_its_title(guarded: StateServer) -> None:
    guarded.run("FLUSHALL")
    with command("--workers", "2", STEPSTUB_STATE=guarded.url) as running:
        children = Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children")
        pids = [running.process.pid, *map(int, children.read_text().split())]
        assert len(pids) == 3
        for pid in pids:
            assert b"s3" not in Path(f"/proc/{pid}/cmdline").read_bytes()
        for path in ("/_stub/health", "/_stub/ready", "/_stub/sandboxes"):
            assert PASSWORD not in running.stub.ask("GET", path).text
        running.stop()


# What is there already


def test_a_restart_finds_its_processes_as_they_were(empty: StateServer) -> None:
    with command("--state", empty.url) as first:
        assert first.stub.complete().status_code == 200
        first.stop()
    assert "order-1" in "\n".join(first.printed)
    changed = ["--scenario", "last-step", "--reading", "completed-step=409"]
    with command("--state", empty.url, *changed) as second:
        assert second.stub.complete().status_code == 412, "its readings are as they were, too"
        assert statuses(second.stub) == {"order-1": ["COMPLETED", "STARTED"]}
        assert second.stub.ask("POST", "/_stub/reset").status_code == 200
        assert statuses(second.stub) == {"invoice-1": ["COMPLETED", "STARTED"]}
        second.stub.complete("invoice-1-archive")
        assert second.stub.complete("invoice-1-archive").status_code == 409
        second.stop()
    (found,) = [line for line in second.printed if "earlier start" in line]
    assert "take effect with a reset" in found
    assert "order-1" not in "\n".join(second.printed)


def statuses(stub: Shared) -> dict[str, list[str]]:
    found = stub.ask("GET", "/_stub/processes").json()["processes"]
    return {each["id"]: [step["status"] for step in each["steps"]] for each in found}


def test_a_stub_with_another_token_is_refused(empty: StateServer) -> None:
    with command("--state", empty.url, "--token", "one") as running:
        # Nobody has asked for its sandbox yet.
        line = refused("--state", empty.url, "--token", "two")
        assert "another --token: give the same, or the number of another database." in line
        other = empty.url.replace("/0", "/1")
        with command("--state", other, "--token", "two") as neighbour:
            assert neighbour.stub.complete(token="two").status_code == 200
            assert running.stub.complete(token="two").status_code == 401
            neighbour.stop()
        with command("--state", empty.url, "--token", "one") as same:
            assert same.stub.complete(token="one").status_code == 200
            assert running.stub.complete(token="one").status_code == 412
            same.stop()
        running.stop()


def test_help_needs_no_extra(tmp_path: Path) -> None:
    (tmp_path / "valkey.py").write_text("raise ModuleNotFoundError('no', name='valkey')\n")
    subprocess.run(
        [sys.executable, "-m", "stepstub", "serve", "--help"],
        stdout=subprocess.DEVNULL,
        env=environment(PYTHONPATH=str(tmp_path)),
        timeout=TIMEOUT,
        check=True,
    )
