from pathlib import Path

import numpy as np
import pytest

from models.base import ModelSettingsError, TrainingError
from models.detectors.checks import WindowWorkload
from models.detectors.registry import build
from models.storage.store import ModelStore
from models.train_detector import TrainSettings, train
from models.training.splits import folds, stratified

CNN = {
    "encoder": "hashing:32",
    "projection": 16,
    "filters": 8,
    "counts": 8,
    "training": {"epochs": 25, "learning_rate": 0.01},
}


def test_train_publishes_a_version_that_scores_the_same(tmp_path: Path, workload: WindowWorkload) -> None:
    store = ModelStore(tmp_path)
    settings = TrainSettings(detector="bert_cnn", settings=CNN, seed=1, validation_share=0.3)
    trained = train(
        workload.windows, workload.labels, workload.templates, settings, store=store, name="eu", source="made"
    )
    assert trained.version == 1
    stored = store.load("eu")
    stored.detector.learn_templates(workload.templates)
    assert np.array_equal(stored.detector.score(workload.windows), trained.detector.score(workload.windows))
    assert stored.card.threshold.rule == "best_f1"
    assert stored.card.threshold.value == trained.threshold
    assert stored.card.data["source"] == "made"
    assert stored.card.labels == {"labels": int(workload.labels.sum())}
    unrecorded = stored.card.model_copy(update={"labels": None})
    figures = stored.card.metrics["validation"]
    assert unrecorded.labelled_anomalies == {"labels": figures["true_positives"] + figures["false_negatives"]}
    assert stored.card.data["windows"] + stored.card.data["validation_windows"] == len(workload.windows)
    assert stored.card.metrics["validation"]["f1"] > 0.8
    assert stored.card.extra["encoder"] == "hashing:32"


def test_unsupervised_detectors_need_no_labels(workload: WindowWorkload) -> None:
    normal = workload.windows.take(np.flatnonzero(~workload.labels))
    trained = train(normal, None, workload.templates, TrainSettings(detector="event_counts"))
    assert trained.notes.threshold.rule == "percentile"
    assert trained.notes.metrics == {}
    assert trained.notes.labels == trained.notes.labelled_anomalies == {}
    assert trained.version is None
    with pytest.raises(TrainingError, match="have no labels"):
        train(normal, None, workload.templates, TrainSettings(detector="bert_cnn", settings=CNN))
    with pytest.raises(TrainingError, match="3 labels for"):
        train(normal, np.ones(3, bool), workload.templates, TrainSettings(detector="event_counts"))


def test_unsupervised_detectors_see_no_anomaly(workload: WindowWorkload) -> None:
    detector = train(
        workload.windows, workload.labels, workload.templates, TrainSettings(detector="event_counts")
    ).detector
    failure = max(workload.templates, key=lambda i: workload.templates[i] == "write of block <*> failed")
    assert failure not in detector.weights()["vocabulary"]


def test_registry_errors_list_what_is_known() -> None:
    with pytest.raises(
        ModelSettingsError, match="known are bert_cnn, deeplog, event_counts, logbert, lstm_autoencoder"
    ):
        build("oracle")
    with pytest.raises(ModelSettingsError, match=r"settings of bert_cnn: kernels.0: .*; colour: unknown key"):
        build("bert_cnn", {"kernels": [0], "colour": 1})
    with pytest.raises(ModelSettingsError, match="not one of auto, cpu, cuda"):
        build("bert_cnn", CNN, device="abacus")


def test_split_keeps_the_classes_shares() -> None:
    labels = np.arange(100) % 10 == 0
    kept, held = stratified(labels, 0.2, seed=4)
    assert sorted([*kept, *held]) == list(range(100))
    assert (len(held), labels[held].sum()) == (20, 2)
    assert labels[stratified(labels, 0.001, seed=4)[1]].sum() == 1


def test_folds_hold_every_window_once_and_both_classes() -> None:
    labels = np.arange(100) % 10 == 0
    parts = folds(labels, 3, seed=1)
    assert sorted(np.concatenate(parts).tolist()) == list(range(100))
    assert [len(p) for p in parts] == [34, 33, 33]
    assert [int(labels[p].sum()) for p in parts] == [4, 3, 3]


def test_a_cross_fitted_detector_learns_from_all_windows_and_its_threshold_from_all_scores(
    workload: WindowWorkload,
) -> None:
    own = {"detector": "event_counts", "threshold": "percentile", "threshold_settings": {"percent": 100}}
    normal = workload.windows.take(np.flatnonzero(~workload.labels))
    once = train(normal, None, workload.templates, TrainSettings.model_validate(own))
    crossed = train(normal, None, workload.templates, TrainSettings.model_validate({**own, "folds": 4}))
    assert crossed.notes.threshold.fitted_on == len(normal)
    assert once.notes.threshold.fitted_on < len(normal)
    assert crossed.notes.data["windows"] == crossed.notes.data["validation_windows"] == len(normal)
    # Every window was seen by the detector, so none is new to it; some were to the detectors of the folds.
    assert crossed.detector.score(normal).max() == 0
    assert crossed.threshold > 0


def test_cross_fitting_with_labels(workload: WindowWorkload) -> None:
    settings = TrainSettings(detector="event_counts", settings={"head": "boosted", "trees": 20}, folds=3)
    stages: list[str] = []
    trained = train(
        workload.windows, workload.labels, workload.templates, settings, progress=lambda stage, *_: stages.append(stage)
    )
    assert stages == ["fold 1 of 3", "fold 2 of 3", "fold 3 of 3", "train"]
    assert trained.notes.threshold.rule == "best_f1"
    assert trained.notes.metrics["validation"]["f1"] > 0.9
    with pytest.raises(TrainingError, match="one fold leaves nothing to train on"):
        train(workload.windows, workload.labels, workload.templates, TrainSettings(detector="event_counts", folds=1))


def test_a_version_that_finds_no_held_out_anomaly_is_published_with_a_warning(
    tmp_path: Path, workload: WindowWorkload, caplog: pytest.LogCaptureFixture
) -> None:
    """Labels that have nothing to do with the windows: no rule for normal scores can find these anomalies."""
    normal = workload.windows.take(np.flatnonzero(~workload.labels))
    same = normal.take(np.zeros(200, np.int64))
    labels = np.arange(200) % 4 == 0
    settings = TrainSettings(detector="event_counts", threshold="percentile")
    trained = train(same, labels, workload.templates, settings, store=ModelStore(tmp_path))
    assert trained.version == 1
    assert trained.warning.startswith("none of the 10 anomalous held-out windows reaches the threshold")
    assert trained.warning in caplog.text


def test_a_version_that_finds_anomalies_needs_no_warning(workload: WindowWorkload) -> None:
    assert not train(
        workload.windows, workload.labels, workload.templates, TrainSettings(detector="event_counts")
    ).warning
