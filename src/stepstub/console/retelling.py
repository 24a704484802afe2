"""An exchange told again: as a command, as a test, as a scenario that leads to it; and a diff."""

import difflib
import re
import shlex
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

import yaml
from msgspec import Struct, json, to_builtins

from stepstub.client import COMPLETE_STEP
from stepstub.console.text import indented
from stepstub.model import Status
from stepstub.readings import Readings, differing
from stepstub.shell import credentials_options
from stepstub.views import ExchangeView, ProcessView, StepView

_OF_THE_CONNECTION = {
    *("host", "content-length", "transfer-encoding", "connection", "expect", "accept-encoding"),
    *("user-agent", "accept"),
}
_REDACTED = "(redacted)"
_MAX_DIFF_LINES = 400

MAX_ON_A_PAGE = 64 * 1024
"""Bytes of a process, as JSON, up to which a page has copies of it."""


def is_whole(exchange: ExchangeView) -> bool:
    """Whether the journal has every byte of the request's body."""
    return len(exchange.body.encode()) == exchange.body_size and not is_unread(exchange)


def is_unread(exchange: ExchangeView) -> bool:
    """Whether the request had a body that nobody read, as where its token was refused."""
    if exchange.body_size or "body" in exchange.violations:
        return False  # it has been read, if only to find it empty
    headers = dict(exchange.headers)
    return headers.get("content-length", "0").strip("0") != "" or "transfer-encoding" in headers


def headers_to_send(exchange: ExchangeView) -> dict[str, str]:
    """The request's headers but for its credentials and what a connection brings by itself."""
    return {name: value for name, value in exchange.headers if _is_to_send(name, value)}


def _is_to_send(name: str, value: str) -> bool:
    return name not in _OF_THE_CONNECTION and value != _REDACTED


def as_curl(exchange: ExchangeView, url: str, readings: Readings) -> str:
    """The command that sends the request again; $TOKEN stands for the token."""
    words = ["curl", "-i", "-X", exchange.method, _word(url + quote(exchange.path))]
    if any(value == _REDACTED for _, value in exchange.headers):
        words.append(credentials_options(readings, "$TOKEN", is_variable=True))
    for name, value in exchange.headers:
        if _is_to_send(name, value):
            # An empty one has to end in a semicolon, or curl leaves it out.
            words += ["-H", _word(f"{name}: {value}" if value else f"{name};")]
    if exchange.body:
        if all(name != "content-type" for name, _ in exchange.headers):
            words += ["-H", "content-type:"]  # or curl would add one of its own
        # Not as --data or --data-binary, to which a leading @ means a file.
        words += ["--data-raw", _word(exchange.body)]
    return " ".join(words)


def _word(text: str) -> str:
    """Text as a word of a shell, in which nothing is invisible."""
    if text.replace("\n", "").isprintable():
        return shlex.quote(text)
    parts = (each if each.isprintable() and each not in "'\\" else _bytes(each) for each in text)
    return f"$'{''.join(parts)}'"


def _bytes(character: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in character.encode())


def state_before(exchange: ExchangeView, process: ProcessView) -> list[dict[str, Any]]:
    """The steps of a process as they stood before an exchange about one of them.

    As a scenario has them. Steps that a delegate starts elsewhere are recorded instead. Params are
    those that a step has now: which of them it got when it was started is not kept.
    """
    specs, is_open = [], False
    for step in process.steps:
        status = _status_before(step, exchange)
        if status is Status.COMPLETED:
            pass
        elif is_open:
            status = Status.PENDING
        else:
            is_open = True
            status = status if step.id == exchange.process_step_id else Status.STARTED
            if step.id != exchange.process_step_id and step.status is Status.FAILED:
                status = Status.FAILED
        specs.append(_spec(step, status or Status.STARTED))
    return specs


def _status_before(step: StepView, exchange: ExchangeView) -> Status | None:
    if step.id == exchange.process_step_id:
        return exchange.step_before
    was_completed = step.moved_by is None or step.moved_by < exchange.number
    return Status.COMPLETED if step.status is Status.COMPLETED and was_completed else None


def has_later_params(exchange: ExchangeView, process: ProcessView | None) -> bool:
    """Whether a step that was still PENDING may have got params since then."""
    return process is not None and any(
        before["status"] == Status.PENDING and step.status is not Status.PENDING and step.params
        for before, step in zip(state_before(exchange, process), process.steps, strict=True)
    )


def _spec(step: StepView, status: Status) -> dict[str, Any]:
    spec: dict[str, Any] = {"id": step.id, "status": status.value}
    if step.delegate.kind == "failing":
        spec["delegate"] = "failing"
    if step.params:
        spec["params"] = to_builtins(step.params)
    if step.time_out_in_seconds:
        spec["timeOutInSeconds"] = step.time_out_in_seconds
    return spec


def processes_before(exchange: ExchangeView, process: ProcessView | None) -> list[dict[str, Any]]:
    """The process that an exchange is about, as in a scenario; none where the step is unknown."""
    return [] if process is None else [{"id": process.id, "steps": state_before(exchange, process)}]


def is_long(process: ProcessView | None) -> bool:
    """Whether a process is so long that its copies are fetched one by one."""
    return process is not None and len(json.encode(process)) > MAX_ON_A_PAGE


def as_scenario(exchange: ExchangeView, process: ProcessView | None) -> str:
    """A scenario file from which the request gets the same response."""
    scenario = {
        "description": f"Before {exchange.method} {exchange.path} got {exchange.status}.",
        "processes": processes_before(exchange, process),
    }
    return yaml.safe_dump(scenario, sort_keys=False, width=100)


def as_test(exchange: ExchangeView, process: ProcessView | None, readings: Readings) -> str:
    """A pytest test that sends the request again, and expects the same status."""
    lines = ["import requests"]
    changed = differing(readings)
    if changed:
        lines = ["import pytest", "import requests", "", "", _marker(changed)]
    else:
        lines += ["", ""]
    lines.append(f"def test_{_identifier(exchange)}(stepstub):")
    if process is not None:
        lines.append("    steps = [")
        lines += [f"        {spec!r}," for spec in state_before(exchange, process)]
        lines += ["    ]", f"    stepstub.start_process(steps, id={process.id!r})"]
    if exchange.fault:
        lines.append(
            f"    # A fault was injected, {exchange.fault!r}: add it with stepstub.fault()."
        )
    if is_unread(exchange):
        lines.append("    # The body was not read, so it is not here.")
    to_operation = exchange.path == COMPLETE_STEP
    url = "stepstub.complete_step_url" if to_operation else f"stepstub.url + {exchange.path!r}"
    lines += [
        "    response = requests.request(",
        f"        {exchange.method!r},",
        f"        {url},",
        f"        headers={_headers(exchange)},",
        f"        data={exchange.body.encode()!r},",
        "        timeout=10,",
        "    )",
    ]
    if exchange.status and not exchange.fault:
        lines.append(f"    assert response.status_code == {exchange.status}")
    return "\n".join(lines) + "\n"


def _marker(changed: dict[str, Any]) -> str:
    return f"@pytest.mark.stepstub(readings={changed!r})"


def _identifier(exchange: ExchangeView) -> str:
    words = re.sub(r"\W+", "_", exchange.process_step_id or "request", flags=re.ASCII).strip("_")
    return f"{words[:40].lower() or 'step'}_gets_{exchange.status or 'no_response'}"


def _headers(exchange: ExchangeView) -> str:
    others = headers_to_send(exchange)
    if exchange.status != 401 or exchange.fault:
        return f"{{**stepstub.headers, **{others!r}}}" if others else "stepstub.headers"
    if any(value == _REDACTED for _, value in exchange.headers):
        others = {"authorization": "Bearer unknown", **others}
    return repr(others)


class DiffLine(Struct, frozen=True):
    """One line of a diff: `same`, `only in this` or `only in the other` exchange."""

    kind: str
    text: str


def differences(
    exchange: ExchangeView, other: ExchangeView
) -> Sequence[tuple[str, Sequence[DiffLine]]]:
    """How the other attempt differs, part by part; a part without lines is the same."""
    return [
        ("Request", list(_diff(_request_lines(other), _request_lines(exchange)))),
        ("Response", list(_diff(_response_lines(other), _response_lines(exchange)))),
    ]


def _request_lines(exchange: ExchangeView) -> list[str]:
    head = [f"{exchange.method} {exchange.path}"]
    head += [f"{name}: {value}" for name, value in exchange.headers if name != "content-length"]
    return [*head, "", *indented(exchange.body).split("\n")]


def _response_lines(exchange: ExchangeView) -> list[str]:
    return [str(exchange.status or "no response"), *indented(exchange.response or "").split("\n")]


def _diff(before: list[str], after: list[str]) -> Iterator[DiffLine]:
    if before == after:
        return
    matcher = difflib.SequenceMatcher(a=before[:_MAX_DIFF_LINES], b=after[:_MAX_DIFF_LINES])
    for operation, a_start, a_end, b_start, b_end in matcher.get_opcodes():
        if operation == "equal":
            yield from (DiffLine("same", each) for each in before[a_start:a_end])
            continue
        yield from (DiffLine("other", each) for each in before[a_start:a_end])
        yield from (DiffLine("this", each) for each in after[b_start:b_end])
