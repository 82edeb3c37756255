"""Traces: a span for each step of each sampled micro-batch, joined by W3C trace context.

Off unless the environment asks for it the way OpenTelemetry defines: `OTEL_TRACES_EXPORTER` (`otlp`,
`console`, `none`), or an endpoint in `OTEL_EXPORTER_OTLP_ENDPOINT` or
`OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`. Headers, time-outs, certificates, resource attributes and queue
sizes are read by the OpenTelemetry SDK from its own variables. `OTEL_TRACES_SAMPLER` decides which
traces are kept; without it a share of them is, and a caller's own decision is always followed.

The collector is never waited for: spans are queued, sent by a thread, and dropped when the queue is
full. What goes wrong there is logged and touches nothing else.
"""

import logging
import sys
import threading
from collections.abc import Mapping, MutableMapping
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Self

from opentelemetry import trace
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, Sampler, TraceIdRatioBased
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

log = logging.getLogger(__name__)

AttributeValue = str | int | float | bool

_propagator = TraceContextTextMapPropagator()
_current: ContextVar[str] = ContextVar("driftline_traceparent", default="")


def current_traceparent() -> str:
    """The W3C trace context of the span around the caller, "" outside of any."""
    return _current.get()


class Span:
    """One step's work on one batch, as a context manager; an exception inside marks it as failed.

    Attributes:
        traceparent: What to hand to the next step. Where tracing is off it is the parent's, so
            that a context passes through the engine untouched.
    """

    __slots__ = ("_token", "traceparent")

    def __init__(self, traceparent: str) -> None:
        self.traceparent = traceparent
        self._token: Token[str] | None = None

    def set(self, name: str, value: AttributeValue) -> None:
        """Adds an attribute known only now; does nothing where tracing is off."""

    def __enter__(self) -> Self:
        self._token = _current.set(self.traceparent)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._token is not None:
            _current.reset(self._token)
            self._token = None


class _RecordedSpan(Span):
    __slots__ = ("_span",)

    def __init__(self, span: trace.Span, parent: str) -> None:
        carrier: dict[str, str] = {}
        _propagator.inject(carrier, trace.set_span_in_context(span))
        super().__init__(carrier.get("traceparent", parent))
        self._span = span

    def set(self, name: str, value: AttributeValue) -> None:
        self._span.set_attribute(name, value)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        super().__exit__(kind, error, _)
        # StopIteration is how a source says that it has ended: no failure.
        if isinstance(error, Exception) and not isinstance(error, StopIteration):
            self._span.record_exception(error)
            self._span.set_status(trace.StatusCode.ERROR, str(error))
        self._span.end()


class Tracer:
    """Makes spans, or passes contexts through where it has no exporter."""

    def __init__(self, exporter: SpanExporter | None = None, *, sampler: Sampler | None = None, **resource: str):
        """With `exporter` None tracing is off; `resource` describes this process."""
        self._provider: TracerProvider | None = None
        if exporter is not None:
            self._provider = TracerProvider(sampler=sampler, resource=_resource(resource), shutdown_on_exit=False)
            self._provider.add_span_processor(BatchSpanProcessor(exporter))
            self._tracer = self._provider.get_tracer("driftline")

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], sample_ratio: float, **resource: str) -> "Tracer":
        """A tracer as the standard variables in `environ` ask for (see the module).

        Args:
            environ: The process environment.
            sample_ratio: Share of traces that are kept where `OTEL_TRACES_SAMPLER` is not set, 0 to 1.
            resource: Attributes of every span, such as `region`.
        """
        # None: the SDK builds the sampler that OTEL_TRACES_SAMPLER names.
        sampler = None if environ.get("OTEL_TRACES_SAMPLER") else ParentBased(TraceIdRatioBased(sample_ratio))
        try:
            return cls(_exporter(environ), sampler=sampler, **resource)
        except Exception:
            # Whatever a variable holds (a limit that is no number, say): the engine runs without traces.
            log.exception("tracing is off: OpenTelemetry refuses what its OTEL_* variables say")
            return cls()

    @property
    def enabled(self) -> bool:
        """Whether spans go anywhere."""
        return self._provider is not None

    def span(self, name: str, traceparent: str = "", **attributes: AttributeValue) -> Span:
        """A span to be entered with `with`, child of `traceparent` ("" or unreadable: a new trace)."""
        if self._provider is None:
            return Span(traceparent)
        parent = _propagator.extract({"traceparent": traceparent}) if traceparent else None
        return _RecordedSpan(self._tracer.start_span(name, context=parent, attributes=attributes), traceparent)

    def past(self, name: str, traceparent: str, times_ns: tuple[int, int], **attributes: AttributeValue) -> None:
        """A span of something that is over: begin and end in ns since the epoch, told by whoever did it."""
        if self._provider is not None:
            parent = _propagator.extract({"traceparent": traceparent}) if traceparent else None
            span = self._tracer.start_span(name, context=parent, attributes=attributes, start_time=times_ns[0])
            span.end(times_ns[1])

    def flush(self, timeout_s: float) -> None:
        """Sends what is queued, waiting `timeout_s` at the most."""
        if self._provider is not None:
            self._provider.force_flush(int(timeout_s * 1000))

    def close(self, timeout_s: float = 2.0) -> None:
        """Sends what is queued and stops, but waits no longer than `timeout_s` for the collector."""
        if self._provider is None:
            return
        # The exporter's own retries may take half a minute: a daemon thread does not hold up the exit.
        closing = threading.Thread(target=self._provider.shutdown, name="trace-shutdown", daemon=True)
        closing.start()
        closing.join(timeout_s)
        self._provider = None


def silence_third_parties(environ: MutableMapping[str, str]) -> None:
    """Switches off what libraries would report or serve by themselves; call before importing them."""
    environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    environ["DO_NOT_TRACK"] = "1"
    environ["FLWR_TELEMETRY_ENABLED"] = "0"
    environ["FLWR_DISABLE_UPDATE_CHECK"] = "1"
    # With any value, even 0, Bytewax serves its flow on all interfaces.
    environ.pop("BYTEWAX_DATAFLOW_API_ENABLED", None)


def _exporter(environ: Mapping[str, str]) -> SpanExporter | None:
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    endpoints = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    wanted = environ.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    wanted = wanted or ("otlp" if any(environ.get(name) for name in endpoints) else "none")
    if wanted == "none":
        return None
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
    # Protobuf and an HTTP client come with it: not loaded where nobody asked for traces.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter()


def _resource(attributes: Mapping[str, str]) -> Resource:
    resource = Resource.create({f"driftline.{name}": value for name, value in attributes.items()})
    named = not str(resource.attributes.get(SERVICE_NAME, "unknown_service")).startswith("unknown_service")
    return resource if named else resource.merge(Resource({SERVICE_NAME: "driftline"}))
