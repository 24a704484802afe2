"""What is wrong with a response, whatever request it is the response to."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from stepstub.contract_tests.causes import inconsistency, slug, violation
from stepstub.contract_tests.expectations import Expectations
from stepstub.contract_tests.findings import Cause, Finding, Severity
from stepstub.contract_tests.forms import (
    ENVELOPE,
    envelope,
    form_of_refusal_data,
    form_of_undocumented,
)
from stepstub.contract_tests.redaction import MIN_UNIQUE_LENGTH
from stepstub.contract_tests.response import Response
from stepstub.errors import Violation
from stepstub.readings import Value, questions
from stepstub.schema import shorten

_EVERYWHERE = ("timestamp", "version")
"""The fields that all responses have in one form."""

_MAX_SKEW = timedelta(days=1)
_OWNERS = {"type": "type-names", "longValue": "long-range"}
"""The readings that shape the fields of a returned param."""


class Examiner:
    """Examines responses under expectations, which may be replaced in the course of a run.

    `secret` is what no response may repeat. Timestamps are compared with `now`, unless that is
    None: the clock of a stub may have been moved.
    """

    def __init__(
        self,
        expectations: Expectations,
        secret: str = "",
        now: Callable[[], datetime] | None = lambda: datetime.now(UTC),
    ) -> None:
        self.expectations = expectations
        self.now = now
        self._secret = secret if len(secret) >= MIN_UNIQUE_LENGTH else ""
        self._latest: datetime | None = None
        self._seen: set[str] = set()  # a server may repeat a whole response

    @property
    def latest(self) -> datetime | None:
        """The newest timestamp that has been seen."""
        return self._latest

    def examine(
        self, response: Response, latest: datetime | None = None, sent: bytes = b""
    ) -> Iterator[Finding]:
        """Everything that is wrong with a response.

        `latest` is the newest timestamp that had been seen when the request was sent, `sent` its
        body: what that has may be in the response.
        """
        if response.status in self.expectations.statuses:
            found = list(self._documented(response))
            yield from found
            if any(each.cause.severity is Severity.VIOLATION for each in found):
                return
            yield from self._by_readings(response)
        else:
            yield from self._undocumented(response)
        yield from self._timestamp(response, latest)
        yield from self._explanation(response, sent)

    def difference(self, key: str, title: str, rule: str) -> Cause:
        """A cause that neither the document nor a reading names.

        A deviation where the server is held to our contract as a whole, and else only noted.
        """
        severity = Severity.DEVIATION if self.expectations.strict else Severity.NOTE
        return Cause(severity, key, title, rule)

    def _documented(self, response: Response) -> Iterator[Finding]:
        status, value = response.status, response.value
        says = self.expectations.says(status)
        rule = f"{says} Its body is a JSON object with {', '.join(ENVELOPE)}."
        whole = violation(
            f"shape-{status}", f"The {status} does not have the documented body", rule
        )
        if value is None:
            given = response.headers.get("Content-Type") or "no Content-Type"
            yield response.shows(
                whole, f"the {status} is no strict JSON ({given}): {response.excerpt}"
            )
            return
        breaches = self.expectations.breaches(status, value)
        missing = [name for name in ENVELOPE if not isinstance(value, dict) or name not in value]
        if len(missing) > 1 or not isinstance(value, dict):
            lacks = (
                f"lacks {', '.join(missing)}" if isinstance(value, dict) else "is not a JSON object"
            )
            yield response.shows(whole, f"the body of the {status} {lacks}: {response.excerpt}")
            return
        if response.media_type != "application/json":
            given = response.headers.get("Content-Type") or "none"
            cause = violation(
                "media-type", "JSON is not sent as application/json", f"{says} Its body is JSON."
            )
            yield response.shows(cause, f"the Content-Type of the {status} is {given}")
        places: dict[str, list[tuple[str, Violation]]] = {}
        for field, breach in breaches.items():
            places.setdefault(_place(status, field), []).append((field, breach))
        own = places.keys() - set(_EVERYWHERE)
        if len(own) > 1:
            details = " ".join(
                breach.detail for name in sorted(own) for _, breach in places.pop(name)
            )
            yield response.shows(whole, f"{details} ({status}: {response.excerpt})")
        for place, found in places.items():
            everywhere = place in _EVERYWHERE
            key = f"shape-{slug(place)}" if everywhere else f"shape-{status}-{slug(place)}"
            title = f"{place} is not as documented"
            cause = violation(key, title if everywhere else f"In the {status}, {title}", rule)
            for field, breach in found:
                shown = shorten(str(_at(value, field)), 100)
                message = f"{breach.detail} ({status}: {shown})"
                yield response.shows(cause, message)

    def _by_readings(self, response: Response) -> Iterator[Finding]:
        status, value = response.status, response.value
        expect = self._expect
        yield from expect(response, "version", value["version"])
        if status == 200:
            yield from expect(response, "success-message", value["message"])
        if status == 412:
            yield from expect(response, "refusal-data", form_of_refusal_data(response.data))
        if status == 401:
            has_challenge = "WWW-Authenticate" in response.headers
            yield from expect(response, "challenge", "sent" if has_challenge else "absent")
        for field, breach in self.expectations.differences(status, value).items():
            name = _OWNERS.get(field.rpartition(".")[2])
            if name and field.startswith("data.params") and self.expectations.value(name):
                known = self.expectations.value(name)
                yield response.shows(inconsistency(name, known), breach.detail)

    def _undocumented(self, response: Response) -> Iterator[Finding]:
        name, form = "undocumented-form", form_of_undocumented(response)
        known = self.expectations.value(name)
        if known is not None and form != known:
            # Often a framework, a proxy and the server itself each have a form of their own.
            cause = self.difference(
                "undocumented-forms",
                "Responses with undocumented statuses have several forms",
                questions()[name].text,
            )
            shown = form or "of an unknown form"
            yield response.shows(cause, f"the {response.status} is {shown}, others are {known}")

    def _expect(self, response: Response, name: str, seen: Value) -> Iterator[Finding]:
        known = self.expectations.value(name)
        if known is not None and seen != known:
            shown = repr(seen) if seen else "of an unknown form"
            message = f"the {name} of the {response.status} is {shown}, that of others {known!r}"
            yield response.shows(inconsistency(name, known), message)

    def _timestamp(self, response: Response, latest: datetime | None) -> Iterator[Finding]:
        stamp = envelope(response.value).get("timestamp")
        if not isinstance(stamp, str):
            return
        form = self.expectations.timestamp
        if form is not None and not re.fullmatch(form.pattern, stamp):
            digits, zone = map(self.expectations.value, ("timestamp", "timestamp-zone"))
            other_zone = stamp.endswith("Z") is not (zone == "z")
            name, known = ("timestamp-zone", zone) if other_zone else ("timestamp", digits)
            yield response.shows(inconsistency(name, known), f"a timestamp is {stamp}")
        try:
            time = datetime.fromisoformat(stamp)
        except ValueError:
            return
        if time.tzinfo is None:
            return
        rule = "The document calls it timestamp, and its examples are the time of the response."
        if self.now is not None and abs(self.now() - time) > _MAX_SKEW:
            cause = self.difference("timestamp-now", "Timestamps are far from the present", rule)
            yield response.shows(cause, f"a timestamp is {stamp}")
        if latest is not None and time < latest and stamp not in self._seen:
            cause = self.difference("timestamp-order", "Timestamps run backwards", rule)
            yield response.shows(
                cause, f"a timestamp is {stamp}, after one of {latest.isoformat()}"
            )
        self._seen.add(stamp)
        self._latest = max(filter(None, (time, self._latest)))

    def _explanation(self, response: Response, sent: bytes) -> Iterator[Finding]:
        text = response.body.decode(errors="replace")
        if self._secret and self._secret in text and self._secret.encode() not in sent:
            rule = "Whoever sees a log of the responses then has the token."
            cause = self.difference("secret-repeated", "A response repeats the token", rule)
            yield response.shows(cause, f"the {response.status} contains the token")
        if _has_trace(text) and not _has_trace(sent.decode(errors="replace")):
            rule = "A stack trace helps an attacker, and tells a client nothing."
            cause = self.difference("stack-trace", "A response has a stack trace", rule)
            yield response.shows(
                cause, f"the {response.status} has a stack trace: {response.excerpt}"
            )


def _has_trace(text: str) -> bool:
    return (
        "Traceback (most recent" in text
        or "\\n\\tat " in text
        or re.search(r"\n\s+at [\w.$]+\(", text) is not None
    )


def _place(status: int, field: str) -> str:
    """What is wrong, without names that somebody chose: one cause, however many there are."""
    if status == 412 and field.startswith("data"):
        return "data"
    return "data.params" if field.startswith("data.params") else field


def _at(value: Any, field: str) -> Any:
    """What is at a place such as `data.processId`; the whole value where that cannot be told."""
    for part in field.split("."):
        if not isinstance(value, dict) or part not in value:
            return value
        value = value[part]
    return value
