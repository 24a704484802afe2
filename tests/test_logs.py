"""The members of a line of the log are those that docs/logs.md promises."""

import json
import re
from typing import Any

import pytest

from support import ROOT, Connection, post
from test_cli import serve

PAGE = (ROOT / "docs" / "logs.md").read_text("utf-8")
MEMBERS = dict(re.findall(r"^\| `(\w+)` \| ([\w ]+) \|", PAGE, re.MULTILINE))
TYPES: dict[str, tuple[type, ...]] = {
    "text": (str,),
    "number": (int, float),
    "null": (type(None),),
}


@pytest.fixture(scope="module")
def lines() -> list[dict[str, Any]]:
    """What is logged of a completion, its repetition, a wrong token and what is no HTTP."""
    with serve("--log-format", "json") as served:
        with Connection(served.url) as connection:
            for token in ("stub-token", "stub-token", "wrong"):
                connection.ask(post({"processStepId": "order-1-approve"}, token=token))
        return [json.loads(line) for line in served.log()]


def test_each_line_has_the_promised_members_and_types(lines: list[dict[str, Any]]) -> None:
    assert len(lines) == 3
    for line in lines:
        assert list(line) == list(MEMBERS)
        for name, promised in MEMBERS.items():
            allowed = tuple(kind for word in promised.split(" or ") for kind in TYPES[word])
            assert isinstance(line[name], allowed), (name, line[name])


def test_the_members_say_what_became_of_the_exchange(lines: list[dict[str, Any]]) -> None:
    assert [line["status"] for line in lines] == [200, 412, 401]
    assert [line["exchange"] for line in lines] == [1, 2, 3]
    assert [line["sandbox"] for line in lines] == ["default", "default", None]
    assert "is COMPLETED" in lines[1]["reason"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", lines[0]["time"])
