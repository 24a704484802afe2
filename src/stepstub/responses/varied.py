"""Variations at work on a response: each changes its form, and nothing that it says."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import Any

from msgspec.structs import replace

from stepstub.framing import CASES, ORDERS, Framing
from stepstub.responses import Response
from stepstub.variations import KINDS, Variation, Vary

_MEMBERS: tuple[tuple[str, Any], ...] = (
    ("traceId", "4bf92f3577b34da6"),
    ("deprecated", False),
    ("retries", 0),
    ("cost", 0.25),
    ("owner", None),
    ("tags", ["a", {"b": []}]),
    ("_links", {"self": {"href": "/"}}),
)
_CODES = ("E4711", "tenant.locked", "PRECONDITION_NOT_MET", "1001")
_ENTRIES: Mapping[str, dict[str, Any]] = {
    "tenant": {"code": "LOCKED", "detail": "The tenant is being moved."},
    "process.version": {"code": "OUTDATED", "detail": "There is a newer version of the process."},
    "body": {"code": "TOO_EARLY", "detail": "The process is on hold.", "retryAfter": 5},
}
_HEADERS = (
    (b"x-request-id", b"0b9c1f6e-3d0c-4a43-9a53-1f3c2d1f8f55"),
    (b"vary", b"Accept, Origin"),
    (b"cache-control", b"no-store"),
    (b"via", b"1.1 gateway"),
    (b"set-cookie", b"node=a1; Path=/; HttpOnly"),
    (b"x-ratelimit-remaining", b"41"),
)
_SPACES: Mapping[str, dict[str, Any]] = {
    "indented by two": {"indent": 2},
    "indented by a tab": {"indent": "\t"},
    "a space after each comma and colon": {},
    "around every token": {"separators": (" \r\n, ", "\t: ")},
}
_COMPACT: dict[str, Any] = {"separators": (",", ":")}
_ORDERS = ("alphabetical", "reversed", "shuffled")
_CHUNKS = (1, 7, 64)
_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"')
_CHARACTER = re.compile(r"\\u[0-9a-f]{4}|\\.|[^\\]")


def varied(
    response: Response, vary: Vary, number: int, *, framing: bool, chunks: bool
) -> tuple[Response, tuple[Variation, ...]]:
    """A response as exchange `number` of a sandbox gets it, and what was chosen for it.

    `framing` says whether the body goes over a connection, and `chunks` whether in chunks, too.
    Kinds that cannot be are left out: those of a body that is not JSON, for one.
    """
    drawn = vary.draw(number)
    if not framing:
        drawn = {name: random for name, random in drawn.items() if not KINDS[name].on_the_wire}
    elif not chunks:
        drawn.pop("chunked", None)
    body, in_body = _varied_body(response, drawn)
    headers, content_type, in_headers = _varied_headers(response, drawn)
    framed, on_wire = _framing(drawn)
    changed = replace(
        response, body=body, headers=headers, content_type=content_type, framing=framed
    )
    choices = (*in_body, *in_headers, *on_wire)
    return changed, tuple(sorted(choices, key=lambda each: list(KINDS).index(each.name)))


# --- the body


def _varied_body(response: Response, drawn: Mapping[str, Random]) -> tuple[bytes, list[Variation]]:
    value = _json_object(response)
    if value is None:
        return response.body, []
    choices = []
    for name, change in _CHANGES.items():
        if name in drawn and (choice := change(value, response.status, drawn[name])):
            choices.append(Variation(name, choice))
    if "member-order" in drawn:
        random = drawn["member-order"]
        order = random.choice(_ORDERS)
        value = _reordered(value, order, random)
        choices.append(Variation("member-order", order))
    layout = _COMPACT
    if "spacing" in drawn:
        spacing = drawn["spacing"].choice(list(_SPACES))
        layout = _SPACES[spacing]
        choices.append(Variation("spacing", spacing))
    text = json.dumps(value, ensure_ascii=False, **layout)
    if "escapes" in drawn:
        every = drawn["escapes"].randint(1, 5)
        text = _TEXT.sub(lambda found: _escaped(found[0], every), text)
        choices.append(Variation("escapes", f"one character in {every}"))
    return text.encode(), choices


def _json_object(response: Response) -> dict[str, Any] | None:
    """What a body says; None for one that is no JSON, or was broken by a fault."""
    if b"json" not in response.content_type:
        return None
    try:
        value = json.loads(response.body)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _extra_members(value: dict[str, Any], status: int, random: Random) -> str:
    names = [name for name, _ in random.sample(_MEMBERS, random.randint(1, 3))]
    for part in _open_objects(value, status):
        for name in names:
            part.setdefault(name, dict(_MEMBERS)[name])
    return ", ".join(names)


def _open_objects(value: dict[str, Any], status: int) -> Iterator[dict[str, Any]]:
    """The objects of a response that may have any member, and whose names are not data."""
    yield value
    data = value.get("data")
    if not isinstance(data, dict):
        return
    named = data
    if status == 200:
        yield data
        named = data.get("params") or {}
    for each in named.values():
        if isinstance(each, dict):
            yield each


def _unknown_codes(value: dict[str, Any], status: int, random: Random) -> str:
    entries = _entries(value, status)
    codes = [random.choice(_CODES) for _ in entries]
    for entry, code in zip(entries.values(), codes, strict=True):
        entry["code"] = code
    return ", ".join(
        f"{name}: {json.dumps(code)}" for name, code in zip(entries, codes, strict=True)
    )


def _more_entries(value: dict[str, Any], status: int, random: Random) -> str:
    entries = _entries(value, status)
    if not entries:
        return ""
    names = random.sample(list(_ENTRIES), random.randint(1, len(_ENTRIES)))
    more = {name: dict(_ENTRIES[name]) for name in names if name not in entries}
    value["data"] = {**more, **entries} if random.random() < 0.5 else {**entries, **more}
    return ", ".join(more)


def _entries(value: dict[str, Any], status: int) -> dict[str, Any]:
    """The entries of a 412, where they are by field."""
    data = value.get("data")
    if status != 412 or not isinstance(data, dict):
        return {}
    return data if all("code" in entry for entry in data.values()) else {}


_CHANGES: Mapping[str, Callable[[dict[str, Any], int, Random], str]] = {
    "unknown-codes": _unknown_codes,
    "more-entries": _more_entries,
    "extra-members": _extra_members,
}
"""Each changes the value, and says what it chose, or nothing where there was nothing to change."""


def _reordered(value: Any, order: str, random: Random) -> Any:
    if isinstance(value, list):
        return [_reordered(item, order, random) for item in value]
    if not isinstance(value, dict):
        return value
    names = list(value)
    match order:
        case "alphabetical":
            names.sort()
        case "reversed":
            names.reverse()
        case _:
            random.shuffle(names)
    return {name: _reordered(value[name], order, random) for name in names}


def _escaped(text: str, every: int) -> str:
    """A JSON text with one character in `every` of those that are not escaped yet, escaped."""
    characters = _CHARACTER.findall(text[1:-1])
    for index in range(0, len(characters), every):
        characters[index] = _escape(characters[index])
    return f'"{"".join(characters)}"'


def _escape(character: str) -> str:
    if character.startswith("\\"):
        return character
    if character == "/":
        return "\\/"
    pair = character.encode("utf-16-be")  # two units beyond the basic plane
    return "".join(f"\\u{pair[i]:02x}{pair[i + 1]:02x}" for i in range(0, len(pair), 2))


# --- the headers and the wire


def _varied_headers(
    response: Response, drawn: Mapping[str, Random]
) -> tuple[tuple[tuple[bytes, bytes], ...], bytes, list[Variation]]:
    headers, content_type, choices = response.headers, response.content_type, []
    if "media-type" in drawn and b";" not in content_type:
        charset = drawn["media-type"].choice((b"; charset=utf-8", b";charset=UTF-8"))
        content_type += charset
        choices.append(Variation("media-type", content_type.decode()))
    if "extra-headers" in drawn:
        random = drawn["extra-headers"]
        extra = tuple(random.sample(_HEADERS, random.randint(1, len(_HEADERS))))
        headers += extra
        choices.append(Variation("extra-headers", ", ".join(name.decode() for name, _ in extra)))
    return headers, content_type, choices


def _framing(drawn: Mapping[str, Random]) -> tuple[Framing | None, list[Variation]]:
    case = drawn["header-case"].choice(CASES) if "header-case" in drawn else None
    order = drawn["header-order"].choice(ORDERS) if "header-order" in drawn else None
    chunk = drawn["chunked"].choice(_CHUNKS) if "chunked" in drawn else None
    until_close = "until-close" in drawn and chunk is None
    close = "connection-close" in drawn
    said = {
        "header-case": case,
        "header-order": order,
        "chunked": chunk and f"size {chunk}",
        "until-close": "no Content-Length" if until_close else None,
        "connection-close": "Connection: close" if close else None,
    }
    choices = [Variation(name, choice) for name, choice in said.items() if choice]
    if not choices:
        return None, []
    counted = chunk is None and not until_close
    framing = Framing(
        case=case, order=order, chunk=chunk, counted=counted, close=close or until_close
    )
    return framing, choices
