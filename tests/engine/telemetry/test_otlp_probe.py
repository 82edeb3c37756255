"""The probe of traces, against collectors that answer in every way over real sockets."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from connectors.ports import free_port
from engine.runtime.preflight import traces
from engine.telemetry.otlp_probe import PROTOBUF, TraceExportError, probe

REJECTED = ExportTraceServiceResponse(
    partial_success=ExportTracePartialSuccess(rejected_spans=1, error_message="quota exceeded")
).SerializeToString()


class Collector:
    """Answers every request alike, and keeps what came."""

    def __init__(self, status, headers, body):
        self.bodies = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                outer.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST

            def log_message(self, *_):
                pass

        outer = self
        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def collector(monkeypatch):
    started = []

    def start(status=200, headers=None, body=b""):
        started.append(Collector(status, headers or {"Content-Type": PROTOBUF}, body))
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", started[-1].url)
        return started[-1]

    yield start
    for one in started:
        one.close()


def test_a_collector_that_takes_the_span(collector):
    taken = collector()
    assert probe() == f"{taken.url}/v1/traces took a span"
    (body,) = taken.bodies
    request = ExportTraceServiceRequest.FromString(body)
    assert request.resource_spans[0].scope_spans[0].spans[0].name == "driftline check"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"status": 302, "headers": {"Location": "/login"}}, "redirects to /login; name that address instead"),
        ({"status": 304}, r"answers with status 304"),
        ({"status": 401}, r"answers with status 401 \(Unauthorized\)"),
        ({"headers": {"Content-Type": "text/html; charset=utf-8"}, "body": b"<form>"}, "answers with text/html, not"),
        ({"headers": {"X": "y"}}, "answers with no content type"),
        ({"body": b"\xff\xff"}, "a message that is not OTLP"),
        ({"body": REJECTED}, "rejects spans: quota exceeded"),
    ],
)
def test_every_other_answer_is_named(collector, answer, reason):
    collector(**answer)
    with pytest.raises(TraceExportError, match=reason):
        probe()


def test_no_collector(monkeypatch):
    monkeypatch.setattr("engine.telemetry.otlp_probe.ANSWER_S", 0.5)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(TraceExportError, match=r"no answer within 0\.5 s; check OTEL_EXPORTER_OTLP_ENDPOINT"):
        probe()


def test_check_probes_only_where_traces_are_exported(collector):
    taken = collector()
    assert list(traces({})) == []
    assert list(traces({"OTEL_TRACES_EXPORTER": "console"})) == []
    (result,) = traces({"OTEL_EXPORTER_OTLP_ENDPOINT": taken.url})
    assert (result.name, result.ok, result.detail) == ("traces", True, f"{taken.url}/v1/traces took a span")
