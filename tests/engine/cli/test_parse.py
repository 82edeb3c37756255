import csv
import io

import orjson
import pyarrow.parquet
import pytest

from engine.offline.export import COLUMNS, csv_text

LINES = b"""\xef\xbb\xbf2024-03-10 06:25:01,123 - shop.orders - ERROR - order 17 failed\r
Traceback (most recent call last):\r
  File "orders.py", line 7, in place\r
ValueError: no such customer\r
\x1b[32m<34>Oct  1 22:14:15\x1b[0m web-1 sshd[4711]: Accepted publickey for root
CEF:0|V|Product|1.0|100|worm stopped|10|src=10.0.0.1
{"time":"2024-03-10T06:25:02.5Z","msg":"hello","level":"warn","pid":3}
\xff\x00 nothing known
"""


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "mixed.log"
    path.write_bytes(LINES)
    return path


def test_json_lines_hold_every_field(driftline, log, tmp_path):
    out = tmp_path / "out.jsonl"
    ran = driftline("parse", log, "-o", out)
    assert ran.code == 0
    assert "8 lines: 5 records" in ran.err
    assert "3 lines joined, 0 not parsed" in ran.err
    records = [orjson.loads(line) for line in out.read_bytes().splitlines()]
    assert [tuple(record) for record in records] == [COLUMNS] * 5
    assert [record["format"] for record in records] == ["python", "syslog", "cef", "json", "unknown"]
    first, second, third, fourth, last = records
    assert first["timestamp"] == "2024-03-10T06:25:01.123000000Z"
    assert first["message"].splitlines()[-1] == "ValueError: no such customer"
    assert (first["template"], first["level"], first["component"]) == ("order <NUM> failed", "error", "shop.orders")
    assert (second["host"], second["component"], second["pid"], second["level"]) == ("web-1", "sshd", 4711, "fatal")
    assert (third["level"], third["component"]) == ("fatal", "Product")
    assert (fourth["timestamp"], fourth["pid"]) == ("2024-03-10T06:25:02.500000000Z", 3)
    assert last["message"] == "ÿ\x00 nothing known"


def test_csv_and_parquet_hold_the_same(driftline, log, tmp_path):
    names = {kind: tmp_path / f"out.{kind}" for kind in ("jsonl", "csv", "parquet")}
    for kind, path in names.items():
        assert driftline("parse", log, "--to", kind, "-o", path).code == 0
    want = [orjson.loads(line) for line in names["jsonl"].read_bytes().splitlines()]
    rows = list(csv.DictReader(io.StringIO(names["csv"].read_text("utf-8"), newline="")))
    table = pyarrow.parquet.read_table(names["parquet"])
    assert str(table.schema.field("timestamp").type) == "timestamp[ns, tz=UTC]"
    known = [name for name in COLUMNS if name not in {"timestamp", "pid"}]
    for i, record in enumerate(want):
        assert [csv_text(rows[i][name]) for name in known] == [record[name] for name in known]
        assert [table[name][i].as_py() for name in [*known, "pid"]] == [record[name] for name in [*known, "pid"]]
    written = [0, 1, 3]  # the others have no time of their own
    assert [rows[i]["timestamp"] for i in written] == [want[i]["timestamp"] for i in written]
    assert table["timestamp"][0].value == 1_710_051_901_123_000_000


def test_lines_of_another_format_are_counted(driftline, log):
    ran = driftline("parse", log, "--format", "hdfs", "-o", log.with_suffix(".out"))
    assert ran.code == 0
    assert "0 records (none)" in ran.err
    assert "8 not parsed; the first: " in ran.err
    assert "expected 'YYMMDD" in ran.err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--format", "hdsf"), "known are otlp, hdfs"),
        (("--to", "xml"), "known are jsonl, csv, parquet"),
        (("--session-key", "nope"), "not a rule of any format"),
    ],
)
def test_what_cannot_work_is_said(driftline, log, arguments, reason):
    ran = driftline("parse", log, *arguments)
    assert ran.code == 2
    assert reason in " ".join(ran.err.split())


def test_a_file_that_is_not_there_is_said(driftline, tmp_path):
    ran = driftline("parse", tmp_path / "none.log")
    assert ran.code == 2
    assert "no such file" in ran.err


def test_a_trace_that_batches_cut_stays_whole(parse_settings_small_blocks):
    whole, cut = parse_settings_small_blocks
    assert whole == cut
    assert len(whole) == 200
    assert all(record["message"].count("\n") == 3 for record in whole)


@pytest.fixture
def parse_settings_small_blocks(tmp_path):
    from connectors.files import FileSettings, FileSource
    from engine.offline.export import RecordReader
    from engine.steps.parse import Parser, ParseSettings

    lines = LINES.removeprefix(b"\xef\xbb\xbf").splitlines(keepends=True)[:4]
    path = tmp_path / "trace.log"
    path.write_bytes(b"".join(lines) * 200)
    found = []
    for block in (1 << 20, 100):
        source = FileSource(FileSettings(paths=(str(path),), block_bytes=block))
        reader = RecordReader(Parser(ParseSettings(format="auto"), source.describe))
        partition = source.open(source.partitions()[0], None)
        records = []
        while True:
            try:
                batch = partition.next_batch()
            except StopIteration:
                break
            if batch is not None:
                records += reader.add(batch)
        found.append(records + reader.finish())
    return found


def test_the_place_of_the_first_bad_line_is_its_line_and_byte(driftline, tmp_path):
    path = tmp_path / "app.log"
    path.write_bytes(b"2024-03-10 06:25:01,123 - shop - INFO - up\nno header\n")
    ran = driftline("parse", path, "--format", "python", "-o", tmp_path / "out.jsonl")
    assert f"the first: {path}, line 2, byte 43: does not match format python" in ran.err
