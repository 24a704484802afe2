"""The spans of exchanges and of delegate calls, as the SDK hands them to an exporter."""

import importlib
import json
import pkgutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import requests
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv import attributes as conventions
from opentelemetry.trace import SpanKind, StatusCode, format_span_id, format_trace_id

import stepstub
from collector import Application, running
from stepstub.app import create_app
from stepstub.concurrency import EventLoopConcurrency, run_inline
from stepstub.journal import ALL
from stepstub.serving.server import listen, serve_in_thread, url_of
from stepstub.settings import DEFAULT_TOKEN, Settings
from stepstub.tracing import MAX_TEXT, Spans
from support import PATH, Client, Connection, post, processes

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"


class Traced:
    """Spans, and what they were exported as, in the order they ended."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.provider = provider
        self.spans = Spans(provider)

    @property
    def ended(self) -> Sequence[ReadableSpan]:
        return self._exporter.get_finished_spans()

    def of_kind(self, kind: SpanKind) -> list[ReadableSpan]:
        return [span for span in self.ended if span.kind is kind]

    def client(self) -> Client:
        return Client(create_app(processes("two-steps"), tracing=self.spans))


@pytest.fixture
def traced() -> Traced:
    return Traced()


@contextmanager
def live(traced: Traced, *names: str) -> Iterator[stepstub.Sandbox]:
    app = create_app(
        processes(*names),
        Settings(with_control=True),
        concurrency=EventLoopConcurrency(),
        tracing=traced.spans,
    )
    with serve_in_thread(app) as url:
        yield stepstub.Sandbox(url, DEFAULT_TOKEN)


@pytest.fixture
def application() -> Iterator[Application]:
    application = Application()
    with running(application):
        yield application


def complete(sandbox: stepstub.Sandbox, step_id: str, **headers: str) -> int:
    return requests.post(
        sandbox.complete_step_url,
        json={"processStepId": step_id},
        headers={**sandbox.headers, **headers},
        timeout=5,
    ).status_code


def parts(traceparent: str) -> tuple[str, str]:
    """The trace and the span that it names."""
    _, trace, span, flags = traceparent.split("-")
    assert int(flags, 16) & 1, "sampled"
    return trace, span


def ids(span: ReadableSpan) -> tuple[str, str]:
    assert span.context
    return format_trace_id(span.context.trace_id), format_span_id(span.context.span_id)


def parent(span: ReadableSpan) -> str | None:
    return span.parent and format_span_id(span.parent.span_id)


def test_a_completion_is_a_span_in_the_trace_of_its_client(traced: Traced) -> None:
    client = traced.client()
    headers = {"traceparent": TRACEPARENT, "tracestate": "vendor=a", "user-agent": "mine/1"}
    assert client.post({"processStepId": "order-1-approve"}, headers).status == 200
    (span,) = traced.ended
    assert span.name == f"POST {PATH}"
    assert span.kind is SpanKind.SERVER
    assert ids(span)[0] == TRACE
    assert parent(span) == PARENT
    assert span.context
    assert span.context.trace_state.to_header() == "vendor=a"
    assert span.status.status_code is StatusCode.UNSET
    assert span.attributes == {
        "http.request.method": "POST",
        "http.route": PATH,
        "http.response.status_code": 200,
        "url.path": PATH,
        "url.scheme": "http",
        "user_agent.original": "mine/1",
        "stepstub.exchange.number": 1,
        "stepstub.sandbox.id": "default",
        "stepstub.step.id": "order-1-approve",
    }
    (entry,), _ = run_inline(client.store.exchanges(ALL))
    assert span.start_time
    assert span.end_time
    assert (span.end_time - span.start_time) / 1e9 == pytest.approx(entry.duration, abs=0.001)


def test_a_span_by_a_socket_has_the_host_and_the_version(traced: Traced) -> None:
    with live(traced, "two-steps") as sandbox, Connection(sandbox.url) as connection:
        connection.ask(post({"processStepId": "order-1-approve"}))
    (span,) = traced.ended
    assert span.attributes
    assert span.attributes.items() >= {
        ("server.address", "localhost"),
        ("server.port", 80),
        ("network.protocol.version", "1.1"),
    }
    assert parent(span) is None


REFUSED: dict[str, tuple[str, str, dict[str, Any], dict[str, str], str, dict[str, Any]]] = {
    "a step that is not started": (
        "POST",
        PATH,
        {"processStepId": "order-1-ship"},
        {},
        f"POST {PATH}",
        {
            "http.response.status_code": 412,
            "stepstub.reason.code": "STEP_PENDING",
            "stepstub.step.id": "order-1-ship",
            "stepstub.sandbox.id": "default",
        },
    ),
    "a wrong token": (
        "POST",
        PATH,
        {"processStepId": "order-1-approve"},
        {"authorization": "Bearer secret-one"},
        f"POST {PATH}",
        {"http.response.status_code": 401, "stepstub.sandbox.id": None, "stepstub.step.id": None},
    ),
    "another method": (
        "PUT",
        PATH,
        {},
        {},
        "PUT",
        {"http.response.status_code": 405, "http.route": None},
    ),
    "a method of the client's own": (
        "STEP",
        PATH,
        {},
        {},
        "HTTP",
        {"http.request.method": "_OTHER", "http.request.method_original": "STEP"},
    ),
    "another path": (
        "POST",
        "/api/nothing",
        {},
        {},
        "POST",
        {"http.response.status_code": 404, "url.path": "/api/nothing", "http.route": None},
    ),
}


@pytest.mark.parametrize("refused", REFUSED.values(), ids=REFUSED)
def test_a_refusal_is_no_error_and_has_its_code(traced: Traced, refused: Any) -> None:
    method, path, body, headers, name, expected = refused
    given = {"authorization": f"Bearer {DEFAULT_TOKEN}", "content-type": "application/json"}
    traced.client().request(method, path, json.dumps(body).encode(), {**given, **headers})
    (span,) = traced.ended
    assert span.name == name
    assert span.status.status_code is StatusCode.UNSET
    assert span.attributes
    assert {key: span.attributes.get(key) for key in expected} == expected


def test_a_5xx_and_a_lost_response_are_errors(traced: Traced) -> None:
    with live(traced, "two-steps") as sandbox:
        sandbox.fault("before", "respond", status=503)
        assert complete(sandbox, "order-1-approve") == 503
        sandbox.fault("after", "disconnect")
        with pytest.raises(requests.ConnectionError):
            complete(sandbox, "order-1-approve")
    failed, lost = traced.ended
    for span, error, fault in (
        (failed, "503", "before: respond 503"),
        (lost, "disconnected", "after: connection broken"),
    ):
        assert span.status.status_code is StatusCode.ERROR
        assert span.attributes
        assert span.attributes["error.type"] == error
        assert span.attributes["stepstub.fault"] == fault
    assert failed.attributes
    assert failed.attributes["http.response.status_code"] == 503
    assert lost.attributes
    assert "http.response.status_code" not in lost.attributes


def test_the_control_api_and_the_pages_are_no_spans(traced: Traced) -> None:
    with live(traced, "two-steps") as sandbox:
        sandbox.journal()
        for path in ("/docs", "/openapi.json", "/_stub/console", "/_stub/health"):
            assert requests.get(f"{sandbox.url}{path}", timeout=5).status_code == 200
        assert not traced.ended
        assert complete(sandbox, "order-1-approve") == 200
    assert len(traced.ended) == 1


@pytest.mark.parametrize("traceparent", [TRACEPARENT, None, "00-nonsense", f"{TRACEPARENT}-more"])
def test_a_delegate_is_called_by_a_span_below_that_of_the_exchange(
    traced: Traced, application: Application, traceparent: str | None
) -> None:
    headers = {"tracestate": "vendor=a", "baggage": "user=1;p=2, other=%20"}
    if traceparent is not None:
        headers["traceparent"] = traceparent
    with live(traced) as sandbox:
        process = sandbox.start_process([{}, {"delegate": {"http": f"{application.url}/204"}}])
        assert complete(sandbox, process.steps[0].id, **headers) == 200
    call, exchange = traced.ended
    assert (call.kind, exchange.kind) == (SpanKind.CLIENT, SpanKind.SERVER)
    assert parent(call) == ids(exchange)[1]
    assert call.parent
    assert not call.parent.is_remote
    sent = application.seen.get_nowait()
    assert parts(sent["traceparent"]) == ids(call)
    assert sent["baggage"] == headers["baggage"]
    assert "authorization" not in sent
    if traceparent == TRACEPARENT:
        assert ids(exchange)[0] == ids(call)[0] == TRACE
        assert parent(exchange) == PARENT
        assert sent["tracestate"] == "vendor=a"
    else:
        assert parent(exchange) is None
        assert "tracestate" not in sent, "it is of a trace that there is not"
    port = application.server_address[1]
    assert call.name == "POST"
    assert call.status.status_code is StatusCode.UNSET
    assert call.attributes == {
        "http.request.method": "POST",
        "http.response.status_code": 204,
        "server.address": "127.0.0.1",
        "server.port": port,
        "url.full": f"{application.url}/204",
        "stepstub.exchange.number": 1,
        "stepstub.step.id": process.steps[1].id,
    }


@pytest.mark.parametrize(("action", "calls"), [("twice", 2), ("late", 1)])
def test_each_call_that_is_really_made_is_a_span_of_the_same_parent(
    traced: Traced, application: Application, action: str, calls: int
) -> None:
    with live(traced) as sandbox:
        process = sandbox.start_process([{}, {"delegate": {"http": f"{application.url}/200"}}])
        sandbox.clock.freeze()
        late = {"seconds": 60} if action == "late" else {}
        sandbox.fault("delegate", action, **late)  # type: ignore[call-overload]
        assert complete(sandbox, process.steps[0].id, traceparent=TRACEPARENT) == 200
        sandbox.clock.advance(61)  # by the control API, which has no span
    (exchange,) = traced.of_kind(SpanKind.SERVER)
    made = traced.of_kind(SpanKind.CLIENT)
    assert [parent(call) for call in made] == [ids(exchange)[1]] * calls
    sent = [parts(application.seen.get_nowait()["traceparent"]) for _ in made]
    assert sent == [ids(call) for call in made]


def test_what_starts_with_its_process_has_a_trace_of_its_own(
    traced: Traced, application: Application
) -> None:
    with live(traced) as sandbox:
        sandbox.start_process([{"delegate": {"http": f"{application.url}/200"}}])
    (call,) = traced.ended
    assert parent(call) is None
    assert parts(application.seen.get_nowait()["traceparent"]) == ids(call)


def test_a_call_that_fails_is_an_error(traced: Traced, application: Application) -> None:
    with listen("127.0.0.1", 0) as closed:
        nobody = url_of(closed)
    with live(traced) as sandbox:
        for url in (f"{application.url}/302", nobody):
            process = sandbox.start_process([{}, {"delegate": {"http": url}}])
            assert complete(sandbox, process.steps[0].id) == 500
    responded, unreached = traced.of_kind(SpanKind.CLIENT)
    assert responded.attributes
    assert responded.attributes["http.response.status_code"] == 302
    assert responded.attributes["error.type"] == "302"
    assert unreached.attributes
    assert unreached.attributes["error.type"] == "requests.exceptions.ConnectionError"
    for span in traced.ended:
        assert span.status.status_code is StatusCode.ERROR


def test_a_delegate_that_calls_nobody_is_no_span(traced: Traced) -> None:
    client = traced.client()
    client.delegates.function = lambda _: None
    assert client.complete("order-1-approve").status == 200
    assert not traced.of_kind(SpanKind.CLIENT)


def test_a_trace_that_is_not_sampled_is_handed_on_as_such(
    traced: Traced, application: Application
) -> None:
    with live(traced) as sandbox:
        process = sandbox.start_process([{}, {"delegate": {"http": f"{application.url}/200"}}])
        assert complete(sandbox, process.steps[0].id, traceparent=f"{TRACEPARENT[:-1]}0") == 200
    assert not traced.ended
    _, trace, span, flags = application.seen.get_nowait()["traceparent"].split("-")
    assert (trace, flags) == (TRACE, "00")
    assert span != PARENT


def test_without_a_propagator_nothing_but_the_baggage_is_handed_on(
    traced: Traced, application: Application
) -> None:
    traced.spans = Spans(traced.provider, CompositePropagator([]))
    headers = {"traceparent": TRACEPARENT, "tracestate": "vendor=a", "baggage": "user=1"}
    with live(traced) as sandbox:
        process = sandbox.start_process([{}, {"delegate": {"http": f"{application.url}/200"}}])
        assert complete(sandbox, process.steps[0].id, **headers) == 200
    sent = application.seen.get_nowait()
    assert headers.keys() & sent.keys() == {"baggage"}
    call, exchange = traced.ended
    assert parent(exchange) is None
    assert parent(call) == ids(exchange)[1]


def texts(spans: Sequence[ReadableSpan]) -> Iterator[str]:
    for span in spans:
        yield span.to_json()


@pytest.mark.parametrize(
    ("readings", "headers"),
    [
        ({}, lambda token: {"authorization": f"Bearer {token}"}),
        ({"credentials": "api-key"}, lambda token: {"x-api-key": token}),
        (
            {"credentials": "api-key", "credentials-header": "user-agent"},
            lambda token: {"user-agent": token},
        ),
    ],
)
def test_no_token_is_in_a_span(
    traced: Traced, readings: Any, headers: Callable[[str], dict[str, str]]
) -> None:
    with (
        live(traced) as default,
        stepstub.Sandbox.create(
            default.url, default.token, scenario="two-steps", readings=readings
        ) as sandbox,
    ):
        for token in (sandbox.token, f"{sandbox.token}-wrong"):
            status = requests.post(
                sandbox.complete_step_url,
                json={"processStepId": "order-1-approve"},
                headers=headers(token),
                timeout=5,
            ).status_code
            assert status == (200 if token == sandbox.token else 401)
    assert len(traced.ended) == 2
    right, wrong = traced.ended
    assert right.attributes
    assert right.attributes["stepstub.sandbox.id"] not in (None, "default")
    assert wrong.attributes
    assert "stepstub.sandbox.id" not in wrong.attributes
    for text in texts(traced.ended):
        assert sandbox.token not in text


def test_no_secret_of_a_delegates_url_is_in_a_span(
    traced: Traced, application: Application
) -> None:
    url = application.url.replace("//", "//user:secret-1@") + "/200?key=secret-2&secret-3"
    with live(traced) as sandbox:
        process = sandbox.start_process([{}, {"delegate": {"http": url}}])
        assert complete(sandbox, process.steps[0].id) == 200
    (call,) = traced.of_kind(SpanKind.CLIENT)
    host = application.url.removeprefix("http://")
    expected = f"http://REDACTED:REDACTED@{host}/200?key=REDACTED&REDACTED"
    assert call.attributes
    assert call.attributes["url.full"] == expected
    assert "secret" not in "".join(texts(traced.ended))


def test_a_text_in_a_span_is_bounded(traced: Traced) -> None:
    traced.client().complete("s" * 10_000)
    (span,) = traced.ended
    assert span.attributes
    assert len(str(span.attributes["stepstub.step.id"])) == MAX_TEXT


def test_the_attributes_are_stable_conventions_or_of_our_own(
    traced: Traced, application: Application
) -> None:
    stable = {
        value
        for module in pkgutil.iter_modules(conventions.__path__)
        for name, value in vars(
            importlib.import_module(f"{conventions.__name__}.{module.name}")
        ).items()
        if name.isupper() and isinstance(value, str)
    }
    with live(traced) as sandbox:
        process = sandbox.start_process([{}, {"delegate": {"http": f"{application.url}/500"}}])
        complete(sandbox, process.steps[0].id)
    traced.client().request("STEP", "/nowhere", headers={"user-agent": "mine"})
    used = {name for span in traced.ended for name in span.attributes or ()}
    assert len(used) >= 15
    assert {name for name in used if not name.startswith("stepstub.")} <= stable


def test_what_has_not_ended_is_a_span_when_the_stub_ends(traced: Traced) -> None:
    with listen("127.0.0.1", 0) as silent, live(traced) as sandbox:
        delegate = {"delegate": {"http": url_of(silent)}}
        process = sandbox.start_process([{}, delegate])
        with Connection(sandbox.url) as connection:
            connection.send(post({"processStepId": process.steps[0].id}))
            called, _ = silent.accept()
            traced.spans.close()
            assert {span.kind for span in traced.ended} == {SpanKind.SERVER, SpanKind.CLIENT}
            for span in traced.ended:
                assert span.attributes
                assert span.attributes["error.type"] == "shutdown"
            called.close()
            assert connection.response().status == 500
    assert len(traced.ended) == 2
