"""Answers and silences of a service that belongs to a region: labels in its training store, its file of silences."""

import json
import time
from dataclasses import replace

import numpy as np
import pytest

from connectors.base import Record
from connectors.sql import SqlSink
from connectors.sql_settings import SqlSettings
from engine.api.drift_events import _of_files, newest_events
from engine.api.settings import ServeSettings
from engine.offline.alert_archive import FileArchive
from engine.steps.silences import read_silences
from federation.storage.training_store import TrainingSettings, TrainingStore
from foundation.content_ids import document_id
from models.base import Windows
from tests.engine.api.conftest import alert
from tests.support.documents import drift_document

REGION = """
region = "eu"
[source]
type = "file"
paths = ["app.log"]
[model]
store = "{folder}/store"
name = "bert_cnn"
[decide]
silences = "{folder}/silences.json"
[[decide.suppress]]
name = "backups"
template = "^backup"
[training]
path = "{folder}/training.db"
[recovery]
path = "{folder}/recovery"
[[sinks]]
type = "sql"
url = "sqlite:///{folder}/alerts.db"
[drift_events]
type = "jsonl"
path = "{folder}/drift.jsonl"
[dead_letters]
type = "jsonl"
path = "{folder}/dead.jsonl"
[telemetry]
serve = false
"""


@pytest.fixture
def serve_settings(tmp_path):
    path = tmp_path / "region.toml"
    path.write_text(REGION.format(folder=tmp_path), "utf-8")
    return ServeSettings(region=path)


@pytest.fixture
def client(log_in):
    return log_in("operator")


@pytest.fixture
def training(tmp_path):
    path = tmp_path / "training.db"
    with TrainingStore(path, TrainingSettings(path=path), now_ns=time.time_ns) as store:
        yield store


def _feedback(client, name, answer):
    return client.post(f"/api/v1/alerts/{document_id(name)}/feedback", json={"answer": answer}).json()


@pytest.mark.parametrize("session", ["s1", ""])
def test_an_answer_labels_the_window_in_the_training_store(client, add_alerts, training, session):
    add_alerts(alert("a", 1, session=session), alert("b", 2, session="gone"))
    training.add(
        Windows.of([np.array([7])]), keys=[session], ids=[document_id("a")], time_ns=np.array([1]),
        scores=np.array([0.9], np.float32), templates={7: "disk <*> failed"},
    )  # fmt: skip
    assert _feedback(client, "a", "wrong")["in_training_store"] is True
    assert (training.counts().normal, training.counts().anomalous) == (1, 0)
    assert _feedback(client, "b", "right")["in_training_store"] is False
    assert training.counts().labels == 2


def test_normal_silences_exactly_the_template(client, add_alerts, tmp_path):
    add_alerts(alert("a", 1))
    assert _feedback(client, "a", "normal")["silence"] == "silence-1"
    (rule,) = read_silences(tmp_path / "silences.json")
    assert rule.matches(1.0, "", ["disk <*> failed"])
    assert not rule.matches(1.0, "", ["disk 1 failed", "disk <*> failed again"])


def test_silences_are_listed_made_previewed_and_removed(client, add_alerts, clock, tmp_path):
    add_alerts(alert("a", clock.now_s - 60), alert("b", clock.now_s - 8 * 86_400), alert("c", 5, reasons=[]))
    assert [(s["name"], s["fixed"]) for s in client.get("/api/v1/silences").json()] == [("backups", True)]
    preview = client.post("/api/v1/silences/preview", json={"template": "^disk"}).json()
    assert (preview["hidden"], [e["id"] for e in preview["examples"]]) == (1, [document_id("a")])
    assert client.post("/api/v1/silences", json={"comment": "all"}).status_code == 409
    assert client.post("/api/v1/silences", json={"template": "("}).status_code == 409
    made = client.post("/api/v1/silences", json={"template": "^disk", "comment": "new disks"})
    assert made.status_code == 201
    assert made.json()["comment"].startswith("new disks (operator")
    assert json.loads((tmp_path / "silences.json").read_text())[0]["template"] == "^disk"
    assert client.delete("/api/v1/silences/silence-1").status_code == 204
    assert client.delete("/api/v1/silences/silence-1").status_code == 409
    assert read_silences(tmp_path / "silences.json") == ()


def test_drift_events_are_listed_newest_first_and_once(client, tmp_path):
    assert client.get("/api/v1/drift-events").json() == {"items": []}
    later = drift_document("d2", time="2026-02-01T12:10:00.000000000Z")
    lines = [json.dumps(event) for event in (later, drift_document("d1"), later)]
    (tmp_path / "drift.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    found = client.get("/api/v1/drift-events").json()["items"]
    assert [event["id"] for event in found] == [later["id"], document_id("d1")]
    hits = _of_files.cache_info().hits
    assert client.get("/api/v1/drift-events", params={"limit": 1}).json()["items"] == [later]
    assert _of_files.cache_info().hits == hits + 1, "the file is read once for each state of it"
    newest = drift_document("d3", time="2026-02-01T12:20:00.000000000Z")
    with (tmp_path / "drift.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(newest) + "\n")
    assert client.get("/api/v1/drift-events").json()["items"][0] == newest


def test_the_newest_drift_events_of_a_database_are_read_without_the_others(tmp_path, add_alerts, services):
    store = SqlSettings.model_validate({"url": f"sqlite:///{tmp_path}/alerts.db"})
    add_alerts(alert("a", 1))
    sink = SqlSink(store)
    sink.open(None)
    events = [drift_document(f"d{i}", time=f"2026-02-01T12:{i:02}:00.000000000Z") for i in range(5)]
    sink.write([Record(event["id"], "", event) for event in (*events[3:], *events[:3])])
    sink.flush(5)
    assert [event["id"] for event in sink.recent_events(2)] == [events[4]["id"], events[3]["id"]]
    sink.close()
    region = services.region.model_copy(update={"drift_events": store})
    found = newest_events(replace(services, region=region), 3)
    assert [event["id"] for event in found] == [event["id"] for event in reversed(events[2:])]


def test_a_file_of_drift_events_that_is_rotated_while_it_is_read_has_no_events_yet(client, tmp_path, monkeypatch):
    (tmp_path / "drift.jsonl").write_text(json.dumps(drift_document("d4")) + "\n", "utf-8")

    def rotated(self):
        raise FileNotFoundError(2, "No such file or directory", str(self.path))

    with monkeypatch.context() as patch:
        patch.setattr(FileArchive, "read", rotated)
        assert client.get("/api/v1/drift-events").json() == {"items": []}
    assert len(client.get("/api/v1/drift-events").json()["items"]) == 1
    (tmp_path / "drift.jsonl").write_text("{\n", "utf-8")
    assert client.get("/api/v1/drift-events").status_code == 503, "a damaged file is reported"
