"""Cases whose requests are refused and change nothing."""

from stepstub.contract_tests.cases.case import Case, Rows, cases_of
from stepstub.contract_tests.cases.checks import allows_post, blames_step, has_challenge
from stepstub.contract_tests.cases.senders import (
    as_text,
    authorization,
    body,
    by_get,
    oversized,
    param,
    to_unknown_path,
)
from stepstub.contract_tests.cases.undocumented import TooLarge, Undocumented
from stepstub.contract_tests.findings import DOCUMENT
from stepstub.contract_tests.steps import Need

_WRONG_TOKEN = "Bearer wrong-token-of-the-conformance-suite"

_TOKENS: Rows = (
    ("no-token", "no Authorization header", DOCUMENT, authorization(None)),
    ("wrong-token", "a wrong token", DOCUMENT, authorization(_WRONG_TOKEN)),
    ("empty-token", "a bearer scheme without a token", DOCUMENT, authorization("Bearer ")),
    ("other-scheme", "the token in another scheme", "reading 15", authorization("Basic TOKEN")),
    ("bare-token", "the token without a scheme", "reading 15", authorization("TOKEN")),
    (
        "token-before-body",
        "a wrong token and an invalid body",
        "reading 15",
        authorization(_WRONG_TOKEN, b"{"),
    ),
)

_BODIES: Rows = (
    ("empty-body", "an empty body", DOCUMENT, body("")),
    ("truncated-json", "a truncated body", DOCUMENT, body('{"processStepId": ID')),
    ("array-body", "an array as the body", DOCUMENT, body("[ID]")),
    ("null-body", "null as the body", DOCUMENT, body("null")),
    ("not-utf-8", "a body that is not UTF-8", DOCUMENT, body(b'{"processStepId": ID, "\xff": 1}')),
    ("no-step-id", "no processStepId", DOCUMENT, body('{"params": {}}')),
    ("null-step-id", "null as processStepId", DOCUMENT, body('{"processStepId": null}')),
    ("number-step-id", "a number as processStepId", DOCUMENT, body('{"processStepId": 1}')),
    ("array-params", "an array as params", DOCUMENT, body('{"processStepId": ID, "params": []}')),
    ("text-param", "a string as a param", DOCUMENT, param('"text"')),
    ("number-text", "a number as strValue", DOCUMENT, param('{"strValue": 1}')),
    ("text-long", "a string as longValue", DOCUMENT, param('{"longValue": "1"}')),
    ("text-double", "a string as doubleValue", DOCUMENT, param('{"doubleValue": "1"}')),
    ("nan", "NaN, which is not JSON, as doubleValue", DOCUMENT, param('{"doubleValue": NaN}')),
    (
        "infinity",
        "Infinity, which is not JSON, as doubleValue",
        DOCUMENT,
        param('{"doubleValue": Infinity}'),
    ),
    ("overflow-double", "1e999 as doubleValue", "reading 2", param('{"doubleValue": 1e999}')),
    (
        "overflow-long",
        "2^63, beyond a signed 64-bit integer, as longValue",
        "reading 2",
        param(f'{{"longValue": {2**63}}}'),
    ),
    ("fraction-long", "3.5 as longValue", "reading 2", param('{"longValue": 3.5}')),
    ("unknown-type", "an unknown type", "reading 1", param('{"type": "BLOB"}')),
)


CASES: tuple[Case, ...] = (
    *cases_of(401, _TOKENS, has_challenge),
    *cases_of(412, _BODIES),
    Case(
        name="unknown-step",
        status=412,
        situation="an unknown step",
        need=Need.NOTHING,
        checks=(blames_step("UNKNOWN_STEP"),),
    ),
    Undocumented(name="other-path", status=404, situation="an unknown path", send=to_unknown_path),
    Undocumented(
        name="other-method",
        status=405,
        situation="GET instead of POST",
        send=by_get,
        checks=(allows_post,),
    ),
    Undocumented(
        name="other-type", status=415, situation="a body sent as text/plain", send=as_text
    ),
    TooLarge(name="large-body", status=413, situation="a body of more than 1 MiB", send=oversized),
)
