"""Connections to the state server are cut at random: nothing is told twice, and nothing is lost.

`make torture` makes 15,000 completions so; STEPSTUB_COMPLETIONS says how many,
and STEPSTUB_SEED where they are cut.
"""

import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from cutting_proxy import CuttingProxy
from served_stub import served
from shared_histories import Client
from state_servers import StateServer
from support import head, post

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")

STEPS = 50  # of one process
CLIENTS = 3


class Run:
    """One process, whose steps are completed in their order by several clients at once."""

    def __init__(self, clients: list[Client], number: int) -> None:
        self.clients = clients
        steps = [{"id": f"p{number}-{place}"} for place in range(STEPS)]
        body = {"processes": [{"id": f"p{number}", "steps": steps}]}
        made = clients[0].surely(post(body, target="/_stub/sandboxes"), 201)
        self.number = number
        self.token: str = made.json["token"]
        self.acknowledged: Counter[int] = Counter()
        self.statuses: Counter[int] = Counter()

    def complete_all(self, client: Client) -> None:
        """Each step in turn: until it is COMPLETED, be it by somebody else."""
        for place in range(STEPS):
            for _ in range(20):
                body = {"processStepId": f"p{self.number}-{place}"}
                response = client.ask(post(body, token=self.token))
                assert response is not None, "the stub closed a connection"
                self.statuses[response.status] += 1
                if response.status == 200:
                    self.acknowledged[place] += 1
                if response.status == 200 or b"STEP_COMPLETED" in response.body:
                    break
            else:
                pytest.fail(f"step {place} cannot be completed: {response}")

    def check(self) -> None:
        request = head(method="GET", target=f"/_stub/processes/p{self.number}", token=self.token)
        steps = self.clients[0].surely(request, 200).json["steps"]
        twice = [place for place, times in self.acknowledged.items() if times > 1]
        lost = [place for place in self.acknowledged if steps[place]["status"] != "COMPLETED"]
        assert (twice, lost) == ([], [])


def check(state: StateServer, completions: int, seed: int) -> Counter[int]:
    statuses: Counter[int] = Counter()
    with (
        CuttingProxy(state.port, seed=seed) as proxy,
        served("--state", proxy.url(state.url)) as stub,
        ThreadPoolExecutor(CLIENTS) as threads,
        ExitStack() as closing,
    ):
        clients = [closing.enter_context(Client(stub.url)) for _ in range(CLIENTS)]
        for number in range(-(-completions // STEPS)):
            proxy.cut_after()  # what is too long for any of the others has to get through
            proxy.cut()
            run = Run(clients, number)
            proxy.cut_after(to_server=range(1, 60_000), to_client=range(1, 40_000))
            proxy.cut()
            list(threads.map(run.complete_all, clients))
            run.check()
            statuses += run.statuses
        assert proxy.cuts > completions / 100
        print(f"{completions} completions, {proxy.cuts} cuts, {dict(statuses)}", flush=True)
    assert statuses.keys() <= {200, 412, 500}
    return statuses


@pytest.mark.proof
def test_completions_when_connections_are_cut(state_server: StateServer) -> None:
    statuses = check(state_server, 1500, seed=0)
    assert statuses[200] > 1400


@pytest.mark.torture
@pytest.mark.parametrize("state_server", ["valkey"], indirect=True)
def test_many_completions_when_connections_are_cut(state_server: StateServer) -> None:
    completions = int(os.environ.get("STEPSTUB_COMPLETIONS", "15000"))
    statuses = check(state_server, completions, int(os.environ.get("STEPSTUB_SEED", "0")))
    assert statuses[200] > completions * 0.95
