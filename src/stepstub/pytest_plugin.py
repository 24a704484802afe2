"""The pytest plugin: fixtures `stepstub`, `stepstub_server` and `stepstub_sandbox`.

It is loaded into every suite where Stepstub is installed, so at import it takes nothing but
pytest; a suite that uses no fixture pays for this file alone.
"""

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from stepstub.client import Sandbox, Server
    from stepstub.inprocess import InProcess
    from stepstub.readings import Readings
    from stepstub.remote import RemoteServer
    from stepstub.trying.choice import Trial
    from stepstub.trying.plugin import Exchanges
    from stepstub.variations import Vary
    from stepstub.views import ExchangeView

_UNUSED_FAULTS = "stepstub_unused_faults"
_OTHER_READINGS = "stepstub_readings"
_READINGS_FILES = ("stepstub_readings_json", "stepstub_readings_html")
_SERVER = "stepstub_server"
_NEVER_STRUCK = "stepstub faults that never struck"
_OF_MARKER = {"readings", "vary", "faults"}


@dataclass
class _Used:
    """A sandbox that a test has, and what its report needs to know of it.

    `default` is where requests go that name no sandbox, `how_to_reach` what to say when none came,
    `server` the one that has the sandbox, if it listens.
    """

    sandbox: "Sandbox"
    default: "Sandbox"
    how_to_reach: str
    began: datetime
    server: "Server | None"


_used = pytest.StashKey[list[_Used]]()
_failed = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini(
        "stepstub_url",
        "base URL at which the fixture stepstub takes the calls of requests",
        default="http://stepstub.test",
    )
    parser.addini(
        "stepstub_readings",
        "profile of readings for all fixtures: a built-in one's name, or a path from the root",
        default="default",
    )
    group = parser.getgroup("stepstub")
    group.addoption(
        "--stepstub-server",
        metavar="URL",
        help="let the fixtures use the stub that is running there; its tokens are taken from"
        " STEPSTUB_TOKEN and STEPSTUB_CONTROL_TOKEN, and what a failed test did stays there to see",
    )
    group.addoption(
        "--stepstub-readings",
        metavar="each|pairs|random:N[:SEED]|NAME|FILE|READING=VALUE",
        help="run each test that has a stub again under other readings: every value in turn, pairs"
        " of values, N random sets, a profile, or single values separated by commas",
    )
    group.addoption(
        "--stepstub-time-limit",
        type=float,
        default=10.0,
        metavar="SECONDS",
        help="how long a test may take under other readings (default: 10)",
    )
    group.addoption(
        "--stepstub-readings-json",
        metavar="FILE",
        help="write what the other readings broke to this file, as JSON",
    )
    group.addoption(
        "--stepstub-readings-html",
        metavar="FILE",
        help="write it to this file as a page",
    )
    parser.addini(
        _UNUSED_FAULTS,
        "faults of a test that never struck: report (in the end) or error (they fail it)",
        default="report",
    )


def pytest_configure(config: pytest.Config) -> None:
    value = config.getini(_UNUSED_FAULTS)
    if value not in ("report", "error"):
        raise pytest.UsageError(f"{_UNUSED_FAULTS} is report or error, not {value!r}")
    config.addinivalue_line(
        "markers",
        "stepstub(readings=..., vary=..., faults=[...]): readings of the test's stub, a profile's"
        ' name or path, or single values: {"last-step-id": "absent"}; a seed by which its responses'
        ' vary, or a seed and kinds: {"seed": 1, "only": ["member-order"]}; and faults it begins'
        " with, each a dict of arguments of `fault`",
    )
    if config.getoption(_OTHER_READINGS) is not None:
        _try_other_readings(config)
        return
    for option in _READINGS_FILES:
        if config.getoption(option):
            raise pytest.UsageError(f"{_spelt(option)} goes with --stepstub-readings")


def _try_other_readings(config: pytest.Config) -> None:
    """Have tests run under the readings that `--stepstub-readings` asks for, too."""
    import secrets

    from stepstub.errors import StepstubError
    from stepstub.trying import choice
    from stepstub.trying.outcomes import unwritable
    from stepstub.trying.plugin import OtherReadings

    # Workers of xdist are started later, and get the option with this seed.
    asked = choice.with_seed(config.getoption(_OTHER_READINGS), secrets.randbelow(10**6))
    config.option.stepstub_readings = asked
    seconds = config.getoption("stepstub_time_limit")
    if not seconds > 0:
        raise pytest.UsageError(f"--stepstub-time-limit is more than 0 seconds, not {seconds:g}")
    base = _configured(config)
    files = [Path(name) if (name := config.getoption(each)) else None for each in _READINGS_FILES]
    for option, file in zip(_READINGS_FILES, files, strict=True):
        if file and (why := unwritable(file)):
            raise pytest.UsageError(f"{_spelt(option)}: {why}")
    try:
        trials = choice.parse(asked, base)
    except StepstubError as error:
        raise pytest.UsageError(f"--stepstub-readings: {error}") from error
    plugin = OtherReadings(
        asked,
        trials,
        base,
        exchanges=_exchanges,
        marked=_marked,
        seconds=seconds,
        json_file=files[0],
        html_file=files[1],
    )
    config.pluginmanager.register(plugin, "stepstub-other-readings")


def _spelt(option: str) -> str:
    return f"--{option.replace('_', '-')}"


@pytest.fixture
def stepstub_trial(request: pytest.FixtureRequest) -> "Trial | None":
    """The readings that the test is tried under by `--stepstub-readings`; None otherwise."""
    trial: Trial | None = getattr(request, "param", None)
    return trial


@pytest.fixture
def stepstub(
    request: pytest.FixtureRequest, stepstub_trial: "Trial | None"
) -> "Iterator[InProcess | Sandbox]":
    """A stub in this process: it responds to what requests sends to `stepstub.url`.

    It begins without processes; `stepstub.start_process("two-steps")` makes the first. With
    `--stepstub-server` it is a sandbox on that server, as `stepstub_sandbox` is.
    """
    if request.config.getoption(_SERVER):
        with _on_server(request, stepstub_trial) as sandbox:
            yield sandbox
    else:
        with _in_process(request, stepstub_trial) as sandbox:
            yield sandbox


@contextmanager
def _in_process(request: pytest.FixtureRequest, trial: "Trial | None") -> "Iterator[InProcess]":
    from stepstub.inprocess import InProcess

    url, readings = request.config.getini("stepstub_url"), _readings(request, trial)
    vary = _vary(request, trial)
    if vary and trial and vary == trial.vary and not vary.without_a_connection:
        vary = None  # the trial is about the other fixture of this test
    with InProcess(url=url, readings=readings, vary=vary) as sandbox:
        how_to_reach = (
            f"This fixture takes what requests sends to {sandbox.url}, and what httpx sends with"
            " transport=stepstub.httpx_transport(). Clients in other libraries (httpx without that"
            " transport, aiohttp, urllib3) need the fixture stepstub_sandbox, which listens."
        )
        with _remembered(request, sandbox, sandbox.default_sandbox(), how_to_reach):
            _add_faults(request, sandbox)
            yield sandbox


@pytest.fixture(scope="session")
def stepstub_server(pytestconfig: pytest.Config) -> "Iterator[Server]":
    """A stub that listens on a free port, once for the whole run (and once for an xdist worker).

    Or else the one that `--stepstub-server` names.
    """
    if url := pytestconfig.getoption(_SERVER):
        yield _running(url)
        return
    from stepstub.live import LiveServer

    with LiveServer(readings=_configured(pytestconfig)) as server:
        yield server


def _running(url: str) -> "RemoteServer":
    """The stub at `url`, once it has been seen to be one."""
    from stepstub.errors import StepstubError
    from stepstub.remote import RemoteServer

    try:
        server = RemoteServer(url)
        server.default_sandbox().clock.now()
    except (StepstubError, ValueError, OSError) as error:
        pytest.exit(f"--stepstub-server {url}: {error}", returncode=4)
    return server


@pytest.fixture
def stepstub_sandbox(
    request: pytest.FixtureRequest,
    stepstub_server: "Server",
    stepstub_trial: "Trial | None",
) -> "Iterator[Sandbox]":
    """A fresh sandbox on `stepstub_server`, for clients in any library, thread or process."""
    with _on_server(request, stepstub_trial) as sandbox:
        yield sandbox


@contextmanager
def _on_server(request: pytest.FixtureRequest, trial: "Trial | None") -> "Iterator[Sandbox]":
    """A sandbox of the test's name; after a failure it stays where the server outlives the run."""
    server: Server = request.getfixturevalue("stepstub_server")
    new = server.sandbox(
        readings=_on_top(request, trial), vary=_vary(request, trial), name=request.node.nodeid
    )
    with new as sandbox:
        how_to_reach = f"It is at {sandbox.url}, for requests that bear its token."
        with _remembered(request, sandbox, server.default_sandbox(), how_to_reach, server):
            _add_faults(request, sandbox)
            yield sandbox
        new.kept = bool(request.config.getoption(_SERVER)) and request.node.stash.get(
            _failed, False
        )


def _readings(request: pytest.FixtureRequest, trial: "Trial | None") -> "Readings":
    """The readings of a test: its marker's, on top of its trial's, on top of the ini file's."""
    from stepstub import profiles
    from stepstub.errors import StepstubError
    from stepstub.readings import with_values

    base = _configured(request.config)
    if trial is not None:
        base = with_values(base, trial.readings)
    try:
        return profiles.chosen(_marked(request.node).get("readings"), base)
    except StepstubError as error:
        raise pytest.UsageError(f"@pytest.mark.stepstub: {error}") from error


def _on_top(
    request: pytest.FixtureRequest, trial: "Trial | None"
) -> "Readings | Mapping[str, Any] | None":
    """The readings of a test on a server: where that is somebody else's, only what is asked for."""
    readings = _readings(request, trial)  # which finds mistakes as well
    own = _marked(request.node).get("readings", {})
    says_all = not isinstance(own, Mapping) or request.config.getini(_OTHER_READINGS) != "default"
    if says_all or not request.config.getoption(_SERVER):
        return readings
    return {**(trial.readings if trial else {}), **own}


def _vary(request: pytest.FixtureRequest, trial: "Trial | None") -> "Vary | None":
    """How the responses of a test's stub vary: as its marker says, or else its trial."""
    from stepstub import variations
    from stepstub.errors import StepstubError

    try:
        return variations.chosen(_marked(request.node).get("vary"), trial.vary if trial else None)
    except StepstubError as error:
        raise pytest.UsageError(f"@pytest.mark.stepstub: {error}") from error


def _marked(item: pytest.Item) -> Mapping[str, Any]:
    """What the markers of a test say: its own before its class's, and these before its module's."""
    marked: dict[str, Any] = {}
    for marker in item.iter_markers("stepstub"):
        if marker.args or not marker.kwargs or set(marker.kwargs) - _OF_MARKER:
            raise pytest.UsageError(
                "@pytest.mark.stepstub takes readings=..., vary=... and faults=[...], and nothing"
                " else."
            )
        marked = {**marker.kwargs, **marked}
    return marked


def _add_faults(request: pytest.FixtureRequest, sandbox: "Sandbox") -> None:
    """Add the faults of the test's marker."""
    from stepstub.errors import StepstubError

    for fault in _marked(request.node).get("faults", ()):
        try:
            sandbox.fault(**fault)
        except (StepstubError, TypeError) as error:
            raise pytest.UsageError(f"@pytest.mark.stepstub: fault {fault!r}: {error}") from error


def _configured(config: pytest.Config) -> "Readings":
    """The readings of the ini file."""
    from stepstub import profiles
    from stepstub.errors import StepstubError
    from stepstub.yaml_source import is_file

    profile = config.getini("stepstub_readings")
    try:
        return profiles.load(config.rootpath / profile if is_file(profile) else profile)
    except StepstubError as error:
        raise pytest.UsageError(f"stepstub_readings: {error}") from error


@contextmanager
def _remembered(
    request: pytest.FixtureRequest,
    sandbox: "Sandbox",
    default: "Sandbox",
    how_to_reach: str,
    server: "Server | None" = None,
) -> Iterator[None]:
    """While it lasts the test's report has what there is to say of the sandbox."""
    # Journals have times in whole milliseconds.
    began = datetime.now(UTC) - timedelta(milliseconds=1)
    used = request.node.stash.setdefault(_used, [])
    used.append(_Used(sandbox, default, how_to_reach, began, server))
    try:
        yield
    finally:
        used.pop()  # pytest keeps the item until the end of the run


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    try:
        outcome = yield
    finally:
        for used in item.stash.get(_used, []):
            if used.server is not None:
                used.server.accept_connections()  # it is asked what the test has done
    if item.config.getini(_UNUSED_FAULTS) == "error":
        for used in item.stash.get(_used, []):
            if faults := _unused_faults(used):
                pytest.fail(f"Faults that never struck:\n{faults}", pytrace=False)
    return outcome


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when != "teardown" and report.failed:
        item.stash[_failed] = True
        for used in item.stash.get(_used, []):
            for title, text in (
                ("stepstub console", _text(_console, used)),
                ("stepstub journal", _text(_journal, used)),
                ("stepstub requests that named no sandbox", _text(_strays, used)),
                (_NEVER_STRUCK, _text(_unused_faults, used)),
            ):
                if text:
                    report.sections.append((title, text))
    elif report.when == "call" and report.passed:
        for used in item.stash.get(_used, []):
            if text := _text(_unused_faults, used):
                report.sections.append((_NEVER_STRUCK, text))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the faults that never struck in a test that passed: was it about anything?"""
    found = [
        f"{report.nodeid}: {line}"
        for report in terminalreporter.getreports("passed")
        for title, text in report.sections
        if title == _NEVER_STRUCK
        for line in text.splitlines()
    ]
    if found:
        terminalreporter.section(_NEVER_STRUCK)
        for line in found:
            terminalreporter.write_line(line)


def _text(function: Callable[[_Used], str], used: _Used) -> str:
    from stepstub.errors import StepstubError

    try:
        return function(used)
    except (StepstubError, OSError) as error:  # it must not hide why the test failed
        return f"(unavailable: {error})"


def _console(used: _Used) -> str:
    """Where a person sees what the test did, on a server that outlives the run."""
    from stepstub.remote import RemoteServer

    if not isinstance(used.server, RemoteServer):
        return ""
    last = used.sandbox.journal()[-1:]
    return used.sandbox.console_url(last[0].number if last else None)


def _journal(used: _Used) -> str:
    from stepstub.client import render_journal
    from stepstub.views import ExchangeList

    exchanges = used.sandbox.journal()
    text = render_journal(exchanges)
    if exchanges or _strays(used) or used.sandbox.call("GET", "journal", ExchangeList).dropped:
        return text
    return f"{text}\nNothing has reached this stub. {used.how_to_reach}"


def _strays(used: _Used) -> str:
    """The requests of this test's time that no sandbox could be found for, as text."""
    from stepstub.client import render_journal

    strays = [
        exchange
        for exchange in _by_default(used)
        if exchange.operation is None or (exchange.status == 401 and not exchange.fault)
    ]
    return render_journal(strays) if strays else ""


def _by_default(used: _Used) -> "list[ExchangeView]":
    """The exchanges of this test's time that the default sandbox has seen."""
    return [each for each in used.default.journal() if each.wall_clock >= used.began]


def _exchanges(item: pytest.Item) -> "Exchanges":
    """All that the test's stubs have seen."""
    from stepstub.trying.plugin import exchanges_of

    return exchanges_of([(used.sandbox, _by_default(used)) for used in item.stash.get(_used, [])])


def _unused_faults(used: _Used) -> str:
    lines = []
    for fault in used.sandbox.unused_faults():
        line, step_id = fault.describe(), fault.process_step_id
        if step_id is not None:
            line += f", for step {step_id}"
            if not _exists(used.sandbox, step_id):
                line += " (there is no such step)"
        lines.append(line)
    return "\n".join(lines)


def _exists(sandbox: "Sandbox", step_id: str) -> bool:
    from stepstub.client import ControlFailed

    try:
        sandbox.step(step_id)
    except ControlFailed:
        return False
    return True
