"""When requests may be sent."""

import threading
from collections.abc import Callable


class Pace:
    """At most `rate` requests per second, over all threads, and none while it is held.

    `clock` tells seconds that never run backwards; `wait` lets a number of them pass.
    """

    def __init__(
        self, rate: float | None, wait: Callable[[float], None], clock: Callable[[], float]
    ) -> None:
        self._interval = 1 / rate if rate else 0.0
        self._wait = wait
        self._clock = clock
        self._next = 0.0
        self._lock = threading.Lock()

    def turn(self) -> None:
        """Wait until a request may be sent."""
        with self._lock:
            now = self._clock()
            at = max(now, self._next)
            self._next = at + self._interval
        if at > now:
            self._wait(at - now)

    def hold(self, seconds: float) -> None:
        """Let nobody send anything for that long: who sends less is sooner let through again."""
        with self._lock:
            self._next = max(self._next, self._clock() + seconds)
