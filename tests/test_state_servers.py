"""The servers that tests of shared state use."""

from collections.abc import Callable
from pathlib import Path

import pytest
import valkey

import state_servers
from state_servers import KINDS, StateServer, StateServerFailed, executable, executable_with_tls
from support import TIMEOUT


@pytest.fixture(params=KINDS)
def path(request: pytest.FixtureRequest) -> str:
    """The executable of each kind of server."""
    return executable(request.param)


def client(url: str) -> valkey.Valkey:
    return valkey.Valkey.from_url(url, socket_timeout=TIMEOUT)


def test_tests_share_a_server_and_each_finds_it_empty(
    state_server: StateServer, state_servers: Callable[[str], StateServer], path: str
) -> None:
    assert state_server.run("DBSIZE") == 0
    state_server.run("SET", "key", "value")
    assert state_server in map(state_servers, KINDS)


def test_a_server_that_is_killed_comes_back_on_its_port_without_its_state(path: str) -> None:
    with StateServer(path) as server:
        url, pid = server.url, server.pid
        server.run("SET", "key", "value")
        server.kill()
        with pytest.raises(valkey.ConnectionError):
            server.run("PING")
        server.start()
        assert (server.url, server.run("EXISTS", "key")) == (url, 0)
        assert server.pid != pid


def test_a_server_that_appends_has_its_state_after_a_restart_and_in_another_process(
    path: str, tmp_path: Path
) -> None:
    with StateServer(path, append_only=True, folder=tmp_path) as server:
        server.run("SET", "key", "value")
        server.kill()
        server.start()
        server.restart()
        assert server.run("GET", "key") == b"value"
    with StateServer(path, append_only=True, folder=tmp_path) as other:
        assert other.run("GET", "key") == b"value"


def test_a_paused_server_does_not_reply_and_can_still_be_stopped(path: str) -> None:
    with StateServer(path) as server:
        server.pause()
        with (
            valkey.Valkey.from_url(server.url, socket_timeout=0.1) as impatient,
            pytest.raises(valkey.TimeoutError),
        ):
            impatient.ping()
        server.resume()
        assert server.run("PING")
        server.pause()


def test_a_server_can_have_a_password_settings_and_a_replica(path: str) -> None:
    with (
        StateServer(path, password="p@ss:/word", maxmemory="8mb") as server,
        StateServer(
            path, replica_of=server, maxmemory_policy="allkeys-lru", settings={"databases": "2"}
        ) as replica,
    ):
        stranger = client(f"valkey://127.0.0.1:{server.port}")
        with stranger, pytest.raises(valkey.AuthenticationError):
            stranger.ping()
        server.run("SET", "key", "value")
        assert server.run("WAIT", 1, 0) == 1
        assert replica.run("GET", "key") == b"value"
        assert replica.run("INFO", "memory")["maxmemory_policy"] == "allkeys-lru"
        with pytest.raises(valkey.exceptions.ReadOnlyError):
            replica.run("SET", "key", "other")
        with client(server.unix_url) as local:
            assert local.info("memory")["maxmemory"] == 8 * 2**20


def test_a_server_can_have_tls() -> None:
    with StateServer(executable_with_tls(), tls=True, password="secret") as server:
        assert server.url.startswith("valkeys://")
        assert server.run("PING")
        distrustful = client(f"valkeys://:secret@127.0.0.1:{server.port}")
        with distrustful, pytest.raises(valkey.ConnectionError, match="self-signed certificate"):
            distrustful.ping()


def test_a_server_that_does_not_start_says_why(path: str) -> None:
    with pytest.raises(StateServerFailed, match="nonsense"):
        StateServer(path, settings={"maxmemory-policy": "nonsense"})


def test_a_test_is_skipped_without_a_server_and_fails_where_one_is_required(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(state_servers, "_found", dict)
    monkeypatch.delenv("STEPSTUB_REQUIRED_STATE_SERVERS", raising=False)
    for kind, remedy in state_servers.REMEDIES.items():
        with pytest.raises(pytest.skip.Exception, match=f"run `{remedy}`"):
            executable(kind)
    with pytest.raises(pytest.skip.Exception, match=r"no server with TLS|no openssl"):
        executable_with_tls()
    monkeypatch.setenv("STEPSTUB_REQUIRED_STATE_SERVERS", "redis")
    with pytest.raises(pytest.skip.Exception):
        executable("valkey")
    with pytest.raises(pytest.fail.Exception, match="no Redis server of version 7 or later"):
        executable("redis")
    with pytest.raises(pytest.fail.Exception):
        executable_with_tls()
