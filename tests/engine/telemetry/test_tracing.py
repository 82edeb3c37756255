"""Traces: what turns them on, how spans hang together, and that a dead collector hurts nobody."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased, TraceIdRatioBased
from opentelemetry.trace import StatusCode

from engine.telemetry.opt_out import silence_third_parties
from engine.telemetry.tracing import Tracer, current_traceparent

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SAMPLED = 1
UNSAMPLED = PARENT[:-2] + "00"


@pytest.fixture
def exporter():
    return InMemorySpanExporter()


@pytest.fixture
def tracer(exporter):
    tracer = Tracer(exporter, sampler=ParentBased(ALWAYS_ON), region="eu")
    yield tracer
    tracer.close()


def finished(tracer, exporter):
    tracer.flush(5)
    return {span.name: span for span in exporter.get_finished_spans()}


def test_steps_of_a_batch_are_one_trace(tracer, exporter):
    with tracer.span("source", lines=1000) as source:
        pass
    with tracer.span("parse", source.traceparent) as parse:
        parse.set("bad", 3)
    spans = finished(tracer, exporter)
    assert spans["parse"].context.trace_id == spans["source"].context.trace_id
    assert spans["parse"].parent.span_id == spans["source"].context.span_id
    assert spans["source"].attributes == {"lines": 1000}
    assert spans["parse"].attributes == {"bad": 3}
    assert spans["parse"].resource.attributes["service.name"] == "driftline"
    assert spans["parse"].resource.attributes["driftline.region"] == "eu"


def test_a_foreign_parent_is_taken_over_and_its_decision_followed(tracer, exporter):
    with tracer.span("kept", PARENT) as kept:
        assert kept.traceparent.split("-")[1] == PARENT.split("-")[1]
        assert kept.traceparent.split("-")[2] != PARENT.split("-")[2]
    with tracer.span("dropped", UNSAMPLED) as dropped:
        assert dropped.traceparent.endswith("-00")
    assert list(finished(tracer, exporter)) == ["kept"]


@pytest.mark.parametrize("broken", ["", "nonsense", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "\x00"])
def test_an_unreadable_parent_starts_a_new_trace(tracer, exporter, broken):
    with tracer.span("source", broken):
        pass
    assert finished(tracer, exporter)["source"].parent is None


def test_a_failing_step_is_marked_and_the_error_goes_on(tracer, exporter):
    with pytest.raises(ValueError, match="boom"), tracer.span("score"):
        raise ValueError("boom")
    span = finished(tracer, exporter)["score"]
    assert span.status.status_code is StatusCode.ERROR
    assert span.events[0].name == "exception"


def test_the_end_of_a_source_is_no_failure(tracer, exporter):
    with pytest.raises(StopIteration), tracer.span("source"):
        raise StopIteration
    assert finished(tracer, exporter)["source"].status.status_code is StatusCode.UNSET


def test_the_current_context_follows_the_spans(tracer):
    assert current_traceparent() == ""
    with tracer.span("outer") as outer:
        with tracer.span("inner", outer.traceparent) as inner:
            assert current_traceparent() == inner.traceparent
        assert current_traceparent() == outer.traceparent
    assert current_traceparent() == ""


def test_off_passes_the_context_through():
    tracer = Tracer()
    with tracer.span("parse", PARENT, lines=5) as span:
        span.set("bad", 1)
        assert span.traceparent == PARENT
    assert not tracer.enabled
    tracer.flush(1)
    tracer.close()


def test_a_share_of_traces_is_kept(exporter):
    tracer = Tracer(exporter, sampler=ParentBased(TraceIdRatioBased(0.25)))
    for _ in range(400):
        with tracer.span("source"):
            pass
    tracer.flush(5)
    assert 40 < len(exporter.get_finished_spans()) < 180
    tracer.close()


@pytest.mark.parametrize(
    ("environ", "enabled"),
    [
        ({}, False),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, False),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "otlp"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1/v1/traces"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "console"}, True),
    ],
)
def test_the_standard_variables_decide(environ, enabled):
    tracer = Tracer.from_environment(environ, 1.0)
    assert tracer.enabled is enabled
    tracer.close()


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "known are otlp, console and none"),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "use http/protobuf"),
    ],
)
def test_what_is_not_supported_is_said_and_does_not_stop_the_engine(environ, sentence, caplog):
    assert not Tracer.from_environment(environ, 1.0).enabled
    assert sentence in caplog.text


def test_a_variable_that_the_sdk_refuses_leaves_tracing_off(monkeypatch, caplog):
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "many")
    assert not Tracer.from_environment({"OTEL_TRACES_EXPORTER": "otlp"}, 1.0).enabled
    assert "tracing is off" in caplog.text


def test_the_sampler_variable_wins_over_the_setting(monkeypatch):
    environ = {"OTEL_TRACES_EXPORTER": "console", "OTEL_TRACES_SAMPLER": "always_off"}
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    tracer = Tracer.from_environment(environ, 1.0)
    with tracer.span("source") as span:
        flags = int(span.traceparent.rpartition("-")[2], 16)
        assert not flags & SAMPLED
    tracer.close()


@pytest.fixture
def collector():
    received: list[ExportTraceServiceRequest] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", received
    server.shutdown()
    thread.join()
    server.server_close()


def test_spans_reach_an_otlp_collector(collector, monkeypatch):
    endpoint, received = collector
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=logs,team=ops")
    tracer = Tracer.from_environment({"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}, 1.0, region="eu")
    with tracer.span("source"):
        pass
    tracer.close(timeout_s=10)
    (resource_spans,) = received[0].resource_spans
    attributes = {a.key: a.value.string_value for a in resource_spans.resource.attributes}
    assert attributes["service.name"] == "logs"
    assert attributes["team"] == "ops"
    assert attributes["driftline.region"] == "eu"
    assert resource_spans.scope_spans[0].spans[0].name == "source"


def test_a_collector_that_is_not_there_costs_nothing_but_its_spans(monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.5")
    before = set(threading.enumerate())
    tracer = Tracer.from_environment({"OTEL_TRACES_EXPORTER": "otlp"}, 1.0)
    for _ in range(10_000):
        with tracer.span("source"):
            pass
    tracer.close(timeout_s=0.2)
    assert not tracer.enabled
    # Its retries draw random numbers, which property tests that run meanwhile would be blamed for.
    for thread in set(threading.enumerate()) - before:
        thread.join(30)
        assert not thread.is_alive()


def test_libraries_are_told_to_stay_quiet():
    environ = {"BYTEWAX_DATAFLOW_API_ENABLED": "0", "PATH": "/bin"}
    silence_third_parties(environ)
    assert environ["HF_HUB_DISABLE_TELEMETRY"] == "1"
    assert environ["FLWR_TELEMETRY_ENABLED"] == "0"
    assert "BYTEWAX_DATAFLOW_API_ENABLED" not in environ
    assert environ["PATH"] == "/bin"
