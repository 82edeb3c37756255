"""`best_f1`: the highest F1 on labelled windows."""

import numpy as np

from models.base import TrainingError
from models.thresholds.base import Labels, Scores


def best_f1(scores: Scores, labels: Labels) -> float:
    """The middle of the widest gap among those between two scores at which F1 is highest."""
    if labels is None or not 0 < labels.sum() < len(labels):
        raise TrainingError("threshold best_f1 needs labelled windows of both classes; the other rules do not")
    order = np.argsort(-scores.astype(np.float64), kind="stable")
    ranked, hits = scores[order].astype(np.float64), np.cumsum(labels[order])
    called = np.arange(1, len(order) + 1)
    lower = np.append(ranked[1:], -np.inf)
    f1 = np.where(ranked > lower, 2 * hits / (called + hits[-1]), -1.0)
    gap = ranked - np.where(np.isinf(lower), ranked, lower)
    at = int(np.lexsort((gap, f1))[-1])
    middle = float(np.float32(ranked[at] - gap[at] / 2))
    # Two neighbouring float32 scores have no number between them: then the upper one is the threshold.
    return middle if middle > lower[at] and middle <= ranked[at] else float(ranked[at])
