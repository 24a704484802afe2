"""Cases that complete a step, or need a process in a particular state."""

from stepstub.contract_tests.cases.case import Case, Rows, cases_of
from stepstub.contract_tests.cases.checks import (
    OVERLAY,
    SUBMITTED,
    blames_step,
    has_success_message,
    names_next_step,
    names_no_step,
    returns_overlaid,
    returns_submitted,
)
from stepstub.contract_tests.cases.senders import body, param, params
from stepstub.contract_tests.cases.sequences import (
    FromInside,
    LastStep,
    NextStep,
    Race,
    Repeated,
)
from stepstub.contract_tests.steps import Need

_BODIES: Rows = (
    (
        "null-params",
        "null as params",
        "reading 4",
        body('{"processStepId": ID, "params": null}'),
    ),
    (
        "unknown-members",
        "members that the document does not define",
        "reading 3",
        body('{"processStepId": ID, "more": 1, "params": {"p": {"more": 1}}}'),
    ),
    (
        "type-disagrees",
        "a type that does not match the value",
        "reading 3",
        param('{"strValue": "1", "type": "LONG"}'),
    ),
    ("empty-param", "a param without fields", "reading 3", param("{}")),
    ("whole-long", "3.0 as longValue", "reading 2", param('{"longValue": 3.0}')),
)


CASES: tuple[Case, ...] = (
    NextStep(
        name="next-step",
        status=200,
        situation="a STARTED step, with a next one",
        checks=(names_next_step, has_success_message),
    ),
    Case(
        name="second-completion",
        status=412,
        situation="a second completion of a step",
        need=Need.COMPLETED,
        checks=(blames_step("STEP_COMPLETED"),),
    ),
    Case(
        name="named-step",
        status=200,
        situation="the step that a 200 has named as started",
        need=Need.NAMED,
    ),
    NextStep(
        name="params",
        status=200,
        situation="params passed on to the next step",
        rule="reading 10",
        send=params(SUBMITTED),
        checks=(names_next_step, returns_submitted),
    ),
    *cases_of(200, _BODIES),
    Race(name="race", status=412, situation="concurrent completions of one step"),
    LastStep(
        name="last-step",
        status=200,
        situation="the last step of a process",
        need=Need.LAST,
        checks=(names_no_step,),
    ),
    Case(
        name="own-params",
        status=200,
        situation="a next step with params of its own",
        rule="reading 10",
        need=Need.NEXT_HAS_PARAMS,
        send=params(OVERLAY),
        checks=(returns_overlaid,),
    ),
    Case(
        name="pending-step",
        status=412,
        situation="a PENDING step",
        rule="reading 8",
        need=Need.PENDING,
        checks=(blames_step("STEP_PENDING"),),
    ),
    Case(
        name="failed-step",
        status=412,
        situation="a FAILED step",
        rule="reading 8",
        need=Need.FAILED,
        checks=(blames_step("STEP_FAILED"),),
    ),
    Case(
        name="late-completion",
        status=412,
        situation="a step that was not completed in time",
        rule="reading 14",
        need=Need.TIME_IS_OVER,
        checks=(blames_step("STEP_FAILED"),),
    ),
    FromInside(
        name="inside-the-call",
        status=200,
        situation="a step completed from inside the call that starts it",
        rule="reading 12",
    ),
    Repeated(
        name="delegate-fails",
        status=500,
        situation="a next step that cannot be started, requested twice",
        need=Need.NEXT_FAILS,
    ),
)
