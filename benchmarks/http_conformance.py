"""Runs the RFC cases of tests/serving on Stepstub's HTTP and on uvicorn's; prints a table.

    python benchmarks/http_conformance.py > docs/http-conformance.md

The same ASGI application runs on all of them.
"""

import asyncio
import logging
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import metadata
from pathlib import Path
from typing import Literal

import uvicorn

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "serving"))

from rfc_cases import CASES
from rfc_judge import Echo, judge

from stepstub.serving.server import listen, serve_in_thread, url_of


@contextmanager
def uvicorns_own(protocol: Literal["httptools", "h11"]) -> Iterator[str]:
    """The URL of a uvicorn with a protocol of its own."""
    listener: socket.socket = listen("127.0.0.1", 0)
    url = url_of(listener)
    config = uvicorn.Config(
        Echo(), http=protocol, ws="none", lifespan="off", log_level="critical", access_log=False
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(
        target=lambda: asyncio.run(server.serve(sockets=[listener])), daemon=True
    )
    thread.start()
    try:
        yield url
    finally:
        server.should_exit = True
        thread.join(5)


def main() -> None:
    logging.disable()
    with ExitStack() as stack:
        servers = {
            "Stepstub": stack.enter_context(serve_in_thread(Echo())),
            "uvicorn, httptools": stack.enter_context(uvicorns_own("httptools")),
            "uvicorn, h11": stack.enter_context(uvicorns_own("h11")),
        }
        found = {
            name: {
                group: {case.id: judge(url, case) for case in cases}
                for group, cases in CASES.items()
            }
            for name, url in servers.items()
        }
    versions = ", ".join(
        f"{package} {metadata.version(package)}" for package in ("uvicorn", "httptools", "h11")
    )
    print(_PREAMBLE.format(versions=versions))
    print("| group | cases | " + " | ".join(found) + " |")
    print("|---|--:|" + "--:|" * len(found))
    for group, cases in CASES.items():
        passed = [_passed(groups[group]) for groups in found.values()]
        print(f"| {group} | {len(cases)} | " + " | ".join(map(str, passed)) + " |")
    totals = [sum(map(_passed, groups.values())) for groups in found.values()]
    number = sum(map(len, CASES.values()))
    print(f"| **all** | **{number}** | " + " | ".join(f"**{total}**" for total in totals) + " |")
    for name, groups in found.items():
        failed = [
            f"- {group}: {case.id} (RFC {case.section}): {groups[group][case.id]}"
            for group, cases in CASES.items()
            for case in cases
            if groups[group][case.id] is not None
        ]
        if failed:
            print(f"\n## {name}: the cases it does not pass\n")
            print("\n".join(failed))


def _passed(outcomes: dict[str, str | None]) -> int:
    return sum(reason is None for reason in outcomes.values())


_PREAMBLE = """\
# HTTP conformance

How often a server does what RFC 9110 and RFC 9112 ask of it, measured with
{versions}.
Every case of `tests/serving/rfc_cases.py` is the bytes of a request, and what the RFCs accept as
its outcome; where they leave a choice, every choice passes. The cases were written for this
project, so one that another server does not pass is a question to look into, not a verdict. A
refusal of more than 64 KiB that is lost to a connection reset passes. To repeat it:

    python benchmarks/http_conformance.py > docs/http-conformance.md
"""


if __name__ == "__main__":
    main()
