"""`driftline ask`: questions from the training store, from alerts and from a log, and their answers."""

import io
import json
import time

import numpy as np
import pytest

from engine.settings import load
from federation.storage.answers import AnswerStore
from models.base import Windows, template_id
from tests.engine.cli.test_alerts import REGION, alert

TEXTS = {template_id(text): text for text in ("started", "stopped", "disk error on <*>", "retry <NUM>")}
STARTED, STOPPED, ERROR, RETRY = TEXTS
ROWS = [[STARTED, STOPPED]] * 6 + [[STARTED, ERROR]] * 3 + [[RETRY]]


@pytest.fixture
def region(tmp_path):
    path = tmp_path / "eu.toml"
    path.write_text(REGION.format(folder=tmp_path))
    return path


@pytest.fixture
def store(region):
    training = load(region).training
    with AnswerStore(training.path, training, now_ns=time.time_ns) as opened:
        yield opened


@pytest.fixture
def filled(store):
    n = len(ROWS)
    store.add(
        Windows.of(ROWS), keys=[f"s{i}" for i in range(n)], ids=[f"{i:032x}" for i in range(n)],
        time_ns=np.arange(n, dtype=np.int64), scores=np.linspace(0, 1, n, dtype=np.float32), templates=TEXTS,
    )  # fmt: skip
    return store


def answered(driftline, monkeypatch, region, keys, *options):
    monkeypatch.setattr("sys.stdin", io.StringIO(keys))
    return driftline("ask", region, *options)


def test_questions_are_listed_as_json_and_nothing_is_asked(driftline, region, filled):
    ran = driftline("ask", region, "--json", "--budget", 2)
    rows = [json.loads(line) for line in ran.out.splitlines()]
    assert ran.code == 0
    assert len(rows) == 2
    assert set(rows[0]) == {"id", "session", "time", "score", "uncertainty", "alike", "labels", "templates"}
    assert all(row["alike"] == row["labels"] for row in rows)
    assert {row["alike"] for row in rows} < {6, 3, 1}
    assert filled.counts().unlabelled == len(ROWS)


def test_one_key_labels_every_window_of_its_kind(driftline, monkeypatch, region, filled):
    ran = answered(driftline, monkeypatch, region, "nnn")
    assert ran.code == 0
    assert "3 answered: 0 anomalous, 3 normal; they label 10 sessions" in ran.out
    assert filled.counts().normal == len(ROWS)
    assert "nothing to ask" in driftline("ask", region).out


def test_answers_are_taken_back_skipped_and_ended(driftline, monkeypatch, region, filled):
    ran = answered(driftline, monkeypatch, region, "u x a u \n n s q")
    assert "1 answered: 0 anomalous, 1 normal" in ran.out
    counts = filled.counts()
    assert (counts.anomalous, counts.normal > 0, counts.unlabelled > 0) == (0, True, True)
    # The end of the answers is the end of the questions.
    assert "0 answered" in answered(driftline, monkeypatch, region, "").out


def test_the_answer_about_one_window_does_not_label_another_kind_of_the_same_session(
    driftline, monkeypatch, region, store
):
    rows = [[STARTED], [STARTED], [STARTED], [ERROR]]
    store.add(
        Windows.of(rows), keys=["a", "b", "c", "c"], ids=["1", "2", "3", "4"], time_ns=np.arange(4),
        scores=np.array([0, 0, 0, 1], np.float32), templates=TEXTS,
    )  # fmt: skip
    asked = [json.loads(line) for line in driftline("ask", region, "--json").out.splitlines()]
    place = next(i for i, row in enumerate(asked) if row["alike"] == 3)
    assert asked[place]["labels"] == 2
    answered(driftline, monkeypatch, region, "s" * place + "nq")
    counts = store.counts()
    assert (counts.normal, counts.unlabelled) == (2, 2)


def test_alerts_are_asked_about_once_and_until_answered(driftline, monkeypatch, region, tmp_path, store):
    other = alert(2, templates=[{"id": "1" * 16, "text": "retry <NUM>", "count": 1}], session="s2")
    (tmp_path / "alerts.jsonl").write_text("".join(json.dumps(a) + "\n" for a in (alert(1), other, alert(1))))
    asked = [json.loads(line) for line in driftline("ask", region, "--alerts", "--json").out.splitlines()]
    assert {row["id"] for row in asked} == {alert(1)["id"], other["id"]}
    assert {row["session"] for row in asked} == {"", "s2"}
    assert driftline("alerts", "right", region, alert(1)["id"]).code == 0
    left = [json.loads(line) for line in driftline("ask", region, "--alerts", "--json").out.splitlines()]
    assert [row["id"] for row in left] == [other["id"]]
    answered(driftline, monkeypatch, region, "a", "--alerts")
    assert store.answered(store.hashed(["s2"])).all()
    assert "nothing to ask" in driftline("ask", region, "--alerts").out


def test_a_log_is_scored_and_asked_about(driftline, monkeypatch, place, region, store):
    region.write_text(region.read_text().replace(f"{region.parent}/models", str(place.store)))
    asked = [json.loads(line) for line in driftline("ask", region, "--data", place.log, "--json").out.splitlines()]
    windows = store.counts().windows
    assert 0 < len(asked) <= 20
    assert windows > len(asked)
    assert any(row["session"] for row in asked) or all(row["session"] == "" for row in asked)
    answered(driftline, monkeypatch, region, "n", "--data", str(place.log))
    assert store.counts().windows == windows
    assert store.counts().normal > 0


def test_what_cannot_be_asked_is_refused(driftline, region):
    both = driftline("ask", region, "--alerts", "--data", "app.log")
    assert (both.code, "cannot be combined" in both.err) == (2, True)
    text = region.read_text()
    region.write_text(text[: text.index("[training]")])
    without = driftline("ask", region)
    assert (without.code, "add a section [training]" in without.err) == (2, True)
