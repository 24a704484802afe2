"""A stub with several workers, as tests run it: `python with_workers.py --help`.

Each response has a header `worker` with the pid that has sent it. A line on stdout tells of each
worker that is started, and one of the whole stub.
"""

import argparse
import ctypes
import itertools
import os
import signal
import sys
import threading
from pathlib import Path

from starlette.types import Message, Receive, Scope, Send

from stepstub import logs
from stepstub.app import create_app
from stepstub.concurrency import EventLoopConcurrency
from stepstub.errors import StepstubError
from stepstub.scenario import load
from stepstub.serving import server, workers
from stepstub.settings import LEASE, Limits, Settings
from stepstub.stores.valkey.address import Address
from stepstub.stub import Stub

sys.path.append(str(Path(__file__).parent.parent))

import broken_scripts

PR_SET_CHILD_SUBREAPER = 36


class Signed:
    """The stub, with the pid in its responses."""

    def __init__(self, stub: Stub) -> None:
        self._stub = stub
        self.refuse = stub.refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def signed(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"worker", b"%d" % os.getpid())]
            await send(message)

        await self._stub(scope, receive, signed)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--log-format", default="text")
    parser.add_argument("--grace-period", type=float, default=server.GRACE_PERIOD)
    parser.add_argument("--until-eof", action="store_true")
    parser.add_argument("--hold", action="store_true", help="the 2nd worker reads a byte first")
    parser.add_argument("--refuse", type=Path, help="no worker starts while this file exists")
    parser.add_argument("--exit", type=int, help="each worker exits before it serves")
    parser.add_argument("--orphan", action="store_true", help="the 1st worker leaves one behind")
    parser.add_argument(
        "--signal-at-fork", action="store_true", help="the 1st gets SIGTERM at once"
    )
    parser.add_argument("--state", type=Address, help="where the state is that workers share")
    parser.add_argument("--lease", type=float, default=LEASE)
    parser.add_argument("--break", dest="broken", help="have a script of the store do less")
    options = parser.parse_args()
    server.GRACE_PERIOD = options.grace_period
    workers.FIRST_PAUSE = 0.01
    logs.configure(options.log_format, "warning")
    app = Signed(stub(options))
    listener = server.listen("127.0.0.1", 0)
    tell(f"{server.url_of(listener)} {threading.active_count()}")
    if options.orphan:  # as the first process of a container does
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    if options.signal_at_fork:
        forks = itertools.count()
        os.register_at_fork(
            after_in_parent=lambda: next(forks),
            after_in_child=lambda: next(forks) or os.kill(os.getpid(), signal.SIGTERM),
        )

    def in_worker(number: int) -> None:
        if options.refuse and options.refuse.exists():
            raise StepstubError(f"{options.refuse} is there.")
        if options.exit is not None:
            os._exit(options.exit)
        if options.orphan and number == 1:
            leave_an_orphan()
        tell(f"worker {number} {os.getpid()}")
        if options.hold and number == 2:
            os.read(0, 1)

    try:
        workers.serve_with_workers(
            app,
            listener,
            lambda: tell(f"ready {os.getpid()}"),
            workers=options.workers,
            in_worker=in_worker,
            until_eof=options.until_eof,
        )
    except StepstubError as error:
        sys.exit(f"Error: {error}")
    tell("ended")


def stub(options: argparse.Namespace) -> Stub:
    if options.state:
        workers.LONGEST_PAUSE = 0.05
    if options.broken:
        broken_scripts.break_store(options.broken)
    return create_app(
        load("two-steps").processes,
        Settings(lease=options.lease, limits=Limits(sandboxes=1_000_000)),
        concurrency=EventLoopConcurrency(),
        state=options.state,
    )


def tell(line: str) -> None:
    """Print a line in one piece, whatever other processes print."""
    os.write(1, f"{line}\n".encode())


def leave_an_orphan() -> None:
    child = os.fork()
    if child == 0:
        if (orphan := os.fork()) == 0:
            os.read(0, 1)
        else:
            tell(f"orphan {orphan}")
        os._exit(9)
    os.waitpid(child, 0)


if __name__ == "__main__":
    main()
