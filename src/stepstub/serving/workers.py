"""Several worker processes that serve one port, and the supervisor that forks them.

Workers are forked from a process that has built the application, so they share its memory, copy on
write, and whatever was drawn at random in it. All accept on the one listening socket that they
inherit: a connection waits in the kernel until one of them is free, and a worker that dies takes
down only the connections that it has accepted.

The supervisor has neither threads nor an event loop. With each worker it shares a pair of
connected sockets: the worker writes to it once it accepts connections, and sees it closed when the
supervisor is gone.
"""

import logging
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from types import FrameType
from typing import NoReturn

from uvicorn.server import HANDLED_SIGNALS

from stepstub.errors import CannotServe, InConflict, StepstubError
from stepstub.serving import standard_input
from stepstub.serving.hosts import Hosts
from stepstub.serving.server import Application, Server, freeze_heap, hosts_of

log = logging.getLogger("stepstub")

SHORT_LIFE = 10.0
"""Seconds. Each time in a row that a worker dies sooner, the pause before its restart grows."""
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 10.0
MAX_FAILED_STARTS = 5
"""Workers that may end before they accept connections, in a row, until the supervisor gives up."""
KILL_AFTER = 1.5
"""Seconds that a worker may go on after the grace period, before it is killed."""

_ACCEPTS = b"+"


def serve_with_workers(
    app: Application,
    listener: socket.socket,
    started: Callable[[], None],
    *,
    workers: int,
    in_worker: Callable[[int], None] = lambda _: None,
    allow_hosts: Iterable[str] = (),
    until_eof: bool = False,
) -> None:
    """As `server.serve`, by so many worker processes. Returns in this process alone.

    No thread may have been started yet, and no event loop or connection made. `started` is called
    here, once, when all workers accept connections. `in_worker` is called in each worker before its
    event loop exists, with the worker's number, from 1 on; a worker that takes the place of one
    that has died has the same number. An exception of it ends the worker.

    Raises `CannotServe` where processes cannot be forked; and when `MAX_FAILED_STARTS` workers in a
    row end before they accept connections, unless all did before and some still do.
    """
    if not hasattr(os, "fork"):
        raise CannotServe(
            "This system cannot fork processes, so there can be no workers: start the stub without"
            " --workers."
        )
    server = _Worker(app, hosts_of(listener, allow_hosts))
    freeze_heap()
    _Supervisor(server, listener, started, workers, in_worker, until_eof=until_eof).run()


def pause_before(restart: int) -> float:
    """Seconds until a worker is restarted that has lived short so many times in a row."""
    if restart < 2:
        return 0.0
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(restart - 2, 100))


class _Worker(Server):
    """The server of a worker, made in the supervisor.

    Ctrl-C in a terminal reaches all processes at once, and so do the signals of some service
    managers. So SIGINT is left to the supervisor, and SIGTERM may come twice.
    """

    def __init__(self, app: Application, hosts: Hosts) -> None:
        super().__init__(app, self._accept, hosts)
        self.config.load()
        self.config.get_loop_factory()  # imports the event loop, here for all workers

    def work(self, listener: socket.socket, channel: socket.socket) -> None:
        """Serve until SIGTERM, or until the supervisor closes `channel`."""
        self._channel = channel
        self.run(sockets=[listener])

    def _accept(self) -> None:
        self._loop.add_reader(self._channel, self._end_orphaned)
        self._channel.send(_ACCEPTS)

    def _end_orphaned(self) -> None:
        self._loop.remove_reader(self._channel)
        log.warning("the supervisor of pid %d is gone: this worker ends", os.getpid())
        self.should_exit = True

    async def refuse_connections(self, seconds: float) -> None:
        raise InConflict(
            "Each worker of this stub could refuse only its own connections: start the stub with"
            " one worker to have connections refused."
        )

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        signal.signal(signal.SIGTERM, self.handle_exit)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.should_exit = True


class _Slot:
    """The place of one worker, by its number, and the process that has it at present.

    `short_lives` counts the processes in a row that died soon, `due` is when the next is forked.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.pid: int | None = None
        self.channel: socket.socket | None = None
        self.accepts = False
        self.began = 0.0
        self.short_lives = 0
        self.due = 0.0

    def close(self) -> None:
        if self.channel is not None:
            self.channel.close()


class _Supervisor:
    def __init__(
        self,
        server: _Worker,
        listener: socket.socket,
        started: Callable[[], None],
        workers: int,
        in_worker: Callable[[int], None],
        *,
        until_eof: bool,
    ) -> None:
        self._server = server
        self._listener = listener
        self._started = started
        self._in_worker = in_worker
        self._until_eof = until_eof
        self._slots = [_Slot(number) for number in range(1, workers + 1)]
        # Not poll, which does not take devices everywhere, nor epoll, which takes no files.
        self._selector = selectors.SelectSelector()
        self._woken, self._waker = socket.socketpair()
        self._stop_requests = 0
        self._failed_starts = 0  # in a row
        self._is_started = False
        self._is_stopping = False

    def run(self) -> None:
        """Until SIGTERM, SIGINT or the end of standard input."""
        with self._signals():
            try:
                while not (self._stop_requests or self._is_hopeless):
                    self._start_due()
                    self._wait(self._next_due())
                    self._announce()
                gave_up = not self._stop_requests
                self._stop(0 if gave_up else 1)
            finally:
                self._kill()
        if gave_up:
            raise CannotServe(
                "One worker after the other ended before it accepted connections, so no more are"
                " started; the log says how each ended."
            )

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Have a signal wake `_wait`, and one that asks for the end counted."""
        for each in (self._woken, self._waker):
            each.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ, self._drain)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        before = signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in HANDLED_SIGNALS:
            signal.signal(number, self._ask_to_stop)
        try:
            yield
        finally:
            for number in HANDLED_SIGNALS:  # nothing is left that another one could end
                signal.signal(number, signal.SIG_IGN)
            signal.signal(signal.SIGCHLD, before)
            signal.set_wakeup_fd(-1)
            self._selector.close()
            self._woken.close()
            self._waker.close()

    def _ask_to_stop(self, *_: object) -> None:
        self._stop_requests += 1

    def _drain(self) -> None:
        with suppress(BlockingIOError):
            while self._woken.recv(4096):
                pass

    def _read_standard_input(self) -> None:
        if standard_input.has_ended():
            self._selector.unregister(standard_input.STDIN)
            self._ask_to_stop()

    # --- starting

    def _start_due(self) -> None:
        now = time.monotonic()
        for slot in self._slots:
            if slot.pid is None and slot.due <= now:
                self._fork(slot)

    def _next_due(self) -> float | None:
        return min((slot.due for slot in self._slots if slot.pid is None), default=None)

    def _fork(self, slot: _Slot) -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        slot.channel = ours
        slot.began = time.monotonic()
        # Until the child has handlers of its own, it would take signals for the supervisor.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {*HANDLED_SIGNALS, signal.SIGCHLD})
        try:
            pid = os.fork()
            if pid == 0:
                self._become_worker(slot.number, theirs, mask)
        except OSError as error:
            self._ended(slot, f"could not be forked ({error.strerror})")
        else:
            slot.pid = pid
            self._selector.register(ours, selectors.EVENT_READ, partial(self._hear, slot, ours))
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            theirs.close()

    def _become_worker(
        self, number: int, channel: socket.socket, mask: Iterable[int | signal.Signals]
    ) -> NoReturn:
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, _end_at_once)  # until it serves
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            # Or else the other workers would not see the supervisor's end while this one lives.
            for slot in self._slots:
                slot.close()
            self._woken.close()
            self._waker.close()
            status = self._work(number, channel)
        finally:
            # Neither the callers of the supervisor nor its exit handlers have business here.
            os._exit(status)

    def _work(self, number: int, channel: socket.socket) -> int:
        """The exit status of a worker."""
        try:
            self._in_worker(number)
            self._server.work(self._listener, channel)
        except StepstubError as error:
            log.error("worker %d: %s", number, error)  # noqa: TRY400 - it was raised on purpose
            return 1
        except SystemExit:  # uvicorn has logged why
            return 1
        except BaseException:
            log.exception("worker %d failed", number)
            return 1
        return 0 if self._server.started else 1  # older uvicorns return from a failed start

    def _announce(self) -> None:
        if self._is_started or not all(slot.accepts for slot in self._slots):
            return
        self._is_started = True
        self._started()
        if self._until_eof:
            self._selector.register(
                standard_input.STDIN, selectors.EVENT_READ, self._read_standard_input
            )

    # --- watching

    def _wait(self, until: float | None) -> None:
        """Wait for a signal, or for a worker to accept connections or to end."""
        timeout = None if until is None else max(0.0, until - time.monotonic())
        for key, _ in self._selector.select(timeout):
            key.data()
        self._reap()

    def _hear(self, slot: _Slot, channel: socket.socket) -> None:
        """Read what a worker says of itself; nothing if it has ended."""
        self._selector.unregister(channel)
        with suppress(OSError):
            slot.accepts = channel.recv(1) == _ACCEPTS
        if slot.accepts:
            self._failed_starts = 0

    def _reap(self) -> None:
        by_pid = {slot.pid: slot for slot in self._slots}
        with suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                # The first process of a container adopts those whose parents are gone.
                if slot := by_pid.get(pid):
                    if slot.channel and slot.channel in self._selector.get_map():
                        self._hear(slot, slot.channel)
                    self._ended(slot, _in_words(os.waitstatus_to_exitcode(status)))

    def _ended(self, slot: _Slot, how: str) -> None:
        pid, accepted = slot.pid, slot.accepts
        slot.pid, slot.accepts = None, False
        slot.close()
        if self._is_stopping:
            return
        now = time.monotonic()
        if not accepted:
            self._failed_starts += 1
        is_short = not accepted or now - slot.began < SHORT_LIFE
        slot.short_lives = slot.short_lives + 1 if is_short else 0
        pause = pause_before(slot.short_lives)
        slot.due = now + pause
        then = f"restarting it in {pause:g} s" if pause else "restarting it"
        log.warning("worker %d (pid %s) %s; %s", slot.number, pid or "none", how, then)

    @property
    def _is_hopeless(self) -> bool:
        return self._failed_starts >= MAX_FAILED_STARTS and not (
            self._is_started and any(slot.accepts for slot in self._slots)
        )

    # --- stopping

    def _stop(self, requests: int) -> None:
        """Have the workers end gracefully; not if the end is asked for more often than that."""
        self._is_stopping = True
        self._listener.close()
        for slot in self._slots:
            if slot.pid is not None:
                os.kill(slot.pid, signal.SIGTERM)
        grace_period = self._server.config.timeout_graceful_shutdown or 0
        deadline = time.monotonic() + grace_period + KILL_AFTER
        while self._stop_requests <= requests and time.monotonic() < deadline:
            if all(slot.pid is None for slot in self._slots):
                return
            self._wait(deadline)

    def _kill(self) -> None:
        """End at once what is left."""
        for slot in self._slots:
            if slot.pid is not None:
                os.kill(slot.pid, signal.SIGKILL)
                os.waitpid(slot.pid, 0)
            slot.close()


def _end_at_once(*_: object) -> None:
    os._exit(0)


def _in_words(exit_code: int) -> str:
    """How a process has ended; a negative `exit_code` is the number of a signal."""
    if exit_code >= 0:
        return f"ended with status {exit_code}"
    with suppress(ValueError):  # real-time signals have no names
        return f"was killed by {signal.Signals(-exit_code).name}"
    return f"was killed by signal {-exit_code}"
