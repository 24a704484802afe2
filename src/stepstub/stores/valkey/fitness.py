"""Whether a server can keep what the shared state promises."""

from typing import Any

from valkey import Valkey
from valkey.exceptions import ValkeyError

from stepstub.errors import CannotServe
from stepstub.stores.valkey.address import Address
from stepstub.stores.valkey.link import BUDGET

OLDEST = {"Valkey": 8, "Redis": 7}
"""The lowest major version of each."""

_FOR_GOOD = "noeviction"


def check(address: Address) -> None:
    """Raises `CannotServe` where the server is out of reach, or what it is will not do."""
    try:
        with Valkey.from_url(
            address.url, socket_timeout=BUDGET, socket_connect_timeout=BUDGET
        ) as client:
            told: dict[str, Any] = client.info("everything")
    except (ValkeyError, OSError) as error:
        why = str(error) or type(error).__name__
        raise CannotServe(f"The store at {address.shown} cannot be used: {why}.") from error
    if reasons := list(_reasons(told)):
        raise CannotServe(f"The store at {address.shown} cannot be used: {' '.join(reasons)}")


def _reasons(told: dict[str, Any]) -> "list[str]":
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
