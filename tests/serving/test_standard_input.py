"""A stub that ends with the process that started it."""

import subprocess
import urllib.request

from test_cli import COMMAND, ENVIRONMENT, TIMEOUT

SERVE = [*COMMAND, "serve", "--port", "0", "--until-eof", "--log-format", "json"]


def test_the_stub_ends_when_its_standard_input_does() -> None:
    with subprocess.Popen(
        SERVE,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
    ) as process:
        try:
            assert process.stdin
            assert process.stdout
            url = process.stdout.readline().split(b'"')[3].decode()
            process.stdin.write(b"this is ignored\n" * 10_000)
            process.stdin.flush()
            with urllib.request.urlopen(f"{url}/_stub/health") as response:
                assert response.status == 200

            process.stdin.close()

            assert process.wait(TIMEOUT) == 0
        finally:
            process.kill()


def test_it_ends_at_once_when_there_is_none_from_the_start() -> None:
    ended = subprocess.run(
        SERVE,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=ENVIRONMENT,
        timeout=TIMEOUT,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_without_the_option_it_does_not_read_its_input() -> None:
    command = [argument for argument in SERVE if argument != "--until-eof"]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=ENVIRONMENT
    ) as process:
        try:
            assert process.stdout
            url = process.stdout.readline().split(b'"')[3].decode()
            with urllib.request.urlopen(f"{url}/_stub/health") as response:
                assert response.status == 200
        finally:
            process.kill()
