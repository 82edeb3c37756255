"""Records of OTLP requests as the parser reads them: time, level, trace and text of each."""

import numpy as np
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from connectors.base import LineBatch
from connectors.packed.otlp import OtlpMessages
from connectors.packed.positions import place_of
from engine.steps.parse import Parser, ParseSettings

TIME_NS = 1_710_051_901_123_456_789
TRACES = (b"\xab" * 16, b"\xcd" * 16)


@pytest.fixture
def batch() -> LineBatch:
    request = ExportLogsServiceRequest()
    group = request.resource_logs.add()
    group.resource.attributes.add(key="service.name").value.string_value = "shop"
    part = group.scope_logs.add()
    for i, trace in enumerate((*TRACES, TRACES[0])):
        record = part.log_records.add(time_unix_nano=TIME_NS + i, severity_number=17, trace_id=trace, span_id=b"s" * 8)
        record.body.string_value = f"payment of order {i} failed\nafter 3 attempts"
        record.attributes.add(key="attempt").value.int_value = 3
    value = np.frombuffer(request.SerializeToString(), np.uint8)
    one = np.ones(1, np.int64)
    found = OtlpMessages("t/0", whole=True).unpack(one * value.ctypes.data, one * len(value), one * 5)
    return LineBatch("t/0", found.data, found.ends, found.positions, TIME_NS + 10**9, TIME_NS)


@pytest.mark.parametrize("format", ["auto", "otlp"])
def test_a_record_keeps_its_time_level_trace_and_text(batch: LineBatch, format: str) -> None:
    parser = Parser(ParseSettings(format=format, session_key="trace" if format == "otlp" else ""), place_of)
    good = parser.parse(batch).good
    assert good.bad == ()
    assert good.time_ns.tolist() == [TIME_NS + i for i in range(3)]
    assert len(set(good.template.tolist())) == 1
    fields = parser.take_apart(batch.line(2), batch.read_ns)
    assert (fields.level, fields.component, fields.format) == ("error", "shop", "otlp")
    assert fields.message == "payment of order 2 failed after 3 attempts"
    if format == "otlp":
        assert good.session[0] == good.session[2] != good.session[1]
        assert fields.session_key == TRACES[0].hex()
    assert [place_of("t/0", int(p)) for p in batch.positions] == ["t/0/5", "t/0/5#1", "t/0/5#2"]
