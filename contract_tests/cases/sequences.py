"""Cases that need more than one request."""

import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import parse_headers

from stepstub.contract_tests.cases.case import Case, RunContext, unknown_step
from stepstub.contract_tests.findings import (
    DOCUMENT,
    CouldNotRun,
    Finding,
    NotCovered,
    finding,
)
from stepstub.contract_tests.server import NoResponse, Response, Server
from stepstub.contract_tests.steps import Need

DELEGATE_CALL_TIMEOUT: float = 5  # seconds

_BARRIER_TIMEOUT = 60  # seconds
_MAX_LAST_STEPS = 5
_MAX_STEPS_OF_A_PROCESS = 100


@dataclass(frozen=True, kw_only=True)
class NextStep(Case):
    """Completes steps until a 200 names a next one; the 200 for a last step names none."""

    def run(self, context: RunContext) -> Iterator[Finding]:
        for _ in range(_MAX_LAST_STEPS):
            step_id = self.prepare(context)
            response = self.send(context.server, step_id)
            self.note(context, step_id, response)
            if response.status in (404, 412) and context.steps.stub is None:
                raise CouldNotRun(
                    f"no started step: {step_id} got {response.status}"
                    f" ({response.excerpt}); give the id of a step that is STARTED"
                )
            if response.status != 200 or response.findings or response.named_step is not None:
                yield from self.judge(context, step_id, response)
                return
        raise NotCovered("every step that was completed was the last of its process")


@dataclass(frozen=True, kw_only=True)
class LastStep(Case):
    """Follows a process to its end, completing the step that each 200 names."""

    def run(self, context: RunContext) -> Iterator[Finding]:
        step_id = self.prepare(context)
        for _ in range(_MAX_STEPS_OF_A_PROCESS):
            response = context.server.complete(step_id)
            self.note(context, step_id, response)
            if response.status != 200 or response.findings or response.named_step is None:
                yield from self.judge(context, step_id, response)
                return
            step_id = context.steps.take(Need.NAMED)
        raise NotCovered(f"the process had not ended after {_MAX_STEPS_OF_A_PROCESS} steps")


@dataclass(frozen=True, kw_only=True)
class Repeated(Case):
    """Sends the same request twice, and judges both responses."""

    def run(self, context: RunContext) -> Iterator[Finding]:
        step_id = self.prepare(context)
        for _ in range(2):
            yield from self.judge(context, step_id, context.server.complete(step_id))


@dataclass(frozen=True, kw_only=True)
class Race(Case):
    """Completes one step from several connections at once, for a few rounds."""

    rounds: int = 5
    runners: int = 4

    def run(self, context: RunContext) -> Iterator[Finding]:
        for round_number in range(self.rounds):
            try:
                step_id = self.prepare(context)
            except NotCovered:
                if round_number:
                    return
                raise
            responses = self._at_once(context.server, step_id)
            for response in responses:
                if response.status == 200:
                    context.steps.completed(step_id, response.named_step)
            for response in responses:
                yield from response.findings
            statuses = sorted(response.status for response in responses)
            if statuses != [200] + [412] * (self.runners - 1):
                yield finding(
                    DOCUMENT,
                    f"{self.runners} concurrent completions of one step got"
                    f" {', '.join(map(str, statuses))}: exactly one can change it to COMPLETED",
                    responses[0].curl,
                )
                return

    def _at_once(self, server: Server, step_id: str) -> list[Response]:
        barrier = threading.Barrier(self.runners)
        responses: list[Response] = []
        failures: list[NoResponse] = []

        def complete() -> None:
            try:
                server.complete(unknown_step())  # opens the connection
                barrier.wait(timeout=_BARRIER_TIMEOUT)
                responses.append(server.complete(step_id))
            except NoResponse as failure:
                barrier.abort()
                failures.append(failure)
            except threading.BrokenBarrierError:
                pass  # another runner got no response
            finally:
                server.close()

        threads = [threading.Thread(target=complete) for _ in range(self.runners)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]
        return responses


@dataclass(frozen=True, kw_only=True)
class FromInside(Case):
    """Acts as the third-party application: completes a step during the call that starts it."""

    def run(self, context: RunContext) -> Iterator[Finding]:
        with socket.create_server(("127.0.0.1", 0)) as application, ThreadPoolExecutor(1) as pool:
            port = application.getsockname()[1]
            step_id = context.steps.before_call(f"http://127.0.0.1:{port}")
            if not context.server.is_local:
                raise NotCovered("the stub is on another machine, and its delegate cannot call us")

            def complete() -> Response:
                try:
                    return context.server.complete(step_id)
                finally:
                    context.server.close()

            outer = pool.submit(complete)
            application.settimeout(DELEGATE_CALL_TIMEOUT)
            try:
                connection, _ = application.accept()
            except TimeoutError:  # the stub is in a container, for example
                raise NotCovered("the stub's delegate did not call us") from None
            with connection, connection.makefile("rwb") as call:
                call.readline()
                length = int(parse_headers(call)["Content-Length"])
                inner = context.server.complete(json.loads(call.read(length))["processStepId"])
                call.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            for response in (inner, outer.result()):
                yield from self.judge(context, step_id, response)
