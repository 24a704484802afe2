"""Whether `stepstub serve` has its exchanges traced, as the variables of OpenTelemetry say."""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stepstub.exchange import Tracing

EXPORTER = "OTEL_TRACES_EXPORTER"
ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")

log = logging.getLogger("stepstub")


def asked_by(environment: Mapping[str, str]) -> str | None:
    """The variable that asks for traces, if one does: that of an exporter, else of an endpoint."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    exporters = [each.strip() for each in environment.get(EXPORTER, "").split(",") if each.strip()]
    if exporters:
        return EXPORTER if set(exporters) != {"none"} else None
    return next((name for name in ENDPOINTS if environment.get(name, "").strip()), None)


@contextmanager
def tracing() -> "Iterator[Tracing | None]":
    """What traces exchanges, if the environment asks for it; in the end all spans are sent.

    Where it cannot be set up a line of the log says why, for the environment may be one that
    others share, and the stub works without.
    """
    variable = asked_by(os.environ)
    if variable is None:
        yield None
        return
    try:
        from stepstub.tracing import from_environment

        spans = from_environment()
    except ModuleNotFoundError as error:
        log.warning(
            "No traces: %s asks for them, but %s is not installed: pip install opentelemetry-sdk"
            " opentelemetry-exporter-otlp-proto-http, or set OTEL_SDK_DISABLED=true.",
            variable,
            error.name,
        )
        yield None
    except Exception as error:  # noqa: BLE001 - the SDK has no class for what it cannot read
        log.warning("No traces: OpenTelemetry cannot be set up, %s.", error)
        yield None
    else:
        try:
            yield spans
        finally:
            spans.close()
