"""A stub whose code has a mutation, served from a process of its own."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from code_mutations import PACKAGE, Mutation

_SERVE = ("-c", "from stepstub.cli import main; main()", "serve", "--port", "0")
_TIMEOUT = 10  # seconds; a stub ends within one


@contextmanager
def mutated_stub(mutation: Mutation, folder: Path) -> Iterator[str]:
    """The URL of `stepstub serve` under the mutation's readings, run from a copy of the package.

    The copy goes into `folder`, and so do the stub's messages.
    """
    # The suite stays here: it is not what is mutated.
    shutil.copytree(PACKAGE, folder / "stepstub")
    (folder / "stepstub" / mutation.file).write_text(mutation.applied(), "utf-8")
    readings = [f"--reading={name}={value}" for name, value in mutation.readings.items()]
    messages = folder / "messages.txt"
    with (
        messages.open("wb") as log,
        subprocess.Popen(
            [sys.executable, *_SERVE, *readings],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(folder)},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        try:
            assert process.stdout is not None
            banner = process.stdout.readline()
            found = re.search(r"http://\S+", banner)
            assert found, f"the stub did not start: {messages.read_text('utf-8')}"
            yield found[0]
        finally:
            process.terminate()
            try:
                process.wait(_TIMEOUT)
            except subprocess.TimeoutExpired:  # the mutation has it run in a circle
                process.kill()
