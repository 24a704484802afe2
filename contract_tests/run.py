"""One run of the suite against one server."""

import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Self

import requests

from stepstub import contract
from stepstub.contract_tests.cases.case import Case, RunContext, unknown_step
from stepstub.contract_tests.credentials import Credentials
from stepstub.contract_tests.expectations import Expectations
from stepstub.contract_tests.findings import (
    DOCUMENT,
    CouldNotRun,
    Finding,
    NotCovered,
    finding,
)
from stepstub.contract_tests.probes import learn
from stepstub.contract_tests.probes.learnt import Learnt
from stepstub.contract_tests.results import Report, Result
from stepstub.contract_tests.server import NoResponse, Response, Server
from stepstub.contract_tests.steps import Need, StepPool
from stepstub.contract_tests.stub import (
    ControlRefused,
    RemoteStub,
    is_stepstub,
    stub_behind,
)

EXAMPLES = 100
"""The number of bodies that a generated case tries at most."""


class Redaction:
    """Replaces the tokens in a text by names."""

    def __init__(self, token: str, control_token: str | None) -> None:
        basic = Credentials("basic").headers(token)["Authorization"].removeprefix("Basic ")
        names = {control_token: "$CONTROL_TOKEN", basic: "$BASIC_CREDENTIALS", token: "$TOKEN"}
        # The longer one goes first: the shorter one may be part of it.
        self._names = [(secret, names[secret]) for secret in sorted(filter(None, names), key=len)]
        self._names.reverse()

    def __call__(self, text: str) -> str:
        for secret, name in self._names:
            text = text.replace(secret, name)
        return text


class Run:
    """One run: made by `connect`, and closed as a context manager::

        with Run.connect(url, token) as run:
            for case in ALL_CASES:
                run.execute(case)

    `report` holds the results so far.
    """

    def __init__(self, context: RunContext, report: Report, redaction: Redaction) -> None:
        self.report = report
        self._context = context
        self._redact = redaction

    @classmethod
    def connect(
        cls,
        url: str,
        token: str,
        *,
        started_steps: Iterable[str] = (),
        seed_command: str | None = None,
        other_steps: Mapping[Need, Iterable[str]] = MappingProxyType({}),
        control_token: str | None = None,
        credentials: Credentials | None = None,
        strict: bool = False,
        require: str = "",
        seed: int | None = None,
        examples: int = EXAMPLES,
    ) -> Self:
        """A run against the server at `url`.

        `other_steps` are steps that are in another state than STARTED, or of which more is known.
        `require` lists statuses, as in `200,401,412`. A stub is recognised by its responses, and
        driven through its control API, with `control_token` where it requires one. It is held to
        our readings even without `strict`.

        Raises `CouldNotRun` when the server cannot be reached or refuses the token, or when there
        is no STARTED step to begin with.
        """
        expectations = Expectations(contract.load())
        required = _statuses(require, expectations)
        redaction = Redaction(token, control_token)
        server = Server(url, token, expectations, credentials)
        try:
            response = _first_response(server)
            stub, hint = _control(server, response, control_token)
            steps = StepPool(started_steps, seed_command, stub, hint, other_steps)
            _check_for_a_started_step(steps)
        except (CouldNotRun, requests.RequestException) as error:
            server.close()
            raise _could_not_run(error, redaction) from error
        seed = secrets.randbelow(10**6) if seed is None else seed
        strict = strict or is_stepstub(response.headers)
        report = Report(server.url, seed, expectations.statuses, strict, required)
        return cls(RunContext(server, steps, seed, examples), report, redaction)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._context.server.close()

    def learn(self) -> Learnt:
        """Learn the server's readings; completes steps of the run, and goes before the cases."""
        return learn(self._context.server, self._context.steps, self._redact)

    def execute(self, case: Case) -> Result:
        """Run one case and add its result to the report. Raises `CouldNotRun`."""
        began = time.perf_counter()
        found: list[Finding] = []
        why = ""
        try:
            found += case.run(self._context)
        except NotCovered as lack:
            why = str(lack)
        except NoResponse as error:
            found.append(finding(DOCUMENT, f"{case.situation}: {error}"))
        except (CouldNotRun, requests.RequestException) as error:
            raise _could_not_run(error, self._redact) from error
        unique = dict.fromkeys(
            replace(one, message=self._redact(one.message), curl=self._redact(one.curl))
            for one in found
        )
        result = Result(case, tuple(unique), why, time.perf_counter() - began)
        self.report.results.append(result)
        return result


def _could_not_run(error: Exception, redact: Redaction) -> CouldNotRun:
    if isinstance(error, requests.RequestException):  # those of the server became a `NoResponse`
        return CouldNotRun(redact(f"the stub can no longer be driven: {error}"))
    return CouldNotRun(redact(str(error)))


def _statuses(text: str, expectations: Expectations) -> tuple[int, ...]:
    """The statuses that `--require` lists."""
    known = {str(status): status for status in expectations.statuses}
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in known:
            raise CouldNotRun(f"--require: {name} is no documented status ({', '.join(known)})")
    return tuple(known[name] for name in names)


def _first_response(server: Server) -> Response:
    """The response to a completion of an unknown step."""
    try:
        response = server.complete(unknown_step())
    except NoResponse as error:
        raise CouldNotRun(f"cannot reach {server.url}: {error}") from error
    if response.status == 401:
        raise CouldNotRun(f"{server.url} refuses the token with 401: {response.excerpt}")
    return response


def _control(
    server: Server, response: Response, control_token: str | None
) -> tuple[RemoteStub | None, str]:
    """The stub that sent a response, or else a hint how to get access to it, if there is a way."""
    try:
        return stub_behind(server.url, server.token, response.headers, control_token), ""
    except ControlRefused as error:
        if control_token is not None:
            raise CouldNotRun(
                f"the control API of {server.url} refuses the control token; give the one that the"
                " stub was started with as --control-token"
            ) from error
    return None, "the control API requires a token (--control-token)"


def _check_for_a_started_step(steps: StepPool) -> None:
    try:
        steps.give_back(steps.take(Need.STARTED))
    except NotCovered as error:
        lack = "no started step: give one with --started-step, or a --seed-command"
        raise CouldNotRun(str(steps.lack(lack))) from error
