"""The seed command, run as a real process: what it may print, and what is said when it fails."""

import json
import os
import re
import select
import time
from pathlib import Path

import pytest

from stepstub.contract_tests.needs import STATES
from stepstub.contract_tests.seeding import MAX_OUTPUT, SeedCommand, SeedFailed


def printing(output: str) -> SeedCommand:
    return SeedCommand(f"cat <<'END'\n{output}\nEND", STATES)


def failure(seed: SeedCommand) -> str:
    with pytest.raises(SeedFailed) as caught:
        seed.call()
    return str(caught.value)


@pytest.mark.parametrize(
    ("output", "printed"),
    [
        ("a", {"started": ["a"]}),
        ("a\r\n\n  b\n", {"started": ["a", "b"]}),
        ("a\nb\na", {"started": ["a", "b"]}),
        ('{"started": "a"}', {"started": ["a"]}),
        ('{"started": ["a", "b", "a"], "last": []}', {"started": ["a", "b"]}),
        ('\n {"pending": "with blanks in it"}', {"pending": ["with blanks in it"]}),
        (
            json.dumps({state: f"the-{state}" for state in STATES}),
            {state: [f"the-{state}"] for state in STATES},
        ),
    ],
)
def test_it_prints_ids_one_a_line_or_by_state_in_json(
    output: str, printed: dict[str, list[str]]
) -> None:
    assert printing(output).call() == printed


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("", "the seed command printed no id; it has to print ids of STARTED steps, one a line"),
        ("{}", "printed no id"),
        (
            "started process 7",
            "line 1 of the seed command's output is no id: started process 7. It",
        ),
        ("a\nb c", "line 2 of the seed command's output is no id: b c. It has to print ids of"),
        ('{"started": "a"', "is invalid: EOF while parsing an object at line 2 column 0. It has"),
        ('{"started": "a", "started": "b"}', 'Detected duplicate key "started"'),
        ('["a"]', "a JSON list; it has to print ids of STARTED steps, one a line, or JSON such as"),
        (
            '{"startet": "a"}',
            "JSON with startet, which is no state of a step: did you mean started",
        ),
        ('{"ids": ["a"]}', "no state of a step: choose started, pending, failed, expired, last"),
        ('{"started": 7}', "started in the JSON of the seed command is no id but 7; an id is a"),
        (
            '{"pending": ["a", null]}',
            "pending[1] in the JSON of the seed command is no id but null",
        ),
        ('{"last": ""}', 'last in the JSON of the seed command is no id but ""'),
    ],
)
def test_other_output_is_refused_with_its_place_and_the_remedy(output: str, message: str) -> None:
    assert message in failure(printing(output))


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("echo a first line >&2; echo no database >&2; exit 3", "ended with status 3: no database"),
        ("exit 4", "ended with status 4: it printed no error"),
        ("kill -9 $$", "ended with status -9"),
        ("no-such-command", "ended with status 127: "),
        (r"printf 'a\033[2Jb' >&2; exit 1", r"status 1: a\x1b[2Jb"),
        (r"printf '\377'", "is not UTF-8"),
        ("yes", f"printed more than {MAX_OUTPUT} bytes"),
        ("yes >&2", f"printed more than {MAX_OUTPUT} bytes"),
    ],
)
def test_a_command_that_fails_is_described_by_the_last_line_of_its_stderr(
    command: str, message: str
) -> None:
    assert message in failure(SeedCommand(command, STATES))


@pytest.mark.parametrize(
    "command",
    [
        "sleep 12; echo a",
        "sleep 12 & echo a",
        "setsid sleep 12 & echo a",  # beyond our reach, and still not waited for
        "exec >&- 2>&-; sleep 12",
    ],
)
def test_a_command_that_takes_too_long_is_ended(command: str) -> None:
    began = time.monotonic()
    assert "did not end within 0.2 s" in failure(SeedCommand(command, STATES, timeout=0.2))
    assert time.monotonic() - began < 8


def test_what_a_command_has_started_is_ended_with_it(tmp_path: Path) -> None:
    pipe = tmp_path / "held-open-by-what-it-starts"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    failure(SeedCommand(f"sleep 12 >{pipe}; echo a", STATES, timeout=0.2))
    assert select.select([reader], [], [], 8)[0]  # the end of the file: nobody can write any more
    os.close(reader)


def test_what_is_left_in_the_background_may_go_on_if_it_is_quiet() -> None:
    seed = SeedCommand("sleep 2 >/dev/null 2>&1 & echo a", STATES, timeout=1)
    assert seed.call() == {"started": ["a"]}


def test_secrets_are_removed_before_the_text_is_cut() -> None:
    secret = "a-secret-that-is-long-enough-to-be-cut"
    noise = "x" * 180
    commands = [
        f"echo {noise} {secret} >&2; exit 1",
        f"echo {noise} {secret}",
        f"echo '{{\"{noise} {secret}\": 1}}'",
        f'echo \'{{"started": {{"{noise}": "{secret}"}}}}\'',
    ]
    for command in commands:
        seed = SeedCommand(command, STATES, lambda text: text.replace(secret, "$TOKEN"))
        message = failure(seed)
        assert "a-sec" not in message
        assert "$TOKEN" in message


def test_only_ids_that_were_not_printed_before_count(tmp_path: Path) -> None:
    lines = tmp_path / "lines"
    lines.write_text("a b\nb c\nc a\n", "utf-8")
    seed = SeedCommand(f"head -n 1 {lines} | tr ' ' '\\n'; sed -i 1d {lines}", STATES)
    assert seed.call() == {"started": ["a", "b"]}
    assert seed.call() == {"started": ["c"]}
    assert "only ids that it has printed before; it has to start a process each" in failure(seed)


def counting(file: Path, command: str, max_calls: int = 100) -> SeedCommand:
    """A command whose $n is the number of the call."""
    command = f"echo >>{file}; n=$(wc -l <{file}); {command}"
    return SeedCommand(command, STATES, max_calls=max_calls)


def test_after_three_failures_in_a_row_it_is_not_called_again(tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    seed = counting(calls, 'if [ $n = 3 ]; then echo "id-$n"; else echo "no $n" >&2; exit 1; fi')
    first = failure(seed)
    assert "status 1: no 1" in first
    failure(seed)
    assert seed.call() == {"started": ["id-3"]}
    for _ in range(5):
        message = failure(seed)
    assert calls.read_text("utf-8").count("\n") == 6
    assert message == f"the seed command failed 3 times: {first}"
    assert seed.failure == first


def test_it_is_not_called_without_end(tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    seed = counting(calls, "echo id-$n", max_calls=4)
    for number in range(1, 5):
        assert seed.call() == {"started": [f"id-{number}"]}
    assert "was called 4 times; print more ids at each call" in failure(seed)
    assert calls.read_text("utf-8").count("\n") == 4


def test_the_example_of_the_documentation_is_taken() -> None:
    page = (Path(__file__).parent.parent / "docs" / "verify.md").read_text("utf-8")
    (example,) = re.findall(r"```json\n(.*?)\n```", page, re.DOTALL)
    assert printing(example).call() == {
        "started": ["order-17-approve"],
        "pending": ["order-17-archive"],
    }
