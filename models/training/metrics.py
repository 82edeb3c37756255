"""Figures of a detector on labelled windows; higher scores are more anomalous."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foundation.extras import require


@dataclass(frozen=True, slots=True)
class Confusion:
    """Counts of windows; weights other than 1 make them weighted counts."""

    true_positives: float
    false_positives: float
    false_negatives: float
    true_negatives: float

    @property
    def precision(self) -> float:
        """Share of the alerts that are right; 0 if absent."""
        return _share(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float:
        """Share of the anomalies that are found; 0 if absent."""
        return _share(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 0 where nothing is found."""
        return _share(2 * self.true_positives, 2 * self.true_positives + self.false_positives + self.false_negatives)

    @property
    def accuracy(self) -> float:
        """Share of all windows that are judged right."""
        right = self.true_positives + self.true_negatives
        return _share(right, right + self.false_positives + self.false_negatives)


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def confusion(
    scores: NDArray[np.floating],
    labels: NDArray[np.bool_],
    threshold: float | NDArray[np.floating],
    weights: NDArray[np.floating] | None = None,
) -> Confusion:
    """Counts at a threshold, or at one for each window; a score at or above it is called anomalous."""
    called = scores >= threshold
    w = np.ones(len(scores)) if weights is None else weights
    cells = (w[called & labels], w[called & ~labels], w[~called & labels], w[~called & ~labels])
    return Confusion(*(float(c.sum()) for c in cells))


def highest_f1(
    scores: NDArray[np.floating], labels: NDArray[np.bool_], weights: NDArray[np.floating] | None = None
) -> float:
    """F1 at the threshold that is best on these very windows; 0 where no window is anomalous."""
    order = np.argsort(-scores, kind="stable")
    ranked, w = scores[order], np.ones(len(scores)) if weights is None else weights[order]
    found, called = np.cumsum(w * labels[order]), np.cumsum(w)
    if not labels.any():
        return 0.0
    last = np.append(ranked[1:] < ranked[:-1], True)  # equal scores are called together
    return float((2 * found / (called + found[-1]))[last].max())


def roc_auc(scores: NDArray[np.floating], labels: NDArray[np.bool_]) -> float:
    """Area under the ROC curve; NaN with one class only."""
    return _with_both_classes("roc_auc_score", scores, labels)


def pr_auc(scores: NDArray[np.floating], labels: NDArray[np.bool_]) -> float:
    """Average precision; NaN with one class only."""
    return _with_both_classes("average_precision_score", scores, labels)


def _with_both_classes(name: str, scores: NDArray[np.floating], labels: NDArray[np.bool_]) -> float:
    require("train", "the area under a curve", "sklearn")
    from sklearn import metrics  # type: ignore[import-untyped]

    return float(getattr(metrics, name)(labels, scores)) if 0 < labels.sum() < len(labels) else float("nan")


def evaluate(scores: NDArray[np.floating], labels: NDArray[np.bool_], threshold: float) -> dict[str, float]:
    """Every figure that a model card carries; areas are left out if there is one class only."""
    cells = confusion(scores, labels, threshold)
    figures = {
        "precision": cells.precision, "recall": cells.recall, "f1": cells.f1, "accuracy": cells.accuracy,
        "true_positives": cells.true_positives, "false_positives": cells.false_positives,
        "false_negatives": cells.false_negatives, "true_negatives": cells.true_negatives,
        "roc_auc": roc_auc(scores, labels), "pr_auc": pr_auc(scores, labels),
    }  # fmt: skip
    return {name: value for name, value in figures.items() if not np.isnan(value)}
