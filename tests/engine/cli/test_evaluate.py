import base64
import hashlib
import re

import orjson
import pytest

FILES = {
    "confusion_matrix.png", "metrics.json", "precision_recall.png", "report.html", "roc.png", "scores.png",
    "timeline.png",
}  # fmt: skip


@pytest.fixture(scope="module")
def evaluated(driftline, place, tmp_path_factory):
    out = tmp_path_factory.mktemp("evaluated") / "report"
    ran = driftline(
        "evaluate", *place.data, "--store", place.store, "--model", "bert_cnn", "--against", "event_counts:1",
        "--after", 0.5, "--out", out, "--json",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    return out, ran


def test_everything_is_written_and_nothing_else(evaluated):
    out, _ = evaluated
    assert {path.name for path in out.iterdir()} == FILES


def test_metrics_say_what_was_measured_on_what(evaluated, place):
    out, ran = evaluated
    metrics = orjson.loads((out / "metrics.json").read_bytes())
    assert metrics == ran.json()
    assert (metrics["model"], metrics["version"], metrics["detector"], metrics["seed"]) == (
        "bert_cnn",
        1,
        "bert_cnn",
        0,
    )
    assert {"accuracy", "precision", "recall", "f1", "roc_auc", "pr_auc", "threshold", "threshold_rule"} <= set(metrics)
    cells = metrics["confusion"]
    assert sum(cells.values()) == metrics["counts"]["units"]
    assert cells["true_positives"] + cells["false_negatives"] == metrics["counts"]["anomalous"] > 0
    low, high = metrics["f1_interval"]
    assert 0 <= low <= metrics["f1"] <= high <= 1
    assert metrics["data"] == {
        "log": "app.log", "sha256": hashlib.sha256(place.log.read_bytes()).hexdigest(),
        "labels": "labels.csv", "labels_sha256": hashlib.sha256(place.labels.read_bytes()).hexdigest(),
    }  # fmt: skip
    assert metrics["unit"] == "session"
    assert "50%" in metrics["protocol"]
    assert metrics["counts"]["lines"] == 6000
    assert list(metrics["compared"]) == ["event_counts v1"]
    assert re.fullmatch(r"bert_cnn v1 (beats|does not beat) the floor event_counts v1: .*", metrics["floor"])


def test_the_report_needs_no_other_file(evaluated):
    out, _ = evaluated
    page = (out / "report.html").read_text("utf-8")
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert len(sources) == 5
    inlined = {base64.b64decode(s.removeprefix("data:image/png;base64,")) for s in sources}
    assert inlined == {path.read_bytes() for path in out.glob("*.png")}
    assert "event_counts v1" in page


def test_equal_inputs_give_equal_files(evaluated, driftline, place, tmp_path):
    out, _ = evaluated
    again = driftline(
        "evaluate", *place.data, "--store", place.store, "--model", "bert_cnn", "--against", "event_counts:1",
        "--after", 0.5, "--out", tmp_path / "report",
    )  # fmt: skip
    assert again.code == 0
    assert "report.html" in again.out.splitlines()[-1]
    for name in FILES:
        assert (tmp_path / "report" / name).read_bytes() == (out / name).read_bytes(), name


def test_a_detector_that_does_not_beat_the_floor_is_told_so(driftline, place):
    ran = driftline(
        "evaluate", *place.data, "--store", place.store, "--name", "event_counts", "--against", "event_counts"
    )
    assert ran.code == 0
    assert "event_counts v1" in ran.out
    assert "floor" not in ran.out  # the floor is not held against itself


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--against", "event_counts:new"], "NAME or NAME:VERSION"),
        (["--against", "nobody"], "holds no published model 'nobody'"),
        (["--version", "7"], "version 7 of bert_cnn is missing"),
        (["--after", "0.99"], "sessions of both classes are needed"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_and_nothing_written(driftline, place, tmp_path, arguments, words):
    ran = driftline("evaluate", *place.data, "--store", place.store, "--out", tmp_path / "out", *arguments)
    assert ran.code == 2
    assert words in " ".join(ran.err.replace("│", " ").split())
    assert not list((tmp_path / "out").glob("*"))


def test_lines_that_were_trained_on_are_a_warning(driftline, place, tmp_path):
    ran = driftline("evaluate", *place.data, "--store", place.store, "--model", "event_counts", "--json")
    assert ran.err.startswith("warning: event_counts v1 was trained on this very log: ")
    assert ran.json()["warnings"] == [ran.err.removeprefix("warning: ").rstrip("\n")]
    own = ["--store", tmp_path / "store", "--json"]
    driftline("train", "event_counts", *place.data, *own, "--runs", tmp_path / "runs", "--first", 0.5)
    later = driftline("evaluate", *place.data, *own, "--model", "event_counts", "--after", 0.5, "--keep-cut")
    assert (later.code, later.err, later.json()["warnings"]) == (0, "", [])
    grown = tmp_path / "app.log"
    grown.write_bytes(place.log.read_bytes() + place.log.read_bytes().splitlines()[-1] + b"\n")
    ran = driftline("evaluate", "--data", grown, "--labels", place.labels, *own, "--model", "event_counts")
    assert "was trained on a log of this name" in ran.err
    other = grown.rename(tmp_path / "other.log")
    ran = driftline("evaluate", "--data", other, "--labels", place.labels, *own, "--model", "event_counts")
    assert ran.err == ""


def test_a_report_that_cannot_be_written_is_refused_at_once(driftline, place, tmp_path):
    (tmp_path / "out").write_text("a file")
    ran = driftline("evaluate", *place.data, "--store", place.store, "--out", tmp_path / "out")
    assert ran.code == 2
    assert ran.err == f"driftline: {tmp_path / 'out'} cannot be created: File exists\n"


def test_score_counts_the_sessions_that_the_file_cuts_off(driftline, place):
    arguments = ["score", place.log, "--store", place.store, "--window-set", "gap_s=5"]
    left_out, kept = driftline(*arguments), driftline(*arguments, "--keep-cut")
    assert re.search(r"open at the end of their file: \d+, left out; --keep-cut judges them too", left_out.out)
    assert re.search(r"open at the end of their file: \d+, judged as if they were complete", kept.out)
    every, whole = (int(re.search(r"of ([\d,]+) windows", ran.out)[1].replace(",", "")) for ran in (kept, left_out))
    assert every > whole > 0


def test_score_lists_every_window(driftline, place):
    ran = driftline("score", place.log, "--store", place.store, "--json")
    rows = [orjson.loads(line) for line in ran.out.splitlines()]
    assert ran.code == 0
    assert set(rows[0]) == {"session", "score", "anomalous", "lines", "closed", "first_time", "last_time"}
    table = driftline("score", place.log, "--store", place.store, "--top", 3)
    assert table.code == 0
    assert f"of {len(rows):,} windows reach the threshold" in table.out
    assert table.out.count("blk_") == 3


def test_rules_score_a_log_without_any_store(driftline, place, tmp_path):
    ran = driftline("score", place.log, "--detector", "rules", "--store", tmp_path / "none", "--json")
    assert ran.code == 0, ran.err
    rows = [orjson.loads(line) for line in ran.out.splitlines()]
    assert {row["anomalous"] for row in rows} == {True, False}
    assert not (tmp_path / "none").exists()


def test_rules_are_compared_with_labels_and_with_a_stored_model(driftline, place):
    arguments = ["evaluate", *place.data, "--store", place.store, "--detector", "rules", "--json"]
    alone, compared = driftline(*arguments), driftline(*arguments, "--against", "event_counts:1")
    assert alone.code == compared.code == 0, (alone.err, compared.err)
    assert (alone.json()["model"], alone.json()["version"]) == ("rules", 0)
    assert list(compared.json()["compared"]) == ["event_counts v1"]


def test_a_detector_that_must_be_trained_is_refused_without_a_model(driftline, place):
    ran = driftline("score", place.log, "--detector", "bert_cnn")
    assert ran.code == 2
    assert ran.err == "driftline: detector 'bert_cnn' cannot score without a model; rules can\n"
