"""Training a line classifier as one job: split, fit, figures, and a new version in the store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from foundation.extras import require
from models.base import FitReport, Progress, TrainingError
from models.classify.base import CLASSES, LineClassifier, Lines
from models.classify.metrics import class_figures
from models.classify.registry import build
from models.storage.model_cards import ModelNotes
from models.storage.names import require_own_name
from models.storage.store import ModelStore
from models.text.ragged import distinct
from models.training.splits import by_group


class ClassifierTrainSettings(BaseModel):
    """What is trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    classifier: str = Field("xgboost", description="Name in `models.classify.registry.CLASSIFIERS`.")
    settings: dict[str, Any] = Field(default_factory=dict, description="The classifier's own settings.")
    validation_share: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.2, description="Share of each class's templates kept for early stopping and for the figures."
    )
    seed: Annotated[int, Field(ge=0)] = Field(0, description="Seed of the split and of the training.")


@dataclass(frozen=True, slots=True)
class LabelledLines:
    """Distinct lines with their class.

    Attributes:
        lines: No two are equal.
        labels: int64 (n,): index into `CLASSES`.
        weights: float64 (n,): how many lines each represents.
        domains: Source of each line; () where none is known.
    """

    lines: Lines
    labels: NDArray[np.int64]
    weights: NDArray[np.float64]
    domains: tuple[str, ...] = ()

    def take(self, index: NDArray[np.int64]) -> "LabelledLines":
        """The lines at `index`, in that order."""
        domains = tuple(self.domains[i] for i in index.tolist()) if self.domains else ()
        return LabelledLines(self.lines.take(index), self.labels[index], self.weights[index], domains)

    @staticmethod
    def of(lines: Lines, labels: NDArray[np.int64], domains: Sequence[str] = ()) -> "LabelledLines":
        """Merge equal lines of one class and one source; equal lines of two classes stay separate."""
        keys = list(zip(lines.keys(), labels.tolist(), domains or [""] * len(lines), strict=True))
        first, inverse = distinct(keys)
        counts = np.bincount(inverse, minlength=len(first)).astype(np.float64)
        return LabelledLines(
            lines.take(first), labels[first], counts, tuple(domains[i] for i in first.tolist()) if domains else ()
        )


@dataclass(frozen=True, slots=True)
class TrainedClassifier:
    """A classifier ready to use, and the notes for its card. `version` is None if it was not published."""

    classifier: LineClassifier
    notes: ModelNotes
    report: FitReport
    version: int | None = None


def train_classifier(
    data: LabelledLines,
    settings: ClassifierTrainSettings,
    *,
    store: ModelStore | None = None,
    name: str | None = None,
    source: str = "",
    facts: Mapping[str, int | float | str] | None = None,
    preprocessing: Mapping[str, str] | None = None,
    device: str = "auto",
    cache: Path | None = None,
    progress: Progress | None = None,
) -> TrainedClassifier:
    """Trains a line classifier and, with a store, publishes it as the current version.

    1. Split: a share of each class's templates is held out, with every line of theirs.
    2. Fit, with the held-out lines deciding when to stop.
    3. Figures on the held-out lines, whose templates the classifier never saw.
    4. Publish.

    Args:
        data: What to learn from.
        settings: See the class.
        store: Where to publish; None publishes nowhere.
        name: Name in the store; the classifier's where None.
        source: Where the data came from, for the card.
        facts: More about the data, for the card.
        preprocessing: Settings that the lines were made with, for the card.
        device: See `build`.
        cache: Folder for encoded texts.
        progress: See `models.base.Progress`.

    Raises:
        MissingExtraError: the extra `train` is not installed.
        ModelError: see `build`, `LineClassifier.fit` and `ModelStore.publish`.
    """
    require("train", "training")
    if store is not None:
        require_own_name(store, name or settings.classifier, settings.classifier)
    classifier = build(settings.classifier, settings.settings, device=device, cache=cache)
    if not len(data.lines):
        raise TrainingError("there are no lines to learn from")
    kept, held = by_group(data.labels, data.lines.templates, settings.validation_share, settings.seed)  # 1
    some, others = data.take(kept), data.take(held)
    report = classifier.fit(  # 2
        some.lines,
        some.labels,
        weights=some.weights,
        domains=some.domains or None,
        validation=(others.lines, others.labels) if len(held) else None,
        seed=settings.seed,
        progress=progress,
    )
    figures = class_figures(others.labels, classifier.probabilities(others.lines).argmax(1), others.weights)  # 3
    counts = _data(some, others, source) | dict(facts or {})
    notes = ModelNotes(
        metrics={"validation": figures.table()}, seed=settings.seed, data=counts,
        preprocessing=dict(preprocessing or {}),
    )  # fmt: skip
    version = store.publish(name or settings.classifier, classifier, notes) if store else None  # 4
    return TrainedClassifier(classifier, notes, report, version)


def _data(some: LabelledLines, others: LabelledLines, source: str) -> dict[str, int | float | str]:
    counts: dict[str, int | float | str] = {
        "lines": int(some.weights.sum()), "distinct_lines": len(some.lines),
        "templates": len(set(some.lines.templates)), "validation_lines": int(others.weights.sum()),
    }  # fmt: skip
    by_class = np.bincount(some.labels, some.weights, len(CLASSES)).astype(int)
    counts |= {name: int(count) for name, count in zip(CLASSES, by_class, strict=True)}
    return counts | ({"source": source} if source else {})
