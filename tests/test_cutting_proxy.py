"""The proxy that breaks the connections to a server."""

from collections.abc import Iterator

import pytest
import valkey

from cutting_proxy import CuttingProxy
from state_servers import StateServer
from support import TIMEOUT


def client(url: str) -> valkey.Valkey:
    return valkey.Valkey.from_url(url, socket_timeout=TIMEOUT)


@pytest.fixture
def proxy(state_server: StateServer) -> Iterator[CuttingProxy]:
    with CuttingProxy(state_server.port, seed=1) as between:
        yield between


def test_a_proxy_forwards_and_counts(state_server: StateServer, proxy: CuttingProxy) -> None:
    value = b"x" * 300_000
    with client(proxy.url(state_server.url)) as remote:
        remote.set("key", value)
        assert remote.get("key") == value
    assert (proxy.connections, proxy.cuts) == (1, 0)
    assert min(proxy.bytes_to_server, proxy.bytes_to_client) > len(value)


@pytest.mark.parametrize("direction", ["to_server", "to_client"])
def test_a_proxy_cuts_after_a_number_of_bytes_that_its_seed_decides(
    state_server: StateServer, direction: str
) -> None:
    def forwarded() -> list[int]:
        with CuttingProxy(state_server.port, seed=7) as proxy:
            counts = []
            for number in range(1, 6):
                proxy.cut_after(**{direction: range(1, 100)})
                remote = client(proxy.url(state_server.url))
                with remote, pytest.raises(valkey.ConnectionError):
                    remote.echo("x" * 200)
                counts.append(getattr(proxy, f"bytes_{direction}"))
                assert proxy.cuts == number
        return counts

    first = forwarded()
    assert first == forwarded()
    assert len(set(first)) == 5


def test_a_proxy_holds_replies_back_cuts_refuses_and_accepts_again(
    state_server: StateServer, proxy: CuttingProxy
) -> None:
    url = proxy.url(state_server.url)
    with valkey.Valkey.from_url(url, socket_timeout=0.2) as remote:
        assert remote.ping()
        proxy.hold()
        with pytest.raises(valkey.TimeoutError):
            remote.incr("count")
        assert state_server.run("GET", "count") == b"1"
        proxy.release()
        assert remote.ping()
        proxy.refuse()
        assert remote.ping()
        proxy.cut()
        with pytest.raises(valkey.ConnectionError, match="refused"):
            remote.ping()
        proxy.accept()
        assert remote.ping()
    assert proxy.url("valkey://:p@h:1/0?a=b") == f"valkey://:p@127.0.0.1:{proxy.port}/0?a=b"
