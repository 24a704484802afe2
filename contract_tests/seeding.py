"""The seed command, which is the user's own: starts processes and prints the ids of their steps."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import jiter

from stepstub.contract_tests.shell import run
from stepstub.readings import nearest
from stepstub.schema import printable, shorten

SEED_TIMEOUT = 60.0  # seconds, for one call
MAX_CALLS = 500  # of one run
MAX_OUTPUT = 1024 * 1024  # bytes, of one call, on stdout and on stderr

_MAX_FAILURES = 3  # in a row; the command is not called afterwards
_SHOWN = 200  # characters
_FORMS = 'ids of STARTED steps, one a line, or JSON such as {"started": ["ID"], "pending": "ID"}'

Printed = Mapping[str, Sequence[str]]
"""Ids by the state of their steps: `{"started": ["a", "b"], "pending": ["c"]}`."""


class SeedFailed(Exception):
    """A call gave no steps. The message says why, and what would help."""


class SeedCommand:
    """A shell command that prints ids of steps, fresh ones at each call.

    It prints them one a line, which are STARTED steps, or a JSON object with an id or a list of ids
    for each of the `states`. `redact` removes secrets from what is quoted of its output.
    """

    def __init__(
        self,
        command: str,
        states: Collection[str],
        redact: Callable[[str], str] = str,
        timeout: float = SEED_TIMEOUT,
        max_calls: int = MAX_CALLS,
    ) -> None:
        self.failure = ""
        """The first failure, empty where there was none."""
        self._command = command
        self._states = states
        self._redact = redact
        self._timeout = timeout
        self._max_calls = max_calls
        self._calls = 0
        self._failures = 0
        self._printed: set[str] = set()

    @property
    def called(self) -> bool:
        """Whether it was called at all."""
        return self._calls > 0

    def call(self) -> Printed:
        """Ids that were not printed before.

        Raises `SeedFailed`; without calling the command where it failed several times in a row or
        was called too often.
        """
        try:
            fresh = self._call()
        except SeedFailed as error:
            self._failures += 1
            self.failure = self.failure or str(error)
            raise
        self._failures = 0
        return fresh

    def _call(self) -> Printed:
        if self._failures >= _MAX_FAILURES:
            raise SeedFailed(f"the seed command failed {_MAX_FAILURES} times: {self.failure}")
        if self._calls >= self._max_calls:
            raise SeedFailed(
                f"the seed command was called {self._max_calls} times; print more ids at each call"
            )
        self._calls += 1
        return self._fresh(self._parse(self._output()))

    def _fresh(self, printed: Printed) -> Printed:
        fresh: dict[str, list[str]] = {}
        for state, ids in printed.items():
            for step_id in ids:
                if step_id not in self._printed:
                    self._printed.add(step_id)
                    fresh.setdefault(state, []).append(step_id)
        if not fresh and any(printed.values()):
            raise SeedFailed(
                "the seed command printed only ids that it has printed before; it has to start a"
                " process each time it is called"
            )
        if not fresh:
            raise SeedFailed(f"the seed command printed no id; it has to print {_FORMS}")
        return fresh

    def _parse(self, text: str) -> Printed:
        if text.lstrip().startswith(("{", "[")):
            return self._from_json(text)
        ids = []
        for number, line in enumerate(text.split("\n"), 1):
            words = line.split()
            if len(words) > 1:
                raise SeedFailed(
                    f"line {number} of the seed command's output is no id: {self._quote(line)}."
                    f" It has to print {_FORMS}; anything else belongs on stderr"
                )
            ids += words
        return {"started": ids}

    def _from_json(self, text: str) -> Printed:
        try:
            value = jiter.from_json(text.encode(), allow_inf_nan=False, catch_duplicate_keys=True)
        except ValueError as error:
            raise SeedFailed(
                f"the JSON that the seed command printed is invalid: {self._quote(str(error))}."
                f" It has to print {_FORMS}"
            ) from error
        if not isinstance(value, dict):
            raise SeedFailed(f"the seed command printed a JSON list; it has to print {_FORMS}")
        return {state: self._ids(state, given) for state, given in value.items()}

    def _ids(self, state: str, given: Any) -> Sequence[str]:
        if state not in self._states:
            raise SeedFailed(
                f"the seed command printed JSON with {self._quote(state)}, which is no state of a"
                f" step: {nearest(state, self._states)}"
            )
        ids = given if isinstance(given, list) else [given]
        for position, step_id in enumerate(ids):
            if not isinstance(step_id, str) or not step_id:
                place = f"{state}[{position}]" if isinstance(given, list) else state
                raise SeedFailed(
                    f"{place} in the JSON of the seed command is no id but {self._quote(step_id)};"
                    " an id is a string that is not empty"
                )
        return ids

    def _output(self) -> str:
        try:
            done = run(self._command, self._timeout, MAX_OUTPUT)
        except TimeoutError as late:
            raise SeedFailed(
                f"the seed command did not end within {self._timeout:g} s; what it leaves running"
                " in the background has to close stdout and stderr"
            ) from late
        except OverflowError as much:
            raise SeedFailed(f"the seed command printed more than {MAX_OUTPUT} bytes") from much
        if done.returncode:
            lines = done.stderr.decode(errors="replace").strip().splitlines()
            error = self._quote(lines[-1]) if lines else "it printed no error"
            raise SeedFailed(f"the seed command ended with status {done.returncode}: {error}")
        try:
            return done.stdout.decode()
        except UnicodeDecodeError as wrong:
            raise SeedFailed("the output of the seed command is not UTF-8") from wrong

    def _quote(self, value: object) -> str:
        """A value on one line; secrets are removed before the cut could leave a part of one."""
        text = value if isinstance(value, str) and value else json.dumps(value)
        return printable(shorten(self._redact(text.strip()), _SHOWN))
