"""What starting a step calls.

A delegate is the server's way out: a step is started by calling it. The kinds of the stub are
`recorded` (only noted, the default), `http` (a POST to a third-party application), `python` (a
function a test registers) and `failing` (an error on purpose).
"""

from collections import deque
from collections.abc import Callable, Iterator

from msgspec import Struct, json

from stepstub.clock import Clock
from stepstub.concurrency import Concurrency
from stepstub.errors import DelegateFailed
from stepstub.model import Params, Step


class StepStart(Struct, frozen=True, rename="camel"):
    """What a delegate is told: the body of the http delegate's POST, the python one's argument."""

    process_id: str
    process_step_id: str
    params: Params


class DelegateCall(Struct, kw_only=True, rename="camel"):
    """One call of a delegate. `called_at` is in milliseconds; `outcome` is filled as it ends."""

    called_at: int
    kind: str
    start: StepStart
    exchange: int | None = None
    outcome: str = "in progress"


class Delegates:
    """Starts steps by their delegates, and remembers the last `bound` calls.

    `function`, once set, starts the steps whose delegate is recorded or python.
    """

    def __init__(
        self,
        clock: Clock,
        concurrency: Concurrency,
        *,
        http_timeout: float = 10.0,
        bound: int = 10_000,
    ) -> None:
        self._clock = clock
        self._concurrency = concurrency
        self._http_timeout = http_timeout
        self._calls: deque[DelegateCall] = deque(maxlen=bound)
        self.function: Callable[[StepStart], None] | None = None

    def __iter__(self) -> Iterator[DelegateCall]:
        return iter(self._calls.copy())

    def __len__(self) -> int:
        return len(self._calls)

    def clear(self) -> None:
        """Forget the calls."""
        self._calls.clear()

    async def start(self, step: Step, exchange: int | None = None) -> None:
        """Call the delegate of `step`.

        Raises `DelegateFailed` when the call was not accepted: no connection, no 2xx response
        within the time-out, an exception of the function, or a delegate that fails on purpose.
        """
        kind = step.delegate.kind
        start = StepStart(step.process_id, step.id, step.params)
        call = DelegateCall(called_at=self._clock.now(), kind=kind, start=start, exchange=exchange)
        self._calls.append(call)
        try:
            if kind == "failing":
                raise DelegateFailed("it is a delegate that fails on purpose")
            if kind == "http":
                url = step.delegate.url or ""
                await self._concurrency.call(lambda: self._post(url, start))
            elif (function := self.function) is not None:
                await self._concurrency.call(lambda: _call(function, start))
            elif kind == "python":
                raise DelegateFailed("no Python function is registered for it")
        except DelegateFailed as failure:
            call.outcome = f"failed: {failure}"
            raise
        call.outcome = "accepted"

    def _post(self, url: str, start: StepStart) -> None:
        import requests  # takes long, and most stubs never call out

        # A session of its own, so that no proxy, .netrc or cookie of the machine joins in; and
        # the response's body is never read, so its size does not matter.
        with requests.Session() as session:
            session.trust_env = False
            try:
                response = session.post(
                    url,
                    data=json.encode(start),
                    headers={"Content-Type": "application/json"},
                    timeout=self._http_timeout,
                    allow_redirects=False,
                    stream=True,
                )
            except requests.RequestException as error:
                raise DelegateFailed(
                    f"the third-party application did not respond ({type(error).__name__})"
                ) from error
            response.close()
            if not 200 <= response.status_code < 300:
                raise DelegateFailed(
                    f"the third-party application responded {response.status_code}"
                )


def _call(function: Callable[[StepStart], None], start: StepStart) -> None:
    try:
        function(start)
    except Exception as error:
        raise DelegateFailed(f"the Python function raised {type(error).__name__}") from error
