"""Cases that complete a step, or need a process in a particular state."""

from stepstub.contract_tests.cases.case import Case, Send
from stepstub.contract_tests.cases.checks import (
    OVERLAY,
    SUBMITTED,
    blames_step,
    is_as_a_last_step,
    names_a_process,
    names_next_step,
    returns_overlaid,
    returns_params,
)
from stepstub.contract_tests.cases.expect import (
    AcceptedIf,
    ByReading,
    DelegateFails,
    Documented,
    Late,
    Lenient,
    Repeatable,
)
from stepstub.contract_tests.cases.senders import PLAIN, body, complete, param, params, to_this_step
from stepstub.contract_tests.cases.sequences import (
    FromInside,
    LastStep,
    NamedStep,
    NextIsLate,
    NextStep,
    Race,
    Repeated,
    SecondCompletion,
    StillStarted,
)
from stepstub.contract_tests.cases.trials import Trial
from stepstub.contract_tests.causes import BAD_BODY, NAMED, STARTED
from stepstub.contract_tests.needs import Need

_WE_REFUSE = ("type-in-lower-case", "null-param", "name-twice")

_BODIES: tuple[tuple[str, str, AcceptedIf | Lenient | Documented, Send], ...] = (
    (
        "no-params",
        "no params",
        AcceptedIf("params-missing", ("empty",)),
        body('{"processStepId": ID}'),
    ),
    (
        "empty-params",
        "empty params",
        Documented(),
        body('{"processStepId": ID, "params": {}}'),
    ),
    (
        "null-params",
        "null as params",
        AcceptedIf("params-null", ("empty",)),
        body('{"processStepId": ID, "params": null}'),
    ),
    (
        "unknown-member",
        "a member that the document does not define",
        AcceptedIf("unknown-members", ("ignore",)),
        body(
            '{"processStepId": ID, "more": 1,'
            ' "params": {"p": {"strValue": "text", "type": "STRING"}}}'
        ),
    ),
    (
        "unknown-field",
        "a field of a param that the document does not define",
        AcceptedIf("unknown-members", ("ignore",)),
        param('{"strValue": "text", "type": "STRING", "more": 1}'),
    ),
    (
        "type-disagrees",
        "a type that does not match the value",
        AcceptedIf("type-agreement", ("free",)),
        param('{"strValue": "1", "type": "LONG"}'),
    ),
    (
        "no-type",
        "a param without a type",
        AcceptedIf("type-agreement", ("free",)),
        param('{"strValue": "text"}'),
    ),
    (
        "empty-param",
        "a param without fields",
        AcceptedIf("type-agreement", ("free",)),
        param("{}"),
    ),
    (
        "type-in-lower-case",
        "a type in lower case",
        AcceptedIf("type-names", ("any-case", "any")),
        param('{"strValue": "text", "type": "string"}'),
    ),
    (
        "null-field",
        "a null field of a param",
        AcceptedIf("null-fields", ("accept",)),
        param('{"strValue": "text", "longValue": null, "type": "STRING"}'),
    ),
    (
        "null-type",
        "null as the type of a param",
        AcceptedIf("null-fields", ("accept",), where=("type-agreement", "free")),
        param('{"strValue": "text", "type": null}'),
    ),
    (
        "null-param",
        "null as a param",
        AcceptedIf("null-param", ("accept",)),
        body('{"processStepId": ID, "params": {"p": null}}'),
    ),
    (
        "name-twice",
        "a name given twice",
        AcceptedIf("duplicate-names", ("last-wins",)),
        body(
            '{"processStepId": "elsewhere", "processStepId": ID,'
            ' "params": {"p": {"strValue": "text", "type": "STRING"}}}'
        ),
    ),
    (
        "whole-long",
        "3.0 as longValue",
        Lenient("whole-long"),
        param('{"longValue": 3.0, "type": "LONG"}'),
    ),
)


CASES: tuple[Case, ...] = (
    NextStep(
        name="next-step",
        status=200,
        situation="a STARTED step, with a next one",
        topic=STARTED,
        expect=Documented(),
        send=complete,
        checks=(names_a_process, names_next_step),
    ),
    StillStarted(
        name="refused-and-unchanged",
        status=200,
        situation="a step about which everything was refused",
        topic=STARTED,
        expect=Documented(),
    ),
    SecondCompletion(
        name="second-completion",
        status=412,
        situation="a second completion of a step",
        topic="a second completion",
        reading="completed-step",
        expect=Repeatable(),
        checks=(blames_step("STEP_COMPLETED"),),
    ),
    NamedStep(
        name="named-step",
        status=200,
        situation="the step that a 200 has named as started",
        topic=NAMED,
        reading="named-step",
        expect=Documented(),
    ),
    NextStep(
        name="params",
        status=200,
        situation="params passed on to the next step",
        topic=STARTED,
        reading="returned-params",
        expect=Documented(),
        send=params(SUBMITTED),
        checks=(names_next_step, returns_params(SUBMITTED)),
    ),
    *(
        Trial(
            name=name,
            status=412 if name in _WE_REFUSE else 200,
            situation=situation,
            topic=BAD_BODY if name in _WE_REFUSE else STARTED,
            reading="" if isinstance(expect, Documented) else expect.reading,
            expect=expect,
            send=send,
        )
        for name, situation, expect, send in _BODIES
    ),
    Race(
        name="race",
        status=412,
        situation="concurrent completions of one step",
        topic="a race",
        reading="completed-step",
        expect=Documented(),
    ),
    LastStep(
        name="last-step",
        status=200,
        situation="the last step of a process",
        topic=STARTED,
        reading="last-step-id",
        expect=Documented(),
        need=Need.LAST,
        steps=5,
        checks=(is_as_a_last_step,),
    ),
    Case(
        name="own-params",
        status=200,
        situation="a next step with params of its own",
        topic=STARTED,
        reading="returned-params",
        expect=Documented(),
        need=Need.NEXT_HAS_PARAMS,
        send=to_this_step(OVERLAY),
        checks=(returns_overlaid,),
    ),
    Case(
        name="pending-step",
        status=412,
        situation="a PENDING step",
        topic="a PENDING step",
        reading="pending-step",
        expect=ByReading("pending-step"),
        need=Need.PENDING,
        send=to_this_step(PLAIN),
        steps=0,
        checks=(blames_step("STEP_PENDING"),),
    ),
    Case(
        name="failed-step",
        status=412,
        situation="a FAILED step",
        topic="a FAILED step",
        reading="failed-step",
        expect=ByReading("failed-step"),
        need=Need.FAILED,
        send=to_this_step(PLAIN),
        steps=0,
        checks=(blames_step("STEP_FAILED"),),
    ),
    Case(
        name="late-completion",
        status=412,
        situation="a step that was not completed in time",
        topic="a late completion",
        reading="time-out",
        expect=Late(),
        need=Need.TIME_IS_OVER,
        send=to_this_step(PLAIN),
        steps=0,
        checks=(blames_step("STEP_FAILED"),),
    ),
    NextIsLate(
        name="late-next-step",
        status=412,
        situation="a next step that was not completed in time",
        topic="a late completion",
        reading="time-out",
        expect=Late(),
        need=Need.NEXT_IS_LATE,
        checks=(blames_step("STEP_FAILED"),),
    ),
    FromInside(
        name="inside-the-call",
        status=200,
        situation="a step completed from inside the call that starts it",
        topic="a completion from inside the delegate's call",
        reading="next-step-started",
        expect=Documented(),
        need=Need.NEXT_CALLS,
    ),
    Repeated(
        name="delegate-fails",
        status=500,
        situation="a next step that cannot be started, requested twice",
        topic="a delegate's failure",
        reading="delegate-failure",
        expect=DelegateFails(),
        need=Need.NEXT_FAILS,
    ),
)
