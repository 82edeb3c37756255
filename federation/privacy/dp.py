"""Differential privacy: DP-SGD in every region, and a budget over all its rounds.

A record is a distinct window with its label: whether one more such window was in the training set hardly
shows in the weights that leave the region.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from federation.errors import TrainerError
from federation.privacy.base import PrivacyMode
from federation.protocol.records import TrainTask, Update
from federation.storage.learning import LearningSet, LearningStore
from models.base import Model
from models.classify.base import LineClassifier
from models.text.ragged import content_keys, distinct

if TYPE_CHECKING:
    from federation.privacy.base import StepperFactory


class DifferentialPrivacy(PrivacyMode):
    """Noise in every training step; the trainer's own process imports torch and Opacus for it."""

    name = "dp"
    has_budget = True

    def require_supported(self, model: Model) -> None:
        """Refuse line classifiers, and detectors in which a window shows in more than the noisy gradients."""
        from models.detectors.next_template import CandidateDetector

        super().require_supported(model)
        if isinstance(model, LineClassifier):
            raise TrainerError("differential privacy covers windows and not lines; use secagg for line classifiers")
        if isinstance(model, CandidateDetector) and not model.supervised:
            raise TrainerError(
                f"{model.name} gets an output for every template of the regions' normal windows, and differential "
                "privacy does not cover the set of templates; use a detector that learns from labels, or "
                "lstm_autoencoder"
            )

    def prepare(self, own: LearningSet) -> LearningSet:
        """Every distinct window with its label once, so that no weight depends on how often a window occurs."""
        labels = own.labels.tolist()
        keys = [key + bytes([label]) for key, label in zip(content_keys(own.windows), labels, strict=True)]
        first, _ = distinct(keys)
        chosen = np.zeros(len(own), bool)
        chosen[first] = True
        return own.subset(chosen)

    def stepper(self, task: TrainTask, store: LearningStore) -> "StepperFactory":
        """Clipped and noisy gradients of single windows; the budget is charged before the first step."""
        from federation.privacy.dp_sgd import PrivateSteps

        if task.proximal_mu:
            raise TrainerError("the proximal term cannot be combined with differential privacy; use another strategy")
        return partial(
            PrivateSteps, epochs=task.local_epochs, settings=task.privacy, store=store, round_id=task.round_id,
            passes_left=max(1, task.passes - task.number),
        )  # fmt: skip

    def report(self, task: TrainTask, store: LearningStore, figures: Mapping[str, float]) -> dict[str, float]:
        """Epsilon spent so far; no noise covers the other figures."""
        from federation.privacy.dp_sgd import epsilon

        return {"epsilon": epsilon(store.spent(), task.privacy.delta)}

    def spent(self, updates: Sequence[Update]) -> float | None:
        """Largest epsilon that a region reports."""
        return max((u.metrics["epsilon"] for u in updates if "epsilon" in u.metrics), default=None)
