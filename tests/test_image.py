"""The container image and compose.yaml: built from nothing but packages, and run as they say.

There need not be an engine of containers: buildah builds in a chroot, and the image's root, user,
environment, entry point and health check are applied here, with a process 1 of its own.
"""

import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from base_image import OF_THIS_MACHINE, make_base
from support import PATH, ROOT, TIMEOUT

NOBODY = "65534:65534"
# The mounts are seen by the container alone, and end with it.
ENTER = """
mount --bind "$ROOT" "$ROOT"
mount --options remount,bind,ro "$ROOT"
mount --types proc proc "$ROOT/proc"
mount --rbind /dev "$ROOT/dev"
exec chroot --userspec "$@"
"""
NAMESPACES = ["unshare", "--mount", "--pid", "--fork"]


def run(*command: str | Path, **environment: str) -> str:
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


class Image:
    """A built image, with its files in a folder."""

    def __init__(self, folder: str, config: dict[str, Any]) -> None:
        self.folder = folder
        self.config = config
        self.prefix: Sequence[str] = ()
        """What runs it elsewhere, such as in another network."""

    def command(self, *arguments: str, **environment: str) -> list[str]:
        """How `chroot --userspec` runs it, with these arguments in the place of its own."""
        set_ = dict(line.split("=", 1) for line in self.config["Env"]) | environment
        given = arguments or self.config.get("Cmd") or ()
        inside = [*self.config["Entrypoint"], *given]
        return self._within(set_, inside)

    def health_check(self, **environment: str) -> int:
        """The status with which its health check ends."""
        kind, *check = self.config["Healthcheck"]["Test"]
        assert kind == "CMD"
        set_ = dict(line.split("=", 1) for line in self.config["Env"]) | environment
        within = ["chroot", "--userspec", *self._within(set_, check)]
        return subprocess.run(within, timeout=TIMEOUT, check=False).returncode

    def _within(self, environment: dict[str, str], command: Sequence[str]) -> list[str]:
        settings = [f"{name}={value}" for name, value in environment.items()]
        return [self.config["User"], self.folder, "env", "-i", *settings, *command]

    @contextmanager
    def running(self, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
        """As a container: process 1, and a root that cannot be written to."""
        within = self.command(*arguments, **environment)
        with subprocess.Popen(
            [*self.prefix, *NAMESPACES, "sh", "-ec", ENTER, "sh", *within],
            env={**os.environ, "ROOT": self.folder},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                # unshare's own --kill-child does not outlast the change of the user.
                if process.poll() is None:
                    os.kill(process_1(process), signal.SIGKILL)


def process_1(container: subprocess.Popen[str]) -> int:
    """Its number outside of the container."""
    return int(Path(f"/proc/{container.pid}/task/{container.pid}/children").read_text("ascii"))


class Builder:
    """buildah, with a storage and a base image of its own."""

    base = "localhost/base"

    def __init__(self, folder: Path) -> None:
        storage = folder / "storage.conf"
        storage.write_text(
            f'[storage]\ndriver = "vfs"\nrunroot = "{folder}/run"\ngraphroot = "{folder}/graph"\n'
        )
        self.environment = {
            "CONTAINERS_STORAGE_CONF": str(storage),
            "BUILDAH_ISOLATION": "chroot",
            "BUILDAH_FORMAT": "docker",
        }
        self.options = [f"--volume={path}:{path}:ro" for path in OF_THIS_MACHINE if path.exists()]
        self._make_base(folder / "base.tar")

    def __call__(self, *arguments: str | Path) -> str:
        return run("buildah", *arguments, **self.environment)

    def _make_base(self, archive: Path) -> None:
        make_base(archive)
        container = self("from", "scratch").strip()
        self("add", "--quiet", container, archive, "/")
        archive.unlink()
        self("commit", "--quiet", "--rm", container, self.base)

    def image(self, name: str) -> Image:
        container = self("from", "--pull-never", name).strip()
        folder = self("mount", container).strip()
        config = json.loads(self("inspect", "--type", "image", name))["Docker"]["config"]
        return Image(folder, config)


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builder]:
    folder = tmp_path_factory.mktemp("images")
    run("mount", "-t", "tmpfs", "images", folder)  # a gigabyte or two are written
    yield Builder(folder)
    run("umount", folder)


@pytest.fixture(scope="module")
def stub(builder: Builder) -> Image:
    """What `make image` builds."""
    options = [f"BASE={builder.base}", "BUILDERS=buildah", f"ARGS={' '.join(builder.options)}"]
    run("make", "image", "IMAGE=stepstub", *options, **builder.environment)
    return builder.image("stepstub")


@pytest.fixture
def port() -> str:
    """One that is free."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return str(free.getsockname()[1])


def lines(process: subprocess.Popen[str], last: str) -> str:
    """What a container prints, up to a line that contains `last`."""
    assert process.stdout
    printed = ""
    for line in process.stdout:
        printed += line
        if last in line:
            return printed
    raise AssertionError(printed)


def complete(port: str, step_id: str) -> requests.Response:
    return requests.post(
        f"http://127.0.0.1:{port}{PATH}",
        json={"processStepId": step_id},
        headers={"Authorization": "Bearer stub-token"},
        timeout=TIMEOUT,
    )


@pytest.mark.image
def test_the_image_serves_as_nobody_with_a_root_that_is_read_only(stub: Image, port: str) -> None:
    assert stub.config["User"] == NOBODY
    with stub.running(STEPSTUB_PORT=port) as container:
        banner = lines(container, "curl")
        assert f"listens on http://0.0.0.0:{port} " in banner
        (token,) = re.findall(r"control token: (\S+)", banner)
        assert complete(port, "order-1-approve").status_code == 200

        headers = {"Authorization": "Bearer stub-token"}
        control = f"http://127.0.0.1:{port}/_stub/processes"
        assert requests.get(control, headers=headers, timeout=TIMEOUT).status_code == 401
        headers["X-Stepstub-Control-Token"] = token
        assert requests.get(control, headers=headers, timeout=TIMEOUT).status_code == 200

        assert stub.health_check(STEPSTUB_PORT=port) == 0
        os.kill(process_1(container), signal.SIGTERM)  # as `docker stop` does
        assert container.wait(TIMEOUT) == 0
    assert stub.health_check(STEPSTUB_PORT=port) == 1


@pytest.mark.image
def test_the_environment_sets_the_control_token(stub: Image, port: str) -> None:
    with stub.running(STEPSTUB_PORT=port, STEPSTUB_CONTROL_TOKEN="mine") as container:
        assert "control token" not in lines(container, "curl")
        response = requests.get(
            f"http://127.0.0.1:{port}/_stub/processes",
            headers={"Authorization": "Bearer stub-token", "X-Stepstub-Control-Token": "mine"},
            timeout=TIMEOUT,
        )
        assert response.status_code == 200


@pytest.mark.image
def test_process_1_obeys_a_signal_that_comes_before_python_has_started(stub: Image) -> None:
    # It is reached by way of a shell that is process 1 before it, and sends itself the signal.
    *before, stepstub = stub.config["Entrypoint"]
    entry_point = [*before, "sh", "-c", 'kill -TERM $$; exec "$@"', "sh", stepstub]
    signalled = Image(stub.folder, {**stub.config, "Entrypoint": entry_point})
    with signalled.running() as container:
        assert container.wait(TIMEOUT) == 128 + signal.SIGTERM


@pytest.mark.image
def test_nothing_is_left_in_the_image_that_only_its_making_needs(stub: Image) -> None:
    packages = {
        path.name.split("-")[0] for path in Path(stub.folder).glob("opt/*/lib/*/*/*.dist-info")
    }
    assert {"stepstub", "connexion", "schemathesis", "valkey"} <= packages
    assert not packages & {"pip", "hatchling"}
    assert not (Path(stub.folder) / "source").exists()


@pytest.mark.image
def test_the_services_of_compose_work_through_an_order_together(
    builder: Builder, stub: Image
) -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))["services"]
    builder(
        "build",
        *builder.options,
        f"--file={services['application']['build']['dockerfile']}",
        f"--build-arg=BASE={builder.base}",
        "--tag=application",
        ".",
    )
    application = builder.image("application")
    assert application.config["User"] == NOBODY
    with network() as inside:
        stub.prefix = application.prefix = inside
        with stub.running(*services["stub"]["command"]) as first:
            (token,) = re.findall(r"control token: (\S+)", lines(first, "curl"))
            with application.running() as second:
                lines(second, "Running on")
                response = json.loads(run(*inside, "bash", "-c", documented_curl()))
                assert response["data"]["processStepId"] == "order-7-check-credit"
                assert verification(inside, "order-7-notify", token)["holds"]


@contextmanager
def network() -> Iterator[list[str]]:
    """What runs a command in a network of its own, whose ports are all free."""
    with subprocess.Popen(
        ["unshare", "--net", "sh", "-ec", "ip link set lo up; echo; read _"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline()
        yield ["nsenter", f"--net=/proc/{holder.pid}/ns/net"]
        holder.communicate(b"\n", TIMEOUT)


def documented_curl() -> str:
    """What docs/containers.md says to send to the services."""
    page = (ROOT / "docs" / "containers.md").read_text("utf-8")
    (command,) = re.findall(r"^```sh\n(curl .*?)^```$", page, re.DOTALL | re.MULTILINE)
    return command.replace("curl ", "curl -sS ", 1)


def verification(inside: list[str], step_id: str, control_token: str) -> Any:
    """Ask the stub in that network whether a step is completed, or soon will be."""
    body = {"processStepId": step_id, "withinSeconds": TIMEOUT}
    headers = {
        "Authorization": "Bearer stub-token",
        "Content-Type": "application/json",
        "X-Stepstub-Control-Token": control_token,
    }
    options = [text for name, value in headers.items() for text in ("-H", f"{name}: {value}")]
    url = "http://127.0.0.1:8080/_stub/verifications"
    return json.loads(run(*inside, "curl", "-sS", *options, "-d", json.dumps(body), url))
