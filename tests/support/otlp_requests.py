"""Requests of OTLP's log service, as the OpenTelemetry Collector sends them."""

from collections.abc import Sequence

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest


def logs_request(bodies: Sequence[bytes]) -> bytes:
    """One request with a record for each body, which is text where it is UTF-8."""
    request = ExportLogsServiceRequest()
    group = request.resource_logs.add()
    group.resource.attributes.add(key="service.name").value.string_value = "shop"
    part = group.scope_logs.add()
    for body in bodies:
        record = part.log_records.add(observed_time_unix_nano=1_710_051_901_123_456_789)
        record.attributes.add(key="log.file.name").value.string_value = "app.log"
        try:
            record.body.string_value = body.decode()
        except UnicodeDecodeError:
            record.body.bytes_value = body
    return request.SerializeToString()
