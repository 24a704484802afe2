"""A worker ends or hangs while it calls a delegate: another one takes the call over.

The application is called once at least, and each time it is up to the test when it responds.
"""

import os
import queue
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from served_stub import Served, served
from shared_histories import Client
from state_servers import StateServer
from stepstub.stores.valkey.store import OWED
from support import TIMEOUT, Connection, Response, head, in_time, post, until
from third_party import third_party

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork"),
    pytest.mark.proof,
    pytest.mark.parametrize("state_server", ["valkey"], indirect=True),
]

ACCEPTS, REFUSES = 204, 409


class Call:
    """A call of a delegate, which holds until it gets its status."""

    def __init__(self) -> None:
        self._status: queue.Queue[int] = queue.Queue()

    def wait(self) -> int:
        return self._status.get(timeout=TIMEOUT)

    def respond(self, status: int) -> None:
        self._status.put(status)


class World:
    """A stub with two workers, and an application whose calls hold."""

    def __init__(self, stub: Served, state: StateServer, client: Client) -> None:
        self.stub, self.state, self.client = stub, state, client
        self.calls: queue.Queue[Call] = queue.Queue()
        self.url = ""
        self.token = ""

    def called(self, _: str, __: str) -> int:
        call = Call()
        self.calls.put(call)
        return call.wait()

    def call(self) -> Call:
        """The next call of the application."""
        return self.calls.get(timeout=TIMEOUT)

    def begin(self, **readings: str) -> None:
        """Have a sandbox with these readings."""
        body = {"readings": {name.replace("_", "-"): value for name, value in readings.items()}}
        made = self.client.surely(post(body, target="/_stub/sandboxes"), 201)
        self.token = made.json["token"]

    def start(self, *delegates: Any, name: str = "p") -> bytes:
        """The request that starts a process with these delegates."""
        steps = [
            {"id": f"{name}{number}", "delegate": each} for number, each in enumerate(delegates, 1)
        ]
        body = {"id": name, "steps": steps}
        return post(body, target="/_stub/processes", token=self.token)

    def complete(self, step_id: str) -> bytes:
        return post({"processStepId": step_id}, token=self.token)

    @property
    def http(self) -> dict[str, str]:
        return {"http": self.url}

    def statuses(self, name: str = "p") -> str:
        request = head(method="GET", target=f"/_stub/processes/{name}", token=self.token)
        steps = self.client.surely(request, 200, 404).json.get("steps", [])
        return "".join(step["status"][0] for step in steps)

    def outcomes(self) -> list[str]:
        request = head(method="GET", target="/_stub/delegate-calls", token=self.token)
        calls = self.client.surely(request, 200).json["delegateCalls"]
        return [call["outcome"] for call in calls if call["kind"] == "http"]

    def settle(self) -> None:
        """Wait until nobody owes a call any more."""
        until(lambda: not self.state.run("ZCARD", OWED))


@pytest.fixture
def world(state_server: StateServer) -> Iterator[World]:
    with (
        served("--state", state_server.url, "--lease", "0.5") as stub,
        Client(stub.url) as client,
    ):
        made = World(stub, state_server, client)
        with third_party(made.called) as url:
            made.url = url
            yield made


@contextmanager
def busy(world: World, request: bytes) -> Iterator[tuple[int, Connection, Call]]:
    """A worker that has got this request and is calling the application."""
    pid = world.stub.pids[1]
    with world.stub.connected_to(pid) as connection:
        connection.send(request)
        yield pid, connection, world.call()


def kill(world: World, pid: int, connection: Connection) -> None:
    os.kill(pid, signal.SIGKILL)
    assert connection.is_closed()
    world.stub.worker()


@pytest.mark.parametrize(
    ("readings", "status", "ends"),
    [
        ({}, ACCEPTS, "CSP"),
        ({"next_step_started": "after-call"}, ACCEPTS, "CSP"),
        ({}, REFUSES, "SPP"),
        ({"next_step_started": "after-call"}, REFUSES, "SPP"),
        ({"delegate_failure": "kept"}, REFUSES, "CFP"),
        ({"delegate_failure": "hidden"}, REFUSES, "CFP"),
        ({"delegate_failure": "kept", "next_step_started": "after-call"}, REFUSES, "CFP"),
    ],
)
def test_the_call_of_a_worker_that_was_killed_is_taken_over(
    readings: dict[str, str], status: int, ends: str, world: World
) -> None:
    world.begin(**readings)
    world.client.surely(world.start("recorded", world.http, "recorded"), 201)
    with busy(world, world.complete("p1")) as (pid, connection, first):
        kill(world, pid, connection)
        world.call().respond(status)
        world.settle()
        assert world.statuses() == ends
        (outcome,) = world.outcomes()
        assert outcome.startswith("accepted" if status == ACCEPTS else "failed")
        first.respond(ACCEPTS)


def test_what_was_built_on_it_meanwhile_stands(world: World) -> None:
    world.begin()
    world.client.surely(world.start("recorded", world.http, "recorded"), 201)
    with busy(world, world.complete("p1")) as (pid, connection, first):
        kill(world, pid, connection)
        second = world.call()
        assert world.client.surely(world.complete("p2"), 200)
        second.respond(REFUSES)
        world.settle()
        assert world.statuses() == "CCS"
        first.respond(ACCEPTS)


@pytest.mark.parametrize(("status", "ends"), [(ACCEPTS, "SP"), (REFUSES, "")])
def test_so_is_the_call_of_a_first_step(status: int, ends: str, world: World) -> None:
    world.begin()
    with busy(world, world.start(world.http, "recorded")) as (pid, connection, first):
        kill(world, pid, connection)
        world.call().respond(status)
        world.settle()
        assert world.statuses() == ends
        first.respond(ACCEPTS)


def test_a_process_that_has_moved_is_not_taken_away(world: World) -> None:
    world.begin()
    with busy(world, world.start(world.http, "recorded")) as (pid, connection, first):
        kill(world, pid, connection)
        assert world.client.surely(world.complete("p1"), 200)
        world.call().respond(REFUSES)
        world.settle()
        assert world.statuses() == "CS"
        first.respond(ACCEPTS)


# --- a worker that hangs, and goes on when its call has been taken over


@contextmanager
def hanging(world: World, request: bytes) -> Iterator[tuple[int, Connection, Call]]:
    """The same, and it hangs until it is `resumed`."""
    with busy(world, request) as (pid, connection, call):
        os.kill(pid, signal.SIGSTOP)
        yield pid, connection, call


def resumed(pid: int, connection: Connection) -> Response:
    os.kill(pid, signal.SIGCONT)
    return in_time(connection.response)


def test_a_completion_that_was_undone_is_not_told_to_have_succeeded(world: World) -> None:
    world.begin()
    world.client.surely(world.start("recorded", world.http), 201)
    with hanging(world, world.complete("p1")) as (pid, connection, first):
        world.client.close()  # it may be one to the worker that hangs
        world.call().respond(REFUSES)
        world.settle()
        first.respond(ACCEPTS)
        response = resumed(pid, connection)
        assert response.status == 500
        assert b"both steps are as they were" in response.body
        assert world.statuses() == "SP"


@pytest.mark.parametrize("reading", ["kept", "hidden"])
def test_one_that_was_kept_is(reading: str, world: World) -> None:
    world.begin(delegate_failure=reading)
    world.client.surely(world.start("recorded", world.http), 201)
    with hanging(world, world.complete("p1")) as (pid, connection, first):
        world.call().respond(REFUSES)
        world.settle()
        first.respond(ACCEPTS)
        assert resumed(pid, connection).status == 200
        assert world.statuses() == "CF"


def test_one_that_was_told_to_have_succeeded_is_not_undone(world: World) -> None:
    world.begin()
    world.client.surely(world.start("recorded", world.http), 201)
    with hanging(world, world.complete("p1")) as (pid, connection, first):
        second = world.call()
        first.respond(ACCEPTS)
        assert resumed(pid, connection).status == 200
        second.respond(REFUSES)
        world.settle()
        assert world.statuses() == "CS"
        assert world.outcomes() == ["accepted"]


def test_one_that_was_accepted_elsewhere_has_succeeded(world: World) -> None:
    world.begin()
    world.client.surely(world.start("recorded", world.http), 201)
    with hanging(world, world.complete("p1")) as (pid, connection, first):
        world.call().respond(ACCEPTS)
        world.settle()
        first.respond(REFUSES)
        assert resumed(pid, connection).status == 200
        assert world.statuses() == "CS"
        assert world.outcomes() == ["accepted"]


def test_a_process_that_was_taken_away_has_not_been_started(world: World) -> None:
    world.begin()
    with hanging(world, world.start(world.http, "recorded")) as (pid, connection, first):
        world.call().respond(REFUSES)
        world.settle()
        first.respond(ACCEPTS)
        assert resumed(pid, connection).status >= 400
        assert world.statuses() == ""


def take_over(world: World, *requests: bytes) -> None:
    """Kill a worker in the middle of the calls for these requests, and have them taken over.

    No call gets its status before all of them have been made again.
    """
    held, connections = [], []
    for request in requests:
        connection = world.stub.connected_to(world.stub.pids[1])
        connection.send(request)
        connections.append(connection)
        held.append(world.call())
    os.kill(world.stub.pids[1], signal.SIGKILL)
    world.stub.worker()
    again = [world.call() for _ in requests]
    for each in (*again, *held):
        each.respond(ACCEPTS)
    world.settle()
    for connection in connections:
        connection.close()


def test_a_sandbox_whose_calls_hold_holds_up_no_other(world: World) -> None:
    """The one that takes over still has its turn, though another call does not come to an end."""
    worlds, requests = [], []
    for _ in range(2):
        world.begin()
        worlds.append(world.token)
        world.client.surely(world.start("recorded", world.http), 201)
        requests.append(world.complete("p1"))
    take_over(world, *requests)
    for token in worlds:
        world.token = token
        assert world.statuses() == "CS"


def test_nor_does_a_call_hold_up_others_of_its_sandbox(world: World) -> None:
    """All that are taken over are made at once, for their leases begin at once."""
    world.begin()
    for name in "pq":
        world.client.surely(world.start("recorded", world.http, name=name), 201)
    take_over(world, *(world.complete(f"{name}1") for name in "pq"))
    assert [world.statuses(name) for name in "pq"] == ["CS", "CS"]
