"""docs/architecture.md agrees with the code: its parts exist, and a request takes the way shown."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest
import requests

from stepstub.readings import Readings
from stepstub.serving.server import serve_in_thread
from stepstub.settings import DEFAULT_TOKEN
from stepstub.variations import Vary
from support import PATH, ROOT, live_app, processes

PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
PACKAGE = ROOT / "src" / "stepstub"
CALL = re.compile(r"^[ |+-]*([a-z_/]+\.py) +([A-Z_a-z]+(?:\.[a-z_]+)?)  ", re.MULTILINE)
MODULE = re.compile(r"(?<![\w/.])[a-z_]+(?:/[a-z_]+)*\.py")


def diagram(number: int) -> str:
    return re.findall(r"^```text\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)[number]


@contextmanager
def calls_recorded() -> Iterator[dict[tuple[str, str], None]]:
    """The functions of the stub that new threads call, as module and name, each at its first."""
    calls: dict[tuple[str, str], None] = {}

    def note(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        _, inside, module = code.co_filename.rpartition("/stepstub/")
        if event == "call" and inside:
            calls.setdefault((module, code.co_qualname))

    threading.setprofile(note)
    try:
        yield calls
    finally:
        threading.setprofile(None)


@pytest.mark.parametrize("module", sorted(set(MODULE.findall(PAGE))))
def test_a_module_that_is_named_exists(module: str) -> None:
    assert (PACKAGE / module).is_file()


def test_a_request_takes_the_way_that_is_drawn() -> None:
    drawn = CALL.findall(diagram(0))
    stub = live_app(processes("two-steps"), vary=Vary(seed=1))
    stub.sandboxes.on_delegate(DEFAULT_TOKEN, lambda _: None)
    headers = {"Authorization": f"Bearer {DEFAULT_TOKEN}"}
    body = {"processStepId": "order-1-approve"}
    with calls_recorded() as calls, serve_in_thread(stub) as url:
        calls.clear()  # those of its start
        response = requests.post(f"{url}{PATH}", json=body, headers=headers, timeout=10)

    assert response.status_code == 200
    assert len(drawn) > 15
    assert [call for call in calls if call in drawn] == drawn


def test_every_place_that_asks_for_a_reading_is_drawn() -> None:
    asked = re.compile(rf"readings\.({'|'.join(Readings.__struct_fields__)})\b")
    # Links to folders are not followed: that to the handlers is named, that to the suite is not.
    files = [*PACKAGE.glob("**/*.py"), *(PACKAGE / "handlers").glob("*.py")]
    places = {
        file.relative_to(PACKAGE).as_posix()
        for file in files
        if asked.search(file.read_text("utf-8"))
    }
    assert {"params.py", "handlers/credentials.py"} <= places
    assert places <= set(MODULE.findall(diagram(1)))
