"""The routes of the seven-class system: names, shapes, limits, and which classifier answers."""

import io
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.api import predict
from engine.api.predict import line_blocks
from engine.api.settings import ServeSettings
from models.base import Windows, template_id
from models.classify.base import CLASSES, Lines
from models.classify.registry import build
from models.detectors.registry import build as build_detector
from models.storage.store import ModelNotes, ModelStore, Notes
from models.thresholds.base import Threshold

KERNEL = "Mar 10 06:25:01 web-1 kernel: Out of memory: Killed process 4711 (java)"
PLAIN = "user ann logged in"
BASE = {"status", "timestamp", "total_logs", "model_used", "logs", "summary"}


@pytest.fixture
def serve_settings(store, tmp_path):
    return ServeSettings(
        store=store,
        models=str(tmp_path / "models"),
        requests={"lines": 20, "line_bytes": 200, "predictions_per_minute": 4},
    )


@pytest.fixture
def client(log_in):
    return log_in("viewer")


def test_lines_are_classified_in_the_shape_of_the_seven_class_system(client):
    answer = client.post("/api/predict", json={"logs": [KERNEL, PLAIN, "", KERNEL]}).json()
    assert set(answer) == BASE
    assert (answer["status"], answer["total_logs"]) == ("success", 4)
    assert answer["model_used"] == "rules (the model store has no xgboost or random_forest)"
    assert [log["raw"] for log in answer["logs"]] == [KERNEL, PLAIN, "", KERNEL]
    first = answer["logs"][0]
    assert set(first) == {"raw", "log_type", "parsed_content", "template", "prediction"}
    assert (first["log_type"], first["template"]) == ("syslog", "Out of memory: Killed process <NUM> (java)")
    found = first["prediction"]
    assert (found["class_name"], CLASSES[found["class_index"]]) == ("performance_issue",) * 2
    assert found["confidence"] == max(found["probabilities"].values())
    summary = answer["summary"]
    assert summary["class_distribution"]["performance_issue"] == 2
    assert sum(summary["log_type_distribution"].values()) == 4
    assert summary["anomaly_rate"] == 0.5


def test_probabilities_and_templates_can_be_left_out_and_logs_be_one_text(client):
    asked = {"logs": f"{KERNEL}\n{PLAIN}", "include_probabilities": False, "include_templates": False}
    answer = client.post("/api/predict", json={**asked, "model_type": "bert", "bert_variant": "lora"}).json()
    assert [(log["template"], log["prediction"]["probabilities"]) for log in answer["logs"]] == [(None, None)] * 2
    assert answer["model_used"] == "rules (the model store has no lora_bert)"


def test_reasons_are_given_by_analyze(client):
    answer = client.post("/api/analyze", json={"logs": [KERNEL]}).json()
    assert "memory" in answer["logs"][0]["reasons"]


def test_windows_are_scored_by_the_detector_of_the_store(client, tmp_path):
    lines = [
        f"081109 203518 143 INFO dfs.DataNode: Block blk_{n} {text}" for n in (1, 2) for text in ("opened", "closed")
    ]
    answer = client.post("/api/analyze", json={"logs": lines}).json()
    assert (answer["window_model"], answer["windows"]) == ("none: the model store has no window detector", [])
    known = {template_id(text): text for text in ("Block <BLK> opened", "Block <BLK> closed")}
    detector = build_detector("event_counts")
    detector.fit(Windows.of([list(known)] * 4), None, known)
    notes = Notes(threshold=Threshold(rule="percentile", value=0.5))
    ModelStore(tmp_path / "models").publish("event_counts", detector, notes)
    answer = client.post("/api/analyze", json={"logs": [*lines, lines[0].replace("opened", "is gone")]}).json()
    assert answer["window_model"] == "event_counts version 1"
    found = [(w["session"], w["lines"], w["anomalous"], w["score"] >= w["threshold"]) for w in answer["windows"]]
    assert sorted(found) == [("blk_1", 3, True, True), ("blk_2", 2, False, False)]
    assert set(answer) == {*BASE, "windows", "window_model"}
    answer = client.post("/api/analyze", json={"logs": []}).json()
    assert (answer["total_logs"], answer["windows"]) == (0, [])


def test_every_line_gets_an_answer_also_with_odd_bytes_and_stack_traces(client):
    text = (
        b"a\xff\x00\r\n" + KERNEL.encode() + b"\n  at java.lang.Thread.run(Thread.java:1)\n" + b"x" * 5_000 + b"\nlast"
    )
    answer = client.post("/api/predict-batch", files={"file": ("app.log", text)}, data={"model_type": "ml"}).json()
    assert answer["total_logs"] == len(answer["logs"]) == 5
    assert [len(log["raw"]) for log in answer["logs"]][3] == 200
    assert answer["logs"][-1]["raw"] == "last"


def test_limits_are_problems(client):
    for logs in (["x"] * 21, ["x" * 201]):
        answer = client.post("/api/predict", json={"logs": logs})
        assert (answer.status_code, answer.headers["content-type"]) == (413, "application/problem+json")
    assert [client.post("/api/predict", json={"logs": []}).status_code for _ in range(3)] == [200, 200, 429]


def test_what_can_be_chosen_is_listed(client):
    assert client.get("/available-models").json() == {"ml": [], "bert": [], "fallback": "rules", "versions": {}}
    found = client.get("/model-info").json()
    assert found["classes"] == list(CLASSES)
    assert set(found["models"]) == {"ml", "bert/dann", "bert/lora", "bert/hybrid"}


@given(st.lists(st.binary(max_size=30).filter(lambda line: b"\n" not in line)), st.integers(1, 40), st.integers(1, 50))
def test_lines_of_a_file_are_those_of_split(lines, max_bytes, chunk):
    content = b"".join(line + b"\n" for line in lines)
    wanted = [line.removesuffix(b"\r")[:max_bytes] for line in lines]
    with mock.patch.object(predict, "READ_BYTES", chunk):
        assert lines_in(content, max_bytes) == wanted
        # Without the last line end, an empty last line is none.
        assert lines_in(content[:-1], max_bytes) == (wanted if lines and lines[-1] else wanted[:-1])


def lines_in(content, max_bytes):
    return b"".join(line_blocks(io.BytesIO(content), max_bytes)).split(b"\n")[:-1]


def test_a_trained_classifier_answers_where_the_store_has_one(client, tmp_path):
    store = ModelStore(tmp_path / "models")
    texts = [f"{word} {i}" for word in ("disk broken", "user came") for i in range(12)]
    labels = np.repeat([CLASSES.index("hardware_issue"), CLASSES.index("normal")], 12)
    forest = build("random_forest", {"encoder": "hashing:16", "candidates": 0, "trees": 20})
    forest.fit(Lines.of(texts), labels)
    store.publish("random_forest", forest, ModelNotes())
    answer = client.post("/api/predict", json={"logs": ["disk broken 99", "user came 7"]}).json()
    assert answer["model_used"] == "random_forest version 1"
    assert [log["prediction"]["class_name"] for log in answer["logs"]] == ["hardware_issue", "normal"]
    assert client.get("/available-models").json()["ml"] == ["random_forest"]
    assert client.get("/model-info").json()["models"]["ml"] == "random_forest version 1"
    store.publish("random_forest", forest, ModelNotes())
    answer = client.post("/api/predict", json={"logs": ["x"]}).json()
    assert answer["model_used"] == "random_forest version 2", "the current version is followed"


def test_a_damaged_classifier_is_named_and_the_rules_answer(client, tmp_path):
    store = ModelStore(tmp_path / "models")
    store.publish("rules", build("rules"), ModelNotes())
    (tmp_path / "models" / "rules").rename(tmp_path / "models" / "xgboost")
    answer = client.post("/api/predict", json={"logs": [KERNEL]}).json()
    assert answer["model_used"].startswith("rules (xgboost cannot be used: ")
    assert answer["logs"][0]["prediction"]["class_name"] == "performance_issue"
