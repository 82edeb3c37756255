import csv
import io
import sys
from types import SimpleNamespace

import numpy as np
import orjson
import pyarrow.parquet
import pytest

from connectors.base import LineBatch
from engine.offline.classify import CLASS_COLUMNS, LogClassifier, in_words
from engine.steps.parse import Parser, ParseSettings
from models.classify.base import CLASSES, Attribution
from models.classify.registry import build
from models.classify.scoring import LineScorer
from models.storage.model_cards import ModelNotes
from models.storage.store import ModelStore

SSH = "Jun 14 15:16:01 combo sshd[{0}]: Failed password for invalid user u{0} from 10.0.0.7 port {0} ssh2"
CRON = "Jun 14 15:16:02 combo crond[{0}]: session opened for user root"
JAVA = (
    "2024-03-10 06:25:01,123 [main] ERROR shop.Store - order 17 lost\njava.lang.OutOfMemoryError: heap\n\tat a.B.c(B:7)"
)
P = [name for name in CLASS_COLUMNS if name.startswith("p_")]


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "app.log"
    lines = [SSH.format(i) for i in range(30)] + [CRON.format(i) for i in range(9)] + [JAVA, "", "nothing known"]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_the_summary_counts_records_by_class_and_format(driftline, log):
    found = driftline("classify", log, "--json").json()
    assert (found["model"], found["records"]) == ("rules", 41)
    assert list(found["classes"]) == list(CLASSES)
    assert found["classes"]["security_anomaly"] == 30
    by_format = {name: sum(row.values()) for name, row in found["formats"].items()}
    assert by_format == {"syslog": 39, "log4j": 1, "unknown": 1}
    assert found["anomaly_rate"] == round(1 - found["classes"]["normal"] / 41, 6)
    shown = driftline("classify", log)
    assert shown.code == 0
    for word in ("security_anomaly", "73.17%", "syslog", "41 records"):
        assert word in shown.out


def test_every_record_gets_its_class_its_probabilities_and_its_reasons(driftline, log, tmp_path):
    out = tmp_path / "out.jsonl"
    ran = driftline("classify", log, "-o", out, "--explain", "--json")
    assert ran.code == 0, ran.err
    records = [orjson.loads(line) for line in out.read_bytes().splitlines()]
    assert [tuple(record) for record in records] == [CLASS_COLUMNS] * 41
    for record in records:
        assert sum(record[name] for name in P) == pytest.approx(1, abs=1e-4)
        assert record["p_" + record["class"]] == max(record[name] for name in P)
    assert [r["class"] for r in records[:30]] == ["security_anomaly"] * 30
    assert "rule '" in records[0]["reasons"]
    assert records[39]["message"].endswith("at a.B.c(B:7)")
    counted = {name: sum(r["class"] == name for r in records) for name in CLASSES}
    assert ran.json()["classes"] == counted


def test_csv_and_parquet_hold_the_same(driftline, log, tmp_path):
    names = {kind: tmp_path / f"out.{kind}" for kind in ("jsonl", "csv", "parquet")}
    for kind, path in names.items():
        assert driftline("classify", log, "--to", kind, "-o", path).code == 0
    want = [orjson.loads(line) for line in names["jsonl"].read_bytes().splitlines()]
    rows = list(csv.DictReader(io.StringIO(names["csv"].read_text("utf-8"), newline="")))
    table = pyarrow.parquet.read_table(names["parquet"])
    assert str(table.schema.field("p_normal").type) == "float"
    for i, record in enumerate(want):
        assert (rows[i]["class"], table["class"][i].as_py()) == (record["class"], record["class"])
        assert float(rows[i]["p_normal"]) == record["p_normal"]
        assert record["reasons"] == ""


def test_standard_input_and_output(driftline, log, monkeypatch):
    with log.open("rb") as file:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=file, fileno=file.fileno))
        found = driftline("classify", "-", "--json")
    assert found.code == 0, found.err
    assert found.json()["records"] == 41


def test_a_model_of_the_store(driftline, log, tmp_path):
    ModelStore(tmp_path / "s").publish("mine", build("rules"), ModelNotes())
    found = driftline("classify", log, "--store", tmp_path / "s", "--model", "mine", "--json").json()
    assert found["model"] == "mine version 1"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "xgboost", "--store", "empty"], "holds no line classifier 'xgboost'; it holds none"),
        (["--to", "xml", "-o", "x"], "known are jsonl, csv, parquet"),
        (["--explain"], "have no effect without --output"),
        (["--format", "nope"], "unknown format 'nope'"),
        (["-o", "no/such/folder/x"], "cannot be written"),
        (["--version", "3", "--store", "empty"], "version 3 of rules is missing"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_sentence(driftline, log, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    ran = driftline("classify", log, *arguments)
    assert ran.code == 2
    assert words in " ".join(ran.err.replace("│", " ").split())


def test_a_window_detector_is_no_line_classifier(driftline, log, place):
    ran = driftline("classify", log, "--store", place.store, "--model", "event_counts")
    assert (ran.code, "is a window detector, not a line classifier" in ran.err) == (2, True)


def test_a_missing_log(driftline, tmp_path):
    ran = driftline("classify", tmp_path / "none.log")
    assert (ran.code, "no such file" in ran.err) == (2, True)


def test_repeated_lines_are_classified_and_explained_once():
    parser = Parser(ParseSettings(format="auto"), lambda partition, position: "")
    scorer = LineScorer(build("rules"))
    judge, templates = LogClassifier(parser, scorer, explain=True), dict[int, str]()
    data = "".join(SSH.format(i) + "\n" for i in range(4000)).encode()
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == 10)
    batch = LineBatch("p", data, ends, np.arange(4000), 1_780_000_000 * 10**9, 0)
    for _ in range(5):
        parsed = parser.parse(batch)
        templates |= parsed.good.templates
        assert len(judge(parsed, templates)) == 4000
    assert (scorer.misses, scorer.hits, int(judge.classes.sum())) == (1, 4, 20_000)
    assert judge.anomaly_rate == 1


def test_reasons_in_words():
    assert (
        in_words([Attribution("word 'refused'", 0.3123), Attribution("level", -2)]) == "word 'refused' +0.312; level -2"
    )
