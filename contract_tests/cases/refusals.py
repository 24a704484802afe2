"""Cases whose requests are refused and change nothing."""

from collections.abc import Iterator

from stepstub.contract_tests.cases.case import Case, Expect, Refusal, Rows, Send
from stepstub.contract_tests.cases.checks import allows_post, blames_step, has_challenge
from stepstub.contract_tests.cases.expect import (
    AcceptedIf,
    ByReading,
    Invalid,
    Unauthorised,
    UnauthorisedAndBad,
    Unmatched,
)
from stepstub.contract_tests.cases.senders import (
    WRONG_TOKEN,
    as_text,
    authorization,
    body,
    by_get,
    complete,
    in_another_form,
    oversized,
    param,
    to_unknown_path,
    with_token,
    without_credentials,
    without_credentials_and_body,
)
from stepstub.contract_tests.cases.undocumented import OtherScheme, TooLarge, Undocumented
from stepstub.contract_tests.causes import BAD_BODY

_UNAUTHORISED = "a request that is not authorised"


def _unauthorised() -> Iterator[Case]:
    rows: Rows = (
        ("no-token", "no credentials", without_credentials),
        ("wrong-token", "a wrong token", with_token(WRONG_TOKEN)),
    )
    for name, situation, send in rows:
        yield Refusal(
            name=name,
            status=401,
            situation=situation,
            topic=_UNAUTHORISED,
            reading="credentials",
            expect=Unauthorised(),
            send=send,
            checks=(has_challenge,),
        )
    rows = (
        ("empty-token", "a bearer scheme without a token", authorization("Bearer ")),
        ("other-scheme", "the token in another scheme", authorization("Basic TOKEN")),
        ("bare-token", "the token without a scheme", authorization("TOKEN")),
    )
    for name, situation, send in rows:
        yield OtherScheme(
            name=name,
            status=401,
            situation=situation,
            topic=_UNAUTHORISED,
            reading="credentials",
            expect=Unauthorised(lenient=name != "empty-token"),
            send=send,
            checks=(has_challenge,),
        )
    yield Refusal(
        name="other-form",
        status=401,
        situation="the token in the form of other credentials",
        topic=_UNAUTHORISED,
        reading="credentials",
        expect=Unauthorised(lenient=True),
        send=in_another_form,
        checks=(has_challenge,),
    )
    yield Refusal(
        name="token-before-body",
        status=401,
        situation="no credentials and an invalid body",
        topic=_UNAUTHORISED,
        reading="checked-first",
        expect=UnauthorisedAndBad(),
        send=without_credentials_and_body,
    )


_NO_STEP: Rows = (
    ("empty-body", "an empty body", body("")),
    ("truncated-json", "a truncated body", body('{"processStepId": ID')),
    ("array-body", "an array as the body", body("[ID]")),
    ("null-body", "null as the body", body("null")),
    ("no-step-id", "no processStepId", body('{"params": {}}')),
    ("null-step-id", "null as processStepId", body('{"processStepId": null, "params": {}}')),
)
"""Nothing can be completed without a processStepId, which is required."""

_NO_JSON: Rows = (
    ("not-utf-8", "a body that is not UTF-8", param(b'{"strValue": "\xff", "type": "STRING"}')),
    ("nan", "NaN as doubleValue", param('{"doubleValue": NaN, "type": "DOUBLE"}')),
    ("infinity", "Infinity as doubleValue", param('{"doubleValue": Infinity, "type": "DOUBLE"}')),
)

_BAD_PARAMS: Rows = (
    ("array-params", "an array as params", body('{"processStepId": ID, "params": []}')),
    ("text-params", "a string as params", body('{"processStepId": ID, "params": "text"}')),
    ("text-param", "a string as a param", param('"text"')),
    ("number-text", "a number as strValue", param('{"strValue": 1, "type": "STRING"}')),
    (
        "overflow-double",
        "1e999 as doubleValue",
        param('{"doubleValue": 1e999, "type": "DOUBLE"}'),
    ),
)

_BY_READING: tuple[tuple[str, str, AcceptedIf, Send], ...] = (
    (
        "text-long",
        "a string as longValue",
        AcceptedIf("text-for-number", ("read",)),
        param('{"longValue": "1", "type": "LONG"}'),
    ),
    (
        "text-double",
        "a string as doubleValue",
        AcceptedIf("text-for-number", ("read",)),
        param('{"doubleValue": "1", "type": "DOUBLE"}'),
    ),
    (
        "overflow-long",
        "2^63, beyond a signed 64-bit integer, as longValue",
        AcceptedIf("long-range", ("unbounded", "rounded")),
        param(f'{{"longValue": {2**63}, "type": "LONG"}}'),
    ),
    (
        "underflow-long",
        "-2^63-1, beyond a signed 64-bit integer, as longValue",
        AcceptedIf("long-range", ("unbounded", "rounded")),
        param(f'{{"longValue": {-(2**63) - 1}, "type": "LONG"}}'),
    ),
    (
        "fraction-long",
        "3.5 as longValue",
        AcceptedIf("long-fraction", ("truncate", "keep")),
        param('{"longValue": 3.5, "type": "LONG"}'),
    ),
    (
        "unknown-type",
        "an unknown type",
        AcceptedIf("type-names", ("any",), where=("type-agreement", "free")),
        param('{"strValue": "text", "type": "BLOB"}'),
    ),
)


def _bad(rows: Rows, expect: Expect, *, names_step: bool = False) -> Iterator[Case]:
    for name, situation, send in rows:
        yield Refusal(
            name=name,
            status=412,
            situation=situation,
            topic=BAD_BODY,
            reading="bad-body",
            expect=expect,
            send=send,
            names_step=names_step,
        )


def _undocumented() -> Iterator[Case]:
    rows: tuple[tuple[str, int, str, Send], ...] = (
        ("other-path", 404, "an unknown path", to_unknown_path),
        ("other-method", 405, "GET instead of POST", by_get),
        ("other-type", 415, "a body sent as text/plain", as_text),
    )
    for name, status, situation, send in rows:
        yield Undocumented(
            name=name,
            status=status,
            situation=situation,
            topic=situation,
            reading="undocumented-form",
            expect=Unmatched(),
            send=send,
            checks=(allows_post,),
        )
    yield TooLarge(
        name="large-body",
        status=413,
        situation="a body of more than 1 MiB",
        topic="a body of more than 1 MiB",
        reading="undocumented-form",
        expect=Unmatched(),
        send=oversized,
    )


CASES: tuple[Case, ...] = (
    *_unauthorised(),
    *_bad(_NO_STEP, ByReading("bad-body")),
    Refusal(
        name="number-step-id",
        status=412,
        situation="a number as processStepId",
        topic=BAD_BODY,
        reading="bad-body",
        expect=ByReading("bad-body", or_by="unknown-step"),
        send=body('{"processStepId": 1, "params": {}}'),
    ),
    *_bad(
        _NO_JSON,
        Invalid(key="unchecked-json", title="Bodies are accepted that are not JSON"),
        names_step=True,
    ),
    *_bad(_BAD_PARAMS, Invalid(), names_step=True),
    *(
        Refusal(
            name=name,
            status=412,
            situation=situation,
            topic=BAD_BODY,
            reading=expect.reading,
            expect=expect,
            send=send,
            names_step=True,
        )
        for name, situation, expect, send in _BY_READING
    ),
    Undocumented(
        name="unknown-step",
        status=412,
        situation="an unknown step",
        topic="an unknown step",
        reading="unknown-step",
        expect=ByReading("unknown-step"),
        send=complete,
        checks=(blames_step("UNKNOWN_STEP"),),
    ),
    *_undocumented(),
)
