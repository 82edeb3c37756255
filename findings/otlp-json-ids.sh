#!/usr/bin/env bash
# opentelemetry-proto 1.45.2 with protobuf 7.36.2: protobuf's own JSON reader takes a valid OTLP/JSON record and reads
# its ids wrong without an error. OTLP/JSON writes trace and span ids in hexadecimal; protobuf's JSON takes them for
# base64, of which 32 and 16 hexadecimal digits are valid text, so a trace id of 16 bytes becomes one of 24 and matches
# no trace. Its writer gives base64 ids and names of enumeration values, neither of which OTLP/JSON allows.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m pip install -q --disable-pip-version-check --target "$folder" opentelemetry-proto==1.45.2 protobuf==7.36.2
PYTHONPATH=$folder python3 - <<'PY'
from importlib.metadata import version

from google.protobuf import json_format
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

trace, span = "5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174"
document = {"timeUnixNano": "1700000000000000000", "severityNumber": 9, "traceId": trace, "spanId": span}
read = json_format.ParseDict(document, LogRecord())
print(f"opentelemetry-proto {version('opentelemetry-proto')}, protobuf {version('protobuf')}")
print(f"trace id {trace} is read as {read.trace_id.hex()} ({len(read.trace_id)} bytes)")
print(f"span id {span} is read as {read.span_id.hex()} ({len(read.span_id)} bytes)")
assert (len(read.trace_id), len(read.span_id)) == (24, 12)
record = LogRecord(trace_id=bytes.fromhex(trace), span_id=bytes.fromhex(span), severity_number=9)
written = json_format.MessageToDict(record)
print(f"the record with the right ids is written as {written}")
assert written["traceId"] != trace and written["severityNumber"] == "SEVERITY_NUMBER_INFO"
PY
