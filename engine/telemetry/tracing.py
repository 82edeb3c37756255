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
import threading
from collections.abc import Mapping
from contextvars import ContextVar, Token
from types import TracebackType
from typing import TYPE_CHECKING, Self

from foundation.extras import MissingExtraError, require

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.sdk.trace.sampling import Sampler

    from engine.telemetry.otel import Recorder

log = logging.getLogger(__name__)

AttributeValue = str | int | float | bool

_current: ContextVar[str] = ContextVar("driftline_traceparent", default="")
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


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
        """Adds an attribute whose value is known only now; does nothing where tracing is off."""

    def __enter__(self) -> Self:
        self._token = _current.set(self.traceparent)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._token is not None:
            _current.reset(self._token)
            self._token = None


class Tracer:
    """Makes spans, or passes contexts through where it has no exporter."""

    def __init__(self, exporter: "SpanExporter | None" = None, *, sampler: "Sampler | None" = None, **resource: str):
        """With `exporter` None tracing is off; `resource` describes this process."""
        self._recorder: Recorder | None = None
        if exporter is not None:
            from engine.telemetry import otel

            self._recorder = otel.Recorder(exporter, sampler, resource)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], sample_ratio: float, **resource: str) -> "Tracer":
        """A tracer as the standard variables in `environ` ask for (see the module).

        Args:
            environ: The process environment.
            sample_ratio: Share of traces that are kept where `OTEL_TRACES_SAMPLER` is not set, 0 to 1.
            resource: Attributes of every span, such as `region`.
        """
        if (wanted := exporter_asked_for(environ)) == "none":
            return cls()
        try:
            require("otel", "tracing")
            from engine.telemetry.otel import exporter, sampler

            return cls(exporter(wanted, environ), sampler=sampler(environ, sample_ratio), **resource)
        except MissingExtraError as error:
            log.warning("tracing is off: %s", error)
        except Exception:
            # For any invalid variable (such as a limit that is not a number), the engine runs without traces.
            log.exception("tracing is off: OpenTelemetry rejects the values of its OTEL_* variables")
        return cls()

    @property
    def enabled(self) -> bool:
        """Whether spans go anywhere."""
        return self._recorder is not None

    def span(self, name: str, traceparent: str = "", **attributes: AttributeValue) -> Span:
        """A span to be entered with `with`, child of `traceparent` ("" or unreadable: a new trace)."""
        if self._recorder is None:
            return Span(traceparent)
        return self._recorder.span(name, traceparent, attributes)

    def past(self, name: str, traceparent: str, times_ns: tuple[int, int], **attributes: AttributeValue) -> None:
        """Records a span that has ended already; `times_ns` are its begin and end in ns since the epoch."""
        if self._recorder is not None:
            self._recorder.past(name, traceparent, times_ns, attributes)

    def flush(self, timeout_s: float) -> None:
        """Sends what is queued, waiting at most `timeout_s`."""
        if self._recorder is not None:
            self._recorder.provider.force_flush(int(timeout_s * 1000))

    def close(self, timeout_s: float = 2.0) -> None:
        """Sends what is queued and stops, but waits no longer than `timeout_s` for the collector."""
        if self._recorder is None:
            return
        # The exporter's own retries may take half a minute: a daemon thread does not hold up the exit.
        closing = threading.Thread(target=self._recorder.provider.shutdown, name="trace-shutdown", daemon=True)
        closing.start()
        closing.join(timeout_s)
        self._recorder = None


def exporter_asked_for(environ: Mapping[str, str]) -> str:
    """The exporter that the environment asks for, `none` where traces are off."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return "none"
    asked = environ.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    return asked or ("otlp" if any(environ.get(name) for name in _ENDPOINTS) else "none")
