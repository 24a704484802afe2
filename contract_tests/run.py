"""One run of the suite against one server: first contact, learning, then the cases."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from secrets import randbelow
from types import MappingProxyType
from typing import Self

from stepstub.contract_tests.asked import NOTHING, Asked, deviations
from stepstub.contract_tests.cases.case import Case, Doubtful, RunContext
from stepstub.contract_tests.cases.witness import Witness
from stepstub.contract_tests.causes import capitalised, not_as_documented, slug, violation
from stepstub.contract_tests.connection import DIRECT, Connection
from stepstub.contract_tests.credentials import Credentials
from stepstub.contract_tests.drift import drift
from stepstub.contract_tests.examination import Examiner
from stepstub.contract_tests.expectations import UNAUTHORISED, Expectations
from stepstub.contract_tests.failures import PAGES
from stepstub.contract_tests.findings import CouldNotRun, Finding, NotCovered
from stepstub.contract_tests.needs import Need
from stepstub.contract_tests.plan import LEARNING_REQUESTS, examples_within
from stepstub.contract_tests.probes import learn
from stepstub.contract_tests.probes.learnt import Learnt
from stepstub.contract_tests.progress import SILENT, Progress
from stepstub.contract_tests.redaction import Redaction
from stepstub.contract_tests.response import Response
from stepstub.contract_tests.results import Report, Result
from stepstub.contract_tests.server import NoResponse, Server
from stepstub.contract_tests.steps import StepPool
from stepstub.contract_tests.stub import (
    ControlRefused,
    RemoteStub,
    stub_behind,
)
from stepstub.contract_tests.unknown import unknown_step
from stepstub.profiles import Profile

EXAMPLES = 100
"""The number of bodies that a generated case tries at most."""

_MAX_DOUBTS = 3  # of one case
_NOT_FOUND = 404


class Run:
    """One run; used as a context manager, in this order::

        with Run(url, token) as run:
            run.open()
            run.learn()
            for case in ALL_CASES:
                run.execute(case)
            run.finish()

    `report` holds the results so far. All but `finish` raise `CouldNotRun` where going on would be
    meaningless; what was found until then is in the report, and so is why the run ended.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        started_steps: Iterable[str] = (),
        seed_command: str | None = None,
        other_steps: Mapping[Need, Iterable[str]] = MappingProxyType({}),
        control_token: str | None = None,
        credentials: Credentials | None = None,
        connection: Connection = DIRECT,
        asked: Asked = NOTHING,
        earlier: Profile | None = None,
        require: str = "",
        seed: int | None = None,
        examples: int = EXAMPLES,
        progress: Progress = SILENT,
        wait: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """A run against the server at `url`.

        `other_steps` are steps that are in another state than STARTED, or of which more is known.
        The server is held to the readings that are `asked` for, and compared with an `earlier`
        profile. A stub is recognised by its responses, driven through its control API, with
        `control_token` where it requires one, and held to its own readings if no others are asked
        for. `require` lists statuses, as in `200,401,412`; `CouldNotRun` is raised for others.
        `wait` and `clock` are those of `Pace`.
        """
        expectations = Expectations(strict=asked.strict)
        self._asked, self._earlier = asked, earlier
        credentials = credentials or Credentials()
        secrets = credentials.secrets(token)
        secrets += connection.secrets
        secrets += [(control_token, "$CONTROL_TOKEN")] if control_token else []
        self._redact = Redaction(secrets)
        self._connection = connection
        self._progress = progress
        self._server = Server(
            url,
            token,
            Examiner(expectations, token),
            credentials,
            connection,
            wait=wait,
            clock=clock,
            on_response=progress.request,
            redact=self._redact,
        )
        self._control_token = control_token
        self._pool = (started_steps, seed_command, other_steps)
        self._steps = StepPool()
        self._context: RunContext | None = None
        self.report = Report(
            self._redact(self._server.url),
            randbelow(10**6) if seed is None else seed,
            examples,
            expectations.statuses,
            asked_name=asked.name,
            asked=asked.values,
            accepted=asked.accepted,
            require=_statuses(require, expectations),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()

    def open(self) -> None:
        """Make contact, and see what the steps come from."""
        with self._end_is_noted():
            self._open()

    def _open(self) -> None:
        response = self._first_response()
        stub, hint = self._control(response)
        given, seed_command, others = self._pool
        self._steps = StepPool(given, seed_command, stub, hint, others, self._redact)
        if stub is not None:
            self._server.examiner.now = None  # a test may have moved its clock
            if not self._asked.values:
                self._asked = Asked(
                    "the stub's own readings", stub.readings(), self._asked.accepted, strict=True
                )
                self.report.asked_name, self.report.asked = self._asked.name, self._asked.values
                self._server.examiner.expectations = Expectations(strict=True)
        self._steps.require_started()

    def learn(self) -> Learnt:
        """Learn the server's readings; from then on its responses are judged by them."""
        with self._end_is_noted():
            return self._learn()

    def _learn(self) -> Learnt:
        began = time.perf_counter()
        self._progress.started("learning the server's readings", LEARNING_REQUESTS)
        learnt = learn(self._server, self._steps, self._redact, self._progress.step)
        self._progress.finished(f"{len(learnt.seen)} of {len(learnt.values)} readings seen")
        latency = (time.perf_counter() - began) / max(1, learnt.requests)
        self.report.examples = examples_within(latency, self.report.examples)
        known = {
            name: self._asked.values.get(name) if value is None else value
            for name, value in learnt.values.items()
        }
        self._server.examiner.expectations = Expectations(known, strict=self._asked.strict)
        found = [*learnt.findings, *deviations(learnt, self._asked)]
        if known["credentials"] == "none" and "credentials" not in self._asked.values:
            found.append(self._open_to_all(learnt))
        self.report.learnt = replace(learnt, findings=found)
        if self._earlier is not None:
            self.report.drift = drift(learnt, self._earlier)
        self._context = RunContext(
            self._server,
            self._steps,
            Witness(self._steps),
            self.report.seed,
            self.report.examples,
            learnt.completions,
        )
        if learnt.unfinished:
            raise CouldNotRun(learnt.unfinished)
        if set(self._server.statuses) == {_NOT_FOUND}:
            operation = self._server.url + self._server.expectations.path
            raise CouldNotRun(f"every request got 404; check the path of the URL: {operation}")
        return learnt

    def execute(self, case: Case) -> Result:
        """Run one case and add its result to the report, also where the run ends with it."""
        began, before = time.perf_counter(), len(self._server.statuses)
        self._progress.step(case.situation)
        found: list[Finding] = []
        why = "the run ended in the middle of it"
        try:
            with self._end_is_noted():
                why = self._attempt(case, found)
        finally:
            result = Result(
                case,
                tuple(found),
                self._redact(why),
                time.perf_counter() - began,
                Counter(self._server.statuses[before:]),
            )
            self.report.results.append(result)
        return result

    def finish(self) -> None:
        """Add up what the whole run has used."""
        self.report.requests = self._server.sent
        self.report.trouble = [
            replace(each, detail=self._redact(each.detail), curl=self._redact(each.curl))
            for each in self._server.trouble
        ]
        self.report.steps = self._steps.used
        if self.report.results and not self._steps.used and not self.report.to_fix:
            # Either no step was STARTED, or the server completes none: nobody can tell.
            self.report.unfinished = self.report.unfinished or (
                "no step could be completed; give the ids of steps that are STARTED"
            )

    def _attempt(self, case: Case, found: list[Finding]) -> str:
        """Why a case is not covered, empty if it is; what is found in it is added to `found`."""
        assert self._context is not None, "learning comes first"
        lost = 0
        for _ in range(_MAX_DOUBTS):
            found.clear()
            try:
                for one in case.run(self._context):
                    found.append(one.redacted(self._redact))  # noqa: PERF401 - stays if another raises
            except Doubtful:
                continue
            except NotCovered as lack:
                return str(lack)
            except NoResponse as error:
                lost += 1
                self._server.close()
                if not self._responds():
                    return str(error)
                if lost > 1:
                    found.append(self._no_response(case, error).redacted(self._redact))
                    return ""
                continue
            return ""
        found.clear()
        return "the connection was lost too often, each time with a step at stake"

    @contextmanager
    def _end_is_noted(self) -> Iterator[None]:
        """Says in the report why the run ends here, if it does, and raises that without secrets."""
        try:
            yield
        except CouldNotRun as error:
            self.report.unfinished = self._redact(str(error))
            raise CouldNotRun(self.report.unfinished) from error

    def _responds(self) -> bool:
        try:
            self._server.complete(unknown_step())
        except NoResponse:
            return False
        return True

    def _no_response(self, case: Case, error: NoResponse) -> Finding:
        is_page = error.trouble is not None and error.trouble.kind in PAGES
        if is_page and case.status in self._server.expectations.statuses:
            says = self._server.expectations.says(case.status)
            cause = not_as_documented(case.topic, case.status, says)
        else:
            cause = violation(
                f"no-response-{slug(case.topic)}",
                f"{capitalised(case.topic)} gets no response",
                "The document has a response for every situation; other requests get theirs.",
            )
        return Finding(cause, f"{case.situation}: {error}")

    def _open_to_all(self, learnt: Learnt) -> Finding:
        cause = self._server.examiner.difference(
            "no-credentials-needed",
            "Everybody can complete steps",
            "The document has a 401 for requests that are not authorised, but does not say which"
            " are; one without credentials was accepted here.",
        )
        evidence = learnt.evidence["credentials"]
        message = f"{evidence.sent} got {evidence.status}"
        return Finding(cause, message, evidence.curl, evidence.excerpt)

    def _first_response(self) -> Response:
        """The response to a completion of an unknown step."""
        url = self.report.url
        try:
            response = self._server.complete(unknown_step())
            refuses_all = (
                response.status == UNAUTHORISED and self._server.post(b"{").status == UNAUTHORISED
            )
        except NoResponse as error:
            raise CouldNotRun(f"cannot reach {url}: {error}") from error
        if refuses_all:
            raise CouldNotRun(f"{url} refuses the token with 401: {response.excerpt}")
        return response

    def _control(self, response: Response) -> tuple[RemoteStub | None, str]:
        """The stub that sent a response, or else a hint how to get access to it."""
        url, token = self._server.url, self._server.token
        given = (response.headers, self._control_token, self._connection)
        try:
            return stub_behind(url, token, *given), ""
        except ControlRefused as error:
            if self._control_token is not None:
                raise CouldNotRun(
                    f"the control API of {self.report.url} refuses the control token; give the one"
                    " that the stub was started with as --control-token"
                ) from error
        return None, "the control API requires a token (--control-token)"


def _statuses(text: str, expectations: Expectations) -> tuple[int, ...]:
    """The statuses that `--require` lists."""
    known = {str(status): status for status in expectations.statuses}
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in known:
            raise CouldNotRun(f"--require: {name} is no documented status ({', '.join(known)})")
    return tuple(known[name] for name in names)
