"""`iqr`: Tukey's fence above the normal scores."""

import numpy as np

from models.thresholds.base import Labels, Scores, just_above, normal_scores


def iqr(scores: Scores, labels: Labels, *, factor: float = 1.5) -> float:
    """Third quartile plus `factor` times the distance of the quartiles."""
    low, high = np.percentile(normal_scores(scores, labels), [25, 75])
    return just_above(float(high + factor * (high - low)))
