"""OTLP's log requests: compiled loops against the messages of `opentelemetry-proto`, and hostile bytes."""

import json
from typing import Any

import numpy as np
import orjson
import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from connectors.packed.lines import Unpacked
from connectors.packed.otlp import OtlpMessages
from connectors.packed.otlp_json import OtlpJsonMessages
from connectors.packed.otlp_values import MOST_NESTED
from connectors.packed.positions import LINE_BITS
from tests.connectors.packed.test_lines import memory_of

LEVELS = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")

_TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
_INTS = st.integers(-(1 << 63), (1 << 63) - 1)


def _value(content: Any) -> AnyValue:
    if isinstance(content, bool):
        return AnyValue(bool_value=content)
    if isinstance(content, int):
        return AnyValue(int_value=content)
    if isinstance(content, float):
        return AnyValue(double_value=content)
    if isinstance(content, bytes):
        return AnyValue(bytes_value=content)
    value = AnyValue()
    if isinstance(content, str):
        value.string_value = content
    elif isinstance(content, list):
        value.array_value.SetInParent()
        value.array_value.values.extend(map(_value, content))
    elif isinstance(content, dict):
        value.kvlist_value.SetInParent()
        value.kvlist_value.values.extend(_pairs(content))
    return value


def _pairs(content: dict[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=key, value=_value(item)) for key, item in content.items()]


_CONTENTS = st.recursive(
    st.one_of(st.none(), st.booleans(), _INTS, st.floats(allow_nan=False, allow_infinity=False), _TEXT, st.binary()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_TEXT, inner, max_size=3)),
    max_leaves=5,
)
_ATTRIBUTES = st.dictionaries(_TEXT, _CONTENTS, max_size=3)
_SIMPLE = st.dictionaries(_TEXT, st.one_of(st.booleans(), _INTS, _TEXT), max_size=3)
_RECORDS = st.fixed_dictionaries(
    {
        "time": st.one_of(st.just(0), st.integers(1, (1 << 63) - 1)),
        "observed": st.one_of(st.just(0), st.integers(1, (1 << 63) - 1)),
        "severity": st.integers(0, 24),
        "text": _TEXT,
        "body": _CONTENTS,
        "attributes": st.one_of(_SIMPLE, _ATTRIBUTES),
        "trace": st.one_of(st.just(b""), st.binary(min_size=16, max_size=16)),
        "span": st.one_of(st.just(b""), st.binary(min_size=8, max_size=8)),
    }
)
_SCOPES = st.tuples(_TEXT, _TEXT, _ATTRIBUTES, st.lists(_RECORDS, max_size=3))
_GROUPS = st.tuples(_ATTRIBUTES, st.lists(_SCOPES, max_size=2))
_REQUESTS = st.lists(_GROUPS, max_size=2)


def _request(groups: list[Any]) -> ExportLogsServiceRequest:
    request = ExportLogsServiceRequest()
    for resource, scopes in groups:
        group = request.resource_logs.add(schema_url="https://example.test/1")
        group.resource.attributes.extend(_pairs(resource))
        for name, version, attributes, records in scopes:
            part = group.scope_logs.add()
            part.scope.name, part.scope.version = name, version
            part.scope.attributes.extend(_pairs(attributes))
            for each in records:
                record = LogRecord(
                    time_unix_nano=each["time"], observed_time_unix_nano=each["observed"],
                    severity_number=each["severity"], severity_text=each["text"], trace_id=each["trace"],
                    span_id=each["span"], flags=1, dropped_attributes_count=2,
                )  # fmt: skip
                if each["body"] is not None:
                    record.body.CopyFrom(_value(each["body"]))
                record.attributes.extend(_pairs(each["attributes"]))
                part.log_records.append(record)
    return request


def _plain(content: Any) -> Any:
    """What JSON says of a value: bytes in base64."""
    return json.loads(orjson.dumps(_base64(content)))


def _base64(content: Any) -> Any:
    import base64

    if isinstance(content, bytes):
        return base64.b64encode(content).decode()
    if isinstance(content, list):
        return [_base64(item) for item in content]
    if isinstance(content, dict):
        return {key: _base64(item) for key, item in content.items()}
    return content


def _expected(groups: list[Any]) -> list[tuple[Any, ...]]:
    """Each record as (time, level, host, service, trace, span, JSON, body)."""
    found = []
    for resource, scopes in groups:
        names = [" ".join(str(resource.get(name) or "").split()) for name in ("host.name", "service.name")]
        for name, version, attributes, records in scopes:
            scope = {"name": name, "version": version, "attributes": _plain(attributes)}
            scope = {key: item for key, item in scope.items() if item}
            for each in records:
                time_ns = each["time"] or each["observed"]
                level = LEVELS[(each["severity"] - 1) // 4] if each["severity"] else each["text"]
                extra = {"resource": _plain(resource), "scope": scope, "attributes": _plain(each["attributes"])}
                found.append(
                    (
                        f"{np.datetime64(time_ns, 'ns')}Z" if time_ns else "",
                        level.replace("\t", " ").replace("\n", " "),
                        *names,
                        each["trace"].hex(),
                        each["span"].hex(),
                        {key: item for key, item in extra.items() if item},
                        _body(each["body"]),
                    )
                )
    return found


def _body(content: Any) -> bytes:
    if content is None:
        return b""
    if isinstance(content, str):
        return content.encode()
    return content if isinstance(content, bytes) else orjson.dumps(_base64(content))


def _fields(line: bytes) -> tuple[Any, ...]:
    *columns, extra, body = line.split(b"\t", 7)
    return (*(column.decode() for column in columns), json.loads(extra), body)


def _lines(found: Unpacked) -> list[bytes]:
    starts = [0, *(found.ends[:-1] + 1).tolist()]
    return [found.data[s:e] for s, e in zip(starts, found.ends.tolist(), strict=False)]


def _unpack(reader: Any, values: list[bytes], first: int = 0) -> Unpacked:
    addresses, sizes, _blob = memory_of(values)
    found: Unpacked = reader.unpack(addresses[first:], sizes[first:], np.arange(7, 7 + len(values))[first:])
    return found


def _otlp_json(request: ExportLogsServiceRequest) -> bytes:
    """As the Collector writes it: ids in hexadecimal, enums as numbers."""
    document = MessageToDict(request, use_integers_for_enums=True)
    for group, plain in zip(request.resource_logs, document.get("resourceLogs", []), strict=True):
        for part, plain_part in zip(group.scope_logs, plain.get("scopeLogs", []), strict=True):
            for record, plain_record in zip(part.log_records, plain_part.get("logRecords", []), strict=True):
                plain_record |= {"traceId": record.trace_id.hex(), "spanId": record.span_id.hex()}
    return orjson.dumps(document)


@given(st.lists(_REQUESTS, min_size=1, max_size=3), st.integers(0, 1))
def test_records_come_out_whole(requests: list[Any], first: int) -> None:
    messages = [_request(groups) for groups in requests]
    for reader, values in (
        (OtlpMessages("t/0", whole=True), [message.SerializeToString() for message in messages]),
        (OtlpJsonMessages("t/0", whole=True), [_otlp_json(message) for message in messages]),
    ):
        found = _unpack(reader, values, min(first, len(values)))
        wanted = [
            ((7 + i) << LINE_BITS | index, fields)
            for i, groups in list(enumerate(requests))[first:]
            for index, fields in enumerate(_expected(groups))
        ]
        assert not found.rejects
        assert found.positions.tolist() == [position for position, _ in wanted]
        for line, (_, fields) in zip(_lines(found), wanted, strict=True):
            *head, body = _fields(line)
            *wanted_head, wanted_body = fields
            assert head == wanted_head
            assert body == wanted_body.replace(b"\n", b" ")


@given(st.lists(_REQUESTS, min_size=1, max_size=3))
def test_bodies_come_out_as_lines(requests: list[Any]) -> None:
    messages = [_request(groups) for groups in requests]
    for reader, values in (
        (OtlpMessages("t/0", whole=False), [message.SerializeToString() for message in messages]),
        (OtlpJsonMessages("t/0", whole=False), [_otlp_json(message) for message in messages]),
    ):
        found = _unpack(reader, values)
        wanted = []
        for i, groups in enumerate(requests):
            bodies = [line for fields in _expected(groups) for line in fields[-1].removesuffix(b"\n").split(b"\n")]
            wanted += [((7 + i) << LINE_BITS | index, line) for index, line in enumerate(bodies)]
        assert list(zip(found.positions.tolist(), _lines(found), strict=True)) == wanted


def _good() -> bytes:
    record = {
        "time": 1, "observed": 0, "severity": 9, "text": "", "body": "fine", "attributes": {}, "trace": b"",
        "span": b"",
    }  # fmt: skip
    return _request([({}, [("", "", {}, [record])])]).SerializeToString()


@given(st.lists(st.one_of(st.binary(max_size=60), st.just(_good())), min_size=1, max_size=6), st.booleans())
def test_bytes_that_are_no_request_are_dead_letters_and_harm_no_other_message(values: list[bytes], whole: bool) -> None:
    found = _unpack(OtlpMessages("t/0", whole=whole), values)
    refused = {letter.place for letter in found.rejects}
    good = [7 + i for i, value in enumerate(values) if value == _good()]
    assert not refused & {f"t/0/{offset}" for offset in good}
    assert set(good) <= set((found.positions >> LINE_BITS).tolist())
    assert all(letter.raw == values[int(letter.place.split("/")[-1]) - 7] for letter in found.rejects)


@given(st.data())
def test_a_request_with_changed_bytes_is_read_within_its_bounds(data: Any) -> None:
    value = bytearray(_request(data.draw(_REQUESTS)).SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        if value:
            value[data.draw(st.integers(0, len(value) - 1))] = data.draw(st.integers(0, 255))
    for whole in (True, False):
        found = _unpack(OtlpMessages("t/0", whole=whole), [bytes(value), _good()])
        assert found.positions[-1] == 8 << LINE_BITS
        assert len(found.ends) == found.data.count(b"\n")
        if whole and not found.rejects and (request := _parsed(bytes(value))) is not None:
            records = [len(part.log_records) for group in request.resource_logs for part in group.scope_logs]
            assert len(found.ends) == sum(records) + 1


def _parsed(value: bytes) -> ExportLogsServiceRequest | None:
    try:
        return ExportLogsServiceRequest.FromString(value)
    except DecodeError:
        return None


@pytest.mark.parametrize("cut", range(1, 20))
def test_a_cut_request_is_refused(cut: int) -> None:
    value = _good()[:-cut]
    found = _unpack(OtlpMessages("t/0", whole=True), [value])
    (letter,) = found.rejects
    assert (letter.place, letter.raw, letter.raw_bytes) == ("t/0/7", value, len(value))
    assert letter.reason == "message refused, it is not a log request of OTLP"


def _nested(depth: int) -> AnyValue:
    value = AnyValue(string_value="deep")
    for _ in range(depth):
        outer = AnyValue()
        outer.array_value.values.append(value)
        value = outer
    return value


@pytest.mark.parametrize("place", ["body", "attribute", "resource"])
def test_values_that_are_nested_too_deeply_refuse_their_message_alone(place: str) -> None:
    request = ExportLogsServiceRequest()
    group = request.resource_logs.add()
    record = group.scope_logs.add().log_records.add()
    record.body.string_value = "x"
    target = {"body": record.body, "attribute": record.attributes.add(key="a").value}
    target["resource"] = group.resource.attributes.add(key="a").value
    for depth, refused in ((MOST_NESTED - 3, 0), (MOST_NESTED + 3, 1)):
        target[place].CopyFrom(_nested(depth))
        found = _unpack(OtlpMessages("t/0", whole=True), [request.SerializeToString(), _good()])
        assert len(found.rejects) == refused
        assert len(found.ends) == 2 - refused
    assert found.rejects[0].reason.endswith(f"nested deeper than {MOST_NESTED}")


def test_a_body_of_more_lines_than_a_position_counts_refuses_its_message_alone() -> None:
    request = ExportLogsServiceRequest()
    request.resource_logs.add().scope_logs.add().log_records.add().body.string_value = "\n" * ((1 << LINE_BITS) + 2)
    found = _unpack(OtlpMessages("t/0", whole=False), [request.SerializeToString(), _good()])
    assert _lines(found) == [b"fine"]
    assert found.rejects[0].reason == "message refused, it holds more than 1048576 lines"


def _of_body(value: bytes) -> bytes:
    return b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":%s}]}]}]}' % value


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (b"{", "unexpected end"),
        (b"[]", "it is not an object"),
        (b'{"resourceLogs":{}}', "resourceLogs is not a list"),
        (b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"soon"}]}]}]}', "timeUnixNano is not a whole"),
        (b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":"text"}]}]}]}', "a value is of another type"),
        (b'{"resourceLogs":[{"resource":{"attributes":[1]},"scopeLogs":[]}]}', "attributes are not a list"),
        (b'{"resourceLogs":[{"resource":"x"}]}', "resource is not an object"),
        (b'{"resourceLogs":[{"scopeLogs":[{"scope":[1]}]}]}', "scope is not an object"),
        (_of_body(b'{"bytesValue":"a"}'), "bytesValue is not base64"),
        (_of_body(b'{"intValue":"99999999999999999999"}'), "intValue has more than 64 bits"),
        (_of_body(b'{"doubleValue":%s}' % (b"[" * 500 + b"]" * 500)), "doubleValue is a list or an object"),
        (_of_body(b'{},"severityText":%s' % (b"[" * 1000 + b"]" * 1000)), "recursion"),
    ],
)
def test_json_that_is_no_request_is_a_dead_letter_that_says_why(value: bytes, words: str) -> None:
    (letter,) = _unpack(OtlpJsonMessages("t/0", whole=True), [value]).rejects
    assert words in letter.reason
    assert letter.place == "t/0/7"


@given(st.integers(0, (1 << 63) - 1), _INTS)
def test_times_and_numbers_are_written_as_numpy_and_python_do(time_ns: int, number: int) -> None:
    record = {
        "time": time_ns, "observed": 0, "severity": 0, "text": "", "body": number, "attributes": {"n": number},
        "trace": b"", "span": b"",
    }  # fmt: skip
    groups = [({}, [("", "", {}, [record])])]
    (line,) = _lines(_unpack(OtlpMessages("t/0", whole=True), [_request(groups).SerializeToString()]))
    time, *_, extra, body = _fields(line)
    assert time == (f"{np.datetime64(time_ns, 'ns')}Z" if time_ns else "")
    assert (extra, body) == ({"attributes": {"n": number}}, b"%d" % number)
