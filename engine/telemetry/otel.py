"""Spans as OpenTelemetry records and exports them; imported only where traces are on."""

import logging
import sys
from collections.abc import Mapping
from types import TracebackType

from opentelemetry import trace
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, Sampler, TraceIdRatioBased
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from engine.telemetry.tracing import AttributeValue, Span

log = logging.getLogger(__name__)

_propagator = TraceContextTextMapPropagator()


class RecordedSpan(Span):
    """A span that is exported when it ends."""

    __slots__ = ("_span",)

    def __init__(self, span: trace.Span, parent: str) -> None:
        carrier: dict[str, str] = {}
        _propagator.inject(carrier, trace.set_span_in_context(span))
        super().__init__(carrier.get("traceparent", parent))
        self._span = span

    def set(self, name: str, value: AttributeValue) -> None:
        """See `Span.set`."""
        self._span.set_attribute(name, value)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        super().__exit__(kind, error, _)
        # StopIteration is how a source signals its end: not a failure.
        if isinstance(error, Exception) and not isinstance(error, StopIteration):
            self._span.record_exception(error)
            self._span.set_status(trace.StatusCode.ERROR, str(error))
        self._span.end()


class Recorder:
    """Records the spans of one `Tracer`."""

    def __init__(self, exporter: SpanExporter, sampler: Sampler | None, resource: Mapping[str, str]) -> None:
        self.provider = TracerProvider(sampler=sampler, resource=_resource(resource), shutdown_on_exit=False)
        self.provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self.provider.get_tracer("driftline")

    def span(self, name: str, traceparent: str, attributes: Mapping[str, AttributeValue]) -> Span:
        """See `Tracer.span`."""
        parent = _propagator.extract({"traceparent": traceparent}) if traceparent else None
        return RecordedSpan(self._tracer.start_span(name, context=parent, attributes=attributes), traceparent)

    def past(
        self, name: str, traceparent: str, times_ns: tuple[int, int], attributes: Mapping[str, AttributeValue]
    ) -> None:
        """See `Tracer.past`."""
        parent = _propagator.extract({"traceparent": traceparent}) if traceparent else None
        span = self._tracer.start_span(name, context=parent, attributes=attributes, start_time=times_ns[0])
        span.end(times_ns[1])


def sampler(environ: Mapping[str, str], sample_ratio: float) -> Sampler | None:
    """The sampler for a share of the traces; None where `OTEL_TRACES_SAMPLER` names one that the SDK builds."""
    return None if environ.get("OTEL_TRACES_SAMPLER") else ParentBased(TraceIdRatioBased(sample_ratio))


def exporter(wanted: str, environ: Mapping[str, str]) -> SpanExporter | None:
    """The exporter named `wanted`; None, with a warning in the log, where it is unknown or not supported."""
    if wanted == "console":
        return ConsoleSpanExporter(out=sys.stderr)
    if wanted != "otlp":
        log.warning("tracing is off: OTEL_TRACES_EXPORTER is %r; known are otlp, console and none", wanted)
        return None
    general = environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "")
    protocol = environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", general).strip() or "http/protobuf"
    if protocol != "http/protobuf":
        log.warning("tracing is off: the OTLP protocol %r is not supported; use http/protobuf", protocol)
        return None
    # Protobuf and an HTTP client come with it: not loaded where traces go to the console.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter()


def _resource(attributes: Mapping[str, str]) -> Resource:
    resource = Resource.create({f"driftline.{name}": value for name, value in attributes.items()})
    named = not str(resource.attributes.get(SERVICE_NAME, "unknown_service")).startswith("unknown_service")
    return resource if named else resource.merge(Resource({SERVICE_NAME: "driftline"}))
