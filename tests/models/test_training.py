from pathlib import Path

import numpy as np
import pytest

from models.base import SettingsError, TrainingError, Windows
from models.checks import Made
from models.event_counts import EventCounts, EventCountsSettings
from models.registry import build
from models.splits import stratified
from models.store import ModelStore
from models.training import TrainSettings, train

CNN = {
    "encoder": "hashing:32",
    "projection": 16,
    "filters": 8,
    "counts": 8,
    "training": {"epochs": 25, "learning_rate": 0.01},
}


def test_train_publishes_a_version_that_scores_the_same(tmp_path: Path, made: Made) -> None:
    store = ModelStore(tmp_path)
    settings = TrainSettings(detector="bert_cnn", settings=CNN, seed=1, validation_share=0.3)
    trained = train(made.windows, made.labels, made.templates, settings, store=store, name="eu", source="made")
    assert trained.version == 1
    stored = store.load("eu")
    stored.detector.learn_templates(made.templates)
    assert np.array_equal(stored.detector.score(made.windows), trained.detector.score(made.windows))
    assert stored.card.threshold.rule == "best_f1"
    assert stored.card.threshold.value == trained.threshold
    assert stored.card.data["source"] == "made"
    assert stored.card.data["windows"] + stored.card.data["validation_windows"] == len(made.windows)
    assert stored.card.metrics["validation"]["f1"] > 0.8
    assert stored.card.extra["encoder"] == "hashing:32"


def test_unsupervised_detectors_need_no_labels(made: Made) -> None:
    normal = made.windows.take(np.flatnonzero(~made.labels))
    trained = train(normal, None, made.templates, TrainSettings(detector="event_counts"))
    assert trained.notes.threshold.rule == "percentile"
    assert trained.notes.metrics == {}
    assert trained.version is None
    with pytest.raises(TrainingError, match="have no labels"):
        train(normal, None, made.templates, TrainSettings(detector="bert_cnn", settings=CNN))
    with pytest.raises(TrainingError, match="3 labels for"):
        train(normal, np.ones(3, bool), made.templates, TrainSettings(detector="event_counts"))


def test_unsupervised_detectors_see_no_anomaly(made: Made) -> None:
    detector = train(made.windows, made.labels, made.templates, TrainSettings(detector="event_counts")).detector
    failure = max(made.templates, key=lambda i: made.templates[i] == "write of block <*> failed")
    assert failure not in detector.weights()["vocabulary"]


def test_registry_errors_list_what_is_known() -> None:
    with pytest.raises(SettingsError, match="known are bert_cnn, deeplog, event_counts, logbert, lstm_autoencoder"):
        build("oracle")
    with pytest.raises(SettingsError, match=r"settings of bert_cnn: kernels.0: .*; colour: Extra inputs"):
        build("bert_cnn", {"kernels": [0], "colour": 1})
    with pytest.raises(SettingsError, match="none of auto, cpu, cuda"):
        build("bert_cnn", CNN, device="abacus")


def test_split_keeps_the_classes_shares() -> None:
    labels = np.arange(100) % 10 == 0
    kept, held = stratified(labels, 0.2, seed=4)
    assert sorted([*kept, *held]) == list(range(100))
    assert (len(held), labels[held].sum()) == (20, 2)
    assert labels[stratified(labels, 0.001, seed=4)[1]].sum() == 1


@pytest.mark.parametrize(
    ("row", "closed", "low", "high"),
    [
        ([1, 2, 2, 3], True, 0, 0),  # seen so in training
        ([2, 1, 3, 2], True, 0, 0),  # counts have no order
        ([1, 2], True, 1, 3),  # shorter than every whole one
        ([1, 2], False, 0, 0),  # the beginning of one
        ([1, 9, 2, 3], True, 1, 2),  # a template never seen
        ([2] * 9, False, 1, 3),  # longer than every one already
    ],
)
def test_event_counts(row: list[int], closed: bool, low: float, high: float) -> None:
    detector = EventCounts(EventCountsSettings())
    detector.fit(Windows.of([[1, 2, 2, 3], [1, 2, 3]]), None, {})
    score = detector.score(Windows.of([row], [closed]))[0]
    assert low <= score <= high


def test_event_counts_without_a_line() -> None:
    with pytest.raises(TrainingError, match="at least one window"):
        EventCounts(EventCountsSettings()).fit(Windows.of([[]]), None, {})
