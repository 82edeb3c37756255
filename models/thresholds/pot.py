"""`pot`: peaks over threshold, by extreme value theory."""

import numpy as np

from models.base import TrainingError
from models.thresholds.base import Labels, Scores, just_above, normal_scores

_PEAKS = 10
"""Minimum number of excesses for a tail to be fitted."""


def pot(scores: Scores, labels: Labels, *, risk: float = 1e-3, tail_percent: float = 98.0) -> float:
    """Peaks over threshold: the score that a normal window exceeds with probability `risk`.

    A generalised Pareto distribution is fitted to what exceeds the `tail_percent` percentile
    (Siffer et al., "Anomaly Detection in Streams with Extreme Value Theory", 2017,
    https://doi.org/10.1145/3097983.3098144). Where fewer than 10 scores do, or all by the same
    amount, there is no tail to fit, and the value is just above the largest score.
    """
    if not 0 < risk < 1 - tail_percent / 100 < 1:
        raise TrainingError(
            f"threshold pot: risk is {risk} and tail_percent {tail_percent}; risk must lie between 0 and the share "
            f"of the scores above the percentile"
        )
    normal = normal_scores(scores, labels)
    start = float(np.percentile(normal, tail_percent))
    excess = normal[normal > start] - start
    if len(excess) < _PEAKS or excess.min() == excess.max():
        return just_above(float(normal.max()))
    from scipy.stats import genpareto  # type: ignore[import-untyped]

    # In units of their mean, so that the fit's starting point suits scores of any size.
    unit = float(excess.mean())
    shape, _, scale = genpareto.fit(excess / unit, floc=0)
    beyond = float(genpareto.isf(min(1.0, risk * len(normal) / len(excess)), shape, loc=0, scale=scale)) * unit
    return just_above(start + beyond) if np.isfinite(beyond) else just_above(float(normal.max()))
