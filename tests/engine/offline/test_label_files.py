"""Labels of a log in each of the forms that they may come in."""

import gzip
import re

import numpy as np
import orjson
import pytest

from engine.offline.datasets import load_windows
from engine.offline.inputs import DatasetError, LogSpec, log_files
from engine.offline.label_files import open_labels, read_session_labels
from engine.steps.parse import ParseSettings
from engine.windows.sessions import SessionWindows
from engine.windows.sliding import SlidingWindows

AUTO = ParseSettings(format="auto")
PAIRS = SlidingWindows(size=2, stride=2)
HDFS = b"081109 2036%02d 148 INFO dfs.DataNode: served block blk_%d to /10.0.0.1\n"
JSON = '{"time":"2024-05-01T12:00:%02dZ","level":"info","message":"user %d logged in","attack":{"kind":"%s"}}\n'
BGL = "{} 11178385{:02d} 2005.06.03 R02-M1-N0 2005-06-03-15.42.50.675872 R02-M1-N0 RAS KERNEL INFO unit {}\n"


@pytest.fixture
def hdfs(tmp_path):
    """Ten lines of two blocks, a second apart."""
    path = tmp_path / "hdfs.log"
    path.write_bytes(b"".join(HDFS % (i, i % 2) for i in range(10)))
    return path


@pytest.fixture
def labels(tmp_path):
    def write(content, name="labels.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def flags(log, labels=None, window=PAIRS, supervised=True):
    return load_windows(LogSpec(log, labels, supervised=supervised), AUTO, window).labels.tolist()


@pytest.mark.parametrize(
    "content",
    [
        "BlockId,Label\nblk_0,Normal\nblk_1,Anomaly\n",
        "session,label\nblk_1,1\nblk_0,0\n",
        "Session_Key,is_anomaly,note\nblk_0,no,\nblk_1,yes,odd\n",
        "session\nblk_1\n",
        '{"session":"blk_0","label":false}\n{"session":"blk_1","label":true}\n',
        b"\xef\xbb\xbfkey,label\nblk_0,normal\nblk_1,attack\n",
    ],
)
def test_labels_by_session(hdfs, labels, content):
    found = load_windows(LogSpec(hdfs, labels(content)), AUTO, SessionWindows(growth=()))
    assert dict(zip(found.keys, found.labels.tolist(), strict=True)) == {"blk_0": False, "blk_1": True}


@pytest.mark.parametrize(
    "content",
    [
        "line,label\n3,anomaly\n4,normal\n9,anomaly\n",
        "LineId,Label\n1,-\n3,KERNDTLB\n9,APPREAD\n",
        "line\n3\n9\n",
        '{"line":3}\n\n{"line":9,"label":1}\n',
        "file,line\nhdfs.log,3\nhdfs.log,9\n",
    ],
)
def test_labels_by_line_number(hdfs, labels, content):
    assert flags(hdfs, labels(content)) == [False, True, False, False, True]


@pytest.mark.parametrize(
    "content",
    [
        "start,end,label\n2008-11-09T20:36:02Z,2008-11-09T20:36:03Z,anomaly\n2008-11-09T20:36:07Z,2008-11-09T20:36:07Z,1\n",
        "begin,end\n2008-11-09 20:36:03,2008-11-09 20:36:03.5\n2008-11-09 20:36:06.5,2008-11-09 20:36:08\n",
        "start,end\n1226262962,1226262963\n1226262967.0,1226262967\n",
        '{"from":"2008-11-09T21:36:02+01:00","to":"2008-11-09T21:36:03+01:00"}\n{"start":1226262967,"end":1226262967}\n',
    ],
)
def test_labels_by_time(hdfs, labels, content):
    assert flags(hdfs, labels(content))[:4] == [False, True, False, True]


def test_times_without_a_zone_are_in_the_zone_of_the_log(hdfs, labels):
    berlin = AUTO.model_copy(update={"timezone": "Europe/Berlin"})
    spec = LogSpec(hdfs, labels("start,end\n2008-11-09T20:36:02,2008-11-09T20:36:03\n"))
    assert load_windows(spec, berlin, PAIRS).labels.tolist() == [False, True, False, False, False]


def test_a_column_of_json_lines(tmp_path):
    path = tmp_path / "app.jsonl"
    path.write_text("".join(JSON % (i, i, "attack" if i == 4 else "benign") for i in range(8)))
    assert flags(path, "column:attack.kind") == [False, False, True, False]


def test_a_column_of_logfmt(tmp_path):
    path = tmp_path / "app.log"
    path.write_text("".join(f"time=2024-05-01T12:00:0{i}Z level=info msg=done bad={i == 1}\n" for i in range(6)))
    assert flags(path, "column:bad") == [True, False, False]


def test_a_field_of_the_header(tmp_path):
    path = tmp_path / "bgl.log"
    path.write_text("".join(BGL.format("KERNDTLB" if i == 3 else "-", i, i) for i in range(8)))
    assert flags(path, "column:label") == [False, True, False, False]


def test_the_label_column_of_a_detected_format(tmp_path):
    path = tmp_path / "bgl.log"
    path.write_text("".join(BGL.format("KERNDTLB" if i == 3 else "-", i, i) for i in range(8)))
    assert flags(path) == [False, True, False, False]


def test_a_label_on_a_line_of_a_trace_counts_for_its_record(tmp_path, labels):
    trace = 'Traceback (most recent call last):\n  File "a.py", line 3, in f\nValueError: no\n'
    lines = [f"2024-03-10 06:25:0{i},123 - shop - WARNING - order {i} took 3.2 s\n" for i in range(6)]
    path = tmp_path / "app.log"
    path.write_text("".join([*lines[:3], trace, *lines[3:]]))
    assert flags(path, labels("line\n5\n")) == [False, True, False]


def test_lines_of_a_compressed_log_are_counted_decompressed(hdfs, labels, tmp_path):
    packed = tmp_path / "hdfs.log.gz"
    packed.write_bytes(gzip.compress(hdfs.read_bytes()))
    assert flags(packed, labels("line\n1\n")) == [True, False, False, False, False]


def test_several_logs_are_streams_of_their_own(hdfs, labels, tmp_path):
    folder = tmp_path / "logs"
    folder.mkdir()
    for name in ("b.log", "a.log"):
        (folder / name).write_bytes(hdfs.read_bytes())
    one = load_windows(LogSpec(hdfs, supervised=False), AUTO, PAIRS)
    two = load_windows(LogSpec(folder, labels("file,line\nb.log,10\n")), AUTO, PAIRS)
    assert len(two) == 2 * len(one)
    assert two.labels.tolist() == [False] * 9 + [True]
    assert np.array_equal(two.windows.ids, np.tile(one.windows.ids, 2))
    assert two.lines == 20


def test_paths_folders_and_globs_name_each_file_once(tmp_path):
    for name in ("b.log", "a.log", "c.txt", ".hidden"):
        (tmp_path / name).write_text("x\n")
    (tmp_path / "inner").mkdir()
    names = [tmp_path / "c.txt", tmp_path / "*.log", tmp_path]
    assert [path.name for path in log_files(names)] == ["c.txt", "a.log", "b.log"]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("none.log", "none.log: no such file"),
        ("*.none", "*.none: no such file"),
        ("empty", "empty: the folder is empty"),
    ],
)
def test_a_name_without_files(tmp_path, name, sentence):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match=re.escape(sentence)):
        log_files([tmp_path / name])


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("a,b\n1,2\n", "the columns are a, b; expected session,label or line,label or start,end,label"),
        ("", "the columns are none; expected"),
        ("start,label\n1,2\n", "the columns are start, label; expected"),
        ("session,label\nblk_1,perhaps\n", "the column label has the label 'perhaps'; known are -, 0, benign"),
        ("session,label\nblk_1\n", "row 2: label is missing"),
        ("line\nthree\n", "row 2: line is 'three', expected a whole number from 1"),
        ("line\n0\n", "row 2: line is '0', expected a whole number from 1"),
        ("line\n11\n", "the labels name line 11, but"),
        ("file,line\nother.log,1\n", "row 2: file is 'other.log'; no log has that name"),
        ("start,end\nnan,1\n", "row 2: start is 'nan', expected an ISO 8601 time or seconds since 1970"),
        ("start,end\n5,4\n", "row 2: the end '4' is before the start '5'"),
        ('{"line":1}\nnot json\n', "row 2 is not JSON"),
        ('{"line":1}\n[2]\n', "row 2 is not a JSON object"),
    ],
)
def test_labels_that_cannot_be_used(hdfs, labels, content, sentence):
    path = labels(content)
    with pytest.raises(DatasetError, match=re.escape(sentence)) as raised:
        load_windows(LogSpec(hdfs, path), AUTO, PAIRS)
    assert str(path) in str(raised.value) or "hdfs.log" in str(raised.value)


def test_a_line_number_needs_a_file_where_there_are_several(hdfs, labels, tmp_path):
    (tmp_path / "other.log").write_bytes(hdfs.read_bytes())
    with pytest.raises(DatasetError, match="row 2: several logs need a column file"):
        load_windows(LogSpec((hdfs, tmp_path / "other.log"), labels("line\n1\n")), AUTO, PAIRS)


def test_a_column_that_no_record_has(hdfs):
    with pytest.raises(DatasetError, match="no record has the column attack"):
        flags(hdfs, "column:attack")


def test_a_column_with_words_of_no_meaning(tmp_path):
    path = tmp_path / "app.jsonl"
    path.write_text("".join(JSON % (i, i, "weird" if i else "benign") for i in range(4)))
    with pytest.raises(DatasetError, match=r"the column attack\.kind has the label 'weird'; known are"):
        flags(path, "column:attack.kind")


def test_a_detected_format_without_labels_needs_some(hdfs):
    with pytest.raises(DatasetError, match=r"hdfs\.log has no labels: the format hdfs does not carry them"):
        flags(hdfs)


def test_only_labels_by_session_are_session_labels(labels):
    assert read_session_labels(labels("key,label\na,0\nb,1\n")) == {"a": False, "b": True}
    with pytest.raises(DatasetError, match="expected the columns session,label"):
        read_session_labels(labels(orjson.dumps({"start": 1, "end": 2}), "times.jsonl"))


def test_overlapping_intervals_are_merged(labels):
    found = open_labels(labels("start,end\n5,9\n1,3\n2,6\n20,21\n"), ())
    assert (found.begin // 10**9).tolist() == [1, 20]
    assert (found.end // 10**9).tolist() == [9, 21]
