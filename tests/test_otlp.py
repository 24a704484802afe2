"""`stepstub serve` sends spans by OTLP as the variables of OpenTelemetry say, and only then."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from logging import LogRecord, makeLogRecord
from pathlib import Path

import pytest
import requests
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

import stepstub
from collector import Application, Collector, running
from stepstub.cli.tracing import asked_by
from stepstub.logs import SELDOM, Seldom
from stepstub.serving.server import listen, url_of
from stepstub.tracing import FLUSH_TIMEOUT
from support import PATH, TIMEOUT, Connection, head, post

ENVIRONMENT = {
    name: value for name, value in os.environ.items() if not name.startswith(("STEPSTUB_", "OTEL_"))
}
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TOKEN = "a-token-of-mine"
NEVER = {"OTEL_BSP_SCHEDULE_DELAY": "3600000"}
"""Nothing is sent before the end."""
MAIN = "from stepstub.cli import main; main()"
SHORT_GRACE_PERIOD = "from stepstub.serving import server; server.GRACE_PERIOD = 1"


class Served:
    """A running `stepstub serve`, and its log once it has ended."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdout
        self.url = json.loads(process.stdout.readline())["url"]
        self.sandbox = stepstub.Sandbox(self.url, TOKEN)

    def end(self) -> list[str]:
        """End it by SIGTERM; the messages in its log."""
        self.process.terminate()
        _, log = self.process.communicate(timeout=TIMEOUT)
        assert self.process.returncode == 0
        lines = [json.loads(line) for line in log.splitlines()]
        return [line["message"] for line in lines if "message" in line]

    def complete(self, step_id: str, **headers: str) -> int:
        return requests.post(
            f"{self.url}{PATH}",
            json={"processStepId": step_id},
            headers={"authorization": f"Bearer {TOKEN}", **headers},
            timeout=5,
        ).status_code


@contextmanager
def serving(*arguments: str, before: str = "", **environment: str) -> Iterator[Served]:
    """`stepstub serve`, and `before` in front of all that it does."""
    options = ["--port", "0", "--token", TOKEN, "--log-format", "json"]
    with subprocess.Popen(
        [sys.executable, "-c", f"{before}\n{MAIN}", "serve", *options, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**ENVIRONMENT, **environment},
    ) as process:
        try:
            yield Served(process)
        finally:
            process.kill()


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    with running(collector):
        yield collector


@pytest.fixture
def application() -> Iterator[Application]:
    application = Application()
    with running(application):
        yield application


def attributes(span: Span) -> dict[str, str | int]:
    values = {each.key: each.value for each in span.attributes}
    return {
        key: value.string_value if value.HasField("string_value") else value.int_value
        for key, value in values.items()
    }


def test_a_trace_goes_from_the_client_through_the_stub_to_the_application(
    collector: Collector, application: Application, tmp_path: Path
) -> None:
    steps = [{}, {"delegate": {"http": f"{application.url}/200"}}]
    scenario = tmp_path / "mine.yaml"
    scenario.write_text(json.dumps({"processes": [{"id": "p", "steps": steps}]}))
    asked = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, **NEVER}
    with serving("--scenario", str(scenario), **asked) as served:
        headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "vendor=a"}
        assert served.complete("p-1", **headers) == 200
        assert served.complete("p-1", authorization="Bearer another-secret") == 401
        sent = application.seen.get_nowait()
        assert served.end() == []

    call, exchange, refused = collector.spans()
    assert exchange.kind == Span.SPAN_KIND_SERVER
    assert exchange.name == f"POST {PATH}"
    assert (exchange.trace_id.hex(), exchange.parent_span_id.hex()) == (TRACE, PARENT)
    assert exchange.trace_state == call.trace_state == "vendor=a"
    assert attributes(exchange)["stepstub.step.id"] == "p-1"
    assert call.kind == Span.SPAN_KIND_CLIENT
    assert (call.trace_id, call.parent_span_id) == (exchange.trace_id, exchange.span_id)
    assert sent["traceparent"] == f"00-{TRACE}-{call.span_id.hex()}-01"
    assert sent["tracestate"] == "vendor=a"
    assert exchange.start_time_unix_nano <= call.start_time_unix_nano
    assert call.end_time_unix_nano <= exchange.end_time_unix_nano + 1_000_000
    assert refused.parent_span_id == b""
    assert attributes(refused)["http.response.status_code"] == 401
    for secret in (TOKEN, "another-secret"):
        assert secret.encode() not in collector.raw


@pytest.mark.parametrize(
    ("environment", "name"),
    [({}, "stepstub"), ({"OTEL_SERVICE_NAME": "mine"}, "mine")],
)
def test_spans_are_sent_while_it_serves(
    collector: Collector, environment: dict[str, str], name: str
) -> None:
    asked = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{collector.url}/v1/traces"}
    at_once = {"OTEL_BSP_SCHEDULE_DELAY": "1"}
    with serving(**asked, **at_once, **environment) as served:
        assert served.complete("order-1-approve") == 200
        resource = collector.resource()
        assert resource["service.name"] == name
        assert re.fullmatch(r"\d+\.\d+\.\d+", resource["service.version"])


def test_a_path_that_is_no_text_does_not_lose_the_spans_beside_it(collector: Collector) -> None:
    with serving(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, **NEVER) as served:
        with Connection(served.url) as connection:
            assert connection.ask(head("Content-Length: 0", target="/%ff%ed%a0%80")).status == 404
            assert connection.ask(head("User-Agent: \xff", "Content-Length: 0")).status != 200
        assert served.end() == []
    assert len(collector.spans()) == 2


def test_an_exchange_that_the_end_cuts_short_is_a_span(collector: Collector) -> None:
    asked = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, **NEVER}
    with (
        serving(before=SHORT_GRACE_PERIOD, **asked) as served,
        Connection(served.url) as connection,
    ):
        served.sandbox.fault("before", "delay", seconds=60)
        connection.send(post({"processStepId": "order-1-approve"}, token=TOKEN))
        while not served.sandbox.journal():
            pass  # it is not being handled yet
        served.end()
    (span,) = collector.spans()
    assert span.status.code == Status.STATUS_CODE_ERROR
    assert attributes(span)["error.type"] == "shutdown"


def test_a_collector_that_is_not_there_costs_a_line(collector: Collector) -> None:
    with listen("127.0.0.1", 0) as closed:
        nobody = url_of(closed)
    at_once = {"OTEL_BSP_SCHEDULE_DELAY": "1", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "1"}
    with serving(OTEL_EXPORTER_OTLP_ENDPOINT=nobody, **at_once) as served:
        statuses = [served.complete("order-1-approve") for _ in range(50)]
        began = time.monotonic()
        log = served.end()
        assert time.monotonic() - began < FLUSH_TIMEOUT + 3
    assert statuses == [200] + [412] * 49
    about = [line for line in log if line.startswith("OpenTelemetry: ")]
    assert len(about) == 1
    assert nobody.rpartition(":")[2] in about[0]
    # Older SDKs give up at once.
    lost = f"Spans are lost: they could not be sent within {FLUSH_TIMEOUT:g} s."
    assert [line for line in log if line not in about] in ([lost], [])


def test_a_collector_that_does_not_respond_holds_up_no_response_and_no_end() -> None:
    with listen("127.0.0.1", 0) as silent:
        asked = {"OTEL_EXPORTER_OTLP_ENDPOINT": url_of(silent), "OTEL_BSP_SCHEDULE_DELAY": "1"}
        with serving(**asked) as served:
            assert served.complete("order-1-approve") == 200
            waiting, _ = silent.accept()  # it is being sent a span from now on
            assert served.complete("order-1-ship") == 200
            began = time.monotonic()
            assert any("Spans are lost" in line for line in served.end())
            assert FLUSH_TIMEOUT <= time.monotonic() - began < FLUSH_TIMEOUT + 3
            waiting.close()


MODULES = """
import atexit, sys
atexit.register(lambda: print([each for each in sys.modules if "opentelemetry" in each]))
"""
OFF = {
    "nothing is set": {},
    "disabled": {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:9", "OTEL_SDK_DISABLED": "True"},
    "no exporter": {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:9",
        "OTEL_TRACES_EXPORTER": "none",
    },
    "only a name": {"OTEL_SERVICE_NAME": "mine", "OTEL_TRACES_SAMPLER": "always_on"},
}
ON = {
    "an endpoint": {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:9"},
    "one of traces": {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://localhost:9"},
    "an exporter": {"OTEL_TRACES_EXPORTER": "console", "OTEL_SDK_DISABLED": "false"},
    "an exporter and none": {"OTEL_TRACES_EXPORTER": "none, otlp"},
}


@pytest.mark.parametrize("environment", OFF.values(), ids=OFF)
def test_without_a_variable_that_asks_for_it_there_are_no_traces(
    environment: dict[str, str],
) -> None:
    assert asked_by(environment) is None


@pytest.mark.parametrize("environment", ON.values(), ids=ON)
def test_an_exporter_or_an_endpoint_asks_for_traces(environment: dict[str, str]) -> None:
    assert asked_by(environment) in environment


@pytest.mark.parametrize(
    ("environment", "is_imported"),
    [
        (OFF["nothing is set"], False),
        (OFF["disabled"], False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}, True),
    ],
)
def test_opentelemetry_is_imported_only_where_it_is_asked_for(
    application: Application, environment: dict[str, str], is_imported: bool
) -> None:
    with serving("--until-eof", before=MODULES, **environment, **NEVER) as served:
        delegate = {"delegate": {"http": f"{application.url}/200"}}
        first = served.sandbox.start_process([{}, delegate]).steps[0].id
        headers = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
        assert served.complete(first, **headers) == 200
        sent = application.seen.get_nowait()["traceparent"]
        assert (sent == headers["traceparent"]) is not is_imported
        printed, _ = served.process.communicate(timeout=TIMEOUT)
    assert ("opentelemetry.sdk" in printed) is is_imported
    assert ("opentelemetry" in printed) is is_imported


@pytest.mark.parametrize("missing", ["opentelemetry", "opentelemetry.sdk"])
def test_a_missing_extra_is_one_line_and_the_stub_serves(missing: str) -> None:
    before = f"import sys; sys.modules['{missing}'] = None"
    with serving(before=before, OTEL_TRACES_EXPORTER="otlp") as served:
        assert served.complete("order-1-approve") == 200
        (line,) = served.end()
    assert line.startswith("No traces: OTEL_TRACES_EXPORTER asks for them, but opentelemetry")
    assert "pip install opentelemetry-sdk opentelemetry-exporter-otlp-proto-http" in line


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "the exporter 'zipkin' is not installed"),
        (
            {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "smoke"},
            "OTEL_EXPORTER_OTLP_PROTOCOL is 'smoke'; it has to be http/protobuf or grpc",
        ),
        (
            {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc"},
            "the exporter 'otlp' for grpc is not installed",
        ),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_PROPAGATORS": "nobodys"}, "nobodys"),
    ],
)
def test_what_cannot_be_set_up_is_one_line_and_the_stub_serves(
    environment: dict[str, str], words: str
) -> None:
    with serving(**environment) as served:
        assert served.complete("order-1-approve") == 200
        (line,) = served.end()
    assert line.startswith("No traces: OpenTelemetry cannot be set up, ")
    assert words in line


def test_a_logger_is_heard_once_in_a_while() -> None:
    now = 0.0
    seldom = Seldom(lambda: now)

    def record(name: str, words: str) -> LogRecord:
        return makeLogRecord({"name": name, "msg": words, "args": ("x",)})

    assert seldom.filter(record("exporter", "%s fails"))
    assert not seldom.filter(record("exporter", "%s fails otherwise"))
    assert seldom.filter(record("processor", "%s is full"))
    now = SELDOM - 1
    assert not seldom.filter(record("exporter", "%s fails"))
    now = SELDOM
    again = record("exporter", "%s fails\nfor good")
    try:
        raise ValueError("why")
    except ValueError:
        again.exc_info = sys.exc_info()
    assert seldom.filter(again)
    assert again.getMessage() == r"OpenTelemetry: x fails\nfor good (ValueError('why'))"
    assert again.exc_info is None
