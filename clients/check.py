"""Generates clients and calls a live stub with each, or lints the OpenAPI documents.

    python clients/check.py clients    five clients of the contract, two of the control API
    python clients/check.py contract   spectral and redocly, for both documents, and for the
                                       contract under each built-in profile of readings

Run it with the Python of an environment in which Stepstub is installed. It installs pinned
packages from PyPI and npm; they and the generated code go into build/clients. Needs Node.js 20 and
JDK 17, or newer. The exit status is 1 if anything failed.
"""

import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import tooling
from tooling import Command, Failed, installation

HERE = Path(__file__).resolve().parent
CONTRACT = HERE.parent / "openapi.yaml"
CONTROL = HERE.parent / "src" / "stepstub" / "control.yaml"
BUILD = HERE.parent / "build" / "clients"
GENERATED = BUILD / "generated"
BIN = BUILD / "venv" / ("Scripts" if os.name == "nt" else "bin")
NODE_BIN = BUILD / "node_modules" / ".bin"
STEPSTUB = Path(sys.executable).with_name("stepstub")

RESPONSES = ("200 next step", "200 last step", "401", "412", "500")
EXACT, ROUNDED = "int64", "int64 rounded"
CONTROL_CALLS = (
    "create sandbox",
    "start process",
    "add faults",
    "verify completions",
    "read a problem",
    "delete sandbox",
)

TOKEN = "stub-token"
CONTROL_TOKEN = "control-token"
ENVIRONMENT = {
    **os.environ,
    "JAVA_OPTS": "-XX:TieredStopAtLevel=1",  # a generator runs too briefly for optimised code
    "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
    "PYTHONPATH": str(GENERATED / "python"),
    "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true",
    "REDOCLY_TELEMETRY": "off",
    "SCARF_ANALYTICS": "false",
}


@dataclass(frozen=True)
class Client:
    """One generated client. `prepare` builds it and returns the command that makes the calls."""

    name: str
    prepare: Callable[[], Command]
    calls: tuple[str, ...]
    control_token: str | None = None


def main() -> None:
    """Run the command given on the command line."""
    try:
        match sys.argv[1:]:
            case ["clients"]:
                sys.exit(check_clients())
            case ["contract"]:
                sys.exit(lint_contract())
            case _:
                sys.exit(__doc__)
    except Failed as failure:  # while installing something
        sys.exit(str(failure))


def lint_contract() -> int:
    """Lint both documents, and the effective contracts; hints and warnings count as failures."""
    install_node()
    documents = [CONTRACT, CONTROL, *effective_contracts()]
    spectral: Command = [NODE_BIN / "spectral", "lint", "--fail-severity", "hint", "--quiet"]
    redocly: Command = [NODE_BIN / "redocly", "lint"]
    failed = 0
    for name, command in {
        "spectral": [*spectral, "--ruleset", HERE / ".spectral.yaml", *documents],
        "redocly": [*redocly, "--config", HERE / "redocly.yaml", *documents],
    }.items():
        try:
            run(*command)
        except Failed as failure:
            failed += 1
            print(f"{name}: failed\n{failure}")
        else:
            print(f"{name}: ok, {len(documents)} documents")
    return min(failed, 1)


def effective_contracts() -> list[Path]:
    """The contract under each built-in profile but the default one, as files."""
    from stepstub import profiles

    directory = BUILD / "contracts"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    written = []
    for name in profiles.built_in():
        if name != profiles.DEFAULT_NAME:
            file = directory / f"{name}.yaml"
            file.write_text(run(STEPSTUB, "spec", "--readings", name), "utf-8")
            written.append(file)
    return written


def check_clients() -> int:
    """Generate, build and call each client; print one line for each call."""
    install_python()
    install_node()
    shutil.rmtree(GENERATED, ignore_errors=True)
    passed = failed = 0
    for client in CLIENTS:
        printed = output_of(client)
        missing = set(client.calls) - {
            line.removeprefix("ok ") for line in printed.splitlines() if line.startswith("ok ")
        }
        for call in client.calls:
            print(f"{client.name:24} {call:20} {'FAILED' if call in missing else 'ok'}")
        if missing:
            print(printed)
        sys.stdout.flush()
        failed += len(missing)
        passed += len(client.calls) - len(missing)
    print(f"{passed} passed, {failed} failed")
    return min(failed, 1)


def output_of(client: Client) -> str:
    """What a client's calls print: a line for each call, and why any of them failed."""
    tokens = [token for token in (TOKEN, client.control_token) if token]
    try:
        command = client.prepare()
        with stub(client.control_token) as url:
            return run(*command, url, *tokens)
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


def typescript_fetch_control() -> Command:
    openapi_generator(
        "typescript-fetch",
        GENERATED / "typescript-fetch-control",
        document=CONTROL,
        importFileExtension=".js",
    )
    return typescript("typescript_fetch_control")


def java() -> Command:
    return compiled_java("OpenapiGeneratorJava", CONTRACT, "org.openapitools.client")


def java_control() -> Command:
    return compiled_java("OpenapiGeneratorJavaControl", CONTROL, "org.openapitools.control")


def compiled_java(calls: str, document: Path, package: str) -> Command:
    """Generate a client in `package` and compile it with one class of calls."""
    output = GENERATED / calls
    openapi_generator(
        "java",
        output,
        document=document,
        library="native",
        openApiNullable="false",  # otherwise one more library; without it, explicit nulls are lost
        invokerPackage=package,
        apiPackage=f"{package}.api",
        modelPackage=f"{package}.model",
    )
    # The generator's own jar contains Jackson, the only dependency of the generated code.
    (jar,) = BUILD.glob("venv/**/openapi-generator.jar")
    classes = output / "classes"
    run(
        *("javac", "-proc:none", "-nowarn", "-encoding", "UTF-8"),
        *("-classpath", jar, "-sourcepath", HERE / "calls", "-d", classes),
        *sorted((output / "src" / "main").rglob("*.java")),
        HERE / "calls" / f"{calls}.java",
    )
    return ["java", "-classpath", f"{classes}{os.pathsep}{jar}", calls]


CLIENTS = [
    Client("openapi-python-client", openapi_python_client, (*RESPONSES, EXACT)),
    Client("openapi-generator python", openapi_generator_python, (*RESPONSES, EXACT)),
    Client("openapi-fetch", openapi_typescript, (*RESPONSES, ROUNDED)),
    Client("typescript-fetch", typescript_fetch, (*RESPONSES, ROUNDED)),
    Client("java", java, (*RESPONSES, EXACT)),
    Client("control typescript-fetch", typescript_fetch_control, CONTROL_CALLS),
    Client("control java", java_control, CONTROL_CALLS, CONTROL_TOKEN),
]


def openapi_generator(
    generator: str, output: Path, document: Path = CONTRACT, **options: str
) -> None:
    run(
        BIN / "openapi-generator-cli",
        "generate",
        *("--input-spec", document),
        *("--generator-name", generator),
        *("--output", output),
        *("--global-property", "apiDocs=false,modelDocs=false,apiTests=false,modelTests=false"),
        *("--additional-properties", ",".join(f"{key}={value}" for key, value in options.items())),
    )


def typescript(calls: str) -> Command:
    """Type-check and compile one file of calls and its imports."""
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
def stub(control_token: str | None) -> Iterator[str]:
    """Yield the URL of a fresh stub, in which no step has been completed."""
    command: Command = [STEPSTUB, "serve", "--port", "0"]
    if control_token:
        command += ["--control-token", control_token]
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
    with installation(BUILD / "venv", requirements) as needed:
        if needed:
            venv.create(BUILD / "venv", clear=True, with_pip=True)
            pip: Command = [BIN / "python", "-m", "pip", "--disable-pip-version-check", "--quiet"]
            run(*pip, "install", "--require-hashes", "--requirement", requirements)


def install_node() -> None:
    tooling.install_node(HERE / "package.json", BUILD, ENVIRONMENT)


def run(*command: str | Path, directory: Path | None = None) -> str:
    return tooling.run(*command, directory=directory, environment=ENVIRONMENT)


if __name__ == "__main__":
    main()
