"""Runs of pytest with the plugin, as its users have them."""

import os
import re
import subprocess
import sys
from pathlib import Path

PYTEST = [sys.executable, "-m", "pytest", "--disable-plugin-autoload", "-p", "no:cacheprovider"]
PYTEST += ["-p", "xdist", "-p", "stepstub.pytest_plugin"]
"""Without the other plugins that are installed here, which cost seconds, and import a lot."""


class Suite:
    """A suite of tests in a directory of its own, as a user has it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def run(self, code: str, *options: str, ini: str = "", **wanted: int) -> str:
        """What pytest prints; `wanted` says how many tests have to be passed, failed, error."""
        output = self.run_any(code, *options, ini=ini)
        counts = {what: int(n) for n, what in re.findall(r"(\d+) (passed|failed|error)", output)}
        assert counts == wanted, output
        return output

    def run_any(self, code: str, *options: str, ini: str = "") -> str:
        """What pytest prints, whatever becomes of the tests."""
        (self.path / "test_it.py").write_text(code)
        (self.path / "pytest.ini").write_text(f"[pytest]\n{ini}\n")
        # With CI or BUILD_NUMBER, pytest prints each message once more, in its summary.
        environment = {
            name: value
            for name, value in os.environ.items()
            if "PYTEST" not in name and name not in ("CI", "BUILD_NUMBER")
        }
        run = subprocess.run(
            [*PYTEST, *options],
            cwd=self.path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        return run.stdout + run.stderr
