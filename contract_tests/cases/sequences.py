"""Cases that need more than one request."""

import json
import socket
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from http.client import parse_headers

from stepstub.contract_tests.cases.case import (
    NOTHING_COMPLETED,
    Case,
    Doubtful,
    RunContext,
    certain,
)
from stepstub.contract_tests.cases.expect import Repeatable, internal_error
from stepstub.contract_tests.cases.senders import PLAIN, complete
from stepstub.contract_tests.cases.trials import changed
from stepstub.contract_tests.cases.witness import Refused
from stepstub.contract_tests.causes import (
    COMPLETED_TWICE,
    NAMED,
    inconsistency,
    violation,
)
from stepstub.contract_tests.findings import Finding, NotCovered
from stepstub.contract_tests.needs import Need
from stepstub.contract_tests.response import Response
from stepstub.contract_tests.server import NoResponse, Server
from stepstub.contract_tests.steps import MAX_STEPS_OF_A_PROCESS
from stepstub.contract_tests.unknown import unknown_step

DELEGATE_CALL_TIMEOUT: float = 5  # seconds

_MAX_LAST_STEPS = 5


@dataclass(frozen=True, kw_only=True)
class StillStarted(Case):
    """Completes the steps that all refusals were about: none of them has changed anything.

    Otherwise finds the request that did, by halves, each with a step of its own.
    """

    steps: int = 1

    def run(self, context: RunContext) -> Iterator[Finding]:
        is_lost = False
        for step_id, refused in context.witness.take():
            try:
                yield from self._complete(context, step_id, refused)
            except (Doubtful, NoResponse):  # the other steps tell the same without this one
                context.server.close()
                is_lost = True
        if is_lost:
            raise NotCovered("the connection was lost while a step was completed after refusals")

    def _complete(
        self, context: RunContext, step_id: str, refused: Sequence[Refused]
    ) -> Iterator[Finding]:
        response = certain(complete(context.server, step_id))
        if response.status < 300:
            context.steps.completed(step_id, response.named_step)
            yield from response.findings
            return
        if not context.completions:
            raise NotCovered(NOTHING_COMPLETED)
        guilty, response = self._guilty(context, refused, response)
        some = ", ".join(dict.fromkeys(each.situation for each in guilty[:3]))
        rest = f" and {len(guilty) - 3} more" if len(guilty) > 3 else ""
        first = guilty[0].response
        got = f"got {first.status}" if len(guilty) == 1 else "were all refused"
        yield changed(f"{some}{rest} {got}", first, response)

    def _guilty(
        self, context: RunContext, suspects: Sequence[Refused], seen: Response
    ) -> tuple[Sequence[Refused], Response]:
        """The fewest requests that are known to change a step, and what its completion gets."""
        while len(suspects) > 1:
            half = suspects[: len(suspects) // 2]
            try:
                response = self._after(context, half)
            except (NotCovered, Doubtful, NoResponse):
                return suspects, seen
            if response.status == 200:
                suspects = suspects[len(half) :]
            else:
                suspects, seen = half, response
        return suspects, seen

    def _after(self, context: RunContext, suspects: Sequence[Refused]) -> Response:
        """The completion of a fresh step about which requests were sent before."""
        step_id = context.steps.take(Need.STARTED)
        for each in suspects:
            each.send(context.server, step_id)
        response = certain(complete(context.server, step_id))
        if response.status == 200:
            context.steps.completed(step_id, response.named_step)
        return response


@dataclass(frozen=True, kw_only=True)
class NextStep(Case):
    """Completes a step, and others until a 200 names a next one, if the server names it.

    Where no step is left, what learning completed is judged.
    """

    def run(self, context: RunContext) -> Iterator[Finding]:
        names = context.server.expectations.value("named-step") != "completed"
        refused: Response | None = None
        for _ in range(_MAX_LAST_STEPS):
            try:
                step_id = context.steps.take(Need.STARTED)
            except NotCovered:
                if refused is not None or not self._is_plain or not context.completions:
                    break
                for step_id, response in context.completions:
                    yield from self.judge(context, step_id, response)
                return
            response = certain(self.send(context.server, step_id))
            if response.status != 200:
                if context.completions:
                    yield from self.judge(context, step_id, response)
                    return
                refused = response
                continue
            context.steps.completed(step_id, response.named_step)
            if response.named_step not in (None, step_id) or not names:
                yield from self.judge(context, step_id, response)
                return
        if refused is not None:
            raise NotCovered(
                f"no step that was given could be completed: {refused.status}, {refused.excerpt};"
                " give the id of a step that is STARTED"
            )
        raise NotCovered("no STARTED step was left, or each was the last of its process")

    @property
    def _is_plain(self) -> bool:
        return self.send is complete


@dataclass(frozen=True, kw_only=True)
class SecondCompletion(Case):
    """Completes a step again, and compares a 200 with the first one."""

    need: Need = Need.COMPLETED
    steps: int = 0

    def run(self, context: RunContext) -> Iterator[Finding]:
        if not context.completions:
            raise NotCovered("no step has been completed in this run")
        step_id, first = context.completions[0]
        again = context.server.complete(step_id, PLAIN)
        yield from self.judge(context, step_id, again)
        if again.status == 200:
            yield from self._other_data(context, first, again)

    def _other_data(
        self, context: RunContext, first: Response, again: Response
    ) -> Iterator[Finding]:
        known = context.server.expectations.value("completed-step")
        if first.names != again.names:
            message = f"the 200 of a second completion is another: {again.excerpt}"
            yield again.shows(COMPLETED_TWICE, message)
        elif known == "repeat" and first.data != again.data:
            message = f"the params of a second completion's 200 are others: {again.excerpt}"
            yield Finding(inconsistency("completed-step", known), message, again.curl)


@dataclass(frozen=True, kw_only=True)
class LastStep(Case):
    """Follows a process to its end, completing the step that each 200 names."""

    @property
    def requests(self) -> int:
        return self.steps

    def run(self, context: RunContext) -> Iterator[Finding]:
        # A process is followed from its beginning, for its id must not change on the way.
        names = context.server.expectations.value("named-step") == "started"
        step_id = context.steps.take(Need.STARTED if names else self.need)
        process_ids: dict[str, str] = {}
        for _ in range(MAX_STEPS_OF_A_PROCESS):
            response = certain(complete(context.server, step_id))
            if response.status != 200:
                # A step that a 200 has named is another case's business.
                case = self if not process_ids else replace(self, topic=NAMED)
                yield from case.judge(context, step_id, response)
                return
            context.steps.completed(step_id, response.named_step)
            process_ids.setdefault(str(response.process_id), step_id)
            if len(process_ids) > 1:
                yield self._changes(process_ids, response)
                return
            if response.named_step in (None, step_id):
                if context.server.expectations.value("named-step") is None:
                    yield from response.findings
                    raise NotCovered("it is not known whether the step was the last of its process")
                yield from self.judge(context, step_id, response)
                return
            yield from response.findings
            following = context.steps.next_of(step_id)
            if following is None:
                raise NotCovered("a 200 of this run has named a step that was used before")
            step_id = following
        raise NotCovered(f"the process had not ended after {MAX_STEPS_OF_A_PROCESS} steps")

    def _changes(self, process_ids: dict[str, str], response: Response) -> Finding:
        cause = violation(
            "process-id-changes",
            "The processId changes along a process",
            "The processId of a 200 is the id of the process, and all its steps are parts of that.",
        )
        ids = ", then ".join(process_ids)
        return response.shows(cause, f"steps of one process have {ids}")


@dataclass(frozen=True, kw_only=True)
class NamedStep(Case):
    """Completes the step that a 200 has named as started."""

    need: Need = Need.NAMED

    def run(self, context: RunContext) -> Iterator[Finding]:
        if context.server.expectations.value("named-step") == "completed":
            raise NotCovered("the 200s name the completed step, not the one that was started")
        try:
            step_id = context.steps.take(Need.NAMED)
        except NotCovered:
            first = context.steps.take(Need.STARTED)
            response = certain(complete(context.server, first))
            if response.status != 200:
                raise NotCovered("no 200 of this run has named a next step") from None
            context.steps.completed(first, response.named_step)
            step_id = context.steps.take(Need.NAMED)
        response = certain(complete(context.server, step_id))
        context.note(step_id, response)
        yield from self.judge(context, step_id, response)


@dataclass(frozen=True, kw_only=True)
class NextIsLate(Case):
    """Completes a step whose next one has no time, and then that one."""

    def run(self, context: RunContext) -> Iterator[Finding]:
        first, following = context.steps.before_late()
        response = complete(context.server, first)
        if response.status != 200:
            raise NotCovered(f"the step before it got {response.status}")
        yield from self.judge(context, following, complete(context.server, following))


@dataclass(frozen=True, kw_only=True)
class Repeated(Case):
    """Completes a step whose next one cannot be started, twice."""

    def run(self, context: RunContext) -> Iterator[Finding]:
        step_id = context.steps.take(self.need)
        known = context.server.expectations.value("delegate-failure")
        first = complete(context.server, step_id)
        yield from self.judge(context, step_id, first)
        again = complete(context.server, step_id)
        if known == "undone":
            yield from self.judge(context, step_id, again)
        elif known is not None:  # the first request has completed the step
            yield from replace(self, expect=Repeatable()).judge(context, step_id, again)


@dataclass(frozen=True, kw_only=True)
class Race(Case):
    """Completes one step from several connections at once, for a few rounds.

    `patience` is how long a connection waits for the others, in seconds.
    """

    rounds: int = 5
    runners: int = 4
    patience: float = 60
    steps: int = 5

    @property
    def requests(self) -> int:
        return self.rounds * self.runners * 2

    def run(self, context: RunContext) -> Iterator[Finding]:
        for round_number in range(self.rounds):
            try:
                step_id = context.steps.take(Need.STARTED)
            except NotCovered:
                if round_number:
                    return
                raise
            responses = self._at_once(context.server, step_id)
            for response in responses:
                certain(response)
            winners = [response for response in responses if response.status == 200]
            if winners:
                context.steps.completed(step_id, winners[0].named_step)
            for response in responses:
                yield from response.findings
            found = list(self._judge_all(context, responses, winners))
            yield from found
            if found:
                return

    def _judge_all(
        self, context: RunContext, responses: Sequence[Response], winners: Sequence[Response]
    ) -> Iterator[Finding]:
        known = context.server.expectations.value("completed-step")
        statuses = Counter(response.status for response in responses)
        shown = ", ".join(f"{count} x {status}" for status, count in sorted(statuses.items()))
        message = f"{len(responses)} concurrent completions of one step got {shown}"
        loser = next((each for each in responses if each.status != 200), None)
        if loser is not None and (cause := internal_error(self, context, loser)):
            yield loser.shows(cause, message)
        elif not winners:
            if context.completions:
                cause = violation(
                    "race-without-winner",
                    "None of several concurrent completions succeeds",
                    context.server.expectations.says(200),
                )
                yield responses[0].shows(cause, message)
        elif known == "repeat":
            if len({each.names for each in winners}) > 1 or loser:
                excerpt = (loser or winners[-1]).excerpt
                yield Finding(
                    inconsistency("completed-step", known), message, winners[0].curl, excerpt
                )
        elif known is not None and (len(winners) > 1 or statuses.keys() != {200, known}):
            excerpt = winners[-1].excerpt if len(winners) > 1 or loser is None else loser.excerpt
            yield Finding(inconsistency("completed-step", known), message, winners[0].curl, excerpt)

    def _at_once(self, server: Server, step_id: str) -> list[Response]:
        """The responses to all runners. Raises what a runner raises, or else `NotCovered`."""
        barrier = threading.Barrier(self.runners)

        def run_once() -> Response:
            try:
                server.complete(unknown_step())  # opens the connection
                barrier.wait(timeout=self.patience)
                return complete(server, step_id)
            except Exception:
                barrier.abort()  # so that nobody waits for a runner that does not come
                raise
            finally:
                server.close()

        with ThreadPoolExecutor(self.runners) as pool:
            runs = [pool.submit(run_once) for _ in range(self.runners)]
        failures = [failure for each in runs if (failure := each.exception()) is not None]
        for failure in failures:
            if not isinstance(failure, threading.BrokenBarrierError):
                raise failure
        if failures:
            raise NotCovered("the requests of a race could not be sent at the same time")
        return [each.result() for each in runs]


@dataclass(frozen=True, kw_only=True)
class FromInside(Case):
    """Acts as the third-party application: completes a step during the call that starts it."""

    def run(self, context: RunContext) -> Iterator[Finding]:
        with socket.create_server(("127.0.0.1", 0)) as application, ThreadPoolExecutor(1) as pool:
            port = application.getsockname()[1]
            step_id = context.steps.before_call(f"http://127.0.0.1:{port}")
            if not context.server.is_local:
                raise NotCovered("the stub is on another machine, and its delegate cannot call us")

            def complete_outer() -> Response:
                try:
                    return context.server.complete(step_id)
                finally:
                    context.server.close()

            outer = pool.submit(complete_outer)
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
            yield from self.judge(context, step_id, outer.result())
            after_call = context.server.expectations.value("next-step-started") == "after-call"
            if not after_call:
                yield from self.judge(context, step_id, inner)
            elif inner.status == 200:
                cause = inconsistency("next-step-started", "after-call")
                message = "the step could be completed during the call that starts it"
                yield inner.shows(cause, message)
