"""Whether traces arrive: one span is sent, and the collector's answer is read.

The exporter of OpenTelemetry reports success for redirects, for a login page and for spans that the collector rejects,
so without this, traces can be lost unnoticed. Imported only where traces are exported.
"""

import logging
from typing import Any

import requests
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from foundation.errors import DriftlineError

ANSWER_S = 5.0
"""How long the collector may take, retries included."""

PROTOBUF = "application/x-protobuf"


class TraceExportError(DriftlineError):
    """The collector does not take spans; the message gives its answer."""


def probe() -> str:
    """Send one span as the environment says, and return a sentence about the collector.

    Raises:
        TraceExportError: it does not answer, or its answer is not that of a collector which took the span.
    """
    answers: list[requests.Response] = []

    def keep(answer: requests.Response, *_: Any, **__: Any) -> None:
        answers.append(answer)

    session = requests.Session()
    session.hooks["response"].append(keep)
    exporter = OTLPSpanExporter(session=session, timeout=ANSWER_S)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    loud = logging.getLogger("opentelemetry")
    level = loud.level
    loud.setLevel(logging.CRITICAL)  # the sentence here holds the reason
    try:
        provider.get_tracer("driftline").start_span("driftline check").end()
        provider.shutdown()
    finally:
        loud.setLevel(level)
    if not answers:
        raise TraceExportError(f"no answer within {ANSWER_S:g} s; check OTEL_EXPORTER_OTLP_ENDPOINT")
    return _verdict(answers[0])


def _verdict(answer: requests.Response) -> str:
    where, kind = answer.url, answer.headers.get("Content-Type", "").partition(";")[0]
    if answer.is_redirect:
        raise TraceExportError(f"{where} redirects to {answer.headers['Location']}; name that address instead")
    if answer.status_code != 200:
        raise TraceExportError(f"{where} answers with status {answer.status_code} ({answer.reason})")
    if kind != PROTOBUF:
        raise TraceExportError(f"{where} answers with {kind or 'no content type'}, not with OTLP ({PROTOBUF})")
    try:
        found = ExportTraceServiceResponse.FromString(answer.content)
    except DecodeError as error:
        raise TraceExportError(f"{where} answers with a message that is not OTLP: {error}") from error
    if found.partial_success.rejected_spans:
        raise TraceExportError(f"{where} rejects spans: {found.partial_success.error_message or 'no reason given'}")
    return f"{where} took a span"
