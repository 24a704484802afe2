"""Readings that show in how a server refuses what any server refuses."""

from stepstub.contract_tests.expectations import REFUSALS, UNAUTHORISED
from stepstub.contract_tests.needs import Need
from stepstub.contract_tests.probes.learnt import Exchange, Notes
from stepstub.contract_tests.probes.prober import BASE, NOT_JSON, Prober
from stepstub.contract_tests.unknown import unknown_step
from stepstub.readings import Value, alternatives

_NO_TOKEN: dict[str, str] = {}


def learn(prober: Prober, notes: Notes) -> None:
    """Statuses of bad bodies and unknown steps, credentials; takes no step from a strict server."""
    bad = _learn_bad_body(prober, notes)
    _learn_credentials(prober, notes, bad)
    _learn_unknown_step(prober, notes)
    prober.ask("a request to another path", "{}", below="/probe")


def learn_given(prober: Prober, notes: Notes) -> None:
    """The refusals of steps that are not STARTED, where the pool has such steps."""
    failed = prober.ask_given(Need.FAILED)
    _learn_status(notes, "pending-step", prober.ask_given(Need.PENDING))
    _learn_status(notes, "failed-step", failed)
    late = prober.ask_given(Need.TIME_IS_OVER)
    name = "time-out"
    if late.completed:
        notes.seen(name, "ignored", late)
    elif late.status in alternatives("failed-step") and failed.status in (None, late.status):
        notes.seen(name, "fails", late)
    else:
        notes.unseen(name, late.outcome, late)


def _learn_bad_body(prober: Prober, notes: Notes) -> Exchange:
    bad = prober.ask("a body that is no JSON", NOT_JSON)
    no_id = prober.ask("a body without processStepId", '{"params": {}}')
    if bad.status is not None and no_id.status is not None and bad.status != no_id.status:
        why = f"{bad.status} for no JSON, {no_id.status} without processStepId"
        if bad.status in REFUSALS and no_id.status in REFUSALS:
            notes.in_two_ways("bad-body", why, no_id)
        else:
            notes.unseen("bad-body", f"in two ways: {why}", no_id)
    else:
        _learn_status(notes, "bad-body", bad if bad.status is None else no_id)
    return bad


def _learn_credentials(prober: Prober, notes: Notes, bad: Exchange) -> None:
    sent = "a completion without credentials"
    response = prober.attempt(sent, BASE, _NO_TOKEN).exchange
    if response.status is None:
        response = prober.ask(sent, BASE, unknown_step(), _NO_TOKEN)
    told = prober.server.credentials
    if response.completed:
        notes.seen("credentials", "none", response)
        for name in ("challenge", "checked-first", "credentials-header"):
            notes.unseen(name, "no credentials are needed", response)
        return
    if response.status != UNAUTHORISED:
        for name in ("credentials", "challenge", "checked-first", "credentials-header"):
            notes.unseen(name, response.outcome, response)
        return
    if bad.status not in (None, UNAUTHORISED):  # those that were sent were good enough for that
        notes.seen("credentials", told.form, response)
    else:
        notes.unseen("credentials", "the token was refused, too", bad)
    if told.form == "api-key" and notes.value("credentials"):
        notes.seen("credentials-header", told.header, response)
    else:
        notes.unseen("credentials-header", "no such header was sent")
    has_challenge = response.response is not None and (
        "WWW-Authenticate" in response.response.headers
    )
    notes.seen("challenge", "sent" if has_challenge else "absent", response)
    _learn_checked_first(prober, notes)


def _learn_checked_first(prober: Prober, notes: Notes) -> None:
    both = prober.ask("a body that is no JSON, without credentials", NOT_JSON, headers=_NO_TOKEN)
    if both.status == UNAUTHORISED:
        notes.seen("checked-first", "credentials", both)
    elif both.status in REFUSALS and notes.value("bad-body") in (None, both.status):
        notes.seen("checked-first", "body", both)
    else:
        notes.unseen("checked-first", both.outcome, both)


def _learn_unknown_step(prober: Prober, notes: Notes) -> None:
    unknown = prober.ask("an unknown step", BASE, unknown_step())
    bad_body = notes.value("bad-body")
    if unknown.status == 404 and bad_body is None:
        notes.unseen("unknown-step", "the operation may not be at this path at all", unknown)
    else:
        _learn_status(notes, "unknown-step", unknown)
    name, unknown_status = "empty-step-id", notes.value("unknown-step")
    empty = prober.ask("an empty processStepId", BASE, "")
    if unknown_status is None or bad_body is None:
        notes.unseen(name, "needs bad-body and unknown-step to be known", empty)
    elif unknown_status == bad_body:
        notes.unseen(name, f"bad bodies and unknown steps both get {bad_body}", empty)
    elif empty.status in (bad_body, unknown_status):
        notes.seen(name, "bad-body" if empty.status == bad_body else "unknown", empty)
    else:
        notes.unseen(name, empty.outcome, empty)


def _learn_status(notes: Notes, name: str, exchange: Exchange) -> None:
    status: Value | None = exchange.status
    if status is not None and status in alternatives(name):
        notes.seen(name, status, exchange)
    else:
        notes.unseen(name, exchange.outcome, exchange)
