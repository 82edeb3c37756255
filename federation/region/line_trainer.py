"""A region's part of a round of a line classifier: trains and evaluates on the classes of the region's templates."""

import time
import zlib
from pathlib import Path

from federation.errors import TrainerError
from federation.privacy.registry import privacy_mode
from federation.protocol.records import HoldoutFigures, ModelSpec, TrainTask, Update, Weights
from federation.region.holdout import count_labels, line_pairs
from federation.storage.learning import LearningStore, Purpose
from models.classify.base import NORMAL, LineClassifier
from models.classify.metrics import class_figures
from models.classify.registry import build
from models.training.local_training import LocalTraining, within_round

FEDERATED = ("lora_bert",)
"""Line classifiers whose weights have the same shapes in every region."""


class LineTrainer:
    """Answers for one region in rounds of a line classifier. Not thread-safe."""

    def __init__(self, region: str, store: LearningStore, *, device: str, cache: Path | None) -> None:
        """Load nothing yet; see `federation.region.trainer.Trainer`."""
        self._region = region
        self._store = store
        self._device = device
        self._cache = cache
        self._built: tuple[ModelSpec, LineClassifier] | None = None

    def train(self, weights: Weights, task: TrainTask) -> Update:
        """Train from `weights` on the training templates.

        Raises:
            TrainerError: the classifier cannot be federated, or not in this privacy mode.
            ModelError: see `Model.load_weights` and `LineClassifier.fit`.
        """
        start = time.perf_counter()
        classifier = self._loaded(task.spec, weights)
        mode = privacy_mode(task.privacy.mode)
        mode.require_supported(classifier)
        own = self._store.line_set(Purpose.TRAIN)
        with within_round(LocalTraining(task.local_epochs, task.proximal_mu)):
            report = classifier.fit(
                own.lines, own.labels, weights=own.weights,
                seed=zlib.crc32(f"{self._region} {task.seed} {task.number}".encode()),
            )  # fmt: skip
        figures = {"loss": float(report.history[-1]["loss"]), "anomalous": float((own.labels != NORMAL).sum())}
        metrics = {"train_s": time.perf_counter() - start, **mode.report(task, self._store, figures)}
        return Update(self._region, classifier.weights(), len(own), metrics)

    def evaluate(self, candidate: Weights, current: Weights, spec: ModelSpec) -> HoldoutFigures:
        """Count the predictions of both models on the held-out templates by class.

        Raises:
            TrainerError: the classifier cannot be federated.
            ModelError: see `Model.load_weights`.
        """
        own = self._store.line_set(Purpose.HOLDOUT)
        old, new = (self._loaded(spec, weights).probabilities(own.lines).argmax(1) for weights in (current, candidate))
        answered, ruled = line_pairs(own, old == own.labels, new == own.labels)
        before, after = (
            tuple(map(int, class_figures(own.labels, made).matrix.ravel().tolist())) for made in (old, new)
        )
        known = count_labels((*own.provenance, *self._store.line_set(Purpose.TRAIN).provenance))
        return HoldoutFigures(self._region, before, after, answered, ruled, known=known)

    def _loaded(self, spec: ModelSpec, weights: Weights) -> LineClassifier:
        if spec.detector not in FEDERATED:
            raise TrainerError(
                f"the number of weights of {spec.detector} depends on its training data; of the line classifiers "
                f"{', '.join(FEDERATED)} can be federated"
            )
        if self._built is None or self._built[0] != spec:
            self._built = spec, build(spec.detector, spec.settings, device=self._device, cache=self._cache)
        classifier = self._built[1]
        classifier.load_weights(weights, spec.extra)
        return classifier
