"""Sends what the probes ask, and keeps track of the steps that their requests are about."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from stepstub.contract_tests.expectations import REFUSALS
from stepstub.contract_tests.findings import CouldNotRun, NotCovered
from stepstub.contract_tests.needs import Need
from stepstub.contract_tests.probes.learnt import Exchange
from stepstub.contract_tests.response import Response
from stepstub.contract_tests.server import NoResponse, Server
from stepstub.contract_tests.steps import StepPool
from stepstub.contract_tests.unknown import unknown_step

PARAM = {"strValue": "probe", "type": "STRING"}
"""A param that every server accepts."""

BASE = f'{{"processStepId": ID, "params": {{"probe": {json.dumps(PARAM)}}}}}'
"""A body that every server accepts for a STARTED step; ID stands for the step's id."""

NOT_JSON = "{"


@dataclass(frozen=True)
class Completion:
    """A step that was completed, and by what exchange; `need` is what is known of the step."""

    step_id: str
    exchange: Exchange
    need: Need = Need.STARTED
    is_base: bool = True

    @property
    def data(self) -> Mapping[str, Any]:
        """The data of the 200."""
        data = self.exchange.envelope["data"]
        return data if isinstance(data, dict) else {}

    @property
    def named(self) -> Any:
        """The id in the 200; None also where there is none."""
        return self.data.get("processStepId")

    @property
    def names_other(self) -> bool:
        """Whether the 200 names a step, and not the completed one."""
        return bool(self.named) and self.named != self.step_id

    @property
    def params(self) -> Any:
        """The params in the 200; None also where there are none."""
        return self.data.get("params")


@dataclass
class Trial:
    """A body that some servers accept and others refuse, and what became of it.

    A refusal counts only once it is `settled` that the step was STARTED all the while.
    """

    template: str
    exchange: Exchange
    settled: bool = False

    @property
    def accepted(self) -> bool:
        """Whether the step was completed."""
        return self.exchange.completed

    @property
    def refused(self) -> bool:
        """Whether the body was refused, and nothing but the body."""
        return self.settled and self.exchange.status in REFUSALS

    @property
    def why(self) -> str:
        """Why neither is known."""
        if self.exchange.status in REFUSALS:
            return "refused, but so was the same step with a good body afterwards"
        return self.exchange.outcome

    def returned(self, name: str) -> Mapping[str, Any]:
        """A param as the 200 returns it; empty where it does not."""
        data = self.exchange.envelope.get("data") if self.accepted else None
        params = data.get("params") if isinstance(data, dict) else None
        param = params.get(name) if isinstance(params, dict) else None
        return param if isinstance(param, dict) else {}


class Prober:
    """Sends requests to a server, about steps of a pool.

    `unfinished` says why learning cannot go on, if so. Nothing is sent any more then, and each
    exchange has that as its trouble; so whoever asks need not know.
    """

    def __init__(
        self, server: Server, steps: StepPool, shown: Callable[[str], None] = lambda sent: None
    ) -> None:
        self.server = server
        self._shown = shown
        self.steps = steps
        self.exchanges: list[Exchange] = []
        self.completions: list[Completion] = []
        self.unfinished = ""
        self._lack = ""
        self._need = Need.STARTED
        self._step: str | None = None
        self._pending: list[Trial] = []
        self._doubtful: list[Trial] = []

    def ask(
        self,
        sent: str,
        template: str,
        step_id: str = "",
        headers: Mapping[str, str] | None = None,
        below: str = "",
        *,
        at_stake: Need | None = None,
    ) -> Exchange:
        """One request, as `Server.post` sends it.

        `at_stake` is what is known of a step that the request may complete. A response to such a
        request says nothing where an earlier attempt may have completed the step.
        """
        if self.unfinished:
            return Exchange(sent, None, self.unfinished)
        self._shown(sent)
        body = template.replace("ID", json.dumps(step_id)).encode()
        step = step_id if at_stake in (Need.STARTED, Need.NAMED) else ""
        try:
            exchange = _exchange(sent, self.server.post(body, headers, below, step=step))
        except NoResponse as error:
            exchange = Exchange(sent, None, str(error))
            self._check_that_it_responds()
        except CouldNotRun as error:
            self.unfinished = str(error)
            exchange = Exchange(sent, None, self.unfinished)
        if at_stake and exchange.is_repeated:
            exchange = replace(exchange, trouble="an earlier attempt may have reached the server")
        self.exchanges.append(exchange)
        return exchange

    def ask_given(self, need: Need) -> Exchange:
        """A completion of a step that is certainly in some state."""
        sent = f"a completion of {need}"
        try:
            step_id = self._take(self.steps.take_certain, need)
        except NotCovered as lack:
            return Exchange(sent, None, str(lack))
        return self.ask(sent, BASE, step_id, at_stake=need)

    def _check_that_it_responds(self) -> None:
        """Send a request that any server responds to: the last one may be met by silence alone."""
        try:
            self.server.complete(unknown_step())
        except NoResponse:
            pass
        except CouldNotRun as error:
            self.unfinished = str(error)

    def take(self, need: Need) -> str | None:
        """A step from the pool; None where there is none."""
        try:
            return self._take(self.steps.take, need)
        except NotCovered as lack:
            self._lack = str(lack)
            return None

    def _take(self, take: Callable[[Need], str], need: Need) -> str:
        """A step from the pool. Raises `NotCovered`, also where learning cannot go on."""
        if not self.unfinished:
            try:
                if need is Need.STARTED and self.completions:
                    return self.steps.take_spare()
                return take(need)
            except CouldNotRun as error:
                self.unfinished = str(error)
        raise NotCovered(self.unfinished)

    def complete(self, sent: str, need: Need) -> Completion | None:
        """Complete a step that is known to be in some state; None where that did not succeed."""
        step_id = self.take(need)
        if step_id is None:
            return None
        exchange = self.ask(sent, BASE, step_id, at_stake=need)
        if not exchange.completed:
            return None
        return self._note(step_id, exchange, need)

    def check_named_step(self) -> Exchange | None:
        """Complete the step that a 200 has named; named steps are used only if that succeeds."""
        step_id = self.take(Need.NAMED)
        if step_id is None:
            return None
        sent = "a completion of a step that a 200 has named"
        exchange = self.ask(sent, BASE, step_id, at_stake=Need.NAMED)
        if exchange.completed:
            self._note(step_id, exchange, Need.STARTED)
        elif exchange.status is not None:
            self.steps.distrust_named()
        return exchange

    @property
    def returns_submitted(self) -> bool:
        """Whether the 200s of the steps that trials take are known to return what was submitted."""
        return any(
            isinstance(each.params, dict)
            and "probe" in each.params
            and (each.need is not Need.STARTED or each.named not in (None, "", each.step_id))
            for each in self.completions
        )

    def attempt_last_steps(self) -> None:
        """From now on, have trials take last steps: only their 200s return what was submitted."""
        self._confirm()
        if self._step is not None:
            self.steps.give_back(self._step)
        self._need, self._step = Need.LAST, None

    def attempt(self, sent: str, template: str, headers: Mapping[str, str] | None = None) -> Trial:
        """Send a body that may be accepted, about a STARTED step; `settle` says what a refusal is.

        As long as bodies are refused, one step is enough.
        """
        if self._step is None:
            self._step = self.take(self._need)
        if self._step is None:
            return Trial(template, Exchange(sent, None, self.unfinished or self._lack))
        trial = Trial(template, self.ask(sent, template, self._step, headers, at_stake=self._need))
        if trial.accepted:
            self._accepted(trial, self._step)
        elif trial.exchange.status is None:  # nobody knows what became of the step
            self._doubt()
            if trial.exchange.is_repeated:
                self._doubtful.append(trial)
        else:
            self._pending.append(trial)
        return trial

    def settle(self) -> None:
        """Find out which refusals were those of the body: their step can still be completed."""
        self._confirm()
        doubtful, self._doubtful = self._doubtful, []
        for trial in doubtful:
            again = self.attempt(trial.exchange.sent, trial.template)
            self._confirm()
            trial.exchange, trial.settled = again.exchange, again.settled
        self._doubtful.clear()
        if self._step is not None and self._need is Need.STARTED:
            self.steps.give_back(self._step)
        self._step = None

    def _confirm(self) -> None:
        if self._pending and self._step is not None:
            exchange = self.ask(
                "a good body after the refusals", BASE, self._step, at_stake=self._need
            )
            if exchange.completed:
                self._accepted(Trial(BASE, exchange), self._step)
            else:
                self._doubt()

    def _accepted(self, trial: Trial, step_id: str) -> None:
        self._note(step_id, trial.exchange, self._need, is_base=trial.template == BASE)
        for each in self._pending:
            each.settled = True
        trial.settled = True
        self._pending.clear()
        self._step = None

    def _doubt(self) -> None:
        self._doubtful += self._pending
        self._pending.clear()
        self._step = None

    def _note(
        self, step_id: str, exchange: Exchange, need: Need, *, is_base: bool = True
    ) -> Completion:
        completion = Completion(step_id, exchange, need, is_base)
        self.completions.append(completion)
        name = completion.named
        self.steps.completed(step_id, name if isinstance(name, str) and name else None)
        return completion


def _exchange(sent: str, response: Response) -> Exchange:
    failed = response.status >= 500
    trouble = f"{response.status}: the server could not respond" if failed else ""
    return Exchange(sent, response, trouble)
