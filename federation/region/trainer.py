"""A region's part of a round: trains, calibrates and evaluates on the region's own stored windows.

It has no sockets; the trainer process and the in-process grid both run it. The detector is kept between
questions, so that its encoder is loaded and its template texts are encoded only once.
"""

import importlib
import time
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from federation.errors import TrainerError
from federation.privacy.registry import privacy_mode
from federation.protocol.calibration import sketch_scores, supports_threshold
from federation.protocol.output_templates import most_frequent
from federation.protocol.records import (
    LINE_CLASSIFIER,
    HoldoutFigures,
    ModelSpec,
    Pairs,
    ScoreSketch,
    TrainTask,
    Update,
    Weights,
)
from federation.region.holdout import found_by_one, labelled_anomalies, window_figures
from federation.region.line_trainer import LineTrainer
from federation.region.made_up_incidents import MIN_CALIBRATION, recent_windows, tells_apart, with_incidents
from federation.storage.learning import LearningSet, LearningStore, Purpose
from models.base import WindowDetector
from models.detectors.federated import FEDERATED, statistics_of
from models.detectors.registry import build
from models.training.local_training import LocalTraining, within_round
from models.training.scoring import WindowScorer

MAX_ANCHORS = 500
"""Labelled anomalies that a candidate has to find still: far more than show that it forgets them."""


class Trainer:
    """Answers for one region; see `federation.protocol.messages.RegionClient`. Not thread-safe."""

    def __init__(self, region: str, store: LearningStore, *, device: str = "auto", cache: Path | None = None) -> None:
        """Load nothing yet.

        Args:
            region: Name of the region.
            store: Windows of the region.
            device: See `models.detectors.registry.build`.
            cache: Folder for encoded template texts.
        """
        self._region = region
        self._store = store
        self._device = device
        self._cache = cache
        self._built: tuple[ModelSpec, WindowDetector] | None = None
        self._lines = LineTrainer(region, store, device=device, cache=cache)

    @staticmethod
    def warm_up() -> None:
        """Import torch, which the first training needs; from any thread."""
        importlib.import_module("models.training.train_loop")

    @property
    def region(self) -> str:
        """Name of the region."""
        return self._region

    def templates(self, task: TrainTask) -> NDArray[np.int64]:
        """Ids of the templates in the training windows, for a detector with an output for each; none for others.

        Raises:
            TrainerError: the detector cannot be federated, or not in this privacy mode.
        """
        detector = self._detector(task.spec)
        privacy_mode(task.privacy.mode).require_supported(detector)
        if not _has_outputs(detector):
            return np.zeros(0, np.int64)
        own = self._store.learning_set(Purpose.TRAIN)
        return most_frequent(own.subset(~own.labels).windows.ids)

    def train(self, weights: Weights, task: TrainTask) -> Update:
        """Train from `weights` on the training windows, or a line classifier on the templates.

        Raises:
            TrainerError: the model cannot be federated, or the region has no window to train on.
            BudgetSpentError: the training would exceed the privacy budget.
            ModelError: see `WindowDetector.load_weights` and `WindowDetector.fit`.
        """
        if task.spec.kind == LINE_CLASSIFIER:
            return self._lines.train(weights, task)
        start = time.perf_counter()
        detector = self._loaded(task.spec, weights)
        own, check = (self._store.learning_set(p, task.left_out) for p in (Purpose.TRAIN, Purpose.CALIBRATE))
        statistics = statistics_of(task.spec.detector)
        if not detector.supervised and statistics is None:
            own = own.subset(~own.labels)
        if not len(own):
            raise TrainerError(f"{self._region} has no window to train {task.spec.detector} on")
        mode = privacy_mode(task.privacy.mode)
        mode.require_supported(detector)
        own = mode.prepare(own)
        figures = {"anomalous": float(own.labels.sum())}
        if statistics is not None:
            arrays = statistics.collect(own.windows, own.labels, ~own.known, own.templates)
            metrics = {"train_s": time.perf_counter() - start, **mode.report(task, self._store, figures)}
            return Update(self._region, arrays, len(own), metrics)
        with within_round(LocalTraining(task.local_epochs, task.proximal_mu, mode.stepper(task, self._store))):
            report = detector.fit(
                own.windows,
                own.labels if detector.supervised else None,
                {**own.templates, **check.templates},
                validation=(check.windows, check.labels) if len(check) else None,
                seed=zlib.crc32(f"{self._region} {task.seed} {task.number}".encode()),
            )
        figures["loss"] = float(report.history[-1]["loss"])
        metrics = {"train_s": time.perf_counter() - start, **mode.report(task, self._store, figures)}
        return Update(self._region, detector.weights(), len(own), metrics)

    def calibrate(self, weights: Weights, task: TrainTask) -> ScoreSketch:
        """Score the calibration windows; only quantiles of the scores are returned.

        Raises:
            ModelError: see `WindowDetector.load_weights`.
        """
        spec, own = task.spec, self._store.learning_set(Purpose.CALIBRATE, task.left_out)
        labelled = supports_threshold(own.labels, own.known)
        scores, labels = self._scores(spec, weights, own), own.labels
        if not labelled:
            # Too few to leave any out. Trained on, they score higher: a threshold above them is surely too high.
            train = self._store.learning_set(Purpose.TRAIN, task.left_out)
            taught = self._scores(spec, weights, train.subset(train.labels))
            scores, labels = np.append(scores, taught), np.append(labels, np.ones(len(taught), bool))
        return sketch_scores(self._region, scores, labels, labelled=labelled)

    def evaluate(
        self, candidate: Weights, current: Weights, task: TrainTask, thresholds: tuple[float, float]
    ) -> HoldoutFigures:
        """Count the results of both models on the holdout, or on the half of the sessions that is left out.

        `thresholds` are (candidate's, current's).

        Raises:
            ModelError: see `WindowDetector.load_weights`.
        """
        spec = task.spec
        if spec.kind == LINE_CLASSIFIER:
            return self._lines.evaluate(candidate, current, spec)
        # The current model has learnt from earlier sessions: there the candidate of a half could only lose.
        serving = 0 if task.left_out is None else spec.version
        models, own = (candidate, current), self._store.learning_set(Purpose.HOLDOUT, task.left_out, serving)
        new, old = self._called(models, thresholds, spec, own)
        figures = window_figures(self._region, own, old, new)
        if task.left_out is not None:
            return figures
        calibration = self._store.learning_set(Purpose.CALIBRATE)
        made_up, strange = self._made_up(models, thresholds, spec, own, calibration)
        others = (self._store.learning_set(Purpose.TRAIN), calibration)
        known = sum(map(labelled_anomalies, others), labelled_anomalies(own))
        anchors = Pairs()
        if not own.labels.any() or sum(figures.unlabelled) > sum(figures.current):
            anchors = sum((self._anchors(models, thresholds, spec, part) for part in others), Pairs())
        return replace(figures, made_up=made_up, strange=strange, known=known, anchors=anchors)

    def _anchors(
        self, models: tuple[Weights, Weights], thresholds: tuple[float, float], spec: ModelSpec, part: LearningSet
    ) -> Pairs:
        """Labelled anomalies that only one model finds, of the newest `MAX_ANCHORS` windows."""
        chosen = np.zeros(len(part), bool)
        chosen[np.flatnonzero(part.labels)[-MAX_ANCHORS:]] = True
        anomalies = part.subset(chosen)
        new, old = self._called(models, thresholds, spec, anomalies)
        return found_by_one(anomalies, old, new)

    def _called(
        self, models: tuple[Weights, Weights], thresholds: tuple[float, float], spec: ModelSpec, own: LearningSet
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Windows that each of two models calls anomalous: bool (n,) each."""
        first, second = (
            self._scores(spec, weights, own) >= threshold for weights, threshold in zip(models, thresholds, strict=True)
        )
        return first, second

    def _made_up(
        self, models: tuple[Weights, Weights], thresholds: tuple[float, float], spec: ModelSpec, holdout: LearningSet,
        calibration: LearningSet,
    ) -> tuple[Pairs, tuple[int, int, int]]:  # fmt: skip
        """Compare both models without labels; see `federation.region.made_up_incidents`."""
        recent, normal = recent_windows(holdout), calibration.subset(~calibration.labels)
        if not len(recent) or len(normal) < MIN_CALIBRATION:
            return Pairs(), (0, 0, 0)
        changed = with_incidents(recent, zlib.crc32(self._region.encode()))
        new, old = (
            tells_apart(
                self._scores(spec, weights, normal), self._scores(spec, weights, recent),
                self._scores(spec, weights, changed), threshold,
            )
            for weights, threshold in zip(models, thresholds, strict=True)
        )  # fmt: skip
        pairs = Pairs(found=int((new[0] & ~old[0]).sum()), lost=int((old[0] & ~new[0]).sum()))
        return pairs, (int(old[1].sum()), int(new[1].sum()), len(recent))

    def _scores(self, spec: ModelSpec, weights: Weights, own: LearningSet) -> NDArray[np.float32]:
        if not len(own):
            return np.zeros(0, np.float32)
        detector = self._loaded(spec, weights)
        detector.learn_templates(own.templates)
        return WindowScorer(detector, spec.version, 0.0).score(own.windows)

    def _loaded(self, spec: ModelSpec, weights: Weights) -> WindowDetector:
        detector = self._detector(spec)
        detector.load_weights(weights, spec.extra)
        return detector

    def _detector(self, spec: ModelSpec) -> WindowDetector:
        if self._built is None or self._built[0] != spec:
            self._built = spec, _federable(spec, self._device, self._cache)
        return self._built[1]


def _federable(spec: ModelSpec, device: str, cache: Path | None) -> WindowDetector:
    """Build the detector, if it can be federated."""
    if spec.detector not in FEDERATED:
        raise TrainerError(f"{spec.detector} cannot be federated; {', '.join(FEDERATED)} can")
    return build(spec.detector, spec.settings, device=device, cache=cache)


def _has_outputs(detector: WindowDetector) -> bool:
    """Whether it has one output per template, which predicts the template."""
    from models.detectors.next_template import CandidateDetector

    return isinstance(detector, CandidateDetector) and not detector.supervised
