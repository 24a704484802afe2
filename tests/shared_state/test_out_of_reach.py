"""The store is out of reach or refuses: what clients get, what is logged, and that it ends."""

import logging
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from valkey.exceptions import BusyLoadingError
from valkey.exceptions import ConnectionError as ConnectionFailed

from cutting_proxy import CuttingProxy
from shared_state_support import Shared, stub_at
from state_servers import StateServer, executable
from stepstub.stores.valkey.link import BUDGET
from support import TIMEOUT, until

PASSWORD = "s3cret"
SLACK = 0.9  # seconds, for a machine that does other things as well

Act = Callable[[StateServer], object]


# A server that has little to load still takes its time for it.
LOADS_SLOWLY = {"key-load-delay": "10000", "loading-process-events-interval-bytes": "1024"}


@pytest.fixture
def server() -> Iterator[StateServer]:
    with StateServer(executable("valkey"), password=PASSWORD, settings=LOADS_SLOWLY) as running:
        yield running


@pytest.fixture
def stub(server: StateServer) -> Iterator[Shared]:
    with stub_at(server.url) as running:
        assert running.ask("GET", "/_stub/ready").status_code == 200
        yield running


def command(*words: str | int) -> Act:
    return lambda server: server.run(*words)


def use_password(password: str) -> Act:
    """Ask for it from now on, of those that are connected as well."""

    def use(server: StateServer) -> None:
        server.run("CONFIG", "SET", "requirepass", password)
        server.password = password
        server.run("CLIENT", "KILL", "TYPE", "normal")

    return use


LOADING: dict[StateServer, threading.Thread] = {}


def start_loading(server: StateServer) -> None:
    """Stop it, and have it start again with what it had, which it loads for two seconds."""
    for number in range(200):
        server.run("SET", f"ballast:{number}", secrets.token_bytes(2048))
    server.run("SAVE")
    server.stop()
    LOADING[server] = threading.Thread(target=server.start)
    LOADING[server].start()
    until(lambda: is_loading(server))


def is_loading(server: StateServer) -> bool:
    try:
        server.run("GET", "ballast:0")
    except BusyLoadingError:
        return True
    except ConnectionFailed:
        return False
    raise AssertionError("it was loaded too soon")


def finish_loading(server: StateServer) -> None:
    LOADING.pop(server).join(TIMEOUT)


TROUBLES: dict[str, tuple[Act, Act, str]] = {
    # how it begins, how it ends, why a client is told that its request failed
    "refused": (StateServer.stop, StateServer.start, "cannot be reached: .*refused"),
    "silent": (StateServer.pause, StateServer.resume, "did not reply within 2 s|cannot be reached"),
    "full": (
        command("CONFIG", "SET", "maxmemory", 1),
        command("CONFIG", "SET", "maxmemory", 0),
        "refused: .*memory",
    ),
    "a replica": (
        command("REPLICAOF", "127.0.0.1", 1),
        command("REPLICAOF", "NO", "ONE"),
        "refused: .*read only replica",
    ),
    "loading": (start_loading, finish_loading, "refused: .*loading"),
    "another password": (
        use_password("another"),
        use_password(PASSWORD),
        "cannot be reached: .*password",
    ),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_requests_fail_while_it_lasts_and_succeed_right_after(
    server: StateServer, stub: Shared, trouble: str, caplog: pytest.LogCaptureFixture
) -> None:
    begin, end, why = TROUBLES[trouble]
    begin(server)

    began = time.monotonic()
    failed = stub.complete()
    assert time.monotonic() - began < BUDGET + SLACK
    assert failed.status_code == 500
    assert set(failed.json()) == {"message", "timestamp", "data", "version"}
    assert re.search(f"The store at 127.0.0.1:{server.port}/0 {why}", failed.text), failed.text

    began = time.monotonic()
    control = stub.ask("POST", "/_stub/processes", json={"scenario": "last-step"})
    assert time.monotonic() - began < BUDGET + SLACK
    assert (control.status_code, control.headers["retry-after"]) == (503, "1")
    assert re.search(why, control.json()["detail"])

    began = time.monotonic()
    healthy = stub.ask("GET", "/_stub/health")
    assert time.monotonic() - began < SLACK, "a probe waits for a second"
    assert healthy.status_code == 200
    assert stub.ask("GET", "/_stub/ready").status_code == 503

    end(server)
    assert stub.complete().status_code == 200, "and the one that failed had done nothing"
    assert stub.ask("GET", "/_stub/ready").status_code == 200
    for told in (failed.text, control.text, caplog.text):
        assert PASSWORD not in told


@pytest.mark.parametrize("trouble", ["refused", "silent"])
def test_the_log_says_when_it_begins_and_when_it_ends(
    server: StateServer, stub: Shared, trouble: str, caplog: pytest.LogCaptureFixture
) -> None:
    begin, end, _ = TROUBLES[trouble]
    caplog.set_level(logging.INFO)

    def lines() -> list[str]:
        return [each.getMessage() for each in caplog.records if each.name != "stepstub.access"]

    begin(server)
    until(lines)
    for _ in range(2):
        assert stub.complete().status_code == 500
    end(server)
    until(lambda: len(lines()) > 1)
    first, last = lines()
    assert first.startswith(
        f"cannot look after the sandboxes: The store at 127.0.0.1:{server.port}"
    )
    assert last == f"the store at 127.0.0.1:{server.port}/0 is within reach again"
    exchanges = [each for each in caplog.records if each.name == "stepstub.access"]
    assert len(exchanges) == 2
    assert not any(each.exc_info for each in caplog.records)


def test_what_fails_for_want_of_memory_changes_nothing(server: StateServer, stub: Shared) -> None:
    fault = {"phase": "before", "action": "respond"}
    assert stub.ask("POST", "/_stub/faults", json=fault).status_code == 201
    begin, end, _ = TROUBLES["full"]
    begin(server)
    assert stub.ask("DELETE", "/_stub/faults").status_code == 503
    # What takes no memory, or gives some back, is not refused.
    assert len(stub.ask("GET", "/_stub/faults").json()["faults"]) == 1
    assert stub.ask("DELETE", "/_stub/journal").status_code == 204
    end(server)
    assert len(stub.ask("GET", "/_stub/faults").json()["faults"]) == 1


# --- slow


@pytest.fixture
def proxy(server: StateServer) -> Iterator[CuttingProxy]:
    with CuttingProxy(server.port) as running:
        yield running


@pytest.fixture
def distant(proxy: CuttingProxy, server: StateServer) -> Iterator[Shared]:
    """A stub whose store is reached by a proxy."""
    with stub_at(proxy.url(server.url)) as running:
        assert running.ask("GET", "/_stub/ready").status_code == 200
        yield running


def test_a_slow_store_makes_requests_slow(proxy: CuttingProxy, distant: Shared) -> None:
    proxy.delay(BUDGET / 10)
    assert distant.complete().status_code == 200
    assert distant.complete().status_code == 412


def test_a_store_slower_than_the_budget_is_out_of_reach(
    proxy: CuttingProxy, distant: Shared
) -> None:
    proxy.delay(BUDGET + 1)
    began = time.monotonic()
    failed = distant.complete()
    assert time.monotonic() - began < BUDGET + SLACK
    assert failed.status_code == 500
    assert "did not reply within 2 s" in failed.text
    proxy.delay(0)
    # It had only begun, and has to be well in time again.
    assert distant.complete().status_code == 200


# --- a failover


@pytest.mark.parametrize("old", ["killed", "demoted"])
def test_the_new_primary_is_found_by_its_name(
    proxy: CuttingProxy, distant: Shared, server: StateServer, old: str
) -> None:
    """The name leads to the new one from now on; a connection to the old one may still stand."""
    with StateServer(executable("valkey"), password=PASSWORD, replica_of=server) as replica:
        assert distant.complete().status_code == 200
        assert server.run("WAIT", 1, TIMEOUT * 1000) == 1
        replica.run("REPLICAOF", "NO", "ONE")
        proxy.lead_to(replica.port)
        if old == "killed":
            server.kill()
        else:
            server.run("REPLICAOF", "127.0.0.1", replica.port)
            refused = distant.complete("order-1-ship")
            assert refused.status_code == 500
            assert "read only replica" in refused.text
        assert distant.complete("order-1-ship").status_code == 200
        assert distant.complete("order-1-approve").status_code == 412
