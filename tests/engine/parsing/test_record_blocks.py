"""Records over several lines: one record each, wherever batches are cut, at exact positions, and nothing is lost."""

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.base import LineBatch
from engine.formats.registry import FORMATS
from engine.offline.export import RecordReader
from engine.parsing.record_blocks import RecordBlocks
from engine.steps.parse import ParseSettings

AUTO = ParseSettings(format="auto")
OTHERS = ("journald", "cri", "docker")  # have modules and tests of their own
BLOCKS = [(name, block) for name, f in FORMATS.items() if name not in OTHERS for block in f.blocks]
LINE = b"2024-03-10 06:25:01,123 - shop - ERROR - order 17 failed\n"
ARRAY = b'[{"time":"2024-03-10T06:25:01Z","msg":"a"},\n {"time":"2024-03-10T06:25:02Z","msg":"b"}\n]\n'
BATCH = b'{"Records": [{"eventTime":"2024-03-10T06:25:01Z","n":1}, {"eventTime":"2024-03-10T06:25:02Z","n":2}]}\n'
PRETTY = b'{\n  "time": "2024-03-10T06:25:01Z",\n  "message": "a",\n  "inner": {\n    "x": [1, {"y": 2}]\n  }\n}\n'
WRAPPED = b'{\n "kind": "EventList",\n "items": [\n  {"time": "2024-03-10T06:25:01Z", "msg": "a"}\n ]\n}\n'


def byte_batch(text, first=0):
    """A batch whose positions are bytes."""
    data = text if text.endswith(b"\n") or not text else text + b"\n"
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == 10).astype(np.int64)
    starts = np.concatenate([np.zeros(1, np.int64), ends[:-1] + 1])[: len(ends)]
    return LineBatch("p", data, ends, starts + first, 1_780_000_000 * 10**9, 0)


def records(parser, text, cuts=()):
    reader = RecordReader(parser)
    lines = text.splitlines(keepends=True)
    found, start = [], 0
    for end in [*sorted(set(cuts)), len(lines)]:
        if end > start:
            found += reader.add(byte_batch(b"".join(lines[start:end]), len(b"".join(lines[:start]))))
        start = max(start, end)
    return found + reader.finish(), reader


@pytest.mark.parametrize(("name", "block"), BLOCKS, ids=[name for name, _ in BLOCKS])
@pytest.mark.parametrize("given_format", [False, True])
def test_examples_are_one_record(name, block, given_format, parser_of):
    parser = parser_of(ParseSettings(format=name) if given_format else AUTO)
    text = block + block
    found, reader = records(parser, text)
    assert {record["format"] for record in found} == {name}
    assert len(found) == len(set(zip((r["position"] for r in found), strict=True))) >= 1
    assert reader.bad == 0
    assert all(record["timestamp"] < 1_780_000_000 * 10**9 for record in found) or name == "dotnet_console"


MIXED = LINE + b"".join(block + LINE for _, block in BLOCKS) + ARRAY + BATCH + PRETTY + LINE + WRAPPED
MIXED_LINES = MIXED.count(b"\n")


@pytest.fixture(scope="module")
def whole(parser_of):
    return records(parser_of(AUTO), MIXED)[0]


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(0, MIXED_LINES), max_size=6))
def test_cuts_change_nothing(cuts, whole, parser_of):
    assert records(parser_of(AUTO), MIXED, cuts)[0] == whole


@pytest.mark.parametrize("text", [PRETTY, ARRAY, WRAPPED, *(block for _, block in BLOCKS)])
def test_a_restart_changes_nothing(text, parser_of):
    text = LINE + text + LINE
    lines = text.splitlines(keepends=True)

    def positions(split):
        parser = parser_of(AUTO)
        found = parser.parse(byte_batch(b"".join(lines[:split]))).good
        again = parser_of(AUTO, parser.snapshot())
        rest = again.parse(byte_batch(b"".join(lines[split:]), len(b"".join(lines[:split])))).good
        assert not found.bad + rest.bad
        return [*found.lines.positions[found.rows].tolist(), *rest.lines.positions[rest.rows].tolist()]

    expected = positions(len(lines))
    for split in range(1, len(lines)):
        assert positions(split) == expected


@pytest.mark.parametrize(
    ("text", "messages"), [(PRETTY, ["a"]), (ARRAY, ["a", "b"]), (BATCH, ["n=1", "n=2"]), (WRAPPED, ["a"])]
)
def test_json_records_are_where_they_begin(text, messages, parser_of):
    found, reader = records(parser_of(AUTO), LINE + text + LINE)
    inner = found[1:-1]
    assert [record["message"] for record in inner] == messages
    assert reader.bad == 0
    for record in inner:
        assert (LINE + text)[record["position"] :].lstrip().startswith(b"{")
    assert len({record["position"] for record in found}) == len(found)


def test_documents_behind_each_other_in_one_line(parser_of):
    text = b'{"time":"2024-03-10T06:25:01Z","msg":"a}{b"}{"time":"2024-03-10T06:25:02Z","msg":"c"}\n'
    found, _ = records(parser_of(AUTO), text)
    assert [record["message"] for record in found] == ["a}{b", "c"]


def test_otlp_records_keep_their_resource_and_long_numbers(batch_of):
    text = (
        b'{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},'
        b'"scopeLogs":[{"scope":{"name":"s"},"logRecords":[{"timeUnixNano":"1710051901123456789",'
        b'"severityNumber":17,"body":{"stringValue":"no stock"},"id":123456789012345678901234567890}]}]}]}'
    )
    out = RecordBlocks("auto").join(batch_of([text]))
    assert len(out) == 1
    assert out.line(0).endswith(b'"id":123456789012345678901234567890}')
    assert orjson.loads(out.line(0))["resource"] == {"service.name": "shop"}


def test_a_document_that_is_a_record_is_not_unwrapped(batch_of):
    line = b'{"records":[{"a":1},{"a":2}],"time":"2024-03-10T06:25:01Z","msg":"took both"}'
    out = RecordBlocks("auto").join(batch_of([line]))
    assert [out.line(i) for i in range(len(out))] == [line]


def test_a_document_that_is_never_closed_stays_lines(batch_of):
    lines = [b"{", b'  "a": 1,', b"plain text", b'{"time":"2024-03-10T06:25:01Z","msg":"x"}']
    out = RecordBlocks("auto").join(batch_of(lines))
    assert [out.line(i) for i in range(len(out))] == lines


def test_what_waits_comes_out_when_flushed(parser_of):
    parser = parser_of(AUTO)
    parser.parse(byte_batch(LINE))
    assert not parser.waits
    assert parser.flush() is None
    block = FORMATS["mysql_slow"].blocks[0].removesuffix(b";\n") + b"\n"
    assert len(parser.parse(byte_batch(block, 1000))) == 0
    assert parser.waits
    again = parser_of(AUTO, parser.snapshot())
    for one in (parser, again):
        parsed = one.flush()
        assert parsed is not None
        assert (len(parsed), parsed.good.lines.positions.tolist()) == (1, [1000])
        assert not one.waits
        assert one.finish() is None


def test_a_slow_query_without_end_is_bounded(batch_of):
    blocks = RecordBlocks("mysql_slow")
    lines = [b"# Time: 2024-03-10T06:25:01.389753Z", *[b"# line %d" % i for i in range(500)]]
    out = blocks.join(batch_of(lines))
    assert out.line(0).startswith(b"# Time: 2024-03-10T06:25:01.389753Z # line 0 ")
    assert len(out) == 1 + 500 - 200


def test_other_batches_are_not_touched(batch_of):
    batch = batch_of([b"Nov 30 06:25:01 h app: x", b"[2024-03-10 06:25:01] y", b'{"a":1}', b"plain", b"", b"# no"])
    assert RecordBlocks("auto").join(batch) is batch
    assert RecordBlocks("hdfs").join(batch_of([b"{"])).line(0) == b"{"


STARTS = [line for _, block in BLOCKS for line in block.splitlines()] + [b"{", b"[", b"[{", b"}", b"]", b'"a": 1,']


@settings(max_examples=150, deadline=None)
@given(
    parts=st.lists(st.tuples(st.sampled_from(STARTS), st.binary(max_size=8)), max_size=12),
    cut=st.integers(0, 12),
)
def test_arbitrary_lines_never_raise_and_positions_rise(parts, cut):
    lines = [(start + more).replace(b"\n", b"") for start, more in parts]
    blocks, seen = RecordBlocks("auto"), []
    for some, first in ((lines[:cut], 0), (lines[cut:], 100_000)):
        if not some:
            continue
        batch = blocks.join(byte_batch(b"".join(line + b"\n" for line in some), first))
        assert len(batch.positions) == len(batch.ends) == batch.data.count(b"\n")
        seen += batch.positions.tolist()
        blocks = RecordBlocks("auto", blocks.snapshot())
    assert seen == sorted(set(seen))


LOOKING_LIKE = [b'{"never closed', b'[{"never closed', b'{ "a": nothing', b'{"a":1,"b\\', b'{"Records":["x']


@pytest.mark.parametrize("line", LOOKING_LIKE)
def test_a_line_that_only_looks_like_a_beginning_is_left(line, batch_of):
    batch = batch_of([line, line, b"next"])
    out = RecordBlocks("auto").join(batch)
    assert [out.line(i) for i in range(len(out))] == [line, line, b"next"]


def test_cells_of_a_table_with_commas(parser_of, batch_of):
    reader = RecordReader(parser_of(ParseSettings()))
    lines = [
        b"#Fields: date-time,client-ip,event,note",
        b'2024-03-10T06:25:01Z,10.0.0.7,FAIL,"no user, ""eve"" said"',
        b'2024-03-10T06:25:02Z,,"",a\rb',
    ]
    records = reader.add(batch_of(lines)) + reader.finish()
    assert [record["format"] for record in records] == ["w3c", "w3c"]
    assert 'no user, "eve" said' in records[0]["message"]
    assert 'note="a b"' in records[1]["message"]
