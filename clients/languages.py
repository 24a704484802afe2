"""Builds and tests the helpers for other languages, and the first tests of docs/languages.md.

Run it with the Python of an environment in which Stepstub is installed. It installs pinned
packages from npm and PyPI; they and everything that is built go into build/typescript and
build/java. Needs Node.js 20 and JDK 17, or newer. The exit status is 1 if anything failed.
"""

import os
import re
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import tooling
from tooling import Command, Failed, installation

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "languages.md"
BUILD = HERE.parent / "build"
JAVA = BUILD / "java"
# As deep as its original, so that the way to the control API's document is the same.
TYPESCRIPT = BUILD / "typescript"
FIRST = "first"  # the directory of a new user, in both
NPM = shutil.which("npm") or "npm"

MAX_LINES_BEFORE = 8  # of a first test, up to its assertion
ENVIRONMENT = {
    # Settings of another stub would change the ones of the tests.
    **{name: value for name, value in os.environ.items() if not name.startswith("STEPSTUB_")},
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
}


def main() -> None:
    """Check everything, each check after those that it builds on."""
    passed = failed = 0
    for name, check in CHECKS.items():
        begin = time.monotonic()
        try:
            check()
        except Failed as failure:
            failed += 1
            print(f"{name}: FAILED\n{failure}", flush=True)
        else:
            passed += 1
            print(f"{name}: ok, {time.monotonic() - begin:.1f} s", flush=True)
    print(f"{passed} passed, {failed} failed")
    sys.exit(min(failed, 1))


def build_typescript() -> None:
    """Install the tools, generate the types, compile with `tsc --strict`, and pack the helper."""
    shutil.copytree(HERE / "typescript", TYPESCRIPT, dirs_exist_ok=True, ignore=NOT_SOURCE)
    shutil.rmtree(TYPESCRIPT / "dist", ignore_errors=True)
    for package in TYPESCRIPT.glob("*.tgz"):
        package.unlink()
    tooling.install_node(HERE / "typescript" / "package.json", TYPESCRIPT, ENVIRONMENT)
    run(NPM, "pack", directory=TYPESCRIPT)


def begin_with_typescript() -> None:
    """The first test of the page, in a project that has the packed helper and nothing else."""
    (package,) = TYPESCRIPT.glob("*.tgz")
    project = new_directory(TYPESCRIPT)
    (project / "package.json").write_text('{"type": "module"}')
    shutil.copy(HERE / "typescript" / "examples" / "complete-step.ts", project)
    write_first("complete-step.test.ts", project, assertion="verifyCompleted")
    options = ["--offline", "--no-package-lock", "--no-audit", "--no-fund"]
    run(NPM, "install", *options, package, directory=project)
    # Vitest and TypeScript are found in the directory above.
    run(NPM, "exec", "--", "vitest", "run", "--root", project, directory=TYPESCRIPT)
    strict: Command = ["--strict", "--noEmit", "--target", "es2022", "--module", "nodenext"]
    disposal: Command = ["--lib", "es2022,esnext.disposable", "--types", "node"]
    test = project / "complete-step.test.ts"
    run(NPM, "exec", "--", "tsc", *strict, *disposal, test, directory=TYPESCRIPT)


def build_java() -> None:
    """Compile the helper, its tests and the example; a warning is an error."""
    requirements = HERE / "java" / "requirements.txt"
    with installation(JAVA / "junit", requirements) as needed:
        if needed:
            pip: Command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
            target: Command = ["--target", JAVA / "junit"]
            shutil.rmtree(JAVA / "junit", ignore_errors=True)
            run(*pip, "install", "--no-deps", "--require-hashes", *target, "-r", requirements)
    shutil.rmtree(JAVA / "classes", ignore_errors=True)
    compile_java(JAVA / "classes", *sorted((HERE / "java").rglob("*.java")))


def begin_with_java() -> None:
    """The first test of the page, in a directory that has the helper and nothing else."""
    project = new_directory(JAVA)
    shutil.copy(HERE / "java" / "Stepstub.java", project)
    shutil.copy(HERE / "java" / "examples" / "CompleteStepClient.java", project)
    write_first("FirstTest.java", project, assertion="verifyCompleted")
    compile_java(project / "classes", *sorted(project.glob("*.java")))
    run_junit(project / "classes")


def compile_java(classes: Path, *sources: Path) -> None:
    options = ["-Xlint:all", "-Werror", "--release", "17", "-encoding", "UTF-8"]
    run("javac", *options, "-classpath", junit(), "-d", classes, *sources)


def run_junit(classes: Path) -> None:
    run(
        *("java", "-XX:TieredStopAtLevel=1", "-classpath", f"{junit()}{os.pathsep}{classes}"),
        *("org.junit.platform.console.ConsoleLauncher", "--scan-classpath", classes),
        *("--fail-if-no-tests", "--disable-banner", "--disable-ansi-colors"),
    )


def junit() -> Path:
    """JUnit's console launcher."""
    jars = list((JAVA / "junit").rglob("junit-platform-console-standalone-*.jar"))
    if not jars:
        raise Failed("JUnit is not installed.")
    return jars[0]


def write_first(name: str, project: Path, assertion: str) -> None:
    """Write a first test of the page into a project, if its assertion comes soon enough."""
    block = rf"<!-- file: {re.escape(name)} -->\n```\w+\n(.*?)^```$"
    found = re.search(block, PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    if found is None:
        raise Failed(f"{PAGE.name} does not show {name}.")
    *before, _ = (line for line in found[1].partition(assertion)[0].splitlines() if line.strip())
    if len(before) > MAX_LINES_BEFORE:
        raise Failed(
            f"{name} has {len(before)} lines before its assertion; {MAX_LINES_BEFORE} are allowed."
        )
    (project / name).write_text(found[1], "utf-8")


def new_directory(parent: Path) -> Path:
    directory = parent / FIRST
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    return directory


def run(*command: str | Path, directory: Path | None = None) -> str:
    return tooling.run(*command, directory=directory, environment=ENVIRONMENT)


# What a build in the original directory leaves there.
NOT_SOURCE = shutil.ignore_patterns("node_modules", "dist", "*.tgz", "schema.ts")

CHECKS: dict[str, Callable[[], object]] = {
    "TypeScript: types, strictly checked": build_typescript,
    "TypeScript: the helper and the example with node:test": lambda: run(
        NPM, "test", directory=TYPESCRIPT
    ),
    "TypeScript: the example with Vitest": lambda: run(NPM, "run", "vitest", directory=TYPESCRIPT),
    "TypeScript: the first test of a new user": begin_with_typescript,
    "Java: no warnings": build_java,
    "Java: the helper and the example with JUnit": lambda: run_junit(JAVA / "classes"),
    "Java: the first test of a new user": begin_with_java,
}


if __name__ == "__main__":
    main()
