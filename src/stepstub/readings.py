"""The questions that the document leaves open, each with the values a server can plausibly have.

`Readings` has one value for every question, and the first value of each is ours. Names and values
are kebab-case outside of Python (`last-step-id: absent`), statuses are numbers. This file is the
one home of every number, question and meaning: the command line, the JSON Schema of profiles and
the tests of `docs/readings.md` take them from here.
"""

import difflib
import json
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Annotated, Any, Literal, get_type_hints

from msgspec import Struct
from msgspec.structs import fields, replace

from stepstub.errors import InvalidReadings

Value = str | int
"""What a reading can be: one of its values, a status among them a number."""


class Question(Struct, frozen=True):
    """One open question; `number` is that of `docs/readings.md`.

    `meanings` has each value and what it means, ours first. It is empty where any text will do.
    """

    number: int
    text: str
    meanings: Mapping[Value, str] = {}


class Readings(Struct, frozen=True, kw_only=True, rename="kebab"):
    """One value for every reading; the defaults are ours."""

    type_names: Annotated[
        Literal["exact", "any-case", "any"],
        Question(
            1,
            "Which members does the type of a param have?",
            {
                "exact": "STRING, LONG and DOUBLE",
                "any-case": "the same in any case; returned in capitals",
                "any": "any text",
            },
        ),
    ] = "exact"
    long_fraction: Annotated[
        Literal["refuse", "truncate", "keep"],
        Question(
            2,
            "What becomes of a fraction in a longValue?",
            {
                "refuse": "the body is refused; 3.0 is the integer 3",
                "truncate": "it is cut off",
                "keep": "it is handed on",
            },
        ),
    ] = "refuse"
    long_range: Annotated[
        Literal["int64", "unbounded", "rounded"],
        Question(
            2,
            "How large may a longValue be?",
            {
                "int64": "a signed 64-bit integer",
                "unbounded": "any integer, exact",
                "rounded": "any integer, rounded to a double",
            },
        ),
    ] = "int64"
    text_for_number: Annotated[
        Literal["refuse", "read"],
        Question(
            2,
            'Is a text such as "12" accepted for a number?',
            {"refuse": "no", "read": "yes; it is read as that number"},
        ),
    ] = "refuse"
    unknown_members: Annotated[
        Literal["ignore", "refuse"],
        Question(
            3,
            "What becomes of members that the document does not have?",
            {"ignore": "they are ignored", "refuse": "the body is refused"},
        ),
    ] = "ignore"
    type_agreement: Annotated[
        Literal["free", "required"],
        Question(
            3,
            "Does the type of a param have to agree with its value?",
            {
                "free": "no; any of the four members may be there",
                "required": "yes; a param has a type, and the one value that it names",
            },
        ),
    ] = "free"
    params_missing: Annotated[
        Literal["empty", "refuse"],
        Question(
            4,
            "What does a body without params mean?",
            {"empty": "no params", "refuse": "the body is refused"},
        ),
    ] = "empty"
    params_null: Annotated[
        Literal["empty", "refuse"],
        Question(
            4,
            "What does a body mean in which params is null?",
            {"empty": "no params", "refuse": "the body is refused"},
        ),
    ] = "empty"
    bad_body: Annotated[
        Literal[412, 400, 422],
        Question(
            5,
            "Which status does a bad body get?",
            {412: "Precondition Failed", 400: "Bad Request", 422: "Unprocessable Content"},
        ),
    ] = 412
    duplicate_names: Annotated[
        Literal["refuse", "last-wins"],
        Question(
            5,
            "What becomes of a body in which a name appears twice?",
            {"refuse": "it is refused", "last-wins": "the last one counts"},
        ),
    ] = "refuse"
    empty_step_id: Annotated[
        Literal["unknown", "bad-body"],
        Question(
            5,
            "What is an empty processStepId?",
            {"unknown": "the id of no step", "bad-body": "a mistake of the body"},
        ),
    ] = "unknown"
    refusal_data: Annotated[
        Literal["by-field", "empty", "message"],
        Question(
            6,
            "What does the data of a 412 look like?",
            {
                "by-field": "the field or subject at fault, with code and detail",
                "empty": "an object without members",
                "message": '{"error": {"message": ...}}',
            },
        ),
    ] = "by-field"
    unknown_step: Annotated[
        Literal[412, 404, 400],
        Question(
            7,
            "Which status does an unknown step get?",
            {412: "Precondition Failed", 404: "Not Found", 400: "Bad Request"},
        ),
    ] = 412
    completed_step: Annotated[
        Literal[412, 409, 400, "repeat"],
        Question(
            8,
            "What does a second completion of a step get?",
            {
                412: "Precondition Failed",
                409: "Conflict",
                400: "Bad Request",
                "repeat": "the same 200 again; nothing changes",
            },
        ),
    ] = 412
    pending_step: Annotated[
        Literal[412, 409, 400],
        Question(
            8,
            "Which status does a PENDING step get?",
            {412: "Precondition Failed", 409: "Conflict", 400: "Bad Request"},
        ),
    ] = 412
    failed_step: Annotated[
        Literal[412, 409, 400],
        Question(
            8,
            "Which status does a FAILED step get?",
            {412: "Precondition Failed", 409: "Conflict", 400: "Bad Request"},
        ),
    ] = 412
    named_step: Annotated[
        Literal["started", "completed"],
        Question(
            9,
            "Which step does the processStepId of a 200 name?",
            {
                "started": "the one that was started",
                "completed": "the one that was completed, at the end of a process too",
            },
        ),
    ] = "started"
    returned_params: Annotated[
        Literal["merged", "submitted", "own"],
        Question(
            10,
            "Which params does a 200 return?",
            {
                "merged": "the started step's own, overlaid by those submitted",
                "submitted": "those submitted",
                "own": "the started step's own",
            },
        ),
    ] = "merged"
    last_step_id: Annotated[
        Literal["null", "absent", "empty", "completed"],
        Question(
            11,
            "What is the processStepId of the 200 for a last step?",
            {
                "null": "null",
                "absent": "left out",
                "empty": "an empty string",
                "completed": "the id of the completed step",
            },
        ),
    ] = "null"
    last_step_params: Annotated[
        Literal["empty", "submitted", "null"],
        Question(
            11,
            "What are the params of the 200 for a last step?",
            {"empty": "an empty object", "submitted": "those submitted", "null": "null"},
        ),
    ] = "empty"
    next_step_started: Annotated[
        Literal["before-call", "after-call"],
        Question(
            12,
            "When does the next step become STARTED?",
            {
                "before-call": "before its delegate is called",
                "after-call": "when its delegate has accepted the call; PENDING until then",
            },
        ),
    ] = "before-call"
    delegate_failure: Annotated[
        Literal["undone", "kept", "hidden"],
        Question(
            13,
            "What happens when the delegate of the next step fails?",
            {
                "undone": "500; both steps are as they were",
                "kept": "500; the completion stands, and the next step is FAILED",
                "hidden": "200; the completion stands, and the next step is FAILED",
            },
        ),
    ] = "undone"
    time_out: Annotated[
        Literal["fails", "ignored"],
        Question(
            14,
            "What becomes of a step that is not completed in time?",
            {"fails": "it is FAILED", "ignored": "nothing; it stays STARTED"},
        ),
    ] = "fails"
    credentials: Annotated[
        Literal["bearer", "basic", "api-key", "none"],
        Question(
            15,
            "How does a request show that it is authorised?",
            {
                "bearer": "Authorization: Bearer TOKEN",
                "basic": "Authorization: Basic, with the token as the password",
                "api-key": "the token in the header that credentials-header names",
                "none": "not at all; a token that is sent all the same chooses the sandbox",
            },
        ),
    ] = "bearer"
    credentials_header: Annotated[
        str, Question(15, "Which header bears the token where credentials is api-key?")
    ] = "X-API-Key"
    challenge: Annotated[
        Literal["sent", "absent"],
        Question(
            15,
            "Does a 401 have the header WWW-Authenticate?",
            {"sent": "yes", "absent": "no"},
        ),
    ] = "sent"
    checked_first: Annotated[
        Literal["credentials", "body"],
        Question(
            15,
            "Which is checked first, the credentials or the body?",
            {
                "credentials": "the credentials: a bad body without them gets 401",
                "body": "the body: a bad one is refused whoever sends it",
            },
        ),
    ] = "credentials"
    success_message: Annotated[str, Question(16, "What is the message of a 200?")] = "Success"
    version: Annotated[str, Question(16, "What is the version in every response?")] = "1.0.0"
    timestamp: Annotated[
        Literal["milliseconds", "microseconds", "seconds", "trimmed"],
        Question(
            18,
            "How many fractional digits does a timestamp have?",
            {
                "milliseconds": "three",
                "microseconds": "six",
                "seconds": "none",
                "trimmed": "up to three, without trailing zeros",
            },
        ),
    ] = "milliseconds"
    timestamp_zone: Annotated[
        Literal["z", "offset"],
        Question(
            18,
            "How is UTC written in a timestamp?",
            {"z": "Z", "offset": "+00:00"},
        ),
    ] = "z"
    undocumented_form: Annotated[
        Literal["envelope", "problem", "spring", "html", "plain"],
        Question(
            19,
            "What is the form of a response whose status the document does not have?",
            {
                "envelope": "the document's envelope, with a sentence as data",
                "problem": "problem details (RFC 9457)",
                "spring": "Spring Boot's: timestamp, status, error, path",
                "html": "an HTML page",
                "plain": "plain text",
            },
        ),
    ] = "envelope"
    null_fields: Annotated[
        Literal["accept", "refuse"],
        Question(
            20,
            "Is a null field of a param accepted?",
            {"accept": "yes; null is handed on as null", "refuse": "no"},
        ),
    ] = "accept"
    null_param: Annotated[
        Literal["refuse", "accept"],
        Question(
            20,
            "Is a param that is itself null accepted?",
            {"refuse": "no", "accept": "yes; it is as if it were not there"},
        ),
    ] = "refuse"
    unset_fields: Annotated[
        Literal["left-out", "null"],
        Question(
            20,
            "How does a 200 show the fields of a param that are not set?",
            {"left-out": "it leaves them out", "null": "as null"},
        ),
    ] = "left-out"


DEFAULT = Readings()


@cache
def questions() -> Mapping[str, Question]:
    """The question of each reading, by its name outside of Python, in the order of the table."""
    hints = get_type_hints(Readings, include_extras=True)
    return {field.encode_name: hints[field.name].__metadata__[0] for field in fields(Readings)}


@cache
def alternatives(name: str) -> tuple[Value, ...]:
    """The values of a reading, ours first; none where any text will do."""
    return tuple(questions()[name].meanings)


def with_values(readings: Readings, values: Mapping[str, object]) -> Readings:
    """The readings with other values for some, by their names outside of Python.

    A value may be given as text: `"400"` is 400, and None is `null`. Raises `InvalidReadings`.
    """
    return replace(readings, **{_attribute(name): _value(name, values[name]) for name in values})


def as_mapping(readings: Readings) -> dict[str, Value]:
    """Every reading with its value, by its name outside of Python."""
    return {name: getattr(readings, attribute) for name, attribute in _attributes()}


@cache
def _attributes() -> tuple[tuple[str, str], ...]:
    """The name of each reading outside of Python and in it; msgspec takes its time to tell."""
    return tuple((field.encode_name, field.name) for field in fields(Readings))


def differing(readings: Readings) -> dict[str, Value]:
    """The readings that differ from the default, with their values."""
    ours = as_mapping(DEFAULT)
    return {name: value for name, value in as_mapping(readings).items() if value != ours[name]}


def single_alternatives() -> Iterator[Readings]:
    """The default with one reading changed, for every reading and each of its other values."""
    for name in questions():
        for value in alternatives(name)[1:]:
            yield with_values(DEFAULT, {name: value})


BASIC_USER = "stepstub"
"""The user that basic credentials name where nobody asks for another; a stub ignores it."""


def credentials_headers(readings: Readings, token: str, user: str = BASIC_USER) -> dict[str, str]:
    """The header with which a client shows that it is authorised.

    With `credentials: none` the token is sent as a bearer one, for it still chooses the sandbox.
    """
    match readings.credentials:
        case "basic":
            encoded = b64encode(f"{user}:{token}".encode()).decode()
            return {"Authorization": f"Basic {encoded}"}
        case "api-key":
            return {readings.credentials_header: token}
        case _:
            return {"Authorization": f"Bearer {token}"}


def values_schema() -> dict[str, Any]:
    """The JSON Schema of some readings with their values, by their names outside of Python."""
    properties = {}
    for name, question in questions().items():
        schema: dict[str, Any] = {"description": f"{question.number}. {question.text}"}
        if question.meanings:
            values = [*question.meanings, *([None] if "null" in question.meanings else [])]
            schema["enum"] = list(dict.fromkeys([*values, "unknown"]))
            schema["description"] += "".join(
                f"\n{value}: {meaning}"
                for value, meaning in {"unknown": "the default", **question.meanings}.items()
            )
        else:
            schema["type"] = ["string", "number"]
        schema["default"] = as_mapping(DEFAULT)[name]
        properties[name] = schema
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _attribute(name: str) -> str:
    if name not in questions():
        raise InvalidReadings(f"There is no reading {name!r}: {nearest(name, questions())}")
    return name.replace("-", "_")


def _value(name: str, given: object) -> Value:
    text = "null" if given is None else str(given)
    values = alternatives(name)
    if isinstance(given, bool | dict | list) or (given is None and not values):
        raise InvalidReadings(f"{name} cannot be {json.dumps(given)[:100]}: it takes a text.")
    if not values:
        return _free_text(name, text)
    for value in values:
        if str(value) == text:
            return value
    raise InvalidReadings(
        f"{name} cannot be {json.dumps(given)}: {nearest(text, map(str, values))}"
    )


def _free_text(name: str, text: str) -> str:
    if name == "credentials-header" and not is_header_name(text):
        raise InvalidReadings(f"{name} cannot be {json.dumps(text)}: it is not a header's name.")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise InvalidReadings(f"{name} cannot be {json.dumps(text)}: it is not Unicode text.")
    return text


def is_header_name(text: str) -> bool:
    """A token of RFC 9110, section 5.6.2."""
    return bool(text) and all(
        character.isascii() and (character.isalnum() or character in "!#$%&'*+-.^_`|~")
        for character in text
    )


def nearest(text: str, names: Iterable[str]) -> str:
    """`did you mean a or b?`, or all the names there are where none is near."""
    known = list(names)
    near = difflib.get_close_matches(text, known, n=2, cutoff=0.5)
    return f"did you mean {' or '.join(near)}?" if near else f"choose {', '.join(known)}."
