import gzip
import lzma
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import zstandard

from connectors.base import LineBatch
from engine.corpus.data import DataError
from engine.formats.registry import FORMATS
from engine.offline.export import COLUMNS, WRITERS, RecordReader
from engine.offline.labelled_lines import CORRECTED, fingerprint, read_labelled
from engine.steps.classify import lines_of
from engine.steps.parse import Parsed, Parser, ParseSettings
from models.classify.base import CLASSES, Key


def test_csv_of_the_seven_class_kind(tmp_path):
    file = tmp_path / "set.csv.xz"
    rows = "source,line,template,content,label\nA,1,took <*> ms,took 5 ms,normal\nA,2,took <*> ms,took 7 ms,normal\n"
    file.write_bytes(lzma.compress((rows + "B,1,fan <*>,fan 3,hardware_issue\n").encode()))
    data = read_labelled(file)
    assert data.lines.messages == ("took <NUM> ms", "fan <NUM>")
    assert data.weights.tolist() == [2, 1]
    assert data.domains == ("A", "B")
    assert [CLASSES[c] for c in data.labels] == ["normal", "hardware_issue"]


def test_jsonl_and_rows_without_class(tmp_path):
    file = tmp_path / "set.jsonl"
    file.write_text('{"message": "x 1", "class": "normal", "level": "info"}\n{"message": "y", "class": ""}\n')
    data = read_labelled(file)
    assert data.lines.keys() == [("x <NUM>", "x <NUM>", "info", "", "")]


def test_labels_by_template(tmp_path):
    file, labels = tmp_path / "set.csv", tmp_path / "labels.csv"
    file.write_text("message,template,class\na,ta,normal\nb,tb,normal\n")
    labels.write_text(f"fingerprint,class,reason\n{fingerprint('ta')},config_error,because\n")
    data = read_labelled(file, str(labels))
    assert [CLASSES[c] for c in data.labels] == ["config_error", "normal"]


def test_the_projects_own_labels_are_whole(tmp_path):
    file = tmp_path / "set.csv"
    template = "pam_unix(sshd:session): session closed for user <*>"
    file.write_text(f"message,template,class\nx,{template},security_anomaly\n")
    assert read_labelled(file, CORRECTED).labels.tolist() == [0]
    assert read_labelled(file).labels.tolist() == [1]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.csv", "message,class\nx,odd\n", "row 2: 'odd' is not a class; classes are normal"),
        ("a.csv", "text,class\nx,normal\n", "has the columns text, class; needed are message and class"),
        ("a.csv", "message,class\n", "has no row with a class"),
        ("a.jsonl", "{", "row 1 is not JSON"),
        ("a.jsonl", "[]", "row 1 is not a JSON object"),
        ("a.log", "x", "come as .csv or .jsonl"),
        ("a.jsonl", '{"message": 7, "class": "normal"}', "row 1: message is 7, expected text"),
        ("a.csv.xz", "BZh9 is not bzip2", "is truncated or damaged"),
    ],
)
def test_what_is_wrong_with_a_file_is_told(tmp_path, name, text, words):
    file = tmp_path / name
    file.write_text(text)
    with pytest.raises(DataError, match=words):
        read_labelled(file)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_labelled(tmp_path / "absent.csv")


@pytest.mark.parametrize(
    ("ending", "compress"), [(".xz", lzma.compress), (".gz", gzip.compress), (".zst", zstandard.compress)]
)
@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_a_file_cut_short_is_one_error(tmp_path: Path, ending: str, compress: Callable[[bytes], bytes], kept: float):
    rows = "".join(f"node {i * 2_654_435_761 % 2**32:08x} is down,network_anomaly\n" for i in range(5_000))
    whole = compress(f"message,class\n{rows}".encode())
    file = tmp_path / f"set.csv{ending}"
    file.write_bytes(whole)
    assert read_labelled(file).weights.sum() == 5_000
    file.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(DataError, match=rf"set\.csv\{ending} is truncated or damaged: \S"):
        read_labelled(file)


READ_NS = 1_790_000_000 * 10**9
STRANGE = (
    b"Jun 14 15:16:01 combo \x1b[31msshd[99]:\x1b[0m rhost=1.2.3.4 said \xff\xfe, twice",
    b'03-17 16:13:38.819  1702  8671 E Power: lost lock=233570404, tag="View Lock", ws=null ' + b"x1" * 500_000,
    b"2015-10-18 18:01:47,978 ERROR [main] org.x.App12: it failed",
    b"java.io.IOException: Connection reset by peer 10.0.0.1",
    b"\tat org.x.App.main(App.java:12)",
    b'{"time": "2024-03-10T06:25:01Z", "message": "two\\nlines, of 12", "level": "warn"}',
    b"\xef\xbb\xbfno format knows this line 17",
    b"nor \x00 this, " + "\u00e9\u65e5".encode(),
)


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_line_is_the_same_in_training_as_in_service(tmp_path: Path, kind: str):
    raw = [line for entry in FORMATS.values() for line in entry.examples if b"\n" not in line] + list(STRANGE)
    data = b"".join(line + b"\n" for line in raw)
    ends = np.cumsum([len(line) + 1 for line in raw]) - 1
    batch = LineBatch("p", data, ends, np.arange(len(raw)), READ_NS, READ_NS)
    parser = Parser(ParseSettings(format="auto"), lambda *_: "")
    served: set[Key] = set()

    def judge(parsed: Parsed, templates: Mapping[int, str]) -> list[dict[str, str]]:
        served.update(lines_of(parsed, templates)[0].keys())
        return [{"class": "normal"}] * len(parsed)

    reader = RecordReader(parser, judge)
    file = tmp_path / f"lines.{kind}"
    with file.open("wb") as out:
        writer = WRITERS[kind](out, (*COLUMNS, "class"))
        writer.write([*reader.add(batch), *reader.finish()])
        writer.close()
    assert reader.joined == 2
    assert len(served) > 70
    assert set(read_labelled(file).lines.keys()) == served
