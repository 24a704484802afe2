"""The kinds of variation: what may be asked for, and what a seed draws."""

import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from stepstub import InProcess, LiveServer, Sandbox, StepstubError
from stepstub.cli import main
from stepstub.settings import DEFAULT_TOKEN
from stepstub.variations import KINDS, Vary, chosen
from stepstub.views import ReadingsView
from support import ROOT, Client
from test_plugin import Suite

PAGE = (ROOT / "docs" / "variations.md").read_text("utf-8")


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    return Suite(tmp_path)


def test_a_seed_alone_draws_about_half_of_the_kinds_anew_for_each_exchange() -> None:
    drawn = [set(Vary(seed=7).draw(number)) for number in range(1, 401)]

    assert len({frozenset(names) for names in drawn}) > 300
    for name in KINDS:
        assert 140 < sum(name in names for names in drawn) < 260, name


def test_the_kinds_that_are_asked_for_are_in_every_exchange_with_the_same_choices() -> None:
    for number in range(1, 50):
        everything = Vary(seed=3).draw(number)
        only = Vary(seed=3, only=("spacing", "escapes")).draw(number)

        assert list(only) == ["spacing", "escapes"]
        for name in set(only) & set(everything):
            assert only[name].random() == everything[name].random()


def test_a_seed_draws_the_same_on_every_python() -> None:
    assert list(Vary(seed=1).draw(1)) == [
        "member-order",
        "extra-members",
        "unknown-codes",
        "spacing",
        "extra-headers",
        "until-close",
    ]


@pytest.mark.parametrize(
    ("choice", "vary"),
    [
        (None, None),
        (False, None),
        (0, Vary(seed=0)),
        ({"seed": 5}, Vary(seed=5)),
        ({"seed": 5, "only": []}, Vary(seed=5)),
        # In the order of the table, however they are given.
        ({"seed": 5, "only": ["spacing", "escapes"]}, Vary(seed=5, only=("spacing", "escapes"))),
        ({"seed": 5, "only": ["escapes", "spacing"]}, Vary(seed=5, only=("spacing", "escapes"))),
        (Vary(seed=9), Vary(seed=9)),
    ],
)
def test_what_is_asked_for(choice: Any, vary: Vary | None) -> None:
    assert chosen(choice) == vary


@pytest.mark.parametrize(
    ("choice", "told"),
    [
        (-1, "-1 is no seed: it takes an integer from 0"),
        (2**63, "is no seed"),
        (True, "True is no seed"),
        ("7", "'7' is no seed"),
        ({"only": ["spacing"]}, 'Variations need a seed: {"seed": 1}.'),
        ({"seed": 1, "kinds": []}, "not kinds"),
        ({"seed": 1, "only": "spacing"}, 'only takes a list of kinds: ["member-order"].'),
        ({"seed": 1, "only": ["member-orders"]}, "did you mean member-order"),
    ],
)
def test_what_cannot_be_asked_for(choice: Any, told: str) -> None:
    with pytest.raises(StepstubError, match=re.escape(told)):
        chosen(choice)


def test_a_stub_without_a_socket_says_what_it_cannot_vary() -> None:
    with pytest.raises(StepstubError, match="in chunked, until-close: use a LiveServer"):
        InProcess(vary={"seed": 1, "only": ["chunked", "until-close"]})


def test_the_command_lists_the_kinds() -> None:
    listed = CliRunner().invoke(main, ["variations"]).output.splitlines()

    assert [line.split()[0] for line in listed] == list(KINDS)
    assert listed[0] == "member-order      the members of every object are in another order"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--vary", "x"], "'x' is not a valid integer"),
        (["--vary-only", "spacing"], "give --vary, too"),
        (["--vary", "1", "--vary-only", "spaces"], "did you mean spacing"),
    ],
)
def test_serve_refuses_what_cannot_be_varied(options: list[str], told: str) -> None:
    run = CliRunner().invoke(main, ["serve", "--port", "0", *options])
    assert run.exit_code != 0
    assert told in run.output


def test_the_page_has_every_kind_with_its_meaning_in_order() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \|" + r" ([^|]+) \|" * 3, PAGE, re.MULTILINE)

    assert rows == [
        (name, kind.meaning, "live" if kind.on_the_wire else "everywhere", kind.to_be_safe)
        for name, kind in KINDS.items()
    ]


def test_a_reset_and_a_new_sandbox_keep_variations_unless_they_say_otherwise() -> None:
    with LiveServer(vary=4) as server:
        assert seeds(server.default_sandbox()) == 4
        with server.sandbox() as sandbox:
            assert seeds(sandbox) == 4
        with server.sandbox(vary=False) as sandbox:
            assert seeds(sandbox) is None
        with server.sandbox(vary={"seed": 5, "only": ["spacing"]}) as sandbox:
            sandbox.reset()
            assert seeds(sandbox) == 5
            sandbox.reset(vary=6)
            assert seeds(sandbox) == 6
            sandbox.reset(vary=False)
            assert seeds(sandbox) is None


def seeds(sandbox: Sandbox) -> int | None:
    return sandbox.call("GET", "readings", ReadingsView).vary.seed


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"vary": {"seed": 1, "only": ["spaces"]}}', "did you mean spacing"),
        (b'{"vary": {"only": ["spacing"]}}', "Variations need a seed"),
        (b'{"vary": {"seed": -1}}', "vary.seed"),
        (b'{"vary": {"seed": 1, "kinds": []}}', "vary.kinds"),
    ],
)
def test_the_control_api_refuses_what_cannot_be_varied(
    client: Client, body: bytes, told: str
) -> None:
    headers = {"content-type": "application/json", "authorization": f"Bearer {DEFAULT_TOKEN}"}
    response = client.request("POST", "/_stub/reset", body, headers)

    assert response.status == 400
    assert told in response.json["detail"]


def test_the_marker_varies_the_responses_of_one_test(suite: Suite) -> None:
    code = """
import pytest
import requests

def kinds(sandbox):
    sandbox.start_process("two-steps")
    body = {"processStepId": "order-1-approve"}
    requests.post(sandbox.complete_step_url, json=body, headers=sandbox.headers, timeout=10)
    return [variation.name for variation in sandbox.journal()[0].variations]

@pytest.mark.stepstub(vary={"seed": 1, "only": ["spacing"]}, readings={"version": "2"})
def test_marked(stepstub, stepstub_sandbox):
    assert kinds(stepstub) == kinds(stepstub_sandbox) == ["spacing"]
    assert stepstub.readings.version == stepstub_sandbox.readings.version == "2"

def test_not_marked(stepstub, stepstub_sandbox):
    assert kinds(stepstub) == kinds(stepstub_sandbox) == []

@pytest.mark.stepstub(vary={"seed": 1, "only": ["spacing"]})
def test_failing(stepstub):
    assert kinds(stepstub) == []
"""
    output = suite.run(code, passed=2, failed=1)
    assert "variations: spacing (" in output


def test_a_wrong_seed_in_the_marker_is_an_error(suite: Suite) -> None:
    code = "import pytest\n@pytest.mark.stepstub(vary=-1)\ndef test_it(stepstub): pass\n"
    assert "@pytest.mark.stepstub: -1 is no seed" in suite.run(code, error=1)
