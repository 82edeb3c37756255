"""Questions, their answers and what a round made of them; what a version no longer flags, and its undo."""

import json
import time
from datetime import UTC, datetime
from functools import partial

import numpy as np
import pytest
import sqlalchemy as sa

from connectors.sql_schema import WINDOW_LABELS
from engine.api.app import build_app
from engine.api.services import Services
from engine.api.settings import ServeSettings
from federation.storage.answers import AnswerStore
from federation.storage.learning import Purpose
from federation.storage.training_store import TrainingSettings
from foundation.time_text import NS_PER_S
from models.base import Windows, template_id
from models.detectors.registry import build
from models.storage.store import ModelStore, Notes
from models.thresholds.base import Threshold
from tests.engine.api.conftest import PASSWORD, alert, new_client
from tests.engine.api.test_region import REGION

TEXTS = {template_id(text): text for text in ("started", "stopped", "disk error on <*>", "retry <NUM>")}
STARTED, STOPPED, ERROR, RETRY = TEXTS
USUAL, BROKEN, RETRIED = [STARTED, STOPPED], [STARTED, ERROR], [RETRY]
ROWS = [USUAL] * 6 + [BROKEN] * 3 + [RETRIED]


@pytest.fixture
def serve_settings(tmp_path):
    path = tmp_path / "region.toml"
    path.write_text(REGION.format(folder=tmp_path).replace("bert_cnn", "floor"), "utf-8")
    return ServeSettings(region=path)


def fill(store):
    """Store windows of three kinds."""
    n = len(ROWS)
    store.add(
        Windows.of(ROWS), keys=[f"k{i}" for i in range(n)], ids=[f"{i:032x}" for i in range(n)],
        time_ns=np.arange(n, dtype=np.int64), scores=np.linspace(0, 1, n, dtype=np.float32), templates=TEXTS,
    )  # fmt: skip


def publish_version(folder, rows, now_ns=time.time_ns, **notes):
    """Publish a version that knows some rows as normal, as made by a round or not."""
    now = datetime.fromtimestamp(now_ns() / NS_PER_S, UTC)
    detector = build("event_counts")
    detector.fit(Windows.of(rows * 4), None, TEXTS)
    found = Notes(threshold=Threshold(rule="percentile", value=0.5), **notes)
    return ModelStore(folder / "store", now=lambda: now).publish("floor", detector, found)


@pytest.fixture
def training(tmp_path, clock):
    path = tmp_path / "training.db"
    with AnswerStore(path, TrainingSettings(path=path), now_ns=clock.wall_ns) as store:
        fill(store)
        yield store


@pytest.fixture
def publish(tmp_path, clock):
    return partial(publish_version, tmp_path, now_ns=clock.wall_ns)


def ask(client, **parameters):
    return client.get("/api/v1/questions", params=parameters).json()


def answer(client, question, anomalous):
    return client.post(f"/api/v1/questions/{question['id']}/answer", json={"anomalous": anomalous})


def test_one_answer_labels_every_window_of_its_kind(log_in, training):
    client = log_in("operator")
    queue = ask(client)
    assert (queue["windows"], queue["answered"], queue["threshold"]) == (10, 0, None)
    assert sorted(q["alike"] for q in queue["items"]) == [1, 3, 6]
    assert all(q["labels"] == q["alike"] and q["templates"] for q in queue["items"])
    (broken,) = [q for q in queue["items"] if q["alike"] == 3]
    made = answer(client, broken, True).json()
    assert (made["anomalous"], made["sessions"], made["title"]) == (True, 3, "disk error on <*>")
    assert (training.counts().anomalous, training.counts().unlabelled) == (3, 7)
    assert sorted(q["alike"] for q in ask(client)["items"]) == [1, 6]
    assert len(ask(client, limit=1)["items"]) == 1


def test_an_answer_is_listed_changed_and_withdrawn(log_in, training, clock):
    client = log_in("operator")
    question = next(q for q in ask(client)["items"] if q["alike"] == 6)
    answer(client, question, True)
    clock.now_s += 1
    answer(client, question, False)
    (listed,) = client.get("/api/v1/questions/answers").json()["items"]
    assert (listed["window_id"], listed["anomalous"], listed["actor"][:8]) == (question["id"], False, "operator")
    assert (training.counts().normal, training.counts().anomalous) == (6, 0)
    assert client.delete(f"/api/v1/questions/{question['id']}/answer").json()["sessions"] == 6
    assert training.counts().unlabelled == 10
    assert client.delete(f"/api/v1/questions/{question['id']}/answer").status_code == 404
    assert client.get("/api/v1/questions/answers").json()["items"] == []
    actions = [e["action"] for e in log_in("admin").get("/api/v1/audit").json()["items"]]
    assert {"window.labelled", "window.label_withdrawn"} <= set(actions)


def test_a_withdrawn_answer_leaves_the_sessions_that_another_one_labels(log_in, training, services, clock):
    client = log_in("operator")
    question = next(q for q in ask(client)["items"] if q["alike"] == 6)
    answer(client, question, True)
    with services.database.write() as connection:
        (row,) = connection.execute(sa.select(WINDOW_LABELS)).mappings()
        other = {
            **row,
            "window_id": "other",
            "anomalous": False,
            "sessions": json.dumps(json.loads(row["sessions"])[:2]),
        }
        connection.execute(WINDOW_LABELS.insert().values(**other))
    clock.now_s += 1
    assert client.delete(f"/api/v1/questions/{question['id']}/answer").status_code == 200
    assert (training.counts().anomalous, training.counts().normal, training.counts().unlabelled) == (0, 2, 8)


def test_a_window_that_is_not_stored_cannot_be_answered(log_in, training):
    assert answer(log_in("operator"), {"id": "f" * 32}, True).status_code == 404
    assert answer(log_in("viewer"), {"id": "f" * 32}, True).status_code == 403


def test_the_threshold_in_service_is_that_of_the_version_that_the_region_keeps(log_in, training, publish, tmp_path):
    publish([USUAL])
    publish([USUAL, BROKEN])
    ModelStore(tmp_path / "store").promote("floor", 2, {"eu": 1})
    assert ask(log_in("viewer"))["threshold"] == 0.5
    assert log_in("viewer").get("/api/v1/became-normal").json()["after"] == 1


def test_labels_are_compared_with_the_version_that_a_round_made_of_them(log_in, training, publish, clock, add_alerts):
    ann, bob = log_in("operator"), log_in("operator")
    publish([USUAL])
    before = ann.get("/api/v1/questions/use").json()
    assert (before["version"], before["waiting"], before["everyone"]["labels"]) == (None, 0, 0)
    for question in ask(ann)["items"]:
        answer(ann if question["alike"] != 1 else bob, question, question["alike"] != 6)
    add_alerts(alert("a", 1, session="k9"))
    clock.now_s += 60
    publish([USUAL, RETRIED], round=7, participants=("eu", "us"))
    clock.now_s += 60
    training.answer(training.hashed(["later"]), anomalous=True, time_ns=clock.wall_ns())
    found = ann.get("/api/v1/questions/use").json()
    assert (found["model"], found["version"], found["round"], found["waiting"]) == ("floor", 2, 7, 1)
    # Version 2 takes `retry <NUM>` for normal, which bob called anomalous.
    assert (found["everyone"]["labels"], found["everyone"]["agrees"]) == (10, 9)
    assert (found["caller"]["labels"], found["caller"]["agrees"]) == (9, 9)
    assert sum(found["everyone"][purpose] for purpose in Purpose) == 10
    theirs = bob.get("/api/v1/questions/use").json()["caller"]
    assert (theirs["labels"], theirs["agrees"]) == (1, 0)


def test_answers_about_alerts_count_as_the_callers(log_in, training, publish, clock, add_alerts):
    client = log_in("operator")
    add_alerts(alert("a", 1, session="k9"))
    client.post(f"/api/v1/alerts/{alert('a', 1)['id']}/feedback", json={"answer": "right"})
    clock.now_s += 60
    publish([USUAL], round=1, participants=("eu",))
    assert client.get("/api/v1/questions/use").json()["caller"] == {
        "labels": 1, "agrees": 1, **dict.fromkeys(("train", "calibrate", "holdout"), 0),
        next(label.purpose for label in training.operator_labels()): 1,
    }  # fmt: skip


def test_a_round_without_the_region_did_not_use_its_labels(log_in, training, publish):
    publish([USUAL], round=3, participants=("us",))
    assert log_in("viewer").get("/api/v1/questions/use").json()["round"] is None


def test_what_the_last_version_no_longer_flags_is_listed_and_undone(log_in, training, publish):
    client = log_in("operator")
    publish([USUAL])
    publish([USUAL, BROKEN])
    found = client.get("/api/v1/became-normal").json()
    assert (found["before"], found["after"], found["versions"], found["windows"]) == (1, 2, [1, 2], 10)
    assert (found["anomalous_before"], found["anomalous_after"], found["lost"], found["gained"]) == (4, 1, 3, 0)
    (kind,) = found["kinds"]
    assert (kind["id"], kind["windows"], kind["answered"], kind["undone"]) == (f"{8:032x}", 3, False, None)
    assert kind["score_before"] >= found["threshold_before"] > kind["score_after"]
    assert [(t["text"], t["windows"]) for t in found["templates"]] == [("disk error on <*>", 3)]
    answer(client, kind, True)
    (kind,) = client.get("/api/v1/became-normal").json()["kinds"]
    assert (kind["answered"], kind["undone"]["anomalous"], training.counts().anomalous) == (True, True, 3)
    client.delete(f"/api/v1/questions/{kind['id']}/answer")
    assert client.get("/api/v1/became-normal").json()["kinds"][0]["undone"] is None
    earlier = f"{7:032x}"
    answer(client, {"id": earlier}, True)
    (kind,) = client.get("/api/v1/became-normal").json()["kinds"]
    assert (kind["id"], kind["undone"]["window_id"]) == (f"{8:032x}", earlier), "a window of the kind came since"


def test_versions_can_be_chosen(log_in, training, publish):
    client = log_in("viewer")
    assert client.get("/api/v1/became-normal").json()["after"] is None
    publish([USUAL])
    assert client.get("/api/v1/became-normal").json()["before"] is None
    publish([USUAL, BROKEN])
    found = client.get("/api/v1/became-normal", params={"before": 2, "after": 1}).json()
    assert (found["lost"], found["gained"]) == (0, 3)
    assert client.get("/api/v1/became-normal", params={"after": 9}).status_code == 404


def test_silenced_templates_are_listed_with_the_silence_in_force(log_in, training, add_alerts):
    client = log_in("operator")
    add_alerts(alert("a", 1))
    client.post(f"/api/v1/alerts/{alert('a', 1)['id']}/feedback", json={"answer": "normal", "comment": "new disks"})
    (found,) = client.get("/api/v1/became-normal").json()["silenced"]
    assert (found["template"], found["silence"], found["comment"]) == ("disk <*> failed", "silence-1", "new disks")
    client.delete("/api/v1/silences/silence-1")
    (found,) = client.get("/api/v1/became-normal").json()["silenced"]
    assert found["silence"] is None


def test_a_service_without_a_training_store_says_what_is_missing(store):
    services = Services.from_settings(ServeSettings(store=store))
    services.accounts.create("ann", "viewer", PASSWORD)
    client = new_client(build_app(services))
    client.post("/api/v1/session", json={"name": "ann", "password": PASSWORD})
    for path in ("questions", "questions/use", "became-normal"):
        found = client.get(f"/api/v1/{path}")
        assert (found.status_code, "region" in found.json()["detail"]) == (409, True)
    services.database.close()
