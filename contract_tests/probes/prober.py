"""Sends what the probes ask, and keeps track of the steps that their requests are about."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests

from stepstub.contract_tests.findings import CouldNotRun, NotCovered
from stepstub.contract_tests.probes.learnt import Exchange
from stepstub.contract_tests.server import NoResponse, Server
from stepstub.contract_tests.steps import Need, StepPool

REFUSALS = (400, 412, 422)
"""The statuses that refuse a body."""

PARAM = {"strValue": "probe", "type": "STRING"}
"""A param that every server accepts."""

BASE = f'{{"processStepId": ID, "params": {{"probe": {json.dumps(PARAM)}}}}}'
"""A body that every server accepts for a STARTED step; ID stands for the step's id."""

NOT_JSON = "{"

_TOO_MANY_REQUESTS = 429


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
    """Sends requests to a server, about steps of a pool."""

    def __init__(self, server: Server, steps: StepPool) -> None:
        self.server = server
        self.steps = steps
        self.exchanges: list[Exchange] = []
        self.completions: list[Completion] = []
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
    ) -> Exchange:
        """One request, as `Server.post` sends it."""
        body = template.replace("ID", json.dumps(step_id)).encode()
        try:
            exchange = _exchange(sent, self.server.post(body, headers, below))
        except NoResponse as error:
            exchange = Exchange(sent, None, str(error))
        self.exchanges.append(exchange)
        return exchange

    def take(self, need: Need) -> str | None:
        """A step from the pool; None where there is none."""
        try:
            return self.steps.take(need)
        except (NotCovered, CouldNotRun, requests.RequestException):
            return None

    def complete(self, sent: str, need: Need) -> Completion | None:
        """Complete a step that is known to be in some state; None where that did not succeed."""
        step_id = self.take(need)
        if step_id is None:
            return None
        exchange = self.ask(sent, BASE, step_id)
        if not exchange.completed:
            return None
        return self._note(step_id, exchange, need)

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
            return Trial(template, Exchange(sent, None, "no STARTED step was left"))
        trial = Trial(template, self.ask(sent, template, self._step, headers))
        if trial.accepted:
            self._accepted(trial, self._step)
        elif trial.exchange.status is None:  # nobody knows what became of the step
            self._doubt()
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
            exchange = self.ask("a good body after the refusals", BASE, self._step)
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


def _exchange(sent: str, response: Any) -> Exchange:
    status = response.status
    trouble = ""
    if 300 <= status < 400:
        trouble = f"{status}: it redirects to {response.headers.get('Location', 'nowhere')}"
    elif status >= 500 or status == _TOO_MANY_REQUESTS:
        trouble = f"{status}: the server could not respond"
    return Exchange(sent, response, trouble)
