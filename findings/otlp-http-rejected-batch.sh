#!/usr/bin/env bash
# opentelemetry-exporter-otlp-proto-http 1.45.2: a batch of spans that the collector rejects as a whole is exported
# with the result SUCCESS. The protocol answers such a batch with status 200 and a count of rejected spans in the
# body (partial success). The exporter does not read the body: an HTML page with status 200, as a login page in
# front of a collector gives it, is a success, too. Traces vanish without an error in the sender.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m pip install -q --disable-pip-version-check --target "$folder" \
    opentelemetry-exporter-otlp-proto-http==1.45.2 opentelemetry-sdk==1.45.2
PYTHONPATH=$folder python3 - <<'PY'
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

REJECTED = ExportTraceServiceResponse(
    partial_success=ExportTracePartialSuccess(rejected_spans=1, error_message="over the quota of this tenant")
).SerializeToString()
ANSWERS = {"all rejected": ("application/x-protobuf", REJECTED), "a login page": ("text/html", b"<html>Log in</html>")}
answer = ("", b"")


class Collector(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", answer[0])
        self.send_header("Content-Length", str(len(answer[1])))
        self.end_headers()
        self.wfile.write(answer[1])

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), Collector)
threading.Thread(target=server.serve_forever, daemon=True).start()
kept, provider = InMemorySpanExporter(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(kept))
with provider.get_tracer("finding").start_as_current_span("window"):
    pass
exporter = OTLPSpanExporter(endpoint=f"http://127.0.0.1:{server.server_port}/v1/traces", timeout=5)
found = {}
for name, answer in ANSWERS.items():
    found[name] = exporter.export(kept.get_finished_spans()).name
    print(f"200 with {name}: {found[name]}")
assert found == {"all rejected": "SUCCESS", "a login page": "SUCCESS"}, found
PY
