"""Readings that show in the 200s."""

from collections.abc import Sequence

from stepstub.contract_tests.causes import COMPLETED_TWICE, NAMED, not_as_documented
from stepstub.contract_tests.needs import Need
from stepstub.contract_tests.probes.learnt import Exchange, Notes
from stepstub.contract_tests.probes.prober import BASE, PARAM, Completion, Prober
from stepstub.contract_tests.steps import MAX_STEPS_OF_A_PROCESS
from stepstub.readings import Value, alternatives

_UNSET = {"longValue", "doubleValue"} - PARAM.keys()


def learn_first(prober: Prober, notes: Notes) -> None:
    """Complete a first step, twice, and a last one: that shows where params are returned."""
    first = prober.complete(f"a completion of {Need.NEXT_HAS_PARAMS}", Need.NEXT_HAS_PARAMS)
    if first is None:
        prober.attempt("a completion", BASE)
        first = prober.completions[-1] if prober.completions else None
    _learn_repeated(prober, notes, first)
    if first is not None and first.names_other:
        named = prober.check_named_step()
        if named is not None and named.status is not None and not named.completed:
            says = prober.server.expectations.says(200)
            message = f"the step that a 200 has named got {named.status}: {named.excerpt}"
            notes.found(not_as_documented(NAMED, 200, says), message, named)
    if not prober.steps.has_certain(Need.LAST):
        return
    last = prober.complete("a completion of the last step of a process", Need.LAST)
    returns = first is not None and isinstance(first.params, dict) and "probe" in first.params
    if not returns and last and isinstance(last.params, dict) and "probe" in last.params:
        prober.attempt_last_steps()


def follow_to_the_end(prober: Prober) -> None:
    """Follow a process to its end, if the 200s name the next step and no last one was seen.

    Not the only process that there is: its steps are needed by the cases.
    """
    if not prober.steps.has_given:
        return
    for _ in range(MAX_STEPS_OF_A_PROCESS):
        if _names_started(prober.completions) is not True:
            return
        if any(_is_last(prober.completions, each) and each.is_base for each in prober.completions):
            return
        if prober.complete("a completion of a step that a 200 has named", Need.NAMED) is None:
            return


def learn(prober: Prober, notes: Notes) -> None:
    """Note what all completions together show."""
    completions = prober.completions
    if not completions:
        names = ("named-step", "returned-params", "last-step-id", "last-step-params")
        for name in (*names, "unset-fields", "completed-step"):
            notes.unseen(name, "no step was completed")
        return
    _learn_named_step(completions, notes)
    _learn_returned_params(completions, notes)
    _learn_last_step(completions, notes)
    _learn_unset_fields(completions, notes)


def _learn_repeated(prober: Prober, notes: Notes, first: Completion | None) -> None:
    name = "completed-step"
    if first is None:
        return
    again = prober.ask("a second completion of a step", BASE, first.step_id)
    if again.completed and again.envelope["data"] == first.exchange.envelope["data"]:
        notes.seen(name, "repeat", again)
    elif again.completed:
        notes.unseen(name, "completed again, with other data", again)
        responses = (first.exchange.response, again.response)
        if len({each.names for each in responses if each is not None}) > 1:
            notes.found(COMPLETED_TWICE, f"the second 200 is another: {again.excerpt}", again)
    elif again.status in alternatives(name):
        notes.seen(name, again.status or "", again)
    else:
        notes.unseen(name, again.outcome, again)


def _names_started(completions: Sequence[Completion]) -> bool | None:
    """Whether 200s name the started step; None if that is not known, or sometimes."""
    started = any(each.names_other for each in completions)
    certain = [each for each in completions if each.need is Need.NEXT_HAS_PARAMS]
    if any(each.named == each.step_id for each in certain):
        return None if started else False
    if any(not each.named for each in certain):
        return None
    return True if started else None


def _is_last(completions: Sequence[Completion], each: Completion) -> bool:
    """Whether a completed step is known to have been the last of its process."""
    return each.need is Need.LAST or (not each.names_other and _names_started(completions) is True)


def _is_not_last(completions: Sequence[Completion], each: Completion) -> bool:
    return each.need is Need.NEXT_HAS_PARAMS or (
        each.names_other and _names_started(completions) is True
    )


def _learn_named_step(completions: Sequence[Completion], notes: Notes) -> None:
    name, started = "named-step", _names_started(completions)
    if started is None:
        why = "every 200 named the completed step or none: each may have been the last of a process"
        notes.unseen(name, why, completions[0].exchange)
        return
    shows = next(each for each in completions if each.named and each.names_other is started)
    notes.seen(name, "started" if started else "completed", shows.exchange)


def _learn_returned_params(completions: Sequence[Completion], notes: Notes) -> None:
    name = "returned-params"
    found: dict[Value, Exchange] = {}
    middle = [each for each in completions if each.is_base and _is_not_last(completions, each)]
    for each in middle:
        if not isinstance(each.params, dict):
            continue
        if "probe" not in each.params:
            found.setdefault("own", each.exchange)
        elif len(each.params) > 1:
            found.setdefault("merged", each.exchange)
        elif each.need is Need.NEXT_HAS_PARAMS:
            found.setdefault("submitted", each.exchange)
    if notes.seen_alone(name, found):
        return
    if found:
        notes.in_two_ways(name, f"200s return {' and '.join(map(str, found))}", middle[0].exchange)
    else:
        why = "no started step is known to have params of its own"
        notes.unseen(name, why, middle[0].exchange if middle else None)


def _learn_last_step(completions: Sequence[Completion], notes: Notes) -> None:
    last = [each for each in completions if each.is_base and _is_last(completions, each)]
    started = _names_started(completions)
    ids = {_last_id(each): each.exchange for each in last}
    params = {_last_params(each): each.exchange for each in last}
    if started is not True:
        why = "the 200 names the completed step, the last one too" if last else "no last step"
        notes.unseen("last-step-id", f"{why}, or that is not known", None)
        ids = {}
    for name, found in (("last-step-id", ids), ("last-step-params", params)):
        if notes.seen_alone(name, found):
            continue
        if len(found) > 1 and "" not in found:
            latest = list(found.values())[-1]
            notes.in_two_ways(name, f"last steps have it {' and '.join(map(str, found))}", latest)
        elif found:
            why = "in a form that no value has"
            notes.unseen(name, why, found.get("") or next(iter(found.values())))
        elif name == "last-step-params" or started is True:
            notes.unseen(name, "no last step of a process was completed")


def _last_id(each: Completion) -> Value:
    if "processStepId" not in each.data:
        return "absent"
    if each.named is None:
        return "null"
    if each.named == "":
        return "empty"
    return "completed" if each.named == each.step_id else ""


def _last_params(each: Completion) -> Value:
    if each.params is None:
        return "null" if "params" in each.data else ""
    if each.params == {}:
        return "empty"
    is_own = isinstance(each.params, dict) and each.params.keys() == {"probe"}
    return "submitted" if is_own else ""


def _learn_unset_fields(completions: Sequence[Completion], notes: Notes) -> None:
    name = "unset-fields"
    found: dict[Value, Exchange] = {}
    for each in completions:
        param = each.params.get("probe") if isinstance(each.params, dict) else None
        if each.is_base and isinstance(param, dict):
            fields = _UNSET & param.keys()
            if not fields:
                found["left-out"] = each.exchange
            elif fields == _UNSET and all(param[field] is None for field in fields):
                found["null"] = each.exchange
            else:
                found[""] = each.exchange
    if len(found) > 1 and "" not in found:
        why = "some 200s leave unset fields out, others have them as null"
        notes.in_two_ways(name, why, found["null"])
    elif not notes.seen_alone(name, found):
        why = "in several ways" if found else "no 200 returns the params that were submitted"
        notes.unseen(name, why, completions[0].exchange)
