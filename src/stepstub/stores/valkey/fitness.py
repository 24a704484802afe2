"""Whether a server can keep what the shared state promises, asked before anything is served."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from valkey import Valkey
from valkey.exceptions import ValkeyError

from stepstub.errors import CannotServe
from stepstub.stores.valkey.address import Address
from stepstub.stores.valkey.directory import claim

OLDEST = {"Valkey": 8, "Redis": 7}
"""The lowest major version of each."""

_FOR_GOOD = "noeviction"


def check(address: Address, token: str, sandbox_id: str) -> bool:
    """Claim the id of the default sandbox for a token; whether that is there, by an earlier start.

    Raises `CannotServe` where the server is out of reach, where what it is will not do, and where
    the default sandbox is that of another token.
    """
    with _client(address) as client:
        told: Any = client.info("everything")
        if reasons := reasons_against(told):
            raise CannotServe(f"The store at {address.shown} cannot be used: {' '.join(reasons)}")
        was_there = claim(client, token.encode(), sandbox_id)
    if was_there is None:
        raise CannotServe(
            f"The store at {address.shown} has the state of stubs with another --token: give the"
            " same, or the number of another database."
        )
    return was_there


@contextmanager
def _client(address: Address) -> Iterator[Valkey]:
    try:
        with address.blocking_client() as client:
            yield client
    except (ValkeyError, OSError, UnicodeError) as error:
        why = str(error).rstrip(".") or type(error).__name__
        raise CannotServe(f"The store at {address.shown} cannot be used: {why}.") from error


def reasons_against(told: Mapping[str, Any]) -> list[str]:
    """Why a server that tells this of itself (INFO) cannot be used, with the remedies."""
    name = "Valkey" if "valkey_version" in told else "Redis"
    version = str(told.get("valkey_version") or told.get("redis_version", "0"))
    found = []
    if int(version.partition(".")[0]) < OLDEST[name]:
        found.append(f"{name} {version} is too old; it takes {name} {OLDEST[name]} or newer.")
    policy = told.get("maxmemory_policy", _FOR_GOOD)
    if policy != _FOR_GOOD:
        found.append(
            f"Its maxmemory-policy is {policy}, so it would forget steps without a word; set"
            f" maxmemory-policy {_FOR_GOOD}."
        )
    if told.get("role") not in (None, "master"):
        found.append("It is a replica, which takes no writes; name its primary.")
    if told.get("cluster_enabled"):
        found.append("It is a node of a cluster; name a server on its own, or one with replicas.")
    return found
