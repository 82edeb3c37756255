import lzma

import pytest

from engine.corpus.data import DataError
from engine.corpus.labelled_lines import CORRECTED, fingerprint, read_labelled
from models.classify.base import CLASSES


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
        ("a.csv", "message,class\nx,odd\n", "row 2: 'odd' is no class; classes are normal"),
        ("a.csv", "text,class\nx,normal\n", "has the columns text, class; needed are message and class"),
        ("a.csv", "message,class\n", "has no row with a class"),
        ("a.jsonl", "{", "row 1 is no JSON"),
        ("a.jsonl", "[]", "row 1 is no JSON object"),
        ("a.log", "x", "come as .csv or .jsonl"),
        ("a.csv.xz", "x", "cannot be read"),
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
