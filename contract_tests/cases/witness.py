"""A STARTED step that many requests are about, all of which are refused: was it left alone?"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stepstub.contract_tests.findings import NotCovered
from stepstub.contract_tests.needs import Need
from stepstub.contract_tests.response import Response
from stepstub.contract_tests.server import Server
from stepstub.contract_tests.steps import StepPool
from stepstub.contract_tests.unknown import unknown_step


@dataclass(frozen=True)
class Refused:
    """A refused request: in words, how it is sent, and its response."""

    situation: str
    send: Callable[[Server, str], Response]
    response: Response


class Witness:
    """Lends one step to all requests that should be refused, another once it was completed."""

    def __init__(self, steps: StepPool) -> None:
        self._steps = steps
        self._step: str | None = None
        self._refused: list[Refused] = []
        self._earlier: list[tuple[str, Sequence[Refused]]] = []

    def step(self) -> str:
        """The id of the step; of an unknown one where no STARTED step is left."""
        if self._step is None:
            try:
                self._step = self._steps.take(Need.STARTED)
            except NotCovered:
                return unknown_step()
        return self._step

    def note(
        self, situation: str, send: Callable[[Server, str], Response], response: Response
    ) -> None:
        """Note what a request about the step got."""
        if self._step is None:
            return
        if response.status == 200:
            self._steps.completed(self._step, response.named_step)
            self._step = None
            self._refused.clear()
            return
        self._refused.append(Refused(situation, send, response))
        if response.status >= 500:  # it may have got halfway, and nobody else is to stumble over it
            self._retire()

    def replace(self) -> None:
        """Lend another step from now on: nobody knows what became of this one."""
        self._step = None
        self._refused.clear()

    def take(self) -> Sequence[tuple[str, Sequence[Refused]]]:
        """The steps so far, and what was refused about each; the next step is another.

        Raises `NotCovered` where nothing was refused.
        """
        self._retire()
        if not self._earlier:
            raise NotCovered("no request about a STARTED step was refused")
        taken, self._earlier = self._earlier, []
        return taken

    def _retire(self) -> None:
        if self._step is not None and self._refused:
            self._earlier.append((self._step, tuple(self._refused)))
            self._step, self._refused = None, []
