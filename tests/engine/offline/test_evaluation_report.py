import os

import pytest

from engine.offline.evaluation_report import EvaluationError, prepare, render, write, write_files, wrong


def test_wrong_units_are_listed_the_furthest_first(judged):
    found = judged([0.9, 0.3, 0.1, 0.7, 0.8], [True, True, True, False, False])
    assert [row["key"] for row in wrong(found, anomalous=True)] == ["s2", "s1"]
    assert [row["key"] for row in wrong(found, anomalous=False)] == ["s4", "s3"]
    assert wrong(found, anomalous=True)[0] == {"key": "s2", "score": pytest.approx(0.1), "lines": 7,
                                               "time": "1970-01-01 00:02:00"}  # fmt: skip


def test_no_more_than_ten_are_shown_and_the_page_says_so(judged, evaluation):
    found = evaluation(judged([0.1] * 15 + [0.2], [True] * 15 + [False]))
    assert len(wrong(found.main, anomalous=True)) == 10
    document = write(found, found.spec.log.parent / "out")
    page = (found.spec.log.parent / "out" / "report.html").read_text("utf-8")
    assert document["confusion"]["false_negatives"] == 15
    assert "The 10 furthest from the threshold." in page


def test_keys_from_the_logs_cannot_be_markup(judged, evaluation):
    found = evaluation(judged([0.9, 0.1], [False, True], ["<script>x</script>", "b"]))
    page = render(found, found.document(), dict.fromkeys(
        ("timeline.png", "precision_recall.png", "roc.png", "scores.png", "confusion_matrix.png"), b""
    ))  # fmt: skip
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_files_appear_whole_or_not_at_all(tmp_path):
    write_files(tmp_path / "deep" / "er", {"a": b"1"})
    assert (tmp_path / "deep" / "er" / "a").read_bytes() == b"1"
    (tmp_path / "b").mkdir()
    with pytest.raises(EvaluationError, match=r"b cannot be written: "):
        write_files(tmp_path, {"b": b"1"})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b", "deep"]


def test_a_folder_that_cannot_be_used_is_told(tmp_path, monkeypatch):
    (tmp_path / "f").write_text("")
    with pytest.raises(EvaluationError, match="f cannot be created: File exists"):
        prepare(tmp_path / "f")
    with pytest.raises(EvaluationError, match="cannot be created"):
        prepare(tmp_path / "f" / "g")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(EvaluationError, match="is not writable"):
        prepare(tmp_path / "g")
