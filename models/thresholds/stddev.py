"""`stddev`: the normal scores' mean plus standard deviations."""

from models.thresholds.base import Labels, Scores, just_above, normal_scores


def stddev(scores: Scores, labels: Labels, *, deviations: float = 3.0) -> float:
    """Mean of the normal scores plus `deviations` standard deviations."""
    normal = normal_scores(scores, labels)
    return just_above(float(normal.mean() + deviations * normal.std()))
