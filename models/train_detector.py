"""Training as one job: split, fit, threshold, figures, and a new version in the store."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from foundation.extras import require
from models.base import FitReport, Progress, Templates, TrainingError, WindowDetector, Windows
from models.detectors.registry import DETECTORS, build
from models.storage.names import require_own_name
from models.storage.store import ModelStore, Notes
from models.text.ragged import content_keys, distinct
from models.thresholds.registry import RULES, fit_threshold
from models.training.metrics import evaluate
from models.training.splits import folds, stratified

log = logging.getLogger(__name__)

_Index = NDArray[np.int64]


class TrainSettings(BaseModel):
    """What is trained, and how its threshold is found."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    detector: str = Field("bert_cnn", description=f"One of {', '.join(DETECTORS)}.")
    settings: dict[str, Any] = Field(default_factory=dict, description="The detector's own settings.")
    validation_share: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.2, description="Share of each class kept for early stopping and for the threshold."
    )
    folds: Annotated[int, Field(ge=0)] = Field(
        0,
        description="0: `validation_share` of the windows is held out. Two or more: every window is scored by a "
        "detector that was trained on the other folds, the threshold is fitted on all these scores, and "
        "the detector itself is trained on all windows. This adds as many trainings.",
    )
    blocks: bool = Field(
        False, description="Whether folds are stretches of the log; for windows that are not sessions."
    )
    threshold: str = Field(
        "auto",
        description=f"Threshold rule: {', '.join(RULES)}, or auto: best_f1 where labels of both classes are, else "
        "percentile.",
    )
    threshold_settings: dict[str, float] = Field(default_factory=dict, description="Settings of the threshold rule.")
    seed: Annotated[int, Field(ge=0)] = Field(0, description="Seed of the split and of the training.")


@dataclass(frozen=True, slots=True)
class Trained:
    """A detector ready to score, and the content of its card.

    `version` is None if it was not published. `warning` is a sentence for the user, "" if all is well.
    """

    detector: WindowDetector
    notes: Notes
    report: FitReport
    version: int | None = None
    warning: str = ""

    @property
    def threshold(self) -> float:
        """A score at or above it is anomalous."""
        return self.notes.threshold.value


def train(
    windows: Windows, labels: NDArray[np.bool_] | None, templates: Templates, settings: TrainSettings,
    *, store: ModelStore | None = None, name: str | None = None, source: str = "",
    facts: Mapping[str, int | float | str] | None = None, known: Mapping[str, int] | None = None,
    preprocessing: Mapping[str, str] | None = None,
    device: str = "auto", cache: Path | None = None, progress: Progress | None = None,
) -> Trained:  # fmt: skip
    """Trains a detector and, with a store, publishes it as the current version.

    1. Split: a share of each class is held out. Detectors that learn from normal windows only get
       no anomalous one in step 2.
    2. Fit, with the held-out windows deciding when to stop.
    3. Threshold, from the scores of the held-out windows.
    4. Figures on the held-out windows; they chose the threshold, so they flatter.
    5. Publish.

    With `folds`, steps 1 and 2 are done once for each fold, step 3 takes the scores of all of them,
    and a detector fitted to all windows is published.

    Args:
        windows: All windows to learn from, cut as the engine cuts them.
        labels: bool (n,), True = anomalous; None where nothing is known: all count as normal.
        templates: The text of every template id in `windows`.
        settings: See the class.
        store: Where to publish; None publishes nowhere.
        name: Name in the store; the detector's where None.
        source: Where the data came from, for the card.
        facts: More about the data, for the card.
        known: Labelled anomalies by origin of the label, for the card; None: all are of the origin `labels`.
        preprocessing: Settings that the windows were made with, for the card.
        device: See `models.detectors.registry.build`.
        cache: Folder for encoded template texts.
        progress: See `models.base.Progress`.

    Raises:
        MissingExtraError: the extra `train` is not installed.
        ModelError: see `build`, `WindowDetector.fit`, `fit_threshold` and `ModelStore.publish`.
    """
    require("train", "training")
    if store is not None:
        require_own_name(store, name or settings.detector, settings.detector)
    make = partial(build, settings.detector, settings.settings, device=device, cache=cache)
    detector = make()
    truth = np.zeros(len(windows), bool) if labels is None else labels
    if len(truth) != len(windows):
        raise TrainingError(f"there are {len(truth)} labels for {len(windows)} windows")
    if detector.supervised and labels is None:
        raise TrainingError(f"{settings.detector} learns from labelled windows, and these have no labels")
    if settings.folds == 1:
        raise TrainingError("one fold leaves nothing to train on: folds must be 0, or 2 or more")
    job = _Job(windows, truth, templates, settings, progress)
    kept, held, scores, report = job.crossed(make, detector) if settings.folds else job.held_out(detector)
    notes = _notes(job, detector, kept, held, scores, labelled=labels is not None, source=source)
    labels_of = notes.labels if known is None else dict(known)
    more = {"data": notes.data | dict(facts or {}), "labels": labels_of, "preprocessing": dict(preprocessing or {})}
    notes = notes.model_copy(update=more)
    warning = _warning(notes.metrics.get("validation"))
    if warning:
        log.warning("%s: %s", settings.detector, warning)
    version = store.publish(name or settings.detector, detector, notes) if store else None  # 5
    return Trained(detector, notes, report, version, warning)


def _notes(
    job: "_Job", detector: WindowDetector, kept: _Index, held: _Index, scores: NDArray[np.float32], *, labelled: bool,
    source: str,
) -> Notes:  # fmt: skip
    """Steps 3 and 4: the threshold and the figures, from the scores (h,) of the windows at `held`."""
    settings, truth = job.settings, job.truth
    fitted_on = kept if detector.supervised else kept[~truth[kept]]
    threshold = fit_threshold(  # 3
        settings.threshold, scores, truth[held] if labelled else None, settings.threshold_settings,
        highest=detector.highest_score,
    )  # fmt: skip
    metrics = {"validation": evaluate(scores, truth[held], threshold.value)} if labelled else {}  # 4
    data = _data(job.windows.take(fitted_on), truth[fitted_on], held, source)
    anomalies = int(truth.sum()) if labelled else 0
    labels = {"labels": anomalies} if anomalies else {}
    return Notes(threshold=threshold, metrics=metrics, labels=labels, seed=settings.seed, data=data)


def _warning(figures: Mapping[str, float] | None) -> str:
    """One sentence where the detector is useless on its own held-out windows, else ""."""
    if not figures or figures["true_positives"] or not figures["false_negatives"]:
        return ""
    return (
        f"none of the {figures['false_negatives']:.0f} anomalous held-out windows reaches the threshold; "
        f"expect no right alert from this version"
    )


@dataclass(frozen=True, slots=True)
class _Job:
    """What detectors are trained on, in whole or in part."""

    windows: Windows
    truth: NDArray[np.bool_]
    templates: Templates
    settings: TrainSettings
    progress: Progress | None

    def held_out(self, detector: WindowDetector) -> tuple[_Index, _Index, NDArray[np.float32], FitReport]:
        """Steps 1 and 2: which windows the detector was fitted on and which were held out, and the latter's scores."""
        kept, held = stratified(self.truth, self.settings.validation_share, self.settings.seed)  # 1
        report = self.fit(detector, kept, held)  # 2
        return kept, held, detector.score(self.windows.take(held)), report

    def fit(self, detector: WindowDetector, kept: NDArray[np.int64], held: NDArray[np.int64] | None) -> FitReport:
        """Fits a detector on what it may see of the windows at `kept`, and makes all templates known to it."""
        if not detector.supervised:
            kept = kept[~self.truth[kept]]
        report = detector.fit(
            self.windows.take(kept),
            self.truth[kept] if detector.supervised else None,
            self.templates,
            validation=None if held is None else (self.windows.take(held), self.truth[held]),
            seed=self.settings.seed,
            progress=self.progress,
        )
        detector.learn_templates(self.templates)
        return report

    def crossed(
        self, make: Callable[[], WindowDetector], detector: WindowDetector
    ) -> tuple[_Index, _Index, NDArray[np.float32], FitReport]:
        """As `held_out` with every window held out once: its score is by a detector fitted on the other folds."""
        every, scores = np.arange(len(self.windows)), np.zeros(len(self.windows), np.float32)
        count, seed = self.settings.folds, self.settings.seed
        for number, part in enumerate(folds(self.truth, count, seed, blocks=self.settings.blocks), start=1):
            other = make()
            staged = replace(self, progress=_staged(self.progress, f"fold {number} of {count}"))
            staged.fit(other, np.setdiff1d(every, part), part)
            scores[part] = other.score(self.windows.take(part))
        return every, every, scores, self.fit(detector, every, None)


def _staged(progress: Progress | None, stage: str) -> Progress | None:
    """The same progress under another name."""
    return progress and (lambda _, done, total, figures: progress(stage, done, total, figures))


def _data(
    windows: Windows, labels: NDArray[np.bool_], held: NDArray[np.int64], source: str
) -> dict[str, int | float | str]:
    first, _ = distinct(content_keys(windows))
    counts: dict[str, int | float | str] = {
        "windows": len(windows), "anomalous": int(labels.sum()), "distinct_windows": len(first),
        "lines": len(windows.ids), "templates": len(np.unique(windows.ids)), "validation_windows": len(held),
    }  # fmt: skip
    return counts | ({"source": source} if source else {})
