"""What the forms of a report say, and what they make of text that a server chose."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from html.parser import HTMLParser
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import jsonschema_rs
import pytest

from report_samples import BEGAN, SAMPLES, case, learnt, report
from stepstub import advice
from stepstub.contract_tests.findings import Cause, Finding, Severity
from stepstub.contract_tests.probes.learnt import Evidence
from stepstub.contract_tests.rendering import github, junit, text, visible, write
from stepstub.contract_tests.results import Drift, Exit, Outcome, Report, Result
from stepstub.contract_tests.transport import Trouble, TroubleKind
from stepstub.profiles import Accepted
from stepstub.readings import questions
from support import ROOT

HOSTILE = (
    "</code><script>alert('&amp;')</script> {{ 7 * 7 }} \x00\x1b[2J\u202e\ud800 \"><img src=x> "
)
LONG = "a" * 100_000
VIOLATION = Cause(Severity.VIOLATION, "is-wrong", "It is wrong", "It is right.")
NOTE = replace(VIOLATION, severity=Severity.NOTE, key="is-odd")

each_sample = pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES)


def everywhere(text: str) -> Report:
    """A report that has a text wherever a server, or whoever runs the suite, could put one."""
    cause = Cause(Severity.VIOLATION, "hostile", text, text, "bad-body")
    found = [
        Finding(replace(cause, severity=each, key=each), text, text, text) for each in Severity
    ]
    several = [replace(found[0], message=f"{text}{number}") for number in range(9)]
    known = learnt({"version": text}, {"timestamp": text}, found[:1])
    evidence = {name: Evidence(text, 200, text, text) for name in questions()}
    evidence["timestamp"] = Evidence(why=text)
    return report(
        url=text,
        learnt=replace(known, evidence=evidence),
        results=[
            Result(case("hostile", situation=text), (*found, *several)),
            Result(case("without", 200, text), why=text),
        ],
        asked_name=text,
        asked={"version": text, "success-message": text},
        accepted=[
            Accepted(Severity.DEVIATION, text, date(9999, 1, 1)),
            Accepted(text, text, date(1999, 1, 1)),
        ],
        drift=[Drift("version", text, "1"), Drift("success-message", None, text)],
        trouble=[Trouble(TroubleKind.DROPPED, text, 3, recovered=False, curl=text)],
        unfinished=text,
    )


class Page(HTMLParser):
    """The tags, ids and texts of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: list[str] = []
        self.headings: list[int] = []
        self.source = path.read_text("utf-8")
        self.text = ""
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("href", "src"):
                self.links.append(value or "")
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def page(tmp_path: Path) -> Callable[[Report], Page]:
    def written(report: Report) -> Page:
        write(report, tmp_path)
        return Page(tmp_path / "report.html")

    return written


@pytest.fixture
def as_json(tmp_path: Path) -> Callable[[Report], Any]:
    def written(report: Report) -> Any:
        write(report, tmp_path)
        return json.loads((tmp_path / "report.json").read_text("utf-8"))

    return written


# The verdict


VERDICTS = {
    "fastapi": "The server does not conform: 6 violations of the document and 1 inconsistency;"
    " required but not covered: 401.",
    "conforming": "The server conforms in 29 situations; 1 could not be tested.",
    "unfinished": "The server could not be checked: too many requests got no response that counts"
    " (14 of 60); 1 cause to fix found by then.",
    "drifted": "The server conforms, apart from 2 accepted causes, but 2 readings changed since the"
    " earlier profile.",
    "strict": "The server does not read the document as asked (default): 1 deviation;"
    " required but not covered: 500.",
}


@pytest.mark.parametrize("name", SAMPLES)
def test_the_verdict_is_a_sentence(name: str) -> None:
    report = SAMPLES[name]()
    assert report.verdict == VERDICTS[name]
    assert text.lines(report)[-1] == VERDICTS[name]


def test_each_exit_status_has_a_sample() -> None:
    assert {sample().exit for sample in SAMPLES.values()} == set(Exit)


def test_a_server_that_conforms_in_all_situations_is_said_to() -> None:
    tested = [Result(case("a")), Result(case("b"))]
    assert report(results=tested).verdict == "The server conforms in all 2 situations."
    assert report(results=tested[:1]).verdict == "The server conforms in 1 situation."


def test_a_run_that_tested_nothing_does_not_say_that_the_server_conforms() -> None:
    assert report().verdict.startswith("Nothing was judged")
    untested = report(results=[Result(case("a"), why="no step")])
    assert untested.verdict.startswith("Nothing was judged")


def test_a_status_that_is_required_and_not_covered_is_in_the_verdict() -> None:
    missing = report(results=[Result(case("a", 200))], require=(200, 500))
    assert missing.verdict == ("The server is not shown to conform: required but not covered: 500.")


def test_the_three_numbers() -> None:
    sample = SAMPLES["fastapi"]()
    assert len(sample.to_fix) == 7
    assert sample.counts == {Outcome.COVERED: 16, Outcome.FAILED: 9, Outcome.NOT_COVERED: 5}
    assert sample.readings_seen == 28
    assert report().readings_seen == 0


# The page


@each_sample
def test_the_page_loads_nothing_and_needs_no_script(
    sample: Callable[[], Report], page: Callable[[Report], Page]
) -> None:
    shown = page(sample())
    assert not {"script", "link", "img", "iframe", "object", "embed"} & set(shown.tags)
    assert all(link.startswith("#") for link in shown.links)
    assert not re.search(r"url\(|@import|\bon\w+=", shown.source)


@each_sample
def test_every_cause_reading_and_case_has_an_anchor_and_no_link_leads_nowhere(
    sample: Callable[[], Report], page: Callable[[Report], Page]
) -> None:
    report = sample()
    shown = page(report)
    assert len(shown.ids) == len(set(shown.ids))
    assert {f"cause-{each.cause.key}" for each in report.causes} <= set(shown.ids)
    assert {f"reading-{name}" for name in questions()} <= set(shown.ids)
    assert {f"case-{each.case.name}" for each in report.results} <= set(shown.ids)
    assert {link.removeprefix("#") for link in shown.links} <= set(shown.ids)


@each_sample
def test_headings_descend_in_order(
    sample: Callable[[], Report], page: Callable[[Report], Page]
) -> None:
    headings = page(sample()).headings
    assert headings.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(headings))


@each_sample
def test_a_table_has_a_caption(
    sample: Callable[[], Report], page: Callable[[Report], Page]
) -> None:
    tags = page(sample()).tags
    assert tags.count("table") == tags.count("caption") > 0


@each_sample
def test_each_cause_is_told_once(
    sample: Callable[[], Report], page: Callable[[Report], Page], as_json: Callable[[Report], Any]
) -> None:
    report = sample()
    keys = [each.cause.key for each in report.causes]
    shown = page(report)
    assert [name for name in shown.ids if name.startswith("cause-")] == [
        f"cause-{each.cause.key}"
        for each in sorted(report.causes, key=lambda each: each.accepted is not None)
    ]
    assert sorted(each["key"] for each in as_json(report)["causes"]) == sorted(keys)
    told = "\n".join(text.lines(report))
    annotated = "\n".join(github.lines(report))
    for key in keys:
        assert told.count(f"[{key}]") == 1
        assert annotated.count(f"[{key}]") == 1


def test_the_page_says_what_a_reading_means_for_clients_in_the_words_of_its_page(
    page: Callable[[Report], Page],
) -> None:
    shown = " ".join(page(SAMPLES["conforming"]()).text.split())
    for question in questions().values():
        assert advice.by_number()[question.number].replace("`", "") in shown


def test_what_clients_should_know_is_what_the_page_of_readings_calls_safe() -> None:
    readings = " ".join((ROOT / "docs" / "readings.md").read_text("utf-8").split())
    assert list(advice.by_number()) == list(range(1, 22))
    for words in advice.by_number().values():
        assert f"**To be safe:** {words} **In the contract:**" in readings


def test_a_reading_that_is_unknown_says_what_would_show_it(page: Callable[[Report], Page]) -> None:
    shown = " ".join(page(SAMPLES["fastapi"]()).text.split())
    assert (
        "unknown no started step is known to have params of its own"
        " (--step-before-params ID would show it)" in shown
    )


def test_what_one_option_would_show_is_said_together(as_json: Callable[[Report], Any]) -> None:
    unseen = as_json(SAMPLES["fastapi"]())["unseen"]
    assert {
        "options": ["--pending-step ID"],
        "why": "no PENDING step was given (--pending-step ID)",
        "readings": ["pending-step"],
        "situations": ["pending-step"],
    } in unseen
    (params,) = [each for each in unseen if each["readings"] == ["returned-params"]]
    assert params["situations"] == ["own-params"]
    assert [bool(each["options"]) for each in unseen] == [True] * 5 + [False] * 3


def test_an_option_that_a_reason_names_is_what_would_show_it(
    as_json: Callable[[Report], Any],
) -> None:
    results = [
        Result(case("a", reading="pending-step"), why="no step left; use --seed-command"),
        Result(case("b"), why="only one step; --seed-command would give more"),
        Result(case("c", reading="time-out"), why="no id"),
        Result(case("d"), why="no id"),
    ]
    unseen = as_json(report(results=results))["unseen"]
    assert [(each["options"], each["why"], each["situations"]) for each in unseen] == [
        (["--seed-command"], "no step left; use --seed-command", ["a", "b"]),
        ([], "no id", ["c", "d"]),
    ]


def test_an_acceptance_that_is_over_or_not_needed_is_told(page: Callable[[Report], Page]) -> None:
    shown = " ".join(page(SAMPLES["drifted"]()).text.split())
    assert "until 2026-06-30: The gateway writes it; ticket WF-512." in shown
    assert "process-id-changes: accepted until 2026-04-01, and not seen any more" in shown
    assert "shape-timestamp: expired after 2026-01-31" in shown


def test_an_expired_acceptance_of_a_cause_that_is_still_seen(
    page: Callable[[Report], Page],
) -> None:
    def on(day: int) -> Report:
        return report(
            began=BEGAN.replace(day=day),
            results=[Result(case("a"), (Finding(VIOLATION, "it is"),))],
            accepted=[Accepted("is-wrong", "Soon.", date(2026, 3, 8))],
        )

    assert on(8).exit is Exit.CONFORMS
    assert on(9).exit is Exit.VIOLATES
    assert "is-wrong: expired after 2026-03-08. Soon." in " ".join(page(on(9)).text.split())
    assert "   is-wrong: expired after 2026-03-08" in text.lines(on(9))


def test_an_html_page_is_named_and_not_shown(page: Callable[[Report], Page]) -> None:
    shown = page(SAMPLES["unfinished"]())
    assert "an HTML page: 502 Bad Gateway" in shown.text
    assert "nginx" not in shown.source
    assert visible.body(" \n<HTML><body>no title") == "an HTML page"
    assert visible.body('{"html": "<html>"}') == '{"html": "<html>"}'


def test_the_shortest_command_is_shown_with_its_response(page: Callable[[Report], Page]) -> None:
    several = [
        Finding(VIOLATION, "first", "curl long --option", "long response"),
        Finding(VIOLATION, "second", "", "no command"),
        Finding(VIOLATION, "third", "curl", "its response"),
    ]
    shown = page(report(results=[Result(case("a"), tuple(several))]))
    assert ">curl<" in shown.source
    assert "its response" in shown.text
    assert "long response" not in shown.text


def test_only_some_messages_are_shown_at_once(page: Callable[[Report], Page]) -> None:
    several = [Finding(VIOLATION, f"message {number}") for number in range(70)]
    shown = page(report(results=[Result(case("a"), tuple(several))]))
    visible, _, hidden = shown.source.partition("and 66 more")
    assert visible.count("<li>message") == 4
    assert hidden.count("<li>message") == 50
    assert "The others are in report.json." in hidden


STYLE = resources.files("stepstub").joinpath("console", "static", "palette.css")


def palettes() -> Iterator[dict[str, str]]:
    """The colours of the light and of the dark page."""
    light, dark = re.findall(r":root \{(.*?--odd-panel.*?)\}", STYLE.read_text("utf-8"), re.DOTALL)
    for block in (light, dark):
        yield dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))


def luminance(colour: str) -> float:
    """As WCAG 2 defines it."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("palette", list(palettes()), ids=["light", "dark"])
def test_text_has_the_contrast_that_wcag_aa_asks_for(palette: dict[str, str]) -> None:
    words = ("text", "quiet", "link", "good", "bad", "warn", "odd")
    pairs = [(word, panel) for word in words for panel in ("page", "panel")]
    pairs += [("text", f"{tone}-panel") for tone in ("good", "bad", "warn", "odd")]
    pairs += [(word, "warn-panel") for word in words]  # what a link has led to
    for one, other in pairs:
        light, dark = sorted((luminance(palette[one]), luminance(palette[other])), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (one, other)


# JSON


@each_sample
def test_the_json_fits_its_schema(
    sample: Callable[[], Report], as_json: Callable[[Report], Any]
) -> None:
    schema = resources.files("stepstub.contract_tests.rendering").joinpath("report.schema.json")
    document = json.loads(schema.read_text("utf-8"))
    jsonschema_rs.meta.validate(document)
    validator = jsonschema_rs.Draft202012Validator(document, validate_formats=True)
    validator.validate(as_json(sample()))
    validator.validate(as_json(report()))


def test_the_json_has_the_facts_of_the_page(as_json: Callable[[Report], Any]) -> None:
    facts = as_json(SAMPLES["drifted"]())
    assert facts["exit"] == 3
    assert facts["numbers"]["situations"] == {
        "all": 30,
        "covered": 25,
        "failed": 0,
        "notCovered": 5,
    }
    assert [each["fails"] for each in facts["causes"]] == [False, False]
    assert [(each["cause"], each["expired"], each["seen"]) for each in facts["accepted"]] == [
        ("shape-401", False, True),
        ("params-double-rounded", False, True),
        ("process-id-changes", False, False),
        ("shape-timestamp", True, False),
    ]
    (changed,) = [each for each in facts["drift"] if each["reading"] == "completed-step"]
    assert changed == {"reading": "completed-step", "before": 412, "now": 409, "changed": True}
    (race,) = [each for each in facts["situations"] if each["name"] == "race"]
    assert race["statuses"] == {"200": 2, "409": 6}


# JUnit


@each_sample
def test_the_junit_file_counts_what_it_has(sample: Callable[[], Report]) -> None:
    report = sample()
    (suite,) = ET.fromstring(junit.render(report))
    cases = suite.findall("testcase")
    assert len({(each.get("classname"), each.get("name")) for each in cases}) == len(cases)
    assert suite.get("tests") == str(len(cases))
    for tag, name in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        assert suite.get(name) == str(len(suite.findall(f"testcase/{tag}")))
    failed = bool(suite.findall("testcase/failure") or suite.findall("testcase/error"))
    assert failed == (report.exit is not Exit.CONFORMS)
    assert suite[0].tag == "properties"


def outcomes(report: Report) -> dict[str, list[str]]:
    (suite,) = ET.fromstring(junit.render(report))
    return {
        each.get("name", ""): [child.tag for child in each] for each in suite.findall("testcase")
    }


def test_the_junit_file_has_a_test_case_for_everything_that_fails_a_run() -> None:
    fastapi = outcomes(SAMPLES["fastapi"]())
    assert fastapi["401 no Authorization header"] == ["failure"]
    assert fastapi["412 generated invalid bodies"] == ["system-out"]
    assert fastapi["412 a PENDING step"] == ["skipped"]
    assert fastapi["200 3.0 as longValue"] == []
    assert fastapi["401 is required"] == ["failure"]
    assert outcomes(SAMPLES["strict"]())["the server's readings can be learnt"] == ["failure"]
    drifted = outcomes(SAMPLES["drifted"]())
    assert drifted["timestamp is as in the earlier profile"] == ["failure"]
    assert drifted["unset-fields is as in the earlier profile"] == ["skipped"]
    assert drifted["401 no Authorization header"] == ["system-out"]
    assert outcomes(SAMPLES["unfinished"]())["the server can be checked"] == ["error"]


def test_the_junit_properties_have_the_readings() -> None:
    (suite,) = ET.fromstring(junit.render(SAMPLES["fastapi"]()))
    values = {each.get("name"): each.get("value") for each in suite[0]}
    assert values["reading.bad-body"] == "422"
    assert values["reading.pending-step"] == "unknown"
    assert {f"reading.{name}" for name in questions()} <= set(values)


# GitHub


def test_an_annotation_is_one_line_whose_properties_and_message_are_escaped() -> None:
    cause = Cause(Severity.VIOLATION, "key", "100%, a: b", "Rule, with: signs and 5%.")
    one = Finding(cause, "two\nlines", "curl a:b,c", "")
    (line,) = github.lines(report(results=[Result(case("a"), (one,))]))
    assert line == (
        "::error title=violation%3A 100%25%2C a%3A b::Seen: two\\nlines"
        "%0ARule: Rule, with: signs and 5%25.%0AIn 1 response [key]%0Acurl a:b,c"
    )


def test_what_fails_a_run_is_an_error_and_what_does_not_is_none() -> None:
    def commands(sample: str) -> list[str]:
        return [line.split(" ")[0].strip(":") for line in github.lines(SAMPLES[sample]())]

    assert commands("fastapi") == ["error"] * 7 + ["notice"] + ["error"]
    assert commands("drifted") == ["notice"] * 2 + ["warning"] + ["error"] * 2
    assert commands("unfinished") == ["error"] * 2
    assert commands("conforming") == []


def test_the_summary_means_nothing_by_what_a_server_sent() -> None:
    found = Finding(VIOLATION, "a | b <img> [x](y) `z` @you\n# title", "", "")
    summary = github.summary(report(results=[Result(case("a"), (found,))]))
    (row,) = [line for line in summary.splitlines() if "img" in line]
    assert row == (
        "| It is wrong | violation |"
        r" a \| b \<img\> \[x\]\(y\) \`z\` \@you\\n\# title | 1 |"
    )


# Text


@each_sample
def test_text_fits_a_terminal(sample: Callable[[], Report]) -> None:
    *before, last = text.lines(sample())
    assert max(len(line) for line in before if not line.startswith("   curl ")) <= 100
    assert before[0].startswith(last[:40])


def test_a_result_is_one_line_with_its_outcome() -> None:
    results = [
        Result(case("a", 200, "a step"), (Finding(VIOLATION, "wrong"),)),
        Result(case("b", 412, "no step"), (Finding(NOTE, "odd"),)),
        Result(case("c", 412, "a PENDING step"), why="none was given\n(--pending-step ID)"),
    ]
    shown = report(results=results)
    assert [text.line(shown, result) for result in results] == [
        "failed       200  a step",
        "covered      412  no step",
        "not covered  412  a PENDING step: none was given\\n(--pending-step ID)",
    ]


# Hostile text


def test_hostile_text_is_escaped_in_the_page(page: Callable[[Report], Page]) -> None:
    shown = page(everywhere(HOSTILE))
    assert not {"script", "img"} & set(shown.tags)
    assert shown.text.count("{{ 7 * 7 }}") > 40
    assert "49" not in re.findall(r"\d+", shown.text)
    assert r"\x00\x1b[2J\u202e\ud800" in shown.text
    assert all(character.isprintable() for character in shown.source.replace("\n", ""))


def test_hostile_text_is_intact_in_json(as_json: Callable[[Report], Any]) -> None:
    facts = as_json(everywhere(HOSTILE))
    assert facts["url"] == HOSTILE
    assert facts["causes"][0]["findings"][0] == {
        "message": HOSTILE,
        "curl": HOSTILE,
        "excerpt": HOSTILE,
    }
    assert facts["readings"][-1]["evidence"]["excerpt"] == HOSTILE


@pytest.mark.parametrize("hostile", [HOSTILE, f"{HOSTILE}\r\n::error::x"])
def test_hostile_text_is_visible_where_lines_are_read(hostile: str) -> None:
    report = everywhere(hostile)
    annotations = github.lines(report)
    lines = [*text.lines(report), *annotations, *github.summary(report).splitlines()]
    assert all(line.isprintable() for line in lines)
    assert all(re.match(r"::(error|warning|notice) title=[^:,]*::", line) for line in annotations)
    (suite,) = ET.fromstring(junit.render(report))
    for each in suite.iter():
        shown = "".join([each.text or "", *each.attrib.values()])
        assert all(character.isprintable() for character in shown.replace("\n", ""))


def test_a_long_text_does_not_make_a_long_report(page: Callable[[Report], Page]) -> None:
    report = everywhere(LONG)
    assert len(page(report).source) < 3_000_000
    lines = text.lines(report)
    assert max(map(len, lines)) < 25_000
    commands_and_verdict = len(report.causes) + 1
    assert len([line for line in lines if len(line) > text.WIDTH]) == commands_and_verdict
    assert max(map(len, github.lines(report))) < 10_000
    assert len(github.summary(report)) < 100_000
    assert len(junit.render(report)) < 1_000_000
