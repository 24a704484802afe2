"""Stepstub: a stateful stub and test harness for the Complete Step API.

The layout, from the outside in; imports run downwards only::

    cli  pytest_plugin  verify           ways to use it
    live  inprocess                      a stub that listens; a stub without a socket
    client                               a sandbox as a test sees it
    serving                              HTTP/1.1 over TCP: connections, uvicorn
    app                                  the composition root
    gate                                 Connexion at work
    contract  envelope  problems  pages  openapi.yaml at work; what responses look like
    handlers                             one function per operation, the bearer check
    sandbox                              one token's world
    engine  journal  faults  scenario    transitions; what was seen; misbehaviour; YAML
    delegates  concurrency                   what starting a step calls; how waiting is done
    model  clock  ids  schema  errors
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stepstub.client import ControlFailed, NotCompletedAsExpected, Sandbox
    from stepstub.inprocess import InProcess
    from stepstub.live import LiveServer

__all__ = ["ControlFailed", "InProcess", "LiveServer", "NotCompletedAsExpected", "Sandbox"]

_HOME = {
    "ControlFailed": "client",
    "InProcess": "inprocess",
    "LiveServer": "live",
    "NotCompletedAsExpected": "client",
    "Sandbox": "client",
}


def __getattr__(name: str) -> Any:
    # Loaded when first asked for: the pytest plugin's and the command line's start stay light.
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"stepstub.{_HOME[name]}"), name)
