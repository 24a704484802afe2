"""Generates clients from openapi.yaml and calls a live stub with each; or lints openapi.yaml.

    python clients/check.py clients    one call for each documented answer, with five clients
    python clients/check.py contract   spectral and redocly

Run it with the Python of an environment that has Stepstub. What it installs (from PyPI and npm,
in the versions that are pinned here) and generates goes into build/clients. Needs Node.js 20 and
JDK 17, or newer. Exit status 1 when anything failed.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
CONTRACT = HERE.parent / "openapi.yaml"
BUILD = HERE.parent / "build" / "clients"
GENERATED = BUILD / "generated"
BIN = BUILD / "venv" / ("Scripts" if os.name == "nt" else "bin")
NODE_BIN = BUILD / "node_modules" / ".bin"

ANSWERS = ["200 next step", "200 last step", "401", "412", "500"]
EXACT, ROUNDED = "int64", "int64 rounded"

TOKEN = "stub-token"
SECONDS = 300  # that any one command may take

ENVIRONMENT = {
    **os.environ,
    "JAVA_OPTS": "-XX:TieredStopAtLevel=1",  # a generator's run is too short for more
    "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
    "PYTHONPATH": str(GENERATED / "python"),
    "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true",
    "REDOCLY_TELEMETRY": "off",
    "SCARF_ANALYTICS": "false",
}

Command = list[str | Path]


class Failed(Exception):
    """A command did not do what it should; the text is what it said."""


def main() -> None:
    """Run the command that the arguments name."""
    try:
        match sys.argv[1:]:
            case ["clients"]:
                sys.exit(check_clients())
            case ["contract"]:
                sys.exit(lint_contract())
            case _:
                sys.exit(__doc__)
    except Failed as failure:  # to install something
        sys.exit(str(failure))


def lint_contract() -> int:
    """Lint the contract; a hint or a warning is a failure too."""
    install_node()
    spectral: Command = [NODE_BIN / "spectral", "lint", "--fail-severity", "hint", "--quiet"]
    redocly: Command = [NODE_BIN / "redocly", "lint"]
    failed = 0
    for name, command in {
        "spectral": [*spectral, "--ruleset", HERE / ".spectral.yaml", CONTRACT],
        "redocly": [*redocly, "--config", HERE / "redocly.yaml", CONTRACT],
    }.items():
        try:
            run(*command)
        except Failed as failure:
            failed += 1
            print(f"{name}: failed\n{failure}")
        else:
            print(f"{name}: ok")
    return min(failed, 1)


def check_clients() -> int:
    """Generate, build and call each client; a line for each client and answer."""
    install_python()
    install_node()
    shutil.rmtree(GENERATED, ignore_errors=True)
    passed = failed = 0
    for name, (prepare, int64) in CLIENTS.items():
        printed = calls_of(prepare)
        missing = {*ANSWERS, int64} - {
            line.removeprefix("ok ") for line in printed.splitlines() if line.startswith("ok ")
        }
        for answer in [*ANSWERS, int64]:
            print(f"{name:24} {answer:16} {'FAILED' if answer in missing else 'ok'}")
        if missing:
            print(printed)
        sys.stdout.flush()
        failed += len(missing)
        passed += len(ANSWERS) + 1 - len(missing)
    print(f"{passed} passed, {failed} failed")
    return min(failed, 1)


def calls_of(prepare: Callable[[], Command]) -> str:
    """What a client's calls print: a line for each answer, and why any of them failed."""
    try:
        command = prepare()
        with stub() as url:
            return run(*command, url, TOKEN)
    except Failed as failure:
        return str(failure)


def openapi_python_client() -> Command:
    run(
        BIN / "openapi-python-client",
        "generate",
        *("--path", CONTRACT),
        *("--meta", "none"),
        *("--output-path", GENERATED / "python" / "complete_step_client"),
    )
    return [BIN / "python", HERE / "calls" / "openapi_python_client.py"]


def openapi_generator_python() -> Command:
    openapi_generator("python", GENERATED / "openapi-generator-python", packageName="complete_step")
    source = GENERATED / "openapi-generator-python" / "complete_step"
    shutil.copytree(source, GENERATED / "python" / "complete_step")
    return [BIN / "python", HERE / "calls" / "openapi_generator_python.py"]


def openapi_typescript() -> Command:
    schema = GENERATED / "openapi-typescript" / "schema.d.ts"
    run(
        NODE_BIN / "openapi-typescript",
        CONTRACT,
        *("--output", schema),
        "--root-types",
        "--root-types-no-schema-prefix",
    )
    return typescript("openapi_fetch")


def typescript_fetch() -> Command:
    openapi_generator("typescript-fetch", GENERATED / "typescript-fetch", importFileExtension=".js")
    return typescript("typescript_fetch")


def java() -> Command:
    # JsonNullable would be one more library; without it a null that is set is not sent.
    openapi_generator("java", GENERATED / "java", library="native", openApiNullable="false")
    # The generator's own jar has Jackson in it, which is all that the generated code needs.
    (jar,) = BUILD.glob("venv/**/openapi-generator.jar")
    classes = GENERATED / "java" / "classes"
    run(
        *("javac", "-proc:none", "-nowarn", "-encoding", "UTF-8"),
        *("-classpath", jar, "-d", classes),
        *sorted((GENERATED / "java" / "src" / "main").rglob("*.java")),
        *sorted((HERE / "calls").rglob("*.java")),
    )
    return ["java", "-classpath", f"{classes}{os.pathsep}{jar}", "OpenapiGeneratorJava"]


CLIENTS: dict[str, tuple[Callable[[], Command], str]] = {
    "openapi-python-client": (openapi_python_client, EXACT),
    "openapi-generator python": (openapi_generator_python, EXACT),
    "openapi-fetch": (openapi_typescript, ROUNDED),
    "typescript-fetch": (typescript_fetch, ROUNDED),
    "java": (java, EXACT),
}


def openapi_generator(generator: str, output: Path, **options: str) -> None:
    run(
        BIN / "openapi-generator-cli",
        "generate",
        *("--input-spec", CONTRACT),
        *("--generator-name", generator),
        *("--output", output),
        *("--global-property", "apiDocs=false,modelDocs=false,apiTests=false,modelTests=false"),
        *("--additional-properties", ",".join(f"{key}={value}" for key, value in options.items())),
    )


def typescript(calls: str) -> Command:
    """Type-check and compile one file of calls, with what it imports."""
    shutil.copytree(HERE / "calls", BUILD / "calls", dirs_exist_ok=True)
    compiled = GENERATED / f"{calls}-compiled"
    run(
        NODE_BIN / "tsc",
        "--strict",
        *("--target", "es2022", "--module", "nodenext", "--types", "node"),
        *("--rootDir", BUILD, "--outDir", compiled),
        BUILD / "calls" / f"{calls}.ts",
        directory=BUILD,  # where tsc looks for @types/node
    )
    return ["node", compiled / "calls" / f"{calls}.js"]


@contextmanager
def stub() -> Iterator[str]:
    """A stub of its own for each client, so that none finds a step completed; gives the URL."""
    command: Command = [Path(sys.executable).with_name("stepstub"), "serve", "--port", "0"]
    options: Command = [
        "--scenario",
        HERE / "scenario.yaml",
        "--token",
        TOKEN,
        "--log-level",
        "error",
    ]
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True) as process:
        try:
            url = re.search(r"http://[\d.:]+", process.stdout.readline() if process.stdout else "")
            if url is None:
                raise Failed("The stub did not start.")
            yield url[0]
        finally:
            process.terminate()


def install_python() -> None:
    requirements = HERE / "requirements.txt"
    with installation("venv", requirements) as needed:
        if needed:
            venv.create(BUILD / "venv", clear=True, with_pip=True)
            pip: Command = [BIN / "python", "-m", "pip", "--disable-pip-version-check", "--quiet"]
            run(*pip, "install", "--require-hashes", "--requirement", requirements)


def install_node() -> None:
    with installation("node_modules", HERE / "package.json") as needed:
        if needed:
            shutil.copy(HERE / "package.json", BUILD)
            # No package's own scripts are run: none of these needs them, and one phones home.
            options = ["--ignore-scripts", "--no-package-lock", "--no-audit", "--no-fund"]
            npm = shutil.which("npm") or "npm"
            run(npm, "install", *options, directory=BUILD)


@contextmanager
def installation(directory: str, pins: Path) -> Iterator[bool]:
    """Says whether `directory` has to be made, for it is not what `pins` asks for."""
    BUILD.mkdir(parents=True, exist_ok=True)
    stamp = BUILD / f"{directory}.sha256"
    digest = hashlib.sha256(pins.read_bytes()).hexdigest()
    needed = not stamp.exists() or stamp.read_text() != digest
    yield needed
    if needed:
        stamp.write_text(digest)


def run(*command: str | Path, directory: Path | None = None) -> str:
    """What a command prints. Raises `Failed` with it when the exit status is not 0."""
    try:
        done = subprocess.run(
            command,
            cwd=directory,
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        raise Failed(f"{error}\n{error.stdout}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failed(str(error)) from error
    return done.stdout


if __name__ == "__main__":
    main()
