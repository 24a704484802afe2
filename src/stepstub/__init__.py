"""Stepstub: a stateful stub and test harness for the Complete Step API.

The layout, from the outside in; imports run downwards only::

    __main__                          the command starts here
    cli  pytest_plugin  verify        ways to use it
    contract_tests                    the conformance suite, for any server
    trying                            a client under one set of readings after another
    live  inprocess  remote           a stub that listens; without a socket; one that is up already
    interception  httpx_transport     the calls of requests and httpx, brought to it
    serving  logs                     HTTP over TCP, by uvicorn; a line per exchange
    tracing                           exchanges and delegate calls as spans
    app                               the composition root: puts a stub together
    stub                              one exchange from request to response
    console  pages                    what a stub has seen, for people; the contract to read and try
    gate                              Connexion: routing, credentials, body
    fault_injection                   faults at work
    operations                        a row for each operation          another one: here
    handlers                          what an operation does            ... and here
    exchange                          one request on its way
    client  socketless                a sandbox as a test sees it; a request without a socket
    views  verification               the control API's types; how often a step was completed
    shaping  wire  metrics            which readings shaped a response; how it goes wrong; counters
    shared_sandboxes                  those of many processes, in a server of their own
    sandboxes                         all of them, and their tokens
    sandbox                           one token's world
    responses  params                 what goes out, in either form; the params that come in
    stores                            where a sandbox keeps its state     another one: here
    faults  delegates  journal        rules of misbehaviour             another kind: here
    tokens  settings                  how long tokens are good; what a stub is set to
    transitions                       what becomes of steps: pure       a decision: here
    scenario  profiles  contract      YAML with processes, with readings; openapi.yaml at work
    overlay  yaml_source              what readings change in it; YAML from people
    variations                        what every client tolerates        another kind: here
    shell                             what a stub suggests to type into a shell
    readings                          what the document leaves open       a value: here
    schema  outbound                  JSON Schema in words; the POST of an http delegate
    advice                            what docs/readings.md tells a client to do
    errors  budget                    what can go wrong; time and bytes of an HTTP exchange
    readiness  running  reports       telling that a stub is up; a command beside it; HTML reports
    model  clock  ids  concurrency  framing
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stepstub.client import (
        ControlFailed,
        NewSandbox,
        NotCompletedAsExpected,
        NotEntered,
        Sandbox,
        SandboxClock,
    )
    from stepstub.delegates import StepStart
    from stepstub.errors import (
        Disconnected,
        ScenarioError,
        StepstubError,
        TimedOut,
        UnknownScenario,
        Violation,
    )
    from stepstub.faults import Action, Fault, Phase
    from stepstub.inprocess import InProcess
    from stepstub.live import LiveServer
    from stepstub.model import Param, Params, Status
    from stepstub.verification import Verification
    from stepstub.views import DelegateCallView, DelegateView, ExchangeView, ProcessView, StepView

    __version__: str

_HOME = {
    "Action": "faults",
    "ControlFailed": "client",
    "DelegateCallView": "views",
    "DelegateView": "views",
    "Disconnected": "errors",
    "ExchangeView": "views",
    "Fault": "faults",
    "InProcess": "inprocess",
    "LiveServer": "live",
    "NewSandbox": "client",
    "NotCompletedAsExpected": "client",
    "NotEntered": "client",
    "Param": "model",
    "Params": "model",
    "Phase": "faults",
    "ProcessView": "views",
    "Sandbox": "client",
    "SandboxClock": "client",
    "ScenarioError": "errors",
    "Status": "model",
    "StepStart": "delegates",
    "StepView": "views",
    "StepstubError": "errors",
    "TimedOut": "errors",
    "UnknownScenario": "errors",
    "Verification": "verification",
    "Violation": "errors",
}

__all__ = [
    "Action",
    "ControlFailed",
    "DelegateCallView",
    "DelegateView",
    "Disconnected",
    "ExchangeView",
    "Fault",
    "InProcess",
    "LiveServer",
    "NewSandbox",
    "NotCompletedAsExpected",
    "NotEntered",
    "Param",
    "Params",
    "Phase",
    "ProcessView",
    "Sandbox",
    "SandboxClock",
    "ScenarioError",
    "Status",
    "StepStart",
    "StepView",
    "StepstubError",
    "TimedOut",
    "UnknownScenario",
    "Verification",
    "Violation",
]


def __getattr__(name: str) -> Any:
    # Loaded when first asked for: the pytest plugin's and the command line's start stay light.
    if name == "__version__":
        from importlib.metadata import version

        return version("stepstub")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"stepstub.{_HOME[name]}"), name)
