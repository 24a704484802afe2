"""What a stub has done since it was started, as Prometheus reads it.

Counters of our own: a few dictionary look-ups for an exchange, and text only when it is asked for.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from threading import Lock

from stepstub.delegates import DelegateCall
from stepstub.journal import Entry

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)
"""Upper bounds of durations, in seconds."""

_HELP = {
    "stepstub_exchanges_total": "Exchanges of the contract, by status and the code of a refusal.",
    "stepstub_faults_total": "Faults that have struck, by phase.",
    "stepstub_delegate_calls_total": "Calls of delegates by completions, by kind and outcome.",
    "stepstub_exchange_duration_seconds": "Time from a request's head to its response.",
    "stepstub_contract_violations_total": "Responses of the stub's own that broke the contract.",
    "stepstub_sandboxes": "Sandboxes there are, the default one included.",
}

Labels = tuple[tuple[str, str], ...]


class Metrics:
    """Counts exchanges. May be used from any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._exchanges: Counter[tuple[int, str]] = Counter()
        self._faults: Counter[str] = Counter()
        self._calls: Counter[tuple[str, str]] = Counter()
        self._durations = [0] * (len(BUCKETS) + 1)
        self._seconds = 0.0

    def count(self, entry: Entry, call: DelegateCall | None) -> None:
        """An exchange has ended; `call` is the delegate call that it has caused."""
        code = next(iter(entry.violations.values())).code if entry.violations else ""
        place = bisect_left(BUCKETS, entry.duration)
        with self._lock:
            self._exchanges[entry.status or 0, code] += 1
            self._durations[place] += 1
            self._seconds += entry.duration
            if entry.fault is not None:
                self._faults.update(entry.fault_phases)
            if call is not None:
                self._calls[call.kind, call.outcome.partition(":")[0]] += call.times

    def render(self, *, contract_violations: int, sandboxes: int) -> str:
        """All of it in the text format; a status of 0 is a response whose head was not whole."""
        with self._lock:
            counts: dict[str, Mapping[Labels, float]] = {
                "stepstub_exchanges_total": {
                    (("status", str(status)), ("code", code)): number
                    for (status, code), number in self._exchanges.items()
                },
                "stepstub_faults_total": {
                    (("phase", phase),): number for phase, number in self._faults.items()
                },
                "stepstub_delegate_calls_total": {
                    (("kind", kind), ("outcome", outcome)): number
                    for (kind, outcome), number in self._calls.items()
                },
                "stepstub_contract_violations_total": {(): contract_violations},
            }
            durations, seconds = list(self._durations), self._seconds
        lines = [line for name, each in counts.items() for line in _family(name, "counter", each)]
        lines += _histogram("stepstub_exchange_duration_seconds", durations, seconds)
        lines += _family("stepstub_sandboxes", "gauge", {(): sandboxes})
        return "\n".join([*lines, ""])


def _family(name: str, kind: str, counts: Mapping[Labels, float]) -> Iterator[str]:
    yield from _head(name, kind)
    for labels, number in counts.items():
        yield f"{name}{_labels(labels)} {number}"


def _histogram(name: str, numbers: list[int], seconds: float) -> Iterator[str]:
    yield from _head(name, "histogram")
    so_far = 0
    for bound, number in zip([*map(str, BUCKETS), "+Inf"], numbers, strict=True):
        so_far += number
        yield f"{name}_bucket{_labels((('le', bound),))} {so_far}"
    yield f"{name}_sum {seconds}"
    yield f"{name}_count {so_far}"


def _head(name: str, kind: str) -> Iterator[str]:
    yield f"# HELP {name} {_HELP[name]}"
    yield f"# TYPE {name} {kind}"


def _labels(labels: Labels) -> str:
    # No value has a quote, a backslash or the end of a line in it: all are names of ours.
    return "{" + ",".join(f'{name}="{value}"' for name, value in labels) + "}" if labels else ""
