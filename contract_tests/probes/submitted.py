"""Readings that show in whether a body is accepted, and in how its params are returned.

All params have a type and the value that it names, so that no reading of their agreement gets in
the way of the others.
"""

import json
from collections.abc import Mapping

from stepstub.contract_tests.probes.learnt import Notes
from stepstub.contract_tests.probes.prober import BASE, PARAM, Prober, Trial
from stepstub.contract_tests.unknown import unknown_step
from stepstub.readings import Value

_MAX_LAST_STEPS = 3
_BEYOND_INT64 = 2**63 + 1
_BEYOND_DOUBLE = 2**53 + 1  # an int64, but no double

Trials = Mapping[str, Trial]


def ask(prober: Prober) -> Trials:
    """Send what some servers refuse. What becomes of it is only known once it is settled."""
    trials: dict[str, Trial] = {}

    def attempt(name: str, sent: str, template: str) -> bool:
        trials[name] = prober.attempt(sent, template)
        return trials[name].accepted

    def attempt_to_see(name: str, sent: str, template: str) -> bool:
        accepted = attempt(name, sent, template)
        for _ in range(_MAX_LAST_STEPS):  # the step may have been the last, whose 200 differs
            if not accepted or trials[name].returned("probe") or not prober.returns_submitted:
                break
            accepted = attempt(name, sent, template)
        return accepted

    attempt("no params", "no params", '{"processStepId": ID}')
    attempt("null params", "null as params", '{"processStepId": ID, "params": null}')
    in_param = _params(probe={**PARAM, "extra": 1})
    in_body = BASE.replace("{", '{"extra": 1, ', 1)
    if not attempt("extra", "extra members", in_param.replace("{", '{"extra": 1, ', 1)):
        attempt("extra in body", "an extra member in the body", in_body)
        attempt("extra in param", "an extra member in a param", in_param)
    other, none = {"strValue": "probe", "type": "LONG"}, {"strValue": "probe"}
    if not attempt(
        "disagree", "params that do not agree with their types", _params(a=other, b=none)
    ):
        attempt("other type", "a strValue of the type LONG", _params(probe=other))
        attempt("no type", "a strValue without a type", _params(probe=none))
    attempt("null field", "a null field", _params(probe={**PARAM, "longValue": None}))
    attempt("null param", "a null param", _params(probe=PARAM, nothing=None))
    attempt_to_see("lower case", "the type string", _params(probe={**PARAM, "type": "string"}))
    attempt("any type", "the type BLOB", _params(probe={**PARAM, "type": "BLOB"}))
    attempt_to_see("fraction", "3.5 as longValue", _long(3.5))
    if not attempt_to_see("beyond int64", f"{_BEYOND_INT64} as longValue", _long(_BEYOND_INT64)):
        attempt_to_see("beyond double", f"{_BEYOND_DOUBLE} as longValue", _long(_BEYOND_DOUBLE))
    attempt("text", '"12" as longValue', _long("12"))
    twice = f'{{"processStepId": %s, {BASE.removeprefix("{")}'
    elsewhere = json.dumps(unknown_step())
    if not attempt("twice", "processStepId twice, the last one right", twice % elsewhere):
        reverse = f'{BASE.removesuffix("}")}, "processStepId": {elsewhere}}}'
        attempt("twice reversed", "processStepId twice, the first one right", reverse)
    return trials


def learn(trials: Trials, notes: Notes) -> None:
    """Note the readings that settled trials show."""
    _either(notes, "params-missing", ("empty", "refuse"), trials, "no params")
    _either(notes, "params-null", ("empty", "refuse"), trials, "null params")
    _either(notes, "null-fields", ("accept", "refuse"), trials, "null field")
    _either(notes, "null-param", ("accept", "refuse"), trials, "null param")
    _learn_text(trials, notes)
    extra = ("extra",) if trials["extra"].accepted else ("extra in body", "extra in param")
    _either(notes, "unknown-members", ("ignore", "refuse"), trials, *extra)
    disagree = ("disagree",) if trials["disagree"].accepted else ("other type", "no type")
    _either(notes, "type-agreement", ("free", "required"), trials, *disagree)
    _learn_type_names(trials, notes)
    _learn_fraction(trials["fraction"], notes)
    _learn_range(trials, notes)
    _learn_duplicates(trials, notes)


def _either(
    notes: Notes, name: str, values: tuple[Value, Value], trials: Trials, *asked: str
) -> None:
    """The first value where all trials were accepted, the second where all were refused."""
    made = [trials[each] for each in asked if each in trials]
    if not made:  # a refusal of all at once turned out to be no refusal of the body
        notes.unseen(name, "not asked one by one")
    elif all(trial.accepted for trial in made):
        notes.seen(name, values[0], made[0].exchange)
    elif all(trial.refused for trial in made):
        notes.seen(name, values[1], made[0].exchange)
    else:
        strange = next((each for each in made if not (each.accepted or each.refused)), None)
        accepted = [each.exchange.sent for each in made if each.accepted]
        why = strange.why if strange else f"only some are accepted: {', '.join(accepted)}"
        notes.unseen(name, why, (strange or made[0]).exchange)


def _learn_text(trials: Trials, notes: Notes) -> None:
    name = "text-for-number"
    returned = trials["text"].returned("probe").get("longValue")
    if isinstance(returned, str):
        notes.unseen(
            name, f"accepted, but returned as the text {returned!r}", trials["text"].exchange
        )
    else:
        _either(notes, name, ("read", "refuse"), trials, "text")


def _learn_type_names(trials: Trials, notes: Notes) -> None:
    name, lower, unknown = "type-names", trials["lower case"], trials["any type"]
    returned = lower.returned("probe").get("type")
    if unknown.accepted and lower.accepted:
        notes.seen(name, "any", unknown.exchange)
    elif lower.refused and unknown.refused:
        notes.seen(name, "exact", lower.exchange)
    elif not (lower.accepted and unknown.refused):
        strange = lower if not (lower.accepted or lower.refused) else unknown
        notes.unseen(name, strange.why, strange.exchange)
    # Another type may have been refused only because it names no value.
    elif returned in ("string", "STRING") and notes.value("type-agreement") != "free":
        notes.seen(name, "any" if returned == "string" else "any-case", lower.exchange)
    elif notes.value("type-agreement") == "free":
        notes.seen(name, "any-case", unknown.exchange)
    else:
        notes.unseen(name, "accepted, but the 200 does not return the type", lower.exchange)


def _learn_fraction(trial: Trial, notes: Notes) -> None:
    name = "long-fraction"
    if trial.refused:
        notes.seen(name, "refuse", trial.exchange)
        return
    returned = trial.returned("probe").get("longValue")
    if returned in (3, 3.5) and not isinstance(returned, bool):
        notes.seen(name, "truncate" if returned == 3 else "keep", trial.exchange)
    else:
        _unreturned(notes, name, trial, returned)


def _learn_range(trials: Trials, notes: Notes) -> None:
    name, beyond = "long-range", trials["beyond int64"]
    if beyond.refused and "beyond double" in trials:
        within = trials["beyond double"]
        if within.accepted:  # whether it is returned as it was is no question of the range
            notes.seen(name, "int64", beyond.exchange)
        else:
            _unreturned(notes, name, within, None)
        return
    returned = beyond.returned("probe").get("longValue")
    if type(returned) is int and returned == _BEYOND_INT64:
        notes.seen(name, "unbounded", beyond.exchange)
    elif isinstance(returned, int | float) and float(returned) == float(_BEYOND_INT64):
        notes.seen(name, "rounded", beyond.exchange)
    else:
        _unreturned(notes, name, beyond, returned)


def _learn_duplicates(trials: Trials, notes: Notes) -> None:
    name, last = "duplicate-names", trials["twice"]
    first = trials.get("twice reversed", last)
    if last.accepted:
        notes.seen(name, "last-wins", last.exchange)
    elif first.accepted:
        notes.unseen(name, "the first one counts", first.exchange)
    elif last.refused and first.refused:
        notes.seen(name, "refuse", last.exchange)
    else:
        strange = first if last.refused else last
        notes.unseen(name, strange.why, strange.exchange)


def _unreturned(notes: Notes, name: str, trial: Trial, returned: object) -> None:
    if not trial.accepted:
        why = trial.why
    elif returned is None:
        why = "accepted, but the 200 does not return the value"
    else:
        why = f"returned as {returned!r}"
    notes.unseen(name, why, trial.exchange)


def _params(**params: object) -> str:
    return f'{{"processStepId": ID, "params": {json.dumps(params)}}}'


def _long(value: object) -> str:
    return _params(probe={"longValue": value, "type": "LONG"})
