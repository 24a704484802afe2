"""What a stub does as spans of OpenTelemetry.

No other module knows OpenTelemetry, and this one is imported only where the environment asks for
traces. The names of attributes and spans are those of the semantic conventions for HTTP, what is of
the stub's own begins with `stepstub.`.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from urllib.parse import SplitResult, urlsplit

from opentelemetry.context import Context
from opentelemetry.propagate import get_global_textmap
from opentelemetry.propagators.textmap import Getter, TextMapPropagator
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.types import Scope

from stepstub.delegates import DelegateCall, Headers
from stepstub.errors import StepstubError
from stepstub.exchange import Exchange
from stepstub.schema import shorten

FLUSH_TIMEOUT = 2.0
"""Seconds that the last spans are given to be sent: with the grace period of requests in flight,
no more than a container is given to end."""

MAX_TEXT = 1024
"""Characters of a text in a span: a client can send a step id of a megabyte."""

_METHODS = {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"}
_PROTOCOLS = {"http/protobuf": "otlp_proto_http", "grpc": "otlp_proto_grpc"}
_DISCONNECTED = "disconnected"
_W3C = TraceContextTextMapPropagator()

log = logging.getLogger("stepstub")

Attributes = dict[str, str | int]


class CannotTrace(StepstubError):
    """The environment asks for what there is not."""


class Spans:
    """The spans of one stub, made by `provider`. May be used from any thread.

    Nothing is kept in the context of a thread or task: a delegate call may be made long after the
    exchange that causes it, from another one. What it needs goes with it, as headers.
    """

    def __init__(
        self, provider: TracerProvider, propagator: TextMapPropagator | None = None
    ) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("stepstub", metadata.version("stepstub"))
        self._propagator = propagator or get_global_textmap()
        self._open: set[Span] = set()

    def begin(self, exchange: Exchange, scope: Scope) -> None:
        """Begin the span of an exchange, as of when its head had come."""
        exchange.span = self._begun(exchange, scope)

    def end(self, exchange: Exchange, scope: Scope) -> None:
        """End the span of an exchange with what became of it."""
        span: Span = exchange.span or self._begun(exchange, scope)
        entry = exchange.entry
        if span.is_recording():
            known = exchange.known
            status = entry.status or None  # 0 where the client did not get a whole head
            found: dict[str, str | int | None] = {
                "http.response.status_code": status,
                "stepstub.exchange.number": entry.number,
                "stepstub.sandbox.id": known.id if known else None,
                "stepstub.step.id": entry.step_id,
                "stepstub.fault": entry.fault,
            }
            if entry.violations:
                found["stepstub.reason.code"] = next(iter(entry.violations.values())).code
            if status is None or status >= 500:
                found["error.type"] = str(status or _DISCONNECTED)
                span.set_status(StatusCode.ERROR, shorten(entry.reason or "", MAX_TEXT))
            span.set_attributes(_given(found))
        self._end(span, _nanoseconds(exchange.began + entry.duration))

    def call(self, call: DelegateCall, url: str, send: Callable[[Headers], int]) -> int:
        """Make a delegate's call as a span: a child of the exchange that causes it, if one does."""
        span = self._tracer.start_span(
            "POST",
            context=_local_parent(call.headers),
            kind=SpanKind.CLIENT,
            attributes=_call_attributes(call, url),
        )
        self._open.add(span)
        baggage = [(name, value) for name, value in call.headers if name == b"baggage"]
        try:
            status = send((*_injected(self._propagator, span), *baggage))
        except Exception as failure:
            _set_failed(span, _type_of(failure.__cause__ or failure), str(failure))
            raise
        else:
            span.set_attribute("http.response.status_code", status)
            if not 200 <= status < 300:
                _set_failed(span, str(status), "")
            return status
        finally:
            self._end(span)

    def close(self, within: float = FLUSH_TIMEOUT) -> None:
        """Send what is left: also spans of what has not ended, and never will."""
        for span in list(self._open):
            _set_failed(span, "shutdown", "The stub has been ended.")
            self._end(span)
        # The SDK has no bound of its own, or one of minutes.
        flush = threading.Thread(target=self._provider.shutdown, name="stepstub-flush", daemon=True)
        flush.start()
        flush.join(within)
        if flush.is_alive():
            log.warning("Spans are lost: they could not be sent within %g s.", within)

    def _begun(self, exchange: Exchange, scope: Scope) -> Span:
        entry = exchange.entry
        route = None if exchange.operation is None else entry.path
        method = entry.method if entry.method in _METHODS else "HTTP"
        span = self._tracer.start_span(
            method if route is None else f"{method} {route}",
            context=self._propagator.extract(entry.headers, Context(), _HEADERS),
            kind=SpanKind.SERVER,
            attributes=_exchange_attributes(entry.method, entry.path, route, entry.headers, scope),
            start_time=_nanoseconds(exchange.began),
        )
        self._open.add(span)
        entry.span = _injected(_W3C, span)
        return span

    def _end(self, span: Span, at: int | None = None) -> None:
        try:
            self._open.remove(span)
        except KeyError:
            return  # it has been ended with the stub
        span.end(at)


def from_environment() -> Spans:
    """Spans as the variables of OpenTelemetry have them.

    Raises `CannotTrace` for an unknown exporter, and whatever the SDK does of values that
    it cannot read.
    """
    provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
    for exporter in _exporters(os.environ):
        provider.add_span_processor(BatchSpanProcessor(exporter))
    return Spans(provider)


def _resource() -> Resource:
    """What the environment says of this process; it is named stepstub where that names nothing."""
    given = Resource.create()
    ours = {SERVICE_VERSION: metadata.version("stepstub")}
    if str(given.attributes.get(SERVICE_NAME)).startswith("unknown_service"):
        ours[SERVICE_NAME] = "stepstub"
    return Resource({**ours, **{k: v for k, v in given.attributes.items() if k not in ours}})


def _exporters(environment: Mapping[str, str]) -> Iterator[SpanExporter]:
    names = environment.get("OTEL_TRACES_EXPORTER", "").split(",")
    for name in [name.strip() for name in names if name.strip()] or ["otlp"]:
        if name != "none":
            yield _exporter(_otlp(environment) if name == "otlp" else name, name)


def _otlp(environment: Mapping[str, str]) -> str:
    """The name of the exporter for the protocol that is asked for."""
    variables = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
    for variable in variables:
        if protocol := environment.get(variable, "").strip():
            if protocol not in _PROTOCOLS:
                raise CannotTrace(
                    f"{variable} is {protocol!r}; it has to be {' or '.join(_PROTOCOLS)}"
                )
            return _PROTOCOLS[protocol]
    return _PROTOCOLS["http/protobuf"]


def _exporter(entry_point: str, name: str) -> SpanExporter:
    # Packages offer their exporters by entry points of this group.
    found = metadata.entry_points(group="opentelemetry_traces_exporter", name=entry_point)
    for each in found:
        exporter: SpanExporter = each.load()()
        return exporter
    needed = " for grpc" if name != entry_point else ""
    raise CannotTrace(f"the exporter {name!r}{needed} is not installed")


class _Headers(Getter[Headers]):
    """Reads the headers of a request, of which there may be several with one name."""

    def get(self, carrier: Headers, key: str) -> list[str] | None:
        name = key.lower().encode()
        return [value.decode("latin-1") for each, value in carrier if each == name] or None

    def keys(self, carrier: Headers) -> list[str]:
        return [name.decode("latin-1") for name, _ in carrier]


_HEADERS = _Headers()


def _injected(propagator: TextMapPropagator, span: Span) -> Headers:
    """The headers that make a span the parent of what they are sent to."""
    carrier: dict[str, str] = {}
    propagator.inject(carrier, set_span_in_context(span, Context()))
    return tuple([(name.encode(), value.encode("latin-1")) for name, value in carrier.items()])


def _local_parent(headers: Headers) -> Context:
    """The context of the span of our own that `headers` name; an empty one if they name none."""
    context = _W3C.extract(headers, Context(), _HEADERS)
    found = get_current_span(context).get_span_context()
    if not found.is_valid:
        return Context()
    ours = SpanContext(
        found.trace_id,
        found.span_id,
        is_remote=False,
        trace_flags=found.trace_flags,
        trace_state=found.trace_state,
    )
    return set_span_in_context(NonRecordingSpan(ours), Context())


def _exchange_attributes(
    method: str, path: str, route: str | None, headers: Headers, scope: Scope
) -> Attributes:
    scheme = scope.get("scheme", "http")
    agent, host = _HEADERS.get(headers, "user-agent"), _HEADERS.get(headers, "host")
    return _given(
        {
            "http.request.method": method if method in _METHODS else "_OTHER",
            "http.request.method_original": None if method in _METHODS else method,
            "http.route": route,
            "url.path": path,
            "url.scheme": scheme,
            **_server(_split(f"{scheme}://{host[0]}") if host else None),
            "network.protocol.version": scope.get("http_version"),
            "user_agent.original": agent[0] if agent else None,
        }
    )


def _call_attributes(call: DelegateCall, url: str) -> Attributes:
    parts = _split(url)
    return _given(
        {
            "http.request.method": "POST",
            "url.full": parts and _without_secrets(parts),
            **_server(parts),
            "stepstub.exchange.number": call.exchange_number,
            "stepstub.step.id": call.start.process_step_id,
        }
    )


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises for one that is no number
    except ValueError:
        return None
    return parts


def _server(parts: SplitResult | None) -> Mapping[str, str | int | None]:
    if parts is None or parts.hostname is None:
        return {}
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return {"server.address": parts.hostname, "server.port": port}


def _without_secrets(parts: SplitResult) -> str:
    """A URL without the user, the password and the values of its query."""
    _, at, host = parts.netloc.rpartition("@")
    members = [member.partition("=") for member in parts.query.split("&") if member]
    query = "&".join([f"{name}=REDACTED" if by else "REDACTED" for name, by, _ in members])
    netloc = f"REDACTED:REDACTED@{host}" if at else host
    return parts._replace(netloc=netloc, query=query, fragment="").geturl()


def _set_failed(span: Span, error: str, words: str) -> None:
    span.set_attribute("error.type", error)
    span.set_status(StatusCode.ERROR, shorten(words, MAX_TEXT))


def _type_of(error: BaseException) -> str:
    return f"{type(error).__module__}.{type(error).__qualname__}"


def _given(values: Mapping[str, str | int | None]) -> Attributes:
    """The attributes that have a value."""
    return {
        name: shorten(value, MAX_TEXT) if isinstance(value, str) else value
        for name, value in values.items()
        if value is not None
    }


def _nanoseconds(moment: float) -> int:
    """A moment of `time.perf_counter` as one of the machine's clock."""
    return time.time_ns() + round((moment - time.perf_counter()) * 1e9)
