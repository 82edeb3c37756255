import base64

import numpy as np
import pytest

from federation.storage.answers import AnswerStore
from federation.storage.learning import Purpose
from federation.storage.training_store import Label, StoreCounts, TrainingSettings
from models.base import Windows, template_id

TEXTS = {template_id(t): t for t in ("Receiving block <*>", "Served block <*>")}
ROW = list(TEXTS)


@pytest.fixture(params=[None, base64.b64encode(bytes(range(32))).decode()], ids=["plain", "encrypted"])
def store(request, tmp_path):
    settings = TrainingSettings.model_validate({"path": tmp_path / "t.db", "key": request.param})
    with AnswerStore(settings.path, settings, now_ns=lambda: 1_000) as opened:
        yield opened


def put(store, keys, closed=None):
    n = len(keys)
    store.add(
        Windows.of([ROW] * n, closed), keys=keys, ids=[f"id-{i}" for i in range(n)],
        time_ns=np.arange(n, dtype=np.int64), scores=np.linspace(0, 1, n, dtype=np.float32), templates=TEXTS,
    )  # fmt: skip


def counted(store) -> tuple[int, int, int]:
    counts: StoreCounts = store.counts()
    return counts.anomalous, counts.normal, counts.unlabelled


def test_an_empty_store_has_no_windows(store):
    found = store.stored_windows()
    assert len(found.windows) == len(found.ids) == len(found.keys) == len(found.scores) == len(found.answered) == 0


def test_complete_windows_come_back_in_the_order_of_time(store):
    put(store, ["a", "b", ""], [True, False, True])
    found = store.stored_windows()
    assert found.ids == ("id-0", "id-2")
    assert found.keys == store.hashed(["a", "id-2"])
    assert found.windows.row(1).tolist() == ROW
    assert found.templates == TEXTS
    assert found.scores.tolist() == [0.0, 1.0]
    assert not found.answered.any()


def test_answers_label_windows_and_can_be_taken_back(store):
    put(store, ["a", "b", "c"])
    keys = store.hashed(["a", "b"])
    store.answer(keys[:1], anomalous=True, time_ns=1)
    store.answer(keys[1:], anomalous=False, time_ns=1)
    assert counted(store) == (1, 1, 1)
    assert store.stored_windows().answered.tolist() == [True, True, False]
    assert store.answered(store.hashed(["b", "c", "unknown"])).tolist() == [True, False, False]
    store.answer(keys[:1], anomalous=False, time_ns=2)
    assert counted(store) == (0, 2, 1)
    store.withdraw(keys)
    assert counted(store) == (0, 0, 3)


def test_ground_truth_counts_again_when_an_answer_is_taken_back(store):
    put(store, ["a"])
    store.label([Label("a", True, "labels", 1)])
    store.answer(store.hashed(["a"]), anomalous=False, time_ns=2)
    assert counted(store) == (0, 1, 0)
    store.withdraw(store.hashed(["a"]))
    assert counted(store) == (1, 0, 0)


def test_rules_are_no_answers(tmp_path):
    settings = TrainingSettings.model_validate({"path": tmp_path / "t.db", "rules": ["Receiving"]})
    with AnswerStore(settings.path, settings, now_ns=lambda: 1_000) as store:
        put(store, ["a"])
        assert counted(store) == (1, 0, 0)
        assert not store.stored_windows().answered.any()


def test_an_answer_may_come_before_its_window(store):
    store.answer(store.hashed(["a"]), anomalous=True, time_ns=1)
    put(store, ["a"])
    assert counted(store) == (1, 0, 0)


def test_labels_of_operators_come_with_what_their_windows_are_used_for(store):
    put(store, ["a", "b"])
    store.answer(store.hashed(["a"]), anomalous=True, time_ns=1)
    store.label([Label("b", True, "labels", 1), Label("gone", False, "feedback", 1)])
    found = {label.key: label for label in store.operator_labels()}
    assert set(found) == set(store.hashed(["a", "gone"]))
    assert {label.received_ns for label in found.values()} == {1_000}
    assert found[store.hashed(["a"])[0]].anomalous
    (purpose,) = (each for each in Purpose if "feedback" in store.learning_set(each).provenance)
    assert found[store.hashed(["a"])[0]].purpose is purpose
